"""The command line: one file a command, imported when it is asked for.

A module here whose contract begins with "orch NAME: what it does" is the command NAME. A command
of another package is an entry point in the group "orch.commands" that names a click.Command.

Whatever goes wrong that a person can act on is an OrchError of one sentence, printed here, with
its exit code. Usage errors exit with 2, as click does.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator.errors import OrchError

GROUP = "orch.commands"
_FIRST_LINE = re.compile(r'"""orch ([a-z-]+): (.+?)(?:""")?$')


@cache
def commands() -> dict[str, str]:
    """What each command of orch does, by name; the first line of its module says both."""
    found = {}
    for path in Path(__file__).parent.glob("*.py"):
        with path.open(encoding="utf-8") as file:
            first = _FIRST_LINE.match(file.readline().rstrip())
        if first is not None:
            found[first[1]] = first[2]
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "run", name))}


class Commands(click.Group):
    """A group whose commands live in modules of their own, or in other packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*commands(), *(point.name for point in entry_points(group=GROUP))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in commands():
            name = cmd_name.replace("-", "_")
            # `import` is a word of Python's own: its module is import_.
            name += "_" if iskeyword(name) else ""
            ours: click.Command = getattr(import_module(f"orchestrator.cli.{name}"), name)
            return ours
        for point in entry_points(group=GROUP, name=cmd_name):
            theirs: click.Command = point.load()
            return theirs
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = list(commands().items())
        for point in entry_points(group=GROUP):
            rows.append((point.name, f"from {point.dist.name if point.dist else point.value}"))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orch-sampling", prog_name="orch")
def orch() -> None:
    """Buy as many attempts at each problem as a budget allows; report coverage per dollar.

    Start with:  orch run --provider local --budget 50
    """


def main() -> None:
    """Entry point of the `orch` command."""
    from orchestrator.cli.environment import load_dotenv
    from orchestrator.errors import OrchError

    try:
        from orchestrator.cli.neighbour import refuse_shadowed_packages

        end_by_sigterm()
        refuse_shadowed_packages()
        load_dotenv(Path.cwd())
        code = orch.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = 130
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except OrchError as error:
        code = say_fault(error)
    except BrokenPipeError:
        # The reader of our output left; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        from orchestrator.cli.escaped import told, unusable

        code = say_fault(unusable(error) or told(error))
    sys.exit(code if isinstance(code, int) else 0)


def say_fault(error: OrchError) -> int:
    """Print why a command ended; returns its exit code."""
    from orchestrator.cli.flags import with_flags
    from orchestrator.report.text import visible

    click.echo(f"orch: {visible(with_flags(str(error)))}", err=True)
    return error.exit_code


def end_by_sigterm() -> None:
    """SIGTERM ends a command as Ctrl-C does, with 130, wherever nothing else heeds it.

    A second one leaves at once.
    """

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, interrupt)
