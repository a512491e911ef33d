"""orch runs: Every run in a directory: model, task, state, coverage, dollars, age."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.report.listing import ListedRun


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), envvar="ORCH_OUT",
                default=Path("runs"), metavar="[DIR]")  # fmt: skip
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """Every run in DIR (default: runs): model, task, state, coverage at its largest k, dollars."""
    import shlex
    import time

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from orchestrator.cli.pilot import go_on
    from orchestrator.errors import ConfigError
    from orchestrator.report.listing import listed
    from orchestrator.report.text import age_of, alike, percent, say, visible

    if not folder.is_dir():
        raise ConfigError(f"There is no directory {folder}; give the one that holds the runs.")
    found = list(listed(folder))
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
        return
    if not found:
        click.echo(
            f"There is no run in {folder}. Start with: orch run --provider local --budget 50"
        )
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("run", "arm", "task", "state", "coverage", "at k", "dollars", "age"):
        right = name in ("coverage", "at k", "dollars", "age")
        # Names give way where the terminal is narrow; figures never.
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    shown = alike((arm.spent for run in found for arm in run.arms), 6)
    for run in found:
        age = age_of(time.time() - run.at)
        for number, arm in enumerate(run.arms):
            covered = ("-", "") if arm.coverage is None else (percent(arm.coverage), f"{arm.k:,}")
            first = (run.directory.name, run.state, age) if not number else ("", "", "")
            table.add_row(
                Text(visible(first[0])), Text(visible(arm.name)), Text(visible(arm.task)),
                first[1], *covered, shown(arm.spent), first[2],
            )  # fmt: skip
        if not run.arms:
            table.add_row(Text(visible(run.directory.name)), "", "", run.state, "-", "", "", age)
    console = Console()
    console.print(table)
    for run in found:
        if run.pilot and run.state == "pilot":
            wanted = list(zip((arm.name for arm in run.arms), run.pilot, strict=False))
            again = shlex.join(["orch", "run", "--resume", str(run.directory)])
            say(console, f"{run.directory.name}: {go_on(run.directory, wanted, again)}")
        if run.trouble:
            say(console, f"{run.directory.name}: {run.trouble}")


def _document(found: Sequence[ListedRun]) -> list[dict[str, Any]]:
    from budgets.money import usd

    return [
        {
            "run": str(run.directory), "state": run.state, "changed_at": run.at,
            "trouble": run.trouble or None,
            "arms": [
                {"name": arm.name, "task": arm.task, "k": arm.k, "coverage": arm.coverage,
                 "usd": usd(arm.spent)}
                for arm in run.arms
            ],
        }
        for run in found
    ]  # fmt: skip
