"""`orch report`: coverage, cost and intervals of stored runs."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), envvar="ORCH_OUT",
              help="Where runs given by name are looked for.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def report(runs: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Coverage at k = 1, 2, 5, 10, ... with intervals, and dollars, of each RUN."""
    from rich.console import Console

    from orchestrator.report.document import document, print_report
    from orchestrator.report.rows import read_rows
    from orchestrator.store.reader import RunReader, find_run

    documents = []
    for run in runs:
        directory = find_run(run, out)
        with closing(RunReader(directory)) as reader:
            rows = read_rows(reader)
        documents.append(document(str(directory), rows))
        if not as_json:
            console = Console()
            console.print(f"Run: {directory}", highlight=False, markup=False)
            print_report(console, rows)
    if as_json:
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
