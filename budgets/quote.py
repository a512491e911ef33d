"""What a plan will cost and how long it will take, before anything is sent. Pure arithmetic.

Dollars: each problem's prompt is paid once per request, the output once per choice. `expected`
uses the expected tokens, `worst` the bounds that the ledger will reserve.

Concurrency under a cap: a reservation holds its worst case w until it settles at its cost e, so
at most (cap - spent) / w requests can be in flight. While that is more than is wanted, money does
not slow the run. Once less is left it does: with R dollars left, R / w requests are in flight,
and once they are answered, L seconds later, R (1 - e / w) dollars are left, and so on down to one
worst case. That stretch is the tail; with m in flight when it begins it lasts

    tail_s = L + L ln(m) / -ln(1 - e / w), about (w / e) L ln(m) where w is many times e

A smaller max_tokens lowers w, and with it the tail, nearly in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, variance

from budgets.price import Price
from budgets.usage import Usage


@dataclass(frozen=True, slots=True)
class PlannedProblem:
    """What is planned for one problem."""

    prompt_tokens_bound: int
    """The most tokens its prompt can have."""
    prompt_tokens: int
    """An estimate of the tokens it has."""
    samples: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A plan's price; money in picodollars, times in seconds."""

    requests: int
    samples: int
    prompt_tokens: int
    output_tokens: int
    """Expected tokens over the whole plan."""
    expected: int
    worst: int
    request_worst: int
    """The dearest single request: what the first reservation needs."""
    time_s: float | None
    """Expected time at the given limits; None where nothing given limits it."""
    limited_by: str
    """What sets `time_s`."""
    completes: bool
    """Whether the plan is expected to fit the cap."""
    budget_in_flight: int | None
    """Requests that the cap lets be in flight at the start; None without a cap."""
    tail_s: float
    """How long the budget, not the limits, will hold back the run near its end; 0: it will not."""
    tail_requests: int
    """Requests that are expected to be sent in that tail."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What the time of a plan is reckoned from; None: not known or no limit."""

    concurrency: int | None = None
    latency_s: float | None = None
    """How long one request takes."""
    per_minute: Mapping[str, float] = field(default_factory=dict)
    """Limits by kind: requests, tokens, input-tokens, output-tokens."""


def quote(
    problems: Sequence[PlannedProblem],
    price: Price,
    *,
    n: int,
    max_tokens: int,
    expected_output_tokens: int,
    cap: int | None = None,
    speed: Speed | None = None,
    batch: bool = False,
) -> Quote:
    """Price a plan of independent samples; `n` choices a request, tokens per choice.

    `cap` is what is free in picodollars; `batch` takes the batch rates. Raises
    ValueError for numbers that are no plan.
    """
    if n < 1 or max_tokens < 1 or not 0 <= expected_output_tokens <= max_tokens:
        raise ValueError(
            f"n={n}, max_tokens={max_tokens}, expected_output_tokens={expected_output_tokens}: "
            "n and max_tokens must be at least 1 and the expected tokens at most max_tokens"
        )
    speed = speed or Speed()
    requests = samples = prompts = expected = worst = dearest = 0
    for problem in problems:
        full, rest = divmod(problem.samples, n)
        for count, choices in ((full, n), (1 if rest else 0, rest)):
            if not count:
                continue
            usage = Usage(
                input_tokens=problem.prompt_tokens, output_tokens=expected_output_tokens * choices
            )
            bound = price.worst(
                prompt_tokens=problem.prompt_tokens_bound, output_tokens=max_tokens,
                n=choices, batch=batch,
            )  # fmt: skip
            requests += count
            prompts += problem.prompt_tokens * count
            expected += price.cost(usage, batch=batch) * count
            worst += bound * count
            dearest = max(dearest, bound)
        samples += problem.samples
    outputs = expected_output_tokens * samples
    time_s, limited_by = _time(requests, prompts, outputs, max_tokens * samples, speed)
    in_flight, tail_s, tail_requests = _tail(requests, expected, worst, cap, speed)
    return Quote(
        requests=requests,
        samples=samples,
        prompt_tokens=prompts,
        output_tokens=outputs,
        expected=expected,
        worst=worst,
        request_worst=dearest,
        time_s=time_s,
        limited_by=limited_by,
        completes=cap is None or expected <= cap,
        budget_in_flight=in_flight,
        tail_s=tail_s,
        tail_requests=tail_requests,
    )


def _time(
    requests: int, prompts: int, outputs: int, asked: int, speed: Speed
) -> tuple[float | None, str]:
    """The longest of the times that each limit alone would take."""
    amounts = {
        "requests": requests,
        # Where tokens are limited together, what is asked for counts, not what comes.
        "tokens": prompts + asked,
        "input-tokens": prompts,
        "output-tokens": outputs,
    }
    times = {
        f"{kind.replace('-', ' ')} per minute ({limit:g})": 60.0 * amounts[kind] / limit
        for kind, limit in speed.per_minute.items()
    }
    if speed.latency_s is not None and speed.concurrency:
        rounds = requests / speed.concurrency
        times[f"concurrency ({speed.concurrency})"] = max(rounds, 1.0) * speed.latency_s
    if not times or not requests:
        return None, ""
    slowest = max(times, key=times.__getitem__)
    return times[slowest], slowest


def _tail(
    requests: int, expected: int, worst: int, cap: int | None, speed: Speed
) -> tuple[int | None, float, int]:
    """Requests in flight at the start by the cap, and the tail's length in s and requests."""
    if cap is None or not requests or not worst:
        return None, 0.0, 0
    in_flight = cap * requests // worst
    wanted = min(speed.concurrency or in_flight, in_flight, requests)
    mean_worst, mean_cost = worst / requests, expected / requests
    spent_when_it_begins = cap - wanted * mean_worst
    if wanted <= 1 or expected <= spent_when_it_begins or not mean_cost:
        return in_flight, 0.0, 0
    # The plan may end before the cap does; the tail then ends with it.
    left_at_end = max(cap - expected, mean_worst)
    shrinks = math.log(max(wanted * mean_worst / left_at_end, 1.0))
    # Of what is paid in the tail, those in flight when it begins were sent before it.
    bought = (wanted * mean_worst - left_at_end) / mean_cost - wanted
    shrink = -math.log(1.0 - min(mean_cost / mean_worst, 1.0 - 1e-9))
    waves = 1.0 + shrinks / shrink
    return in_flight, (speed.latency_s or 0.0) * waves, max(0, round(bought))


@dataclass(frozen=True, slots=True)
class CostForecast:
    """What the rest of a plan will cost, in picodollars, with an interval."""

    expected: int
    low: int
    high: int
    level: float


def forecast(
    costs: Sequence[Sequence[int]], remaining: Sequence[int], *, level: float = 0.95
) -> CostForecast:
    """Forecast the rest of a plan from a pilot.

    `costs[i]`: what each pilot request of problem i cost, in picodollars; `remaining[i]`: how
    many more are planned for it. A stratified total: the sum of r_i m_i, with the variance sum of
    r_i^2 s_i^2 / k_i (the mean is not known exactly) + r_i s_i^2 (the rest is a draw itself).
    Problems with fewer than two pilot requests borrow the pooled variance, and the mean over all
    where they have none. Normal interval (Cochran, Sampling Techniques, 5.9).
    """
    every = [cost for problem in costs for cost in problem]
    if len(costs) != len(remaining) or not every:
        raise ValueError("a forecast needs one list of pilot costs per problem, and some costs")
    within = [(variance(problem), len(problem) - 1) for problem in costs if len(problem) > 1]
    freedom = sum(weight for _, weight in within)
    pooled = (
        sum(value * weight for value, weight in within) / freedom
        if freedom
        else (variance(every) if len(every) > 1 else 0.0)
    )
    overall = fmean(every)
    total = spread = 0.0
    for problem, more in zip(costs, remaining, strict=True):
        mean = fmean(problem) if problem else overall
        noise = variance(problem) if len(problem) > 1 else pooled
        total += more * mean
        spread += more * more * noise / max(len(problem), 1) + more * noise
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(spread)
    return CostForecast(
        round(total), max(0, math.floor(total - half)), math.ceil(total + half), level
    )
