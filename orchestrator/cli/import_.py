"""orch import: What others recorded: human-eval, swebench, harbor, lm-eval, inspect, jsonl."""

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
    from orchestrator.reproduce.recorded import read_counts

    _keep(read_counts(file), to or _place(file))


@import_.command("monkey_business")
@_into
def monkey_business(file: Path, to: Path | None) -> None:
    """Samples: one configuration's JSON file of ScalingIntelligence/monkey_business."""
    from orchestrator.reproduce.recorded import read_monkey_business

    _keep(read_monkey_business(file), to or _place(file))


@import_.command("jsonl")
@_into
def plain(file: Path, to: Path | None) -> None:
    """Samples: FILE.jsonl of (problem, verdict), optionally usd, model, task, arm."""
    from orchestrator.reproduce.foreign.jsonl import read

    _keep(read(file), to or _place(file))


@import_.command("human-eval")
@_into
def human_eval(file: Path, to: Path | None) -> None:
    """Results of human-eval (JSONL with task_id, passed) or evalplus (..._eval_results.json)."""
    from orchestrator.reproduce.foreign.human_eval import read

    _keep(read(file), to or _place(file))


@import_.command("swebench")
@_into
@click.option("--report", "reports", type=click.Path(path_type=Path), multiple=True,
              metavar="FILE",
              help="The harness's report of a run of predictions (repeatable).")  # fmt: skip
def swebench(file: Path, to: Path | None, reports: tuple[Path, ...]) -> None:
    """SWE-bench predictions, with the harness's report of what is resolved."""
    from orchestrator.reproduce.foreign.swebench import read

    _keep(read(file, reports), to or _place(file))


@import_.command("harbor")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False),
              help="Where to keep them (default: in runs/).")  # fmt: skip
def harbor(folder: Path, to: Path | None) -> None:
    """Trials of a job of Harbor's: the folder that holds one folder for each trial."""
    from orchestrator.reproduce.foreign.harbor import left_out, read

    _keep(read(folder), to or _place(folder))
    if without := left_out(folder):
        told = ", ".join(f"{number} for {why}" for why, number in without.most_common())
        click.echo(f"Trials that do not count: {told}.", err=True)


@import_.command("lm-eval")
@_into
@click.option("--metric", default="", help="The metric that tells right (1) from wrong (0).")
def lm_eval(file: Path, to: Path | None, metric: str) -> None:
    """Samples of lm-evaluation-harness, as --log_samples writes them."""
    from orchestrator.reproduce.foreign.lm_eval import read

    _keep(read(file, metric), to or _place(file))


@import_.command("inspect")
@_into
@click.option("--metric", default="", help="The score that tells right (C) from wrong (I).")
def inspect(file: Path, to: Path | None, metric: str) -> None:
    """A log of inspect_ai (.eval or .json), read by inspect_ai where it is installed."""
    from orchestrator.reproduce.foreign.inspect_log import read

    _keep(read(file, metric), to or _place(file))


def _place(file: Path) -> Path:
    return Path("runs") / f"{file.stem}.outcomes.json"


def _keep(outcomes: Any, path: Path) -> None:
    from orchestrator.report.text import visible
    from orchestrator.reproduce.recorded import save

    save(outcomes, path)
    for one in outcomes:
        said = f"{one.task}, {one.model}: {len(one.n)} problems, {sum(one.n):,} attempts"
        click.echo(visible(said))
    click.echo(f"Kept in {path}\nNext: orch report {path}")
