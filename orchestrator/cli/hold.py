"""orch hold: Guard a server: end it, whole, when whoever started it is gone or silent."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import option

if TYPE_CHECKING:
    from providers.fleet.holds import Hold


@click.command(context_settings={"ignore_unknown_options": True})
@option("--lease", "lease_s", type=click.FloatRange(min=1), default=60.0, show_default=True,
        metavar="S", help="End the command after so many seconds without a heartbeat.")  # fmt: skip
@option("--grace", "grace_s", type=click.FloatRange(min=0), default=8.0, show_default=True,
        metavar="S", help="Seconds between TERM and KILL.")  # fmt: skip
@option("--heartbeat", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="The heartbeat: touch this file, from here or from another machine.  "
        "[default: that the parent process is there, and not stopped]")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="Show what is held now, and by whom.")
@click.option("--stop", "stopping", metavar="ID|all", help="End what is held.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def hold(
    lease_s: float,
    grace_s: float,
    heartbeat: Path | None,
    listing: bool,
    stopping: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND (a server) and end it, with all that it started, when it is needed no more:
    when the parent process is gone, when no heartbeat comes for the lease, or on Ctrl-C or TERM.

    Exits with the command's code, or 124 where the lease ran out.

        orch hold --lease 60 -- vllm serve MODEL --port 8000
    """
    if listing or stopping:
        if command:
            raise click.UsageError("--list and --stop take no command.")
        sys.exit(_list() if listing else _stop(stopping or ""))
    if not command:
        raise click.UsageError("Give a command after --, for example: orch hold -- vllm serve M.")
    from providers.fleet.guard import File, Guard, Order, Parent

    heart = Parent() if heartbeat is None else File(heartbeat)
    try:
        code = Guard(Order(command, lease_s, grace_s), heart).run()
    except OSError as error:
        raise click.UsageError(
            f"{command[0]} cannot be held: {error.strerror or error}; nothing was started."
        ) from None
    sys.exit(code)


def _list() -> int:
    from providers.fleet.holds import still_held

    found = still_held()
    for one in found:
        click.echo(line(one))
    if not found:
        click.echo("Nothing is held.")
    return 0


def line(one: Hold) -> str:
    """One hold in one line."""
    import shlex

    from orchestrator.report.text import span, visible

    owner = f" for {one.run}" if one.run else ""
    guarded = "" if one.guarded else ", its guard is gone"
    return visible(
        f"{one.id}: {shlex.join(one.command)}{owner}, since {span(time.time() - one.started_at)}, "
        f"{len(one.left())} processes{guarded}"
    )


def _stop(name: str) -> int:
    from orchestrator.errors import ConfigError
    from providers.fleet.holds import still_held, stop

    held = still_held()
    chosen = [one for one in held if name in ("all", one.id)]
    if not chosen and name != "all":
        known = ", ".join(one.id for one in held) or "nothing is held"
        raise ConfigError(f"Nothing is held as {name}; `orch hold --list` shows: {known}.")
    code = 0
    for one in chosen:
        gone = stop(one)
        click.echo(f"{one.id}: " + ("ended" if gone else "some of its processes do not end"))
        code = code if gone else 1
    return code
