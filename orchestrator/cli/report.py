"""`orch report`: coverage, cost and intervals of stored runs."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click
from click.core import ParameterSource


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), envvar="ORCH_OUT",
              help="Where runs given by name are looked for.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False),
              help="Write one self-contained page.")  # fmt: skip
@click.option("--figures", type=click.Path(path_type=Path, file_okay=False),
              help="Draw publication figures (SVG and PNG) into this directory.")  # fmt: skip
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write every number as CSV.")  # fmt: skip
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False),
              help="Write a Markdown table.")  # fmt: skip
@click.option("--latex", type=click.Path(path_type=Path, dir_okay=False),
              help="Write a LaTeX table (booktabs).")  # fmt: skip
@click.option("--forecast", "forecast_at", type=click.IntRange(min=2), multiple=True, metavar="K",
              help="Forecast coverage at K attempts (repeatable).")  # fmt: skip
@click.option("--prices-on", metavar="DATE",
              help="Count the money by the prices of this date, such as "
              "2024-07-31, from the usage that was stored.")  # fmt: skip
@click.option("--prices", "prices_file", type=click.Path(path_type=Path), envvar="ORCH_PRICES",
              metavar="FILE", help="Count the money by prices of your own (a TOML).")  # fmt: skip
@click.pass_context
def report(
    context: click.Context,
    runs: tuple[str, ...],
    out: Path,
    as_json: bool,
    html: Path | None,
    figures: Path | None,
    csv_file: Path | None,
    markdown: Path | None,
    latex: Path | None,
    forecast_at: tuple[int, ...],
    prices_on: str | None,
    prices_file: Path | None,
) -> None:
    """Coverage at k = 1, 2, 5, 10, ... with intervals, and dollars, of each RUN."""
    from rich.console import Console

    from orchestrator.report.collect import collect
    from orchestrator.report.document import document, print_report
    from orchestrator.report.reprice import repricing
    from orchestrator.report.rows import read_rows
    from orchestrator.report.speed import read_speed, speed_lines
    from orchestrator.report.text import visible
    from orchestrator.report.write import print_more, write_files
    from orchestrator.store.reader import RunReader, find_run

    # A file that the environment names for runs to come does not reprice old ones by itself.
    from_environment = context.get_parameter_source("prices_file") == ParameterSource.ENVIRONMENT
    asked = prices_on is not None or (prices_file is not None and not from_environment)
    by = repricing(prices_on, prices_file) if asked else None
    directories = [find_run(run, out) for run in runs]
    documents = []
    for directory in directories:
        with closing(RunReader(directory)) as reader:
            rows = read_rows(reader, by)
            sessions = read_speed(reader)
        documents.append({**document(str(directory), rows, by), "sessions": sessions})
        if not as_json:
            console = Console()
            console.print(f"Run: {directory}", highlight=False, markup=False)
            if by is not None:
                console.print(f"Dollars are {by.sentence()}.", highlight=False, markup=False)
            print_report(console, rows)
            for line in speed_lines(sessions):
                console.print(visible(line), highlight=False, markup=False)
    if as_json:
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
        if not any((html, figures, csv_file, markdown, latex)):
            return
    whole = collect(directories, forecast_at, by)
    if not as_json:
        print_more(Console(), whole)
    for path in write_files(
        whole, html=html, figures=figures, csv=csv_file, markdown=markdown, latex=latex
    ):
        click.echo(f"Wrote {path}", err=True)
