"""What is held already and could be used instead of launching: asked on a terminal, else told.

A fleet that `orch serve --launch` holds has the GPUs that another launch would want. Its servers
are compared with each other before they are used, like any others that an arm names.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator.plan.study import Study


def use_held(study: Study, said: bool | None) -> bool:
    """Whether arms that launch servers are to use those that are held; `said`: by a person."""
    from orchestrator.plan.fleet import held_for

    if said is not None:
        return said
    found = {arm.model: held for arm in study.arms if (held := held_for(arm)) is not None}
    if not found:
        return False
    what = "; ".join(f"{model} on {len(held.urls)} servers" for model, held in found.items())
    what = f"`orch serve --launch` holds {what} already."
    if sys.stdin.isatty() and sys.stderr.isatty():
        return click.confirm(f"{what} Use them instead of launching more?", default=True, err=True)
    click.echo(f"{what} More are launched; --use-held uses them instead.", err=True)
    return False
