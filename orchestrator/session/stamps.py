"""A verifier's name and version belong to a run.

A resumed run keeps the verifier that it was begun with, also where a task's default has changed
since. Where that verifier is another version now, the run's stored samples are judged anew, and
the old verdicts stay beside, as `NAME@VERSION`: `orch report` shows them among the other
verifiers. Going back to that version takes them up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from msgspec import structs

from orchestrator.plan.prepare import PreparedArm
from orchestrator.plan.study import Study
from orchestrator.store.reader import RunReader
from orchestrator.store.schema import beside
from orchestrator.store.store import RunStore


def keep_verifiers(study: Study, directory: Path) -> Study:
    """The study of a resumed run, with the run's own verifiers where none is named."""
    with closing(RunReader(directory)) as reader:
        own = {row.number: str(row.spec.get("verifier") or "") for row in reader.arms()}
    arms = [
        structs.replace(arm, verifier=arm.verifier or own.get(number, ""))
        for number, arm in enumerate(study.arms)
    ]
    return structs.replace(study, arms=arms)


async def set_aside_other_versions(
    arms: Sequence[PreparedArm], store: RunStore, directory: Path
) -> list[str]:
    """Put verdicts of another version of an arm's verifier aside; a sentence for each such arm.

    Durable before it returns. Done again after a crash it finds nothing left to do: no verdict
    of the new version is written before the arm says that version.
    """
    said: list[str] = []
    with closing(RunReader(directory)) as reader:
        stored = {row.number: row for row in reader.arms()}
    for number, arm in enumerate(arms):
        row, verifier = stored.get(number), arm.verifier
        before = None if row is None else row.spec.get("verifier_version")
        same = row is not None and row.spec.get("verifier") == verifier.name
        if row is None or not same or before == verifier.version:
            continue
        aside = beside(verifier.name, str(before or "unknown"))
        store.rename_verdicts(number, verifier.name, aside)
        store.rename_verdicts(number, beside(verifier.name, verifier.version), verifier.name)
        said.append(
            f"The verifier {verifier.name} is version {verifier.version} now, and this run was "
            f"judged by version {before or 'unknown'}: the samples of {row.key} are judged anew; "
            f"the old verdicts stay beside, as {aside}."
        )
    if said:
        await store.durable()
    return said
