"""An arm made ready: its provider, price, limits, problems and verifier, for the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from budgets.limits import Limiter
from budgets.meter import TimeMeter
from budgets.price import Price
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
    _worst: dict[tuple[int, int], int] = field(default_factory=dict)
    """By prompt bound and n: a plan asks for the same few again and again."""

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
