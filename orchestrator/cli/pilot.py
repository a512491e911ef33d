"""What a pilot says of the rest of its plan: dollars, time and coverage, arm by arm.

Dollars per token are forecast with an interval (budgets/quote.py); a server paid by the hour, and
the time that everything takes, in proportion to what the pilot's samples took; coverage by the
law of analysis/forecast.py, which refuses where the pilot is too small and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from budgets.quote import CostForecast, forecast
from orchestrator.analysis.forecast import ForecastRefused, forecast_coverage
from orchestrator.plan.names import stored_names
from orchestrator.report.compute import busy_s
from orchestrator.report.text import dollars, percent, span
from orchestrator.store.accounts import money_of_arms, read_accounts
from orchestrator.store.columns import bought
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow


@dataclass(frozen=True, slots=True)
class PilotForecast:
    """The rest of a plan."""

    tokens: CostForecast | None
    """Dollars of the arms that are priced per token; None: there is none."""
    hours: int
    """Picodollars of the servers paid by the hour."""
    time_s: float
    coverage: tuple[str, ...]
    """A sentence for each arm."""

    @property
    def most(self) -> int:
        """Picodollars that the rest will hardly exceed."""
        return self.hours + (self.tokens.high if self.tokens else 0)

    def lines(self) -> list[str]:
        """The forecast for a person."""
        said = []
        if self.tokens:
            one = self.tokens
            said.append(
                f"The rest of the plan will cost about {dollars(one.expected)} (95 % interval "
                f"{dollars(one.low)} to {dollars(one.high)})."
            )
        if self.hours:
            said.append(f"Its servers will cost about {dollars(self.hours)} for the time held.")
        said.append(f"It will take about {span(self.time_s)} at the pilot's speed.")
        return [*said, *self.coverage]


def forecast_plan(directory: Path, wanted: Sequence[int]) -> PilotForecast:
    """From the pilot that was bought; `wanted`: per arm, attempts per problem of the whole plan."""
    costs: list[list[int]] = []
    remaining: list[int] = []
    hours, time_s, said = 0, 0.0, []
    with closing(RunReader(directory)) as reader:
        rows = reader.arms()
        paid = money_of_arms(reader, read_accounts(reader))
        for arm, name in zip(rows, stored_names(rows), strict=True):
            problems = len(reader.problems(arm.problem_set))
            each, left = _bought(reader, arm, problems, wanted[arm.number])
            filled = sum(wanted[arm.number] - more for more in left)
            share = sum(left) / filled if filled > 0 else 0.0
            time_s += share * busy_s(reader.request_times(arm.number))
            if arm.spec.get("price") is None:
                totals = paid[arm.number]
                hours += round(share * (totals.settled + totals.uncertain))
            else:
                costs += each
                remaining += left
            said.append(f"{name}: {_coverage(reader, arm, problems, wanted[arm.number])}")
    tokens = forecast(costs, remaining) if any(costs) else None
    return PilotForecast(tokens, hours, time_s, tuple(said))


def _bought(
    reader: RunReader, arm: ArmRow, problems: int, wanted: int
) -> tuple[list[list[int]], list[int]]:
    """Per problem, what each pilot sample cost, and how many are still wanted."""
    each: list[list[int]] = [[] for _ in range(problems)]
    left = [wanted] * problems
    found = bought(reader, arm.number)
    rows = (found.problem.tolist(), found.n.tolist(), found.cost.tolist())
    for problem, n, cost in zip(*rows, strict=True):
        left[problem] = max(left[problem] - n, 0)
        if cost >= 0:
            each[problem] += [-(-cost // n)] * n
    return each, left


def _coverage(reader: RunReader, arm: ArmRow, problems: int, wanted: int) -> str:
    counts = reader.slot_counts(arm.number, problems, str(arm.spec["verifier"]))
    solved = f"{int((counts.passed > 0).sum())} of {problems} problems solved so far"
    if arm.policy != "uniform" or not counts.judged.min():
        return f"{solved}; coverage of the whole plan is not forecast for these attempts."
    try:
        found = forecast_coverage(counts.judged, counts.passed, wanted)
    except ForecastRefused as reason:
        return f"{solved}; no forecast of coverage: {reason}."
    return (
        f"{solved}; {percent(found.mean)} is forecast at k = {wanted:,} ("
        f"{100 * found.level:.0f} % interval {percent(found.low)} to {percent(found.high)})."
    )


def go_on(directory: Path, wanted: Sequence[tuple[str, int]], again: str) -> str:
    """How the rest of a plan is bought after its pilot; `wanted`: each arm and its attempts,
    `again`: the command that resumes the run."""
    numbers = {number for _, number in wanted}
    if len(numbers) == 1:
        return f"The pilot is kept; go on with: {again} --samples {numbers.pop()} --yes"
    # One --samples for all would buy more of the dear arm than the plan.
    each = ", ".join(f"{number} for {name}" for name, number in wanted)
    return (
        f"The pilot is kept; set samples ({each}) in {directory / 'study.toml'} and go on with: "
        f"{again} --yes"
    )
