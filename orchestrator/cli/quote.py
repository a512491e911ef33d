"""What a plan will cost, said before it is paid, and asked about where it is a lot.

A dry run prices the plan from bounds and an assumption about the length of outputs; a pilot buys
the plan's first samples and forecasts the rest from what they cost. Neither changes the plan.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from budgets.money import usd
from budgets.profile import Profile
from budgets.quote import PlannedProblem, Quote, Speed, quote
from orchestrator.errors import ConfigError, OrchError
from orchestrator.plan.lengths import prompt_bound
from orchestrator.plan.names import arm_names
from orchestrator.plan.prepare import Prepared, PreparedArm
from orchestrator.plan.request import choices_per_request
from orchestrator.report import text
from orchestrator.report.compute import busy_s
from orchestrator.report.text import dollars, span
from orchestrator.store.reader import RunReader, runs_in
from orchestrator.tasks import Problem
from providers.sample import Capabilities

ASSUMED_OUTPUT_SHARE = 0.5
"""Outputs are taken to be half of max_tokens long until a pilot or the run itself tells."""

LOOKED_AT = 20
"""Runs of before whose speed is looked for, the newest."""

BYTES_PER_TOKEN = 4
"""For the expected prompt; the worst case uses the bound that the ledger reserves."""


@dataclass(frozen=True, slots=True)
class ArmQuote:
    """One arm's price; None for a server that is paid by the hour."""

    arm: PreparedArm
    quote: Quote | None
    name: str
    buys: int | None
    """Attempts at every problem that the budget pays for, about; None: not known."""
    time_s: float | None
    """How long those take, by the limits or by the last run of the model; None: not known."""


def quote_plan(prepared: Prepared, out: Path | None = None) -> list[ArmQuote]:
    """Price every arm of a plan; nothing is sent. `out` holds runs of before, for their speed."""
    prices = [_quote_arm(arm, prepared) for arm in prepared.arms]
    speeds = [
        None if out is None or not arm.endpoint.usd_per_hour
        else last_speed(out, arm.endpoint.model)
        for arm in prepared.arms
    ]  # fmt: skip
    times = [
        None if speed is None else arm.spec.samples * len(arm.problems) / speed
        for arm, speed in zip(prepared.arms, speeds, strict=True)
    ]
    costs = [
        price.expected if price is not None
        else None if time_s is None else round(arm.endpoint.usd_per_hour * time_s / 3600)
        for arm, price, time_s in zip(prepared.arms, prices, times, strict=True)
    ]  # fmt: skip
    known = [cost for cost in costs if cost is not None]
    # Arms advance in proportion, so the cap buys the same share of every plan.
    share = 1.0
    if prepared.cap is not None and sum(known) > prepared.cap:
        share = prepared.cap / sum(known)
    found = []
    for arm, name, price, cost, time_s in zip(
        prepared.arms, arm_names(prepared), prices, costs, times, strict=True
    ):
        buys = None if cost is None else math.floor(arm.spec.samples * share)
        whole_s = price.time_s if price is not None else time_s
        found.append(ArmQuote(arm, price, name, buys, whole_s and whole_s * share))
    return found


def last_speed(out: Path, model: str) -> float | None:
    """Samples a second of the newest run in `out` that bought from this model; None: none did."""
    for run in islice(runs_in(out), LOOKED_AT):
        try:
            with closing(RunReader(run)) as reader:
                for arm in reader.arms():
                    took_s = busy_s(reader.request_times(arm.number))
                    if arm.model == model and took_s > 0:
                        return float(reader.filled(arm.number) / took_s)
        except OrchError:
            continue
    return None


def _quote_arm(arm: PreparedArm, prepared: Prepared) -> Quote | None:
    if arm.price is None or arm.agent is not None:
        return None
    capabilities = arm.provider.capabilities if arm.provider else Capabilities()
    study = prepared.study
    per_minute = {}
    if study.limits:
        limits = Profile.load(study.limits).limits(arm.endpoint.model)
        names = {name: name.removesuffix("_per_minute").replace("_", "-") for name in limits}
        per_minute = {names[name]: value for name, value in limits.items() if name in names}
    concurrency = study.max_concurrent.rsplit("-", 1)[-1]
    speed = Speed(int(concurrency) if concurrency.isdecimal() else None, None, per_minute)
    if arm.spec.batch:
        # The provider says within a day and nothing more; its rate limits do not count for it.
        speed = Speed()
    planned = [
        PlannedProblem(
            prompt_bound(problem),
            _prompt_tokens(problem),
            arm.spec.samples,
        )
        for problem in arm.problems
    ]
    return quote(
        planned,
        arm.price,
        n=choices_per_request(
            arm.spec, capabilities, priced=True, temperature=arm.base.temperature
        ),
        max_tokens=arm.base.max_tokens,
        expected_output_tokens=math.ceil(arm.base.max_tokens * ASSUMED_OUTPUT_SHARE),
        cap=prepared.cap,
        speed=speed,
        batch=arm.spec.batch,
    )


def print_quote(console: Console, prepared: Prepared, quotes: list[ArmQuote]) -> None:
    """The plan's price for a person."""
    say = partial(text.say, console)
    if note := breadth_note(prepared):
        say(f"  {note}")
    for item in quotes:
        arm, price = item.arm, item.quote
        if item.buys is not None and prepared.cap is not None:
            took = "" if item.time_s is None else f", in about {span(item.time_s)}"
            say(
                f"  {item.name}: the budget buys about k = {item.buys:,} on all "
                f"{len(arm.problems)} problems{took}"
            )
        if arm.agent is not None:
            each = arm.agent.caps.attempt_usd
            samples = arm.spec.samples * len(arm.problems)
            say(f"  {arm.endpoint.model}: {samples:,} attempts of {arm.agent.command[0]}, "
                + (f"at most {dollars(each)} each, {dollars(each * samples)} in all" if each else
                   "each bounded by the budget only; --attempt-budget USD bounds one"))  # fmt: skip
            continue
        if price is None:
            hour = arm.endpoint.usd_per_hour
            rate = f"{dollars(hour)} for each hour the server is held" if hour else "nothing"
            samples = arm.spec.samples * len(arm.problems)
            say(f"  {item.name}: {samples:,} samples, costs {rate}")
            if hour and prepared.cap is not None:
                say(f"    the budget pays for {span(prepared.cap / hour * 3600)} of it")
            continue
        say(
            f"  {item.name}: {price.samples:,} samples in {price.requests:,} requests, "
            f"about {price.prompt_tokens:,} prompt and {price.output_tokens:,} output tokens"
        )
        say(
            f"    expected {dollars(price.expected)} (outputs taken to be half of max_tokens), "
            f"at worst {dollars(price.worst)}"
        )
        if price.time_s is not None:
            say(f"    at least {span(price.time_s)}, limited by {price.limited_by}")
        if price.budget_in_flight is not None:
            say(f"    the budget lets {price.budget_in_flight:,} requests be in flight at first")
        if price.tail_requests:
            say(
                f"    its last {price.tail_requests:,} requests go slowly, one reservation at a "
                "time; a smaller --max-tokens shortens that"
            )
        if not price.completes:
            say("    the budget is not expected to complete this arm")


def breadth_note(prepared: Prepared) -> str:
    """A sentence where the cap does not pay for one attempt at every problem; else empty.

    By the expected tokens; where only the worst case does not fit, it is said as such.
    """
    if prepared.cap is None:
        return ""
    usual = [_one_each(arm, ASSUMED_OUTPUT_SHARE) for arm in prepared.arms if arm.price]
    worst = [_one_each(arm, 1.0) for arm in prepared.arms if arm.price]
    most = max((len(arm.problems) for arm in prepared.arms), default=0)
    for costs, verb in ((usual, "does not pay"), (worst, "may not pay")):
        whole = sum(map(sum, costs))
        if whole > prepared.cap:
            reach = [sum(sum(row[:n]) for row in costs) for n in range(1, most + 1)]
            fits = bisect_right(reach, prepared.cap)
            instead = f"add --limit {fits}, or raise --budget" if fits else "raise --budget"
            return (
                f"The budget {verb} for one attempt at each of the {most} problems, which "
                f"{'takes about' if verb == 'does not pay' else 'could cost up to'} "
                f"{dollars(whole)}: {instead} above that."
            )
    return ""


def _one_each(arm: PreparedArm, share: float) -> list[int]:
    """Picodollars of one attempt at each problem, its output `share` of max_tokens long.

    With a share of 1 the prompt counts at its bound as well.
    """
    assert arm.price is not None
    output = math.ceil(arm.base.max_tokens * share)
    return [
        arm.price.worst(
            prompt_tokens=prompt_bound(problem) if share == 1.0 else _prompt_tokens(problem),
            output_tokens=output,
            n=1,
            batch=arm.spec.batch,
        )
        for problem in arm.problems
    ]


def _prompt_tokens(problem: Problem) -> int:
    """About how many tokens a prompt has."""
    bytes_ = sum(len(text.encode()) for text in problem.texts)
    return max(1, min(prompt_bound(problem), bytes_ // BYTES_PER_TOKEN))


def quote_document(prepared: Prepared, quotes: list[ArmQuote]) -> dict[str, Any]:
    """The plan's price as plain data; money as decimal strings of dollars."""
    rows = []
    for item in quotes:
        price = item.quote
        row: dict[str, Any] = {
            "provider": item.arm.spec.provider,
            "model": item.arm.endpoint.model,
            "task": item.arm.spec.task,
            "problems": len(item.arm.problems),
            "name": item.name,
            "samples": item.arm.spec.samples * len(item.arm.problems),
            "buys_k": item.buys,
            "buys_time_s": item.time_s,
            "usd_per_hour": usd(item.arm.endpoint.usd_per_hour),
        }
        agent = item.arm.agent
        if agent is not None and agent.caps.attempt_usd:
            row["worst_usd"] = usd(agent.caps.attempt_usd * row["samples"])
        if price is not None:
            row |= {
                "requests": price.requests,
                "prompt_tokens": price.prompt_tokens,
                "output_tokens": price.output_tokens,
                "expected_usd": usd(price.expected),
                "worst_usd": usd(price.worst),
                "time_s": price.time_s,
                "limited_by": price.limited_by,
                "budget_in_flight": price.budget_in_flight,
                "tail_requests": price.tail_requests,
                "completes": price.completes,
            }
        rows.append(row)
    cap = None if prepared.cap is None else usd(prepared.cap)
    said = breadth_note(prepared) or None
    return {"dry_run": True, "budget_usd": cap, "breadth": said, "arms": rows}


def confirm(prepared: Prepared, over: int, *, yes: bool) -> None:
    """Ask a terminal, and refuse a script without --yes, where the plan may cost more than `over`.

    `over` is in picodollars; 0 asks about every plan. Raises ConfigError, or click.Abort where the
    person says no. A server paid by the hour counts for nothing here: how long it will be held is
    not known before, and the budget bounds it.
    """
    most = _most(prepared)
    ask(f"This plan may cost up to {dollars(most)}.", most, over, yes=yes)


def _most(prepared: Prepared) -> int:
    """The most that a plan may cost, in picodollars; raises ConfigError where nothing bounds it."""
    worst = sum(item.quote.worst for item in quote_plan(prepared) if item.quote is not None)
    for arm in prepared.arms:
        if arm.agent is None or arm.price is None:
            continue
        each = arm.agent.caps.attempt_usd
        if each is not None:
            worst += each * arm.spec.samples * len(arm.problems)
        elif prepared.cap is not None:
            return prepared.cap
        else:
            raise ConfigError(
                "Nothing bounds what these agents may spend; give --budget, or --attempt-budget."
            )
    return worst if prepared.cap is None else min(worst, prepared.cap)


def ask(what: str, amount: int, over: int, *, yes: bool) -> None:
    """Go on only where the amount is small or somebody agrees; with `over` 0 always ask."""
    if yes or (over and amount <= over):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        why = f"That is above {dollars(over)}; add --yes to agree, or raise --confirm-over."
        raise ConfigError(f"{what} {why if over else 'Add --yes to agree.'}")
    click.confirm(f"{what} Go on?", abort=True, err=True)
