"""Arms whose attempts are agents: how each is run, and what one attempt may use.

What one attempt may use (calls, dollars, minutes, the length of an answer) is how it is sampled,
so it is part of a study's identity, like max_tokens; the budget of a problem is operational, like
that of an arm or a run.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from budgets.limiter import Limiter
from orchestrator.errors import ConfigError
from orchestrator.plan.dollars import amount
from orchestrator.plan.study import Arm, Study
from orchestrator.tasks.base import Task
from providers import known
from providers.gateway.attempts import Caps

OUTPUT_TOKENS = 16_384
"""How long an answer to one of an agent's calls may be, unless the study says otherwise."""
TIME_S = 1800.0
MOST_REDRAWS = 2
"""How often a slot is drawn again after failures that had nothing to do with the agent."""
HARBOR = "harbor:"
SWEBENCH = "swebench-"
"""Tasks that are written in Harbor's layout when they are run."""
FIELDS = ("{problem}", "{workdir}", "{output}", "{model}")


@dataclass(frozen=True, slots=True)
class AgentSetting:
    """How the attempts of one arm are made."""

    command: tuple[str, ...]
    """A program and its arguments, with FIELDS in them."""
    image: str
    """The container image to run it in; "": the cell."""
    paths: tuple[str, ...]
    """Paths of this machine that the agent may read."""
    caps: Caps
    time_s: float
    problem_usd: int | None
    """Picodollars that all attempts at one problem may cost."""
    trust: bool
    """A person agreed to run it without any container or cell."""
    harbor: str = ""
    """The name of one of Harbor's agents, which then runs it; "": a command of one's own."""
    harbor_python: str = ""
    """An interpreter that has Harbor; "": found."""
    harbor_arguments: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of that agent."""
    protocol: str = "openai"
    """What the arm's provider speaks: how Harbor's agents are told of its models."""
    bound: frozenset[str] = frozenset()
    """Variables whose keys a person bound to hosts: no agent gets them."""


def setting_of(
    arm: Arm, *, trust: bool, bound: frozenset[str] = frozenset()
) -> AgentSetting | None:
    """How the arm's agent is run, None for an arm without; raises ConfigError."""
    if not arm.agent:
        return None
    try:
        command = tuple(shlex.split(arm.agent))
    except ValueError as error:
        raise ConfigError(f"--agent {arm.agent!r} cannot be read as a command: {error}.") from None
    if not command:
        raise ConfigError("--agent is empty; give a command, such as 'my-agent {problem}'.")
    for name, wanted in (("--batch", arm.batch), ("--stop", arm.stop)):
        if wanted:
            raise ConfigError(f"{name} says nothing to an agent; leave it out with --agent.")
    if arm.n_per_request not in ("auto", 1):
        raise ConfigError("--n-per-request says nothing to an agent: each attempt is one slot.")
    if not 0 < arm.agent_time_s < 1e7:
        raise ConfigError(f"--agent-time-s is {arm.agent_time_s}; it must be above 0.")
    if arm.attempt_calls < 0:
        raise ConfigError(f"--attempt-calls is {arm.attempt_calls}; it must be at least 1.")
    caps = Caps(
        call_usd=_usd(arm.call_budget, "--call-budget"),
        attempt_usd=_usd(arm.attempt_budget, "--attempt-budget"),
        calls=arm.attempt_calls or None,
        output_tokens=arm.max_tokens or OUTPUT_TOKENS,
    )
    missing = [path for path in arm.agent_paths if not Path(path).exists()]
    if missing:
        raise ConfigError(f"--agent-path {missing[0]} is not there.")
    harbor = arm.agent.removeprefix(HARBOR) if arm.agent.startswith(HARBOR) else ""
    if harbor and not arm.task.startswith((HARBOR, SWEBENCH)):
        raise ConfigError(
            f"--agent {arm.agent} runs tasks of Harbor's: give --task harbor:PATH, or one of "
            "swebench-lite and swebench-verified."
        )
    row = known.find(arm.provider)
    return AgentSetting(
        command, arm.agent_image, tuple(arm.agent_paths), caps, arm.agent_time_s,
        _usd(arm.problem_budget, "--problem-budget"), trust,
        harbor, arm.harbor_python, _arguments(arm.harbor_args),
        "openai" if row is None else row.protocol, bound,
    )  # fmt: skip


def rewarded(task: Task) -> bool:
    """Whether a task's attempts are judged in the containers that they were made in."""
    return bool(getattr(task, "rewarded", False))


def check_judged(setting: AgentSetting | None, task: Task) -> None:
    """Raise ConfigError where only Harbor could judge and something else makes the attempts."""
    if rewarded(task) and not (setting and setting.harbor):
        raise ConfigError(
            f"The task {task.name} has no environment/repo: its work tree exists only in its "
            "container image, where Harbor runs and judges; give --agent harbor:NAME."
        )


def _arguments(pairs: list[str]) -> dict[str, object]:
    """Arguments for one of Harbor's agents, from NAME=JSON; raises ConfigError."""
    found: dict[str, object] = {}
    for pair in pairs:
        name, mark, text = pair.partition("=")
        if not mark or not name:
            raise ConfigError(f"--harbor-arg {pair!r} must be NAME=VALUE.")
        try:
            found[name] = json.loads(text)
        except (ValueError, RecursionError):
            found[name] = text
    return found


def _usd(text: str, flag: str) -> int | None:
    return amount(text, flag) if text else None


def one_slot_each(arm: Arm) -> Arm:
    """The arm as an agent is sampled: an attempt is one slot, with answers of a stated length."""
    return structs.replace(
        arm, n_per_request=1, max_tokens=arm.max_tokens or OUTPUT_TOKENS, prompt_style="chat"
    )


def agents_at_once(study: Study) -> Limiter:
    """How many attempts go on at once; their calls have the provider's own limits."""
    return Limiter(concurrency=str(study.agent_jobs or max(1, len(os.sched_getaffinity(0)))))


def identity_of_agent(arm: Arm) -> dict[str, object]:
    """What of an agent's setting identifies a study."""
    if not arm.agent:
        return {}
    names = (
        "agent", "harbor_args", "agent_image", "agent_time_s", "attempt_budget", "attempt_calls",
        "call_budget",
    )  # fmt: skip
    return {name: getattr(arm, name) for name in names}
