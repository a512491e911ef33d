"""A command of one's own: `orch solved RUN` says how many problems of each arm were solved."""

from pathlib import Path

import click

from orchestrator import load


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def solved(run: Path) -> None:
    """How many problems of each arm of RUN were solved."""
    for arm in load(run).arms:
        click.echo(f"{arm.name}: {arm.solved} of {arm.problems}")
