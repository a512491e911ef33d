"""What a report shows, as plain data: no database, no plotting, no terminal.

Shares are between 0 and 1, money is whole picodollars, k counts attempts per problem. Every
renderer (terminal curves, figures, page, tables) takes a ReportData and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.analysis.cost import Fresh, usd_per_solved
from orchestrator.analysis.pairing import NAMES, Estimator
from orchestrator.store.refusals import Refusal
from verifiers.trust import Agreement


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """Coverage at one k, with its two intervals and what it cost."""

    k: int
    mean: float
    low: float
    high: float
    """For these problems."""
    low_like: float
    high_like: float
    """For problems like these."""
    as_bought: int | None = None
    """Picodollars this run had spent when round k was done."""
    at_k: int | None = None
    """Picodollars of k fresh attempts at every problem."""
    flops: float | None = None
    """Operations of k attempts at every problem."""


@dataclass(frozen=True, slots=True)
class FitLine:
    """A power law exp(a k^b) with its error on the curve."""

    space: str
    a: float
    b: float
    error_mean: float
    error_sd: float


@dataclass(frozen=True, slots=True)
class ForecastPoint:
    """Coverage expected at a k beyond the attempts made."""

    k: int
    mean: float
    low: float
    high: float
    level: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class SelectionSeries:
    """Precision of one selection method against k."""

    method: str
    ks: tuple[int, ...]
    precision: tuple[float, ...]
    sd: tuple[float, ...] | None = None
    """Spread over random subsets of one pool: not a confidence interval."""


@dataclass(frozen=True, slots=True)
class OtherVerdicts:
    """One other verifier's verdicts on an arm's samples."""

    verifier: str
    judged: int
    passed: int
    solved: int
    against_run: Agreement
    """The run's own verdicts as search, these as gold, over samples that both judged."""
    coverage: tuple[tuple[int, float], ...]
    """(k, coverage by these verdicts); empty unless every problem has judged samples that were
    planned beforehand."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An accepted sample that deserves a look."""

    problem: str
    slot: int
    why: str
    accepted: int
    """How many samples of its problem are accepted."""
    expected: str
    """The reference's answer; "" where it has none."""
    text: str
    """The end of the sample."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What of an arm's coverage rests on one rule alone."""

    rule: str
    """The second rule; "" where none was asked and some verdicts are forgeable."""
    accepted: int
    doubted: int
    """Accepted samples that the second rule does not accept, or whose verdict is forgeable."""
    waiting: int
    """Accepted samples that the second rule has not seen."""
    solved: int
    fragile: int
    """Problems all of whose accepted samples are doubted."""
    single: int
    """Problems with one accepted sample."""
    lower: tuple[tuple[int, float], ...]
    """(k, coverage without the doubted samples); empty where coverage is no mean of counts."""
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True, slots=True)
class ReadSample:
    """One sample to read; long texts are cut."""

    slot: int
    why: str
    """Why this one is shown."""
    verdict: str
    answer: str
    """As it was found in the text; "" where none was."""
    detail: str
    finish_reason: str
    output_tokens: int | None
    text: str


@dataclass(frozen=True, slots=True)
class ReadProblem:
    """One problem to read, with a few of an arm's samples; long texts are cut."""

    id: str
    asked: str
    expected: str
    """The reference's answer; "" where it has none."""
    samples: tuple[ReadSample, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """One number of many attempts."""

    median: float
    most: float
    total: float


@dataclass(frozen=True, slots=True)
class AgentWork:
    """What the agents of an arm did."""

    command: str
    image: str
    """The container image they ran in; "" where in none of ours."""
    attempts: int
    begun_anew: int
    """Attempts that were lost to something other than the agent, and made again."""
    calls: Spread
    input_tokens: Spread
    output_tokens: Spread
    seconds: Spread
    cut: Mapping[str, int]
    """Attempts to which a cap refused a call, by whose cap it was."""
    timed_out: int
    own_failures: int
    """Attempts whose agent ended with an exit code other than 0."""


@dataclass(frozen=True, slots=True)
class ArmReport:
    """All that a report says of one arm, of a run or of outcomes that others recorded."""

    provider: str
    model: str
    task: str
    policy: str = "uniform"
    estimator: Estimator = "unbiased"
    verifier: str = ""
    problem_ids: tuple[str, ...] = ()
    n: tuple[int, ...] = ()
    """Judged attempts of each problem."""
    c: tuple[int, ...] = ()
    """Right ones among them."""
    groups: tuple[str, ...] = ()
    """The group of each problem, its own where it has none; empty where no problem has one."""
    censored: int = 0
    infra_errors: int = 0
    spent: int = 0
    """Settled picodollars."""
    uncertain: int = 0
    paid: bool = True
    """False for outcomes that others recorded: nothing is known of their cost."""
    fresh: Fresh | None = None
    """What attempts cost afresh; None where attempts stop at a success, or nothing is known."""
    gpu_hours: float | None = None
    points: tuple[CoveragePoint, ...] = ()
    others: tuple[OtherVerdicts, ...] = ()
    """What other verifiers said of the same samples."""
    audit: Audit | None = None
    changed: tuple[str, ...] = ()
    """Problems of which a stored sample, judged again, got another verdict."""
    agents: AgentWork | None = None
    """None where attempts are plain requests."""
    fits: tuple[FitLine, ...] = ()
    forecasts: tuple[ForecastPoint, ...] = ()
    forecast_refused: str = ""
    selection: tuple[SelectionSeries, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """What its servers refused or broke off, the commonest first."""
    notes: tuple[str, ...] = ()
    name: str = ""
    """What the study calls the arm, or what tells it from others; empty: its model."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How it was asked: temperature, max_tokens, seed, ..., as far as is known."""
    reading: tuple[ReadProblem, ...] = ()
    """Problems and samples to read on the page; read only where a page is asked for."""
    repriced_on: str = ""
    """The day (ISO date) by whose prices the money is counted; empty: as it was bought."""

    @property
    def label(self) -> str:
        return self.name or self.model

    @property
    def estimated_by(self) -> str:
        """The estimator's name for a person."""
        return NAMES[self.estimator]

    @property
    def uniform(self) -> bool:
        """Whether the number of attempts was fixed beforehand."""
        return self.estimator == "unbiased"

    @property
    def problems(self) -> int:
        return len(self.n)

    @property
    def asked(self) -> int:
        """Problems with a judged attempt; where that is not all, the curve is of these."""
        return sum(n > 0 for n in self.n)

    @property
    def judged(self) -> tuple[list[int], list[int]]:
        """Judged and right attempts at the problems of the curve: those with any."""
        return [n for n in self.n if n], [c for n, c in zip(self.n, self.c, strict=True) if n]

    @property
    def samples(self) -> int:
        return sum(self.n)

    @property
    def solved(self) -> int:
        return sum(right > 0 for right in self.c)

    @property
    def usd_per_solved(self) -> int | None:
        """Picodollars, settled and uncertain, over distinct problems solved, rounded up."""
        return usd_per_solved(self.spent, self.uncertain, self.solved)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Share of right attempts of each problem, 0 where none was judged."""
        return tuple(c / n if n else 0.0 for n, c in zip(self.n, self.c, strict=True))


@dataclass(frozen=True, slots=True)
class ReportData:
    """One report: its arms and what is said across them."""

    title: str
    arms: tuple[ArmReport, ...]
    sentences: tuple[str, ...] = ()
    """Comparisons between arms, in words."""
    notes: tuple[str, ...] = ()
    split: int | None = None
    """Picodollars that a person wants split over the arms."""
