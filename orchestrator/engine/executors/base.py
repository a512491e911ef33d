"""What an executor is: given one attempt, it returns what the agent left, or says why there is
nothing.

It starts the agent with the attempt's key and lets it call the gateway and, as far as it can, no
other place; it ends everything that it started, whatever happens. It counts no money, retries
nothing and judges nothing: the engine does (engine/agents.py). Its own failures are
ExecutorFailure; whatever the agent did is an Output.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from providers.gateway.server import Gateway


class NoExecutor(Exception):
    """Agents cannot be run here as asked; the text is one sentence with what to do."""


class ExecutorFailure(Exception):
    """The engine of agents failed, not the agent: the slot may be drawn again."""


@dataclass(frozen=True, slots=True)
class AgentJob:
    """One attempt to be made."""

    attempt: int
    slot: int
    """Different for attempts at the same time."""
    problem: str
    """What the agent is asked."""
    tree: bytes
    """A tar of the work tree; empty: none."""
    model: str
    key: str
    gateway: Gateway
    url: str
    """Where the gateway listens on this machine's loopback."""
    time_s: float
    folder: Path
    """Where its files go."""
    source: Path | None = None
    """The task's own folder, where it has one."""
    rewarded: bool = False
    """Whether only the container that the agent works in can judge it: the output is what its
    tests said (verifiers/reported.py)."""


@dataclass(frozen=True, slots=True)
class Output:
    """What an agent left."""

    text: str
    """Its answer: what it wrote as its output, else the change that it made to the work tree."""
    exit_code: int
    timed_out: bool = False
    note: str = ""
    """Something that a person should know: files that did not fit, an output that was cut."""


class Executor(Protocol):
    """Makes attempts."""

    name: str

    async def start(self) -> None:
        """See that agents can be run, and clear away what a dead run left; raises NoExecutor."""
        ...

    async def attempt(self, job: AgentJob) -> Output:
        """Run one agent to its end; raises ExecutorFailure. Cancelling ends the agent."""
        ...

    async def aclose(self) -> None:
        """End what is left of every attempt."""
        ...
