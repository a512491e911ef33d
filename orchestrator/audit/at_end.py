"""The audit that a run makes by itself at its end, where it takes a small share of the judging."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from orchestrator.audit.accepted import audit_arm
from orchestrator.engine.judging import Judging
from orchestrator.errors import ConfigError
from orchestrator.plan.prepare import Prepared
from orchestrator.plan.problems import options_of
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow
from orchestrator.store.store import RunStore
from orchestrator.tasks import TaskOptions

START_S = 15.0
"""What opening a second rule's cells takes, about, on a slow machine."""
EACH_S = 0.1
SHARE = 0.05
"""Of the time for which the judges were at work: what the audit may take."""
BY_ITSELF = ("math-verify", "stated", "number")
"""The rules whose runs are audited at their end."""


async def audit_at_the_end(
    prepared: Prepared, store: RunStore, directory: Path, judging: Judging
) -> None:
    """Audit the arms of a complete run whose rule asks for it.

    It is given up where it takes longer than its share, or where the second rule is missing:
    `orch verify RUN --audit` makes it later.
    """

    def how(arm: ArmRow) -> TaskOptions:
        return options_of(prepared.arms[arm.number].spec, prepared.study)

    left_s = SHARE * judging.busy_s / judging.jobs
    await audit_within(directory, store, how, judging.jobs, left_s)


async def audit_within(
    directory: Path,
    store: RunStore,
    options: Callable[[ArmRow], TaskOptions],
    jobs: int,
    left_s: float,
) -> None:
    """The same within a time."""
    if left_s < START_S:
        return
    with closing(RunReader(directory)) as reader:
        for arm in reader.arms():
            own = str(arm.spec["verifier"])
            passed = reader.verdict_kinds(arm.number).get(own, {}).get("passed", 0)
            if own not in BY_ITSELF or START_S + EACH_S * passed > left_s:
                continue
            started = time.monotonic()
            try:
                async with asyncio.timeout(left_s):
                    await audit_arm(reader, store, arm, options(arm), jobs)
            except (ConfigError, TimeoutError):
                return
            left_s -= time.monotonic() - started
