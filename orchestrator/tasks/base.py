"""What a task is: problems with prompts and references, sampling defaults, and a verifier.

A task is read once, before anything is bought, and gives the same problems in the same order
each time. A problem's `reference` is everything that its verifier needs, as plain JSON data, so
that a stored run can be judged again without the task's data. Whatever is wrong with a task's
data is a TaskError of one sentence that names the file, the line, the field and the remedy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from verifiers.rules import RuleOptions
from verifiers.verdict import Verifier

PromptForm = Literal["chat", "completion"]


class TaskError(Exception):
    """A task cannot be read or is not known; the message is one sentence for a person."""


class NoField(TaskError):
    """A table, or one row of it, has no field of this name."""

    def __init__(self, where: str, name: str, present: Sequence[str]) -> None:
        super().__init__(f"{where} has no field {name!r}; it has: {', '.join(present)}.")
        self.name = name


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. Exactly one of `prompt` and `messages` is set."""

    id: str
    """Unique within its task."""
    prompt: str | None
    """Raw completion text."""
    messages: tuple[Mapping[str, str], ...] | None
    """Chat messages, each with `role` and `content`."""
    reference: Mapping[str, Any]
    """What the verifier needs, as JSON data."""
    group: str = ""
    """Problems of one group succeed and fail together; reports allow for it. No part of what is
    asked."""

    @property
    def texts(self) -> list[str]:
        """What is asked: the prompt, or the content of each message."""
        if self.prompt is not None:
            return [self.prompt]
        return [message["content"] for message in self.messages or ()]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over canonical JSON of id, prompt, messages and reference."""
        content = {
            "id": self.id,
            "prompt": self.prompt,
            "messages": None if self.messages is None else [dict(one) for one in self.messages],
            "reference": dict(self.reference),
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """How a task is sampled unless the study says otherwise."""

    temperature: float | None = 1.0
    top_p: float | None = None
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    keep_stop: bool = False
    """Whether the output keeps the stop string, where a provider can do that (vLLM)."""


MOST_TASK_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a task is to be read. Limits, filters and shuffles are the engine's, not the task's."""

    data: Path | None = None
    """Local data in place of the data set that the task would load."""
    prompt_form: PromptForm | None = None
    """None: the task's own default (raw completions for the tasks of the paper)."""
    few_shot: Path | None = None
    """A person's own few-shot text or examples, for the tasks that say so."""
    few_shot_count: int | None = None
    """None: the task's own count."""
    few_shot_seed: int = 0
    """Seeds the one random stream from which few-shot examples and the subset are drawn."""
    subset: Literal["paper", "released", "all"] = "paper"
    """`paper`: the problems of the paper, for the tasks that have such a subset; `released`:
    those of its published samples, which leave out a mislabelled problem of GSM8K."""
    revision: str | None = None
    """Another revision of the data set than the pinned one."""
    sandbox: str | None = None
    """The sandbox tier in which the verifier judges; None: the strongest that works."""
    trust: bool = False
    """The person said that what is judged may be run without a sandbox."""
    jobs: int | None = None
    """How many outputs are judged at once; None: one per core and one more."""
    most_bytes: int = MOST_TASK_BYTES
    """The largest file that is read, decompressed."""
    own_verifier: bool = False
    """Whether a person's own verifier judges, which is told every field of a problem."""
    lean_project: Path | None = None
    """The Lean project against which proofs are checked."""
    harbor_python: str = ""
    """An interpreter that has Harbor, for data sets of its registry; "": found."""


class Task(Protocol):
    """A source of problems with the way to sample and to judge them."""

    @property
    def name(self) -> str:
        """The task's name, as a study file says it."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the problems, prompts or references do."""
        ...

    @property
    def defaults(self) -> SamplingDefaults:
        """How the task is sampled unless the study says otherwise."""
        ...

    def problems(self) -> list[Problem]:
        """All problems, in a fixed order; raises TaskError."""
        ...

    def verifier(self, name: str | None = None) -> Verifier:
        """The task's own verifier, or another one of its verifiers by name; raises TaskError."""
        ...


class SelfChecking(Protocol):
    """A task that knows outputs which its verifier must pass."""

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with its known right outputs, as a model would write them."""
        ...


def as_user_message(prompt: str) -> tuple[Mapping[str, str], ...]:
    """The chat form of a prompt that stands alone: one user message."""
    return ({"role": "user", "content": prompt},)


def chosen(
    task: str,
    name: str | None,
    known: Mapping[str, Callable[[], Verifier]],
    options: TaskOptions | None = None,
) -> Verifier:
    """The verifier of that name, the first one for None; raises TaskError.

    With `options` it may also be a person's own (verifiers/own.py).
    """
    from verifiers.own import BadVerifier, is_own, own_verifier

    if name is None:
        name = next(iter(known))
    if name not in known:
        if options is None or not is_own(name):
            raise unknown_verifier(task, name, known)
        try:
            return own_verifier(name, rule_options(options))
        except BadVerifier as fault:
            raise TaskError(f"--verifier cannot be used: {fault}.") from None
    return known[name]()


def rule_options(options: TaskOptions) -> RuleOptions:
    """How a rule is to judge, as the task is to be read."""
    return RuleOptions(sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)


def unknown_verifier(task: str, name: str, known: Mapping[str, object]) -> TaskError:
    """The error for a verifier name that a task does not have."""
    names = ", ".join(sorted(known))
    return TaskError(
        f"The task {task} has no verifier named {name!r}; it has: {names}; your own is given as "
        "path.py:function, 'command PROGRAM ...', regex:PATTERN or contains:TEXT."
    )
