"""Scoring stored samples with a reward model, for best-of-N and the reward-weighted vote.

Every sample that was not censored is scored, equal texts of a problem once; scores are stored in
the run beside the verdicts, under the reward model's name, and what is stored is not asked again.
A sample that the model refuses to read (longer than its context) is stored without a score, and
ranks below every scored one.

No money moves here. A reward model is a server that somebody holds already: its time is no part
of the run's cap nor of its dollars, and the report says so. A server that wants money per request
is refused by never being sent any key but the one that is named for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.errors import ConfigError, RunFault
from orchestrator.store.held import distinct_texts, held_store
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow
from orchestrator.store.store import RunStore
from providers.errors import InvalidRequest, ProviderConfigError, ProviderError
from providers.reward import RewardServer

TRIES = 5
PAUSE_S = 0.5
"""Before the second try; doubled before each further one."""


@dataclass(slots=True)
class Scored:
    """What scoring one arm gave."""

    arm: str
    model: str
    api: str
    samples: int = 0
    """Samples that have a score now."""
    asked: int = 0
    """Different texts that the server was asked about this time."""
    unreadable: int = 0
    """Samples that the reward model refuses to read."""
    seconds: float = 0.0


Result = TypeVar("Result")

Work = tuple[int, str, list[int]]
"""A problem, one of its texts, and the slots that hold it."""


async def score_run(directory: Path, server: RewardServer, *, at_once: int = 32) -> list[Scored]:
    """Score what is not scored yet; raises ConfigError, or RunFault where the server fails.

    What was scored before a failure stays stored.
    """
    try:
        async with held_store(directory) as store:
            with closing(RunReader(directory)) as reader:
                return [await _arm(reader, store, arm, server, at_once) for arm in reader.arms()]
    except ProviderConfigError as error:
        raise ConfigError(f"The reward model cannot be used: {error}.") from None
    except ProviderError as error:
        raise RunFault(
            f"Scoring stopped: {error}; what is scored is kept, run the same command again."
        ) from None


async def _arm(
    reader: RunReader, store: RunStore, arm: ArmRow, server: RewardServer, at_once: int
) -> Scored:
    prompts = {p.number: prompt_of(p.content) for p in reader.problems(arm.problem_set)}
    started = time.monotonic()
    first = next(_texts(reader, arm), None)
    if first is None:
        return Scored(arm.key, server.model, server.api or "")
    # The beginning of a sample shows which API answers, and is never too long.
    await _patient(lambda: server.open(prompts[first[0]], first[1][:20]))
    scored = Scored(arm.key, server.model, str(server.api))
    known = reader.rewards(arm.number).get(server.scorer, {})
    scored.samples = sum(reward is not None for reward in known.values())
    scored.unreadable = len(known) - scored.samples
    queue = _todo(reader, arm, known)

    async def one(prompt: Sequence[Any], text: str) -> float | None:
        try:
            return await _patient(lambda: server.score(prompt, text))
        except InvalidRequest:
            return None

    async def work() -> None:
        # The generator is shared: each worker takes the next text as it comes free.
        for problem, text, slots in queue:
            reward = await one(prompts[problem], text)
            scored.asked += 1
            for slot in slots:
                store.put_reward(arm.number, problem, slot, server.scorer, reward)
            if reward is None:
                scored.unreadable += len(slots)
            else:
                scored.samples += len(slots)
            await store.durable()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    scored.seconds = time.monotonic() - started
    return scored


async def _patient(ask: Callable[[], Awaitable[Result]]) -> Result:
    """What `ask` gives; tries again what may clear."""
    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

    def may_clear(error: BaseException) -> bool:
        return isinstance(error, ProviderError) and error.retryable

    def pause_s(tried: RetryCallState) -> float:
        error = tried.outcome.exception() if tried.outcome else None
        asked_s = error.retry_after_s if isinstance(error, ProviderError) else None
        return asked_s or PAUSE_S * 2 ** (tried.attempt_number - 1)

    async def again() -> Result:
        return await ask()

    patiently = AsyncRetrying(
        retry=retry_if_exception(may_clear),
        stop=stop_after_attempt(TRIES),
        wait=pause_s,
        reraise=True,
    )
    return await patiently(again)


def prompt_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """A stored problem as the conversation that its samples answer."""
    messages = content.get("messages")
    return list(messages) if messages else [{"role": "user", "content": content["prompt"]}]


def _texts(reader: RunReader, arm: ArmRow) -> Iterator[Work]:
    for problem, slots in distinct_texts(reader.samples(arm.number)):
        for text, places in slots.items():
            yield problem, text, places


def _todo(
    reader: RunReader, arm: ArmRow, known: dict[tuple[int, int], float | None]
) -> Iterator[Work]:
    for problem, text, slots in _texts(reader, arm):
        missing = [slot for slot in slots if (problem, slot) not in known]
        if missing:
            yield problem, text, missing
