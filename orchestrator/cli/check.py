"""orch check: Is everything of a run there and whole? --repair mends what can be mended."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, out_option

if TYPE_CHECKING:
    from orchestrator.audit.check import Finding

SHOWN = 3
"""Findings of one table that a person is shown, before the number of the others."""


@click.command()
@click.argument("run")
@out_option
@click.option("--repair", is_flag=True, help="Mend what can be mended without inventing anything; "
              "the files as they were are kept.")  # fmt: skip
@json_option
def check(run: str, out: Path, repair: bool, as_json: bool) -> None:
    """Read every row of RUN and say what is damaged; exit code 4 where anything is."""
    from orchestrator import errors
    from orchestrator.audit.check import check_run
    from orchestrator.audit.repair import repair_run
    from orchestrator.report.text import visible
    from orchestrator.store.reader import find_run

    directory = find_run(run, out)
    checked = check_run(directory)
    mended = repair_run(directory) if repair and checked.findings else None
    damaged = bool(checked.findings) if mended is None else bool(mended.left)
    if as_json:
        document = {
            "run": str(directory),
            "whole": not damaged,
            "rows": checked.rows,
            "findings": [{"where": one.where, "what": one.what} for one in checked.findings],
            "notes": checked.notes,
            "done": [] if mended is None else mended.done,
            "left": [] if mended is None else [one.sentence for one in mended.left],
        }
        click.echo(json.dumps(document, indent=2))
        sys.exit(errors.FAULT if damaged else errors.COMPLETE)
    for line in _grouped(checked.findings):
        click.echo(f"damaged: {visible(line)}")
    for note in checked.notes:
        click.echo(f"note: {visible(note)}")
    if mended is not None:
        for done in mended.done:
            click.echo(f"done: {visible(done)}")
        for line in _grouped(mended.left):
            click.echo(f"left as it is: {visible(line)}")
        if mended.kept:
            click.echo(f"The files as they were are in {mended.kept}")
    if not damaged:
        click.echo(f"{directory} is whole: {checked.rows:,} rows are what was written.")
    elif mended is None:
        click.echo(f"Next: put a backup in its place, or try: orch check {run} --repair")
    else:
        click.echo("That cannot be mended without inventing it: put a backup in its place.")
    sys.exit(errors.FAULT if damaged else errors.COMPLETE)


def _grouped(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each of a table's first findings, and one that counts the others."""
    for where in dict.fromkeys(finding.where for finding in findings):
        there = [finding for finding in findings if finding.where == where]
        # What the seal shows of a whole table goes before single rows of it.
        there.sort(key=lambda finding: finding.harm == "other")
        yield from (finding.sentence for finding in there[:SHOWN])
        if len(there) > SHOWN:
            yield f"{where}: {len(there) - SHOWN:,} more (--json lists all)"
