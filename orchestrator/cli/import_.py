"""`orch import`: outcomes that others recorded, kept for `orch report` and `orch reproduce`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.group("import")
def import_() -> None:
    """Read outcomes that others recorded into one file of orch's own."""


def _into(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option("--to", type=click.Path(path_type=Path, dir_okay=False),
                          help="Where to keep them (default: in runs/).")  # fmt: skip
    return click.argument("file", type=click.Path(path_type=Path))(option(command))


@import_.command()
@_into
def counts(file: Path, to: Path | None) -> None:
    """Counts: FILE.csv with the columns benchmark, model, problem_idx, n, c."""
    from orchestrator.reproduce.outcomes import read_counts

    _keep(read_counts(file), to or Path("runs") / f"{file.stem}.outcomes.json")


@import_.command("monkey_business")
@_into
def monkey_business(file: Path, to: Path | None) -> None:
    """Samples: one configuration's JSON file of ScalingIntelligence/monkey_business."""
    from orchestrator.reproduce.outcomes import read_monkey_business

    _keep(read_monkey_business(file), to or Path("runs") / f"{file.stem}.outcomes.json")


def _keep(outcomes: Any, path: Path) -> None:
    from orchestrator.report.text import visible
    from orchestrator.reproduce.outcomes import save

    save(outcomes, path)
    for one in outcomes:
        said = f"{one.task}, {one.model}: {len(one.n)} problems, {sum(one.n):,} attempts"
        click.echo(visible(said))
    click.echo(f"Kept in {path}\nNext: orch reproduce coverage {path}")
