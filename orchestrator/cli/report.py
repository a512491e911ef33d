"""orch report: Coverage, cost and forecasts of stored runs."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from orchestrator.cli.options import json_option, out_option

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.analysis.flops import ModelShape
    from orchestrator.report.data import ArmReport
    from orchestrator.report.reprice import Repricing


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@out_option
@json_option
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
@click.option("--model-config", "configs", multiple=True, metavar="[MODEL=]PATH",
              help="A model's config.json, for its operations (repeatable).")  # fmt: skip
@click.option("--forecast", "forecast_at", type=click.IntRange(min=2), multiple=True, metavar="K",
              help="Forecast coverage at K attempts (repeatable).")  # fmt: skip
@click.option("--split", metavar="USD",
              help="Say how this budget is best split over arms on the same problems.")  # fmt: skip
@click.option("--prices-on", metavar="DATE",
              help="Count the money by the prices of this date, such as "
              "2024-07-31, from the usage that was stored.")  # fmt: skip
@click.option("--prices", "prices_file", type=click.Path(path_type=Path), envvar="ORCH_PRICES",
              metavar="FILE", help="Count the money by prices of your own (a TOML).")  # fmt: skip
@click.option("--verifier", metavar="NAME",
              help="The curve by the stored verdicts of another rule.")  # fmt: skip
@click.option("--verbose", is_flag=True, help="All notes, how often attempts are right "
              "together, and what limited the speed.")  # fmt: skip
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
    configs: tuple[str, ...],
    forecast_at: tuple[int, ...],
    split: str | None,
    prices_on: str | None,
    prices_file: Path | None,
    verifier: str | None,
    verbose: bool,
) -> None:
    """Coverage at k = 1, 2, 5, 10, ... with intervals, and dollars, of each RUN.

    RUN is a run's name or directory, or a file of outcomes that `orch import` kept.
    """
    from rich.console import Console

    from orchestrator.plan.dollars import amount
    from orchestrator.report.collect import together
    from orchestrator.report.compute import read_shapes
    from orchestrator.report.document import add_sections, print_dollars
    from orchestrator.report.reprice import repricing
    from orchestrator.report.write import print_leading, print_more, write_files

    budget = None if split is None else amount(split, "--split", zero=True)
    # A file that the environment names for runs to come does not reprice old ones by itself.
    from_environment = context.get_parameter_source("prices_file") == ParameterSource.ENVIRONMENT
    asked = prices_on is not None or (prices_file is not None and not from_environment)
    by = repricing(prices_on, prices_file) if asked else None
    shapes = read_shapes(configs)
    found = [
        _read(run, out, forecast_at, shapes, by, verifier, reading=html is not None) for run in runs
    ]
    whole = replace(together([arm for one in found for arm in one.arms]), split=budget)
    if as_json:
        documents = [one.document(by) for one in found]
        add_sections(documents, whole)
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
    else:
        console = Console()
        print_leading(console, whole)
        for one in found:
            one.print(console, by, verbose=verbose)
        print_dollars(console, whole.arms)
        print_more(console, whole, verbose=verbose)
    for path in write_files(
        whole, html=html, figures=figures, csv=csv_file, markdown=markdown, latex=latex
    ):
        click.echo(f"Wrote {path}", err=True)


@dataclass(frozen=True)
class _Read:
    """One RUN: its arms, and what limited the speed of its sessions."""

    name: str
    arms: list[ArmReport]
    sessions: list[dict[str, Any]] | None
    """None for outcomes that others recorded."""

    def document(self, by: Repricing | None) -> dict[str, Any]:
        from orchestrator.report.document import document

        if self.sessions is None:
            return document(self.name, self.arms, whole=True)
        return {**document(self.name, self.arms, by, whole=True), "sessions": self.sessions}

    def print(self, console: Console, by: Repricing | None, *, verbose: bool) -> None:
        from orchestrator.report.document import print_arms
        from orchestrator.report.speed import speed_lines
        from orchestrator.report.text import visible
        from orchestrator.reproduce.coverage_text import print_fits

        if self.sessions is None:
            print_fits(console, self.arms)
            return
        console.print(f"Run: {self.name}", highlight=False, markup=False)
        if by is not None:
            console.print(f"Dollars are {by.sentence()}.", highlight=False, markup=False)
        print_arms(console, self.arms, verbose=verbose)
        for line in speed_lines(self.sessions) if verbose else ():
            console.print(visible(line), highlight=False, markup=False)


def _read(
    run: str,
    out: Path,
    forecast_at: tuple[int, ...],
    shapes: dict[str, ModelShape],
    by: Repricing | None,
    verifier: str | None,
    *,
    reading: bool,
) -> _Read:
    from orchestrator.report.collect import collect_run
    from orchestrator.report.speed import read_speed
    from orchestrator.reproduce.curves import coverage_report
    from orchestrator.reproduce.recorded import read_outcomes
    from orchestrator.store.reader import RunReader, find_run

    if Path(run).is_file():
        arms = coverage_report(read_outcomes(Path(run)), forecast_at).arms
        return _Read(run, list(arms), None)
    directory = find_run(run, out)
    with closing(RunReader(directory)) as reader:
        if verifier is not None:
            reader.judge_by(verifier)
        arms_read = collect_run(reader, forecast_at, shapes, by, reading=reading)
        return _Read(str(directory), arms_read, read_speed(reader))
