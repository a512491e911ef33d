"""orch backup: A copy of a run as it is now, also while it goes on."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import out_option


@click.command()
@click.argument("run")
@click.argument("destination", type=click.Path(path_type=Path))
@out_option
def backup(run: str, destination: Path, out: Path) -> None:
    """Copy RUN into the new directory DESTINATION, whole, also while it goes on."""
    from orchestrator.store.backup import backup as copy
    from orchestrator.store.reader import find_run

    directory = find_run(run, out)
    copy(directory, destination)
    click.echo(f"{directory} as it is now is in {destination}. Check it: orch check {destination}")
