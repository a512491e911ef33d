"""What is about to happen, said before the first dollar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.plan.prepare import Prepared, PreparedArm


def announce(console: Console, prepared: Prepared, directory: Path, *, resume: bool) -> None:
    """Say where each arm buys, with which key, at which price and by whose word."""
    from orchestrator.cli.quote import breadth_note
    from orchestrator.plan.names import arm_names
    from orchestrator.report.text import dollars, say

    say(console, f"{'Resuming' if resume else 'Run'}: {directory}")
    for arm, name in zip(prepared.arms, arm_names(prepared), strict=True):
        say(
            console,
            f"  {name} ({arm.spec.provider}): {len(arm.problems)} problems of "
            f"{arm.spec.task}, {arm.spec.samples} attempts each, {_priced(arm)}",
        )
        if where := _where(arm):
            say(console, f"    {where}")
    if note := breadth_note(prepared):
        say(console, f"  {note}")
    say(console, "  budget: none" if prepared.cap is None else f"  budget: {dollars(prepared.cap)}")


def _priced(arm: PreparedArm) -> str:
    from budgets.money import usd
    from orchestrator.report.text import dollars

    if arm.price is not None:
        rates = arm.price.rates
        price = (
            f"priced per token (${usd(rates.input)} in, ${usd(rates.output)} out per million, by "
            f"{arm.price.source})"
        )
    elif arm.endpoint.usd_per_hour:
        price = f"priced at {dollars(arm.endpoint.usd_per_hour)} for each hour the server is held"
    else:
        price = "free of charge"
    if arm.spec.batch:
        price += ", in batches"
    if arm.endpoint.bundled:
        price += " (this machine; change it with --gpu-hour)"
    elif arm.price is None:
        price += f" (by gpu_hour = {arm.spec.gpu_hour})"
    return price


def _where(arm: PreparedArm) -> str:
    """The host and the name of the key's variable; "" for what orch serves by itself."""
    if arm.destination.host is None:
        return ""
    key = f"the key in {arm.destination.variable}" if arm.destination.variable else "no key"
    return f"asked at {arm.destination.host} with {key}"
