"""The last lines of a run: its table, why it ended, where it is, and what to type next.

The run is closed before any of this, so that none of it can lose anything. After Ctrl-C the table
comes only if it is quick; what cannot be read is said in place of it.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.plan.typed import Typed
    from orchestrator.report.data import ArmReport
    from orchestrator.session.end import Ending

PATIENCE_S = 3.0
"""How long a person who pressed Ctrl-C is kept for the table."""


MOST_NOTES = 3
"""Notes that are told in the last lines; summary.json has all."""

MOST_REFUSALS = 3
"""Refusals that are told in the last lines; summary.json and logs/ have all."""


def finish(
    console: Console, directory: Path, ending: Ending, *, as_json: bool, typed: Typed
) -> None:
    """Print and keep the report, where the run is, and what to type next."""
    from orchestrator import errors
    from orchestrator.cli.escaped import keep, without_keys
    from orchestrator.cli.flags import with_flags
    from orchestrator.plan.patience import TooSlow, within
    from orchestrator.report import text

    def say(line: str) -> None:
        text.say(console, with_flags(line))

    if ending.cause is not None:
        ending.reasons = [without_keys(reason) for reason in ending.reasons]
        kept = keep(ending.cause, directory / "logs")
        ending.notes.append(f"the traceback is in {kept}" if kept else "no traceback could be kept")
    rows: list[ArmReport] | None = None
    try:
        interrupted = ending.exit_code == errors.INTERRUPTED
        with within(PATIENCE_S) if interrupted else contextlib.nullcontext():
            rows = _rows(directory)
    except TooSlow:
        ending.notes.append("the table takes a while; the command below prints it")
    except (errors.OrchError, sqlite3.Error, OSError) as error:
        ending.notes.append(f"no table: {error}")
        ending.exit_code = ending.exit_code or errors.FAULT
    _log(directory, ending)
    report = _document(directory, ending, rows)
    if rows is not None:
        _keep(directory, report, ending)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif rows is not None:
        _print(rows)
    for note in ending.notes[:MOST_NOTES]:
        say(f"note: {note}")
    if (left := len(ending.notes) - MOST_NOTES) > 0:
        say(f"{left} more notes are in {directory / 'summary.json'}")
    for refusal in ending.refusals[:MOST_REFUSALS]:
        say(f"refused: {refusal.sentence()}")
    for reason in ending.reasons:
        say(f"Ended early: {reason.rstrip('.')}.")
    say(f"The run is in {directory}")
    nexts = [f"orch report {shlex.quote(str(directory))}"]
    if ending.exit_code:
        nexts.insert(0, resume_command(directory, typed))
    say("Next: " + "   or: ".join(nexts))


def resume_command(directory: Path, typed: Typed) -> str:
    """What continues the run. Keys and prices are no part of it, so that they are typed again."""
    words = ["orch", "run", "--resume", str(directory)]
    for key in typed.keys:
        words += ["--api-key-env", f"{key.variable}@{key.host}" if key.host else key.variable]
    if typed.prices:
        words += ["--prices", typed.prices]
    return shlex.join(words)


def _rows(directory: Path) -> list[ArmReport]:
    from orchestrator.report.arms import read_arms
    from orchestrator.store.reader import RunReader

    with closing(RunReader(directory)) as reader:
        return read_arms(reader)


def _document(directory: Path, ending: Ending, rows: list[ArmReport] | None) -> dict[str, Any]:
    from orchestrator.report.document import document

    report = {"run": str(directory)} if rows is None else document(str(directory), rows)
    refusals = [
        {"kind": one.kind, "count": one.count, "said": one.said, "to_do": one.to_do}
        for one in ending.refusals
    ]
    return {
        **report,
        "exit_code": ending.exit_code,
        "reasons": ending.reasons,
        "session_notes": [*ending.notes, *ending.asides],
        "refusals": refusals,
    }


def _keep(directory: Path, report: dict[str, Any], ending: Ending) -> None:
    from orchestrator.store.whole import replace_text

    try:
        replace_text(directory / "summary.json", json.dumps(report, indent=2) + "\n")
    except OSError as error:
        ending.notes.append(f"summary.json cannot be written: {error.strerror}")


def _log(directory: Path, ending: Ending) -> None:
    """All that servers refused in this session, for whoever looks into logs/."""
    if ending.refusals:
        lines = [f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", *(
            one.sentence().replace("\n", " ") for one in ending.refusals)]  # fmt: skip
        with contextlib.suppress(OSError, UnicodeEncodeError):
            (directory / "logs").mkdir(exist_ok=True)
            with (directory / "logs" / "refusals.txt").open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def _print(rows: list[ArmReport]) -> None:
    from rich.console import Console
    from rich.text import Text

    from orchestrator.report.collect import together
    from orchestrator.report.document import print_arms, print_dollars
    from orchestrator.report.sections.equal import decision
    from orchestrator.report.text import visible

    console = Console()
    whole = together(rows)
    print_arms(console, whole.arms)
    print_dollars(console, whole.arms)
    for sentence in decision(whole):
        console.print()
        console.print(Text(visible(sentence), style="bold"), soft_wrap=True)
