"""What identifies a study, so that a resume cannot quietly become another study.

Identity: the problems, prompts, the served model, sampling parameters, seeds, policy. Free to
change on resume: URLs, concurrency, limits, prices, timeouts, the budget, more samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.plan.agents import identity_of_agent
from orchestrator.plan.asked_more import identity_of_more
from orchestrator.plan.prepare import Prepared
from orchestrator.tasks import Problem

Identity = dict[str, str]


def identity_of(prepared: Prepared) -> Identity:
    """Flat names and values; equal for equal studies. Known before any server of ours runs."""
    found: Identity = {"seed": str(prepared.study.seed), "arms": str(len(prepared.arms))}
    for number, arm in enumerate(prepared.arms):
        base = arm.base
        values = {
            "provider": arm.spec.provider,
            "model": arm.endpoint.model,
            # A file may be moved: its problems are compared, and where it lies is not.
            "task": Path(arm.spec.task).name,
            "policy": arm.spec.policy,
            "problems": problems_digest(arm.problems),
            "temperature": base.temperature,
            "top_p": base.top_p,
            "max_tokens": base.max_tokens,
            "stop": list(base.stop),
            "verifier": arm.verifier.name,
            **identity_of_agent(arm.spec),
            **identity_of_more(arm.spec),
        }
        for name, value in values.items():
            found[f"arms[{number}].{name}"] = json.dumps(value)
    return found


def problems_digest(problems: Sequence[Problem]) -> str:
    """One digest over the digests of all problems, in order."""
    joined = "\n".join(problem.digest for problem in problems)
    return hashlib.sha256(joined.encode()).hexdigest()


def refuse_difference(stored: Identity, now: Identity, run: str) -> None:
    """Raise ConfigError naming every key in which a resume differs from the run."""
    differing = sorted(k for k in stored.keys() | now.keys() if stored.get(k) != now.get(k))
    if differing:
        shown = "; ".join(
            f"{key}: {stored.get(key, 'absent')} in the run, {now.get(key, 'absent')} now"
            for key in differing[:8]
        )
        raise ConfigError(
            f"{run} cannot be resumed under a changed study ({shown}); "
            "use the run's own settings, or start a new run."
        )
