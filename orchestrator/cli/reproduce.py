"""orch reproduce: Published results through the real pipeline: cost-table, coverage, selection."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from orchestrator.cli.options import json_option

LIVE = Path("studies", "large_language_monkeys", "swebench_lite_cost_table.toml")


@click.group()
def reproduce() -> None:
    """Results of Large Language Monkeys (arXiv 2407.21787), set beside what was published."""


@reproduce.command("cost-table")
@click.option("--attempts", type=click.IntRange(1, 250), metavar="N",
              help="Attempts of DeepSeek-Coder-V2 per problem, instead of the table's 5 and "
              "then, for the curve, all 250.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True,
              help="Decides which recorded attempts come first.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Keep the runs in this directory (default: they are discarded).")  # fmt: skip
@json_option
@click.option("--live", is_flag=True,
              help="Run the real study with real agents and keys: " + LIVE.name + ".")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="With --live: price it, and buy nothing.")
def cost_table(
    attempts: int | None, seed: int, out: Path | None, as_json: bool, live: bool, dry_run: bool
) -> None:
    """Table 1: cheap samples against dear ones on SWE-bench Lite, replayed through the pipeline."""
    if live:
        if attempts is not None or seed:
            raise click.UsageError("--attempts and --seed are of the replay: leave --live out")
        _live(out, as_json=as_json, dry_run=dry_run)
        return
    if dry_run:
        raise click.UsageError("--dry-run prices what --live would buy: give both")
    if out is not None:
        _cost_table(out, attempts, seed, as_json)
        return
    with tempfile.TemporaryDirectory(prefix="orch-reproduce-") as folder:
        _cost_table(Path(folder), attempts, seed, as_json)


def _live(out: Path | None, *, as_json: bool, dry_run: bool) -> None:
    """The study of table 1 as `orch run` runs it; raises ConfigError where it cannot."""
    from orchestrator.cli.run import run
    from orchestrator.errors import ConfigError

    # The studies are no part of an installed package; they lie beside it, or where one works.
    places = [Path(__file__).resolve().parents[2] / LIVE, Path.cwd() / LIVE]
    study = next((place for place in places if place.is_file()), None)
    if study is None:
        raise ConfigError(
            f"--live runs {LIVE} of orch's repository, which is not here; fetch that file and give "
            "it to `orch run`, or leave --live out to replay the published outcomes."
        )
    words = [str(study), *(["--out", str(out)] if out else [])]
    words += ["--json"] * as_json + ["--dry-run"] * dry_run
    run.main(args=words, prog_name="orch run", standalone_mode=False)


def _cost_table(folder: Path, attempts: int | None, seed: int, as_json: bool) -> None:
    from rich.console import Console

    from orchestrator.reproduce.cost_table import reproduce_cost_table
    from orchestrator.reproduce.cost_text import print_cost_table, to_document

    first = reproduce_cost_table(folder / "table", attempts=attempts, seed=seed)
    whole = None
    if attempts is None:
        recorded = first.published.models[0].recorded
        whole = reproduce_cost_table(folder / "curve", attempts=recorded, seed=seed)
    if as_json:
        click.echo(json.dumps(to_document(first, whole), indent=2))
    else:
        print_cost_table(Console(), first, whole)


@reproduce.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False),
              help="Write one self-contained page.")  # fmt: skip
@click.option("--figures", type=click.Path(path_type=Path, file_okay=False),
              help="Draw publication figures into this directory.")  # fmt: skip
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write every number as CSV.")  # fmt: skip
def coverage(
    files: tuple[Path, ...], html: Path | None, figures: Path | None, csv_file: Path | None
) -> None:
    """Coverage curves and fits of FILES: counts (.csv), monkey_business (.json), or imported."""
    from rich.console import Console

    from orchestrator.report.write import print_more, write_files
    from orchestrator.reproduce.coverage_text import print_fits
    from orchestrator.reproduce.curves import coverage_report
    from orchestrator.reproduce.recorded import read_outcomes

    report = coverage_report([one for path in files for one in read_outcomes(path)])
    console = Console()
    print_fits(console, report.arms)
    print_more(console, report)
    for path in write_files(report, html=html, figures=figures, csv=csv_file):
        click.echo(f"Wrote {path}", err=True)


@reproduce.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--paper-subsets", is_flag=True,
              help="The paper's 100 random subsets of each size, with their spread.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
def selection(files: tuple[Path, ...], paper_subsets: bool, seed: int) -> None:
    """Figure 7 from FILES of samples (GSM8K_MODEL.json, MATH_MODEL.json): one answer of many."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from orchestrator.report.text import visible
    from orchestrator.reproduce.votes import curves, read_votes, table

    console = Console()
    for path in files:
        votes = read_votes(path)
        shown = Table(
            title=visible(f"{votes.model} on {votes.task}, {len(votes.problems)} problems, %"),
            box=box.SIMPLE_HEAD, title_justify="left",
        )  # fmt: skip
        for name in ("method", "k", "ours", "spread of subsets", "printed", "coverage", "gap"):
            shown.add_column(name, justify="left" if name == "method" else "right")
        for row in table(votes, curves(votes, subsets=paper_subsets, seed=seed)):
            shown.add_row(*row)
        console.print(shown)
    if paper_subsets:
        click.echo(
            "The spread is over random subsets of one pool: it goes to 0 as k nears the pool, "
            "and is no confidence interval."
        )


@reproduce.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def flaky(file: Path | None) -> None:
    """Figure 9: SWE-bench Lite with and without its 34 issues whose tests are flaky.

    From FILE of outcomes by issue (as `orch import` keeps them); without one, bounds derived from
    the outcomes that come with orch, which do not name their issues.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from orchestrator.report.text import percent, visible
    from orchestrator.reproduce.derived import flaky_rows
    from orchestrator.reproduce.recorded import read_outcomes

    console, ks = Console(), (1, 2, 5, 10, 20, 50, 100, 250)
    for one in [None] if file is None else read_outcomes(file):
        rows = flaky_rows(one, ks)
        model = "DeepSeek-Coder-V2-Instruct, derived" if one is None else one.model
        table = Table(title=Text(visible(f"{model}: coverage of SWE-bench Lite")),
                      box=box.SIMPLE_HEAD, title_justify="left")  # fmt: skip
        for name in ("k", "all issues", "without the 34 flaky ones"):
            table.add_column(name, justify="right")
        for row in rows:
            low, high = percent(row.low), percent(row.high)
            shown = low if low == high else f"{low} to {high}"
            table.add_row(f"{row.k:,}", percent(row.whole), shown)
        console.print(table)
    if file is None:
        click.echo(
            "The outcomes do not say which issue is which: the bounds take the flaky issues to be "
            "those most often solved, and those least often."
        )
