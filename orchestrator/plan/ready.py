"""An arm made ready: its provider, price, limits, problems and verifier, for the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from budgets.limits import Limiter
from budgets.meter import TimeMeter
from budgets.price import Price
from budgets.prices import PriceBook
from orchestrator.plan.agents import AgentSetting
from orchestrator.plan.study import Arm
from orchestrator.tasks.base import Problem
from providers.affinity import CacheWarmer
from providers.batch.lane import BatchLane
from providers.sample import Provider, SampleRequest
from verifiers.verdict import Verifier


@dataclass(slots=True)
class ReadyArm:
    """One arm of a run, with everything that buying and judging its attempts needs."""

    number: int
    key: str
    """Stable name of the arm within its study; part of every seed."""
    spec: Arm
    model: str
    problems: list[Problem]
    provider: Provider
    limiter: Limiter
    verifier: Verifier
    price: Price | None
    """None where the server is paid by the hour, or costs nothing."""
    meter: TimeMeter | None
    warmer: CacheWarmer
    """Lets the first attempt at a prompt go ahead where cached prompts are billed less."""
    base: SampleRequest
    """The request of every attempt, less prompt, n and seed."""
    n_per_request: int
    prompt_bounds: list[int]
    """Per problem, the most prompt tokens that a request can be billed for."""
    prompt_known: list[bool] = field(default_factory=list)
    """Per problem, whether an answer has told the exact prompt tokens."""
    n_limit: int = 0
    """The most choices per request of a server that was seen to ignore n; 0: as asked."""
    scopes: tuple[str, ...] = ()
    lane: BatchLane | None = None
    """The provider's batch API, through which the arm is bought; None: request by request."""
    agent: AgentSetting | None = None
    """How an attempt is made where it is an agent's whole work; None: it is one request."""
    closed: bool = False
    answered: bool = False
    """Whether anything was answered in this session."""
    price_stated: bool = False
    """Whether a person's own file states the price of what is asked, whatever answers."""
    other_price: Callable[[str], Price | None] = lambda _: None
    """The price of another model at the same provider, where one is known."""
    _worst: dict[tuple[int, int], int] = field(default_factory=dict)
    """By prompt bound and n: a plan asks for the same few again and again."""
    _prices: dict[str, Price | None] = field(default_factory=dict)
    """By the name of a model that answered."""

    def price_of(self, model: str) -> Price | None:
        """The price of the model that answered, where it is not the one that was asked."""
        if model not in self._prices:
            self._prices[model] = self.other_price(model)
        return self._prices[model]

    @property
    def batch(self) -> bool:
        """Whether the arm is billed at the batch price."""
        return self.lane is not None

    def worst(self, problem: int, n: int) -> int:
        """The most that one request can cost, in picodollars."""
        if self.price is None or self.agent is not None:
            # An agent's calls are reserved one by one.
            return 0
        bound = self.prompt_bounds[problem]
        worst = self._worst.get((bound, n))
        if worst is None:
            worst = self._worst[bound, n] = self.price.worst(
                prompt_tokens=bound,
                output_tokens=self.base.max_tokens,
                n=n,
                batch=self.batch,
                cache_write=self.provider.capabilities.prompt_cache == "explicit",
            )
        return worst


def other_price(
    book: PriceBook, asked: str, provider: str, on: datetime, answered: str
) -> Price | None:
    """The price of the model that answered in place of `asked`; None where none is known.

    Where a person's own file states the price of what was asked, only that file may state another.
    """
    stated = book.stated(answered, provider, on)
    if stated is not None or book.stated(asked, provider, on) is not None:
        return stated
    return book.listed(answered, provider, on)
