"""`orch verify RUN --audit`: a second rule on everything that a run accepted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.store.rows import ArmRow
    from orchestrator.tasks import TaskOptions


def audit(
    directory: Path, options: Callable[[ArmRow], TaskOptions], jobs: int, *, as_json: bool
) -> None:
    """Audit a run and say what rests on one rule alone; raises OrchError."""
    from rich.console import Console

    from orchestrator.audit.accepted import audit_run
    from orchestrator.report.audit import said_of_audit
    from orchestrator.report.collect import collect
    from orchestrator.report.sections.audit import AUDIT
    from orchestrator.report.text import visible

    audited = asyncio.run(audit_run(directory, options, jobs))
    report = collect([directory])
    if as_json:
        document: dict[str, Any] = {
            "arms": [
                {
                    "arm": one.arm, "rule": one.rule or None, "accepted": one.samples,
                    "distinct": one.distinct, "disputed": one.disputed,
                    "not_judged": one.unjudged,
                }
                for one in audited
            ],
            "audit": AUDIT.document(report),
        }  # fmt: skip
        click.echo(json.dumps(document, indent=2))
        return
    for one in audited:
        if not one.rule:
            click.echo(f"{one.arm}: there is no second rule for its verifier; nothing is audited.")
            continue
        failed = f"; {one.unjudged} could not be judged" if one.unjudged else ""
        click.echo(
            f"{one.arm}: {one.samples:,} accepted samples ({one.distinct:,} distinct) judged again "
            f"by {one.rule}: it does not accept {one.disputed:,}{failed}."
        )
    console = Console()
    for arm in report.arms:
        for line in said_of_audit(arm.audit):
            console.print(visible(f"{arm.label}: {line}."), highlight=False, markup=False)
    for part in AUDIT.shown(report):
        console.print(part, highlight=False, soft_wrap=True)
