"""Options that several commands have, alike wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(*names: str, **attributes: Any) -> Decorator:
    """A click option that an ORCH_ variable can set as well."""
    long = next(name for name in names if name.startswith("--"))
    variable = "ORCH_" + long.split("/")[0][2:].upper().replace("-", "_")
    return click.option(*names, envvar=variable, show_envvar=False, **attributes)


out_option = option("--out", type=click.Path(path_type=Path), default=Path("runs"),
                    help="Where runs given by name are looked for.")  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True,
                           help="One JSON document on standard output.")  # fmt: skip


def _address(_: click.Context, __: click.Parameter, given: str) -> str:
    try:
        given.encode("idna")
    except UnicodeError:
        raise click.BadParameter(
            f"{given!a} is no address and no name of a host; give one such as 127.0.0.1."
        ) from None
    return given


host_option = option("--host", default="127.0.0.1", show_default=True, callback=_address,
                     help="Address to listen on.")  # fmt: skip
