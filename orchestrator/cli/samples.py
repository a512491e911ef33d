"""orch samples: Look at samples: text, verdict, dollars, how each ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import out_option

if TYPE_CHECKING:
    from orchestrator.store.sampled import Filter, StoredSample


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose samples, alike for every command that shows or exports them."""
    for option in (
        click.option("--grep", metavar="TEXT", default="", help="Only those whose text holds TEXT, "
                     "whatever the case."),
        click.option("--first", type=click.IntRange(min=1), metavar="N", default=None,
                     help="At most N of each arm."),
        click.option("--verdict", metavar="KIND", default="",
                     help="Only those so judged: passed, failed, ..., or unjudged."),
        click.option("--arm", metavar="ARM", default="",
                     help="Only this arm, by its name or number (from 1)."),
        click.option("--problem", metavar="ID", default="", help="Only attempts at this problem."),
        out_option,
        click.argument("run", metavar="RUN"),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@filters
@click.option("--no-pager", is_flag=True, help="Print all at once, on a terminal too.")
def samples(
    run: str, out: Path, problem: str, arm: str, verdict: str, first: int | None, grep: str,
    no_pager: bool,
) -> None:  # fmt: skip
    """The samples of RUN: text, verdict and why, dollars, tokens, how the server ended it."""
    import sys

    from orchestrator.errors import ConfigError
    from orchestrator.report.sample_text import whole

    rows = chosen(run, out, arm, wanted(problem, verdict, grep, first))
    shown = (whole(one) + "\n" for one in rows)
    one = next(shown, None)
    if one is None:
        raise ConfigError(
            "No sample is like that; leave out a filter, or see with `orch report` what the run "
            "holds."
        )

    def pages() -> Iterator[str]:
        yield one
        yield from shown

    if sys.stdout.isatty() and not no_pager:
        click.echo_via_pager(pages())
    else:
        for page in pages():
            click.echo(page, nl=False)


def wanted(problem: str, verdict: str, text: str, first: int | None) -> Filter:
    """The filter that the options describe."""
    from orchestrator.store.sampled import Filter

    return Filter(problem, verdict, text, first or 0)


def chosen(run: str, out: Path, arm: str, which: Filter) -> Iterator[StoredSample]:
    """The samples of a run that the filter lets through; raises ConfigError."""
    from orchestrator.errors import ConfigError
    from orchestrator.plan.names import stored_names
    from orchestrator.store.accounts import money_of_arms, read_accounts
    from orchestrator.store.reader import RunReader, find_run
    from orchestrator.store.sampled import stored_samples

    with closing(RunReader(find_run(run, out))) as reader:
        rows = reader.arms()
        names = stored_names(rows)
        if not rows:
            raise ConfigError(f"{reader.directory} holds nothing yet: its start was cut short; "
                              "go on with the command that began it.")  # fmt: skip
        places = [i for i, name in enumerate(names) if arm in ("", name, str(i + 1))]
        if not places:
            raise ConfigError(f"There is no arm {arm!r}; the arms are {', '.join(names)}.")
        ids = {one.id for i in places for one in reader.problems(rows[i].problem_set)}
        if which.problem and which.problem not in ids:
            some = ", ".join(sorted(ids)[:5])
            raise ConfigError(f"There is no problem {which.problem!r}; there are {some}, ...")
        paid = money_of_arms(reader, read_accounts(reader))
        for place in places:
            settled = paid[rows[place].number].settled
            yield from stored_samples(reader, rows[place], names[place], which, settled)
