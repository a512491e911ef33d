"""The command line: one file a command, imported when it is asked for.

Whatever goes wrong that a person can act on is an OrchError of one sentence, printed here, with
its exit code. Usage errors exit with 2, as click does.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator.errors import OrchError

COMMANDS = {
    "run": "Buy attempts under a budget, judge them, report coverage per dollar.",
    "report": "Coverage, cost and forecasts of stored runs.",
    "budget": "Where a run's money is; `resolve` clears up what is uncertain.",
    "reproduce": "Published results through the real pipeline: cost-table, coverage, selection.",
    "samples": "Look at samples: text, verdict, dollars, how each ended.",
    "runs": "Every run in a directory: model, task, state, coverage, dollars, age.",
    "export": "Samples for other programs: jsonl, parquet, csv, human-eval, swebench.",
    "import": "What others recorded: human-eval, swebench, harbor, lm-eval, inspect, jsonl.",
    "prices": "What a model costs, on which date, from which source.",
    "verify": "Judge stored samples again, or a task's reference solutions.",
    "judge": "Judge samples from a file, without any run.",
    "check": "Is everything of a run there and whole? --repair mends what can be mended.",
    "backup": "A copy of a run as it is now, also while it goes on.",
    "doctor": "What works on this machine: sandbox level, servers, keys, tools.",
    "serve": "Serve the bundled model over an OpenAI-compatible API.",
    "gateway": "Meter an agent's calls under a dollar cap: orch gateway --budget 5 -- COMMAND.",
    "hold": "Guard a server: end it, whole, when whoever started it is gone or silent.",
}


class Commands(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        # `import` is a word of Python's own: its module is import_.
        name += "_" if iskeyword(name) else ""
        command: click.Command = getattr(import_module(f"orchestrator.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


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
        from orchestrator.cli.escaped import told

        code = say_fault(told(error))
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
