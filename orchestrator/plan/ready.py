"""An arm made ready: its provider, price, limits, problems and verifier, for the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from budgets.limiter import Limiter
from budgets.meter import Meter
from budgets.price import Price
from budgets.price_book import PriceBook
from orchestrator.plan.agents import AgentSetting, agents_at_once
from orchestrator.plan.lengths import prompt_bound
from orchestrator.plan.prepare import Prepared
from orchestrator.plan.request import choices_per_request
from orchestrator.plan.study import Arm
from orchestrator.store.schema import arm_scope
from orchestrator.tasks.base import Problem
from providers.batch.base import BatchLane
from providers.fleet.admission import FleetLimiter
from providers.sample import Provider, SampleRequest
from providers.warming import CacheWarmer
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
    limiter: Limiter | FleetLimiter
    verifier: Verifier
    price: Price | None
    """None where the server is paid by the hour, or costs nothing."""
    meter: Meter | None
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
    usd_per_hour: int = 0
    """Picodollars an hour for the whole server; 0: not paid by the hour."""
    lane: BatchLane | None = None
    """The provider's batch API, through which the arm is bought; None: request by request."""
    agent: AgentSetting | None = None
    """How an attempt is made where it is an agent's whole work; None: it is one request."""
    closed: bool = False
    too_long: dict[int, str] = field(default_factory=dict)
    """By problem, the server's words for a prompt that does not fit its context."""
    answers: int = 0
    """How many requests were answered in this session."""
    answered_at: float = 0.0
    """When the last answer came, by time.monotonic(); 0: none has."""
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
            worst = self._worst[bound, n] = self.cost_of(bound, self.base.max_tokens, n)
        return worst

    def cost_of(self, prompt_tokens: int, output_tokens: int, n: int) -> int:
        """Picodollars of one request of n choices so long, at the dearest rates in force."""
        if self.price is None:
            return 0
        return self.price.worst(
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            n=n,
            batch=self.batch,
            cache_write=self.provider.capabilities.prompt_cache == "explicit",
        )


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


def ready(prepared: Prepared) -> list[ReadyArm]:
    """The arms as the engine uses them, once every provider is open."""
    keys: dict[str, int] = {}
    arms: list[ReadyArm] = []
    for number, arm in enumerate(prepared.arms):
        assert arm.provider is not None
        keys[arm.key] = keys.get(arm.key, 0) + 1
        key = arm.key if keys[arm.key] == 1 else f"{arm.key}#{keys[arm.key]}"
        priced = (arm.endpoint.model, arm.spec.provider, datetime.now(UTC))
        arms.append(
            ReadyArm(
                number=number,
                key=key,
                spec=arm.spec,
                model=arm.endpoint.model,
                problems=arm.problems,
                provider=arm.provider,
                limiter=arm.limiter if arm.agent is None else agents_at_once(prepared.study),
                agent=arm.agent,
                verifier=arm.verifier,
                price=arm.price,
                price_stated=prepared.book.stated(*priced) is not None,
                other_price=partial(other_price, prepared.book, *priced),
                meter=None,
                warmer=CacheWarmer(
                    # All requests of a batch run at once: none can go ahead.
                    enabled=arm.price is not None
                    and arm.batches is None
                    and arm.agent is None
                    and arm.provider.capabilities.prompt_cache != "none"
                ),
                base=arm.base,
                n_per_request=choices_per_request(
                    arm.spec, arm.provider.capabilities,
                    priced=arm.price is not None, temperature=arm.base.temperature,
                ),
                prompt_bounds=[prompt_bound(problem) for problem in arm.problems],
                prompt_known=[False] * len(arm.problems),
                too_long=dict(arm.too_long),
                scopes=(arm_scope(number),),
                usd_per_hour=arm.endpoint.usd_per_hour,
                lane=None if arm.batches is None else arm.batches[0],
            )
        )  # fmt: skip
    return arms
