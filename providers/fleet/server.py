"""One server of a fleet: how it is asked, what it works on, how fast, and whether it is well."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from budgets.fullness import Fullness, ServerLoad
from budgets.limiter import Limiter, RequestOutcome
from budgets.outcomes import LIMITER_OUTCOMES, OVERLOADED_STATUSES
from providers.errors import ConnectionFailed, Overloaded, ProviderError, TimedOut
from providers.fleet.health import Health
from providers.fleet.routing import TokenSpeed
from providers.sample import Provider, SampleRequest, SampleResponse

FOREVER = float("inf")
PROMPTS = 4096


@dataclass(slots=True, eq=False)
class Flight:
    """One request on its way."""

    work: float
    sent_at: float
    cutter: asyncio.Timeout | None = None
    cut_why: str = ""


@dataclass(slots=True)
class ServerTally:
    """What came of a server, counted in this session."""

    answers: int = 0
    samples: int = 0
    failures: int = 0
    output_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    worked_s: float = 0.0
    """Seconds with anything in flight there."""
    running_s: float = 0.0
    places_s: float = 0.0
    """Sequences that it ran, and those that it has places for, over the same time; as it tells."""
    most_kv: float = 0.0
    prefix_queries: float = 0.0
    prefix_hits: float = 0.0
    """Prompt tokens looked up in its prefix cache and found there; as it tells."""


@dataclass(slots=True, eq=False)
class FleetServer:
    """See the module's contract. `provider` is closed by whoever owns the fleet."""

    name: str
    """As it is stored with each request, such as 127.0.0.1:8000."""
    provider: Provider
    limiter: Limiter
    clock: Callable[[], float] = time.monotonic
    health: Health = field(default_factory=Health)
    speed: TokenSpeed = field(default_factory=TokenSpeed)
    tally: ServerTally = field(default_factory=ServerTally)
    work: float = 0.0
    leaving: bool = False
    """Asked nothing more; what is in flight may come back."""
    last_answer: float = 0.0
    worked_since: float | None = None
    told_at: float = 0.0
    flights: set[Flight] = field(default_factory=set)
    _prompts: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def fullness(self) -> Fullness:
        """How full it is by its own word."""
        return self.limiter.fullness

    def has_seen(self, prompt: str) -> bool:
        return prompt in self._prompts

    def free(self, sequences: int) -> tuple[float, str]:
        """How many more sequences it may get, asked in requests of so many; and what limits it.

        A server that tells how full it is is believed over what was found out from outside,
        unless a person fixed the concurrency; an idle server takes a request of any size.
        """
        wait_s, why = self.limiter.room(0, 0, sequences)
        now = self.clock()
        if not self.limiter.fixed and self.fullness.known(now) and wait_s in (0.0, FOREVER):
            why = self.fullness.why
            free = self.fullness.free(now, self.limiter.sequences, sequences)
        elif wait_s:
            return 0.0, why
        elif self.limiter.fixed:
            free = sequences * float(self.limiter.concurrency - self.limiter.in_flight)
        else:
            free = float(self.limiter.concurrency - self.limiter.sequences)
        return (free if self.flights else max(free, float(sequences))), why

    def told(self, load: ServerLoad) -> None:
        """The server says how many sequences it works on."""
        now, tally, before = self.clock(), self.tally, self.fullness.load
        self.limiter.observe(load)
        if before is not None:
            if self.fullness.places and self.flights:
                tally.running_s += load.running * (now - self.told_at)
                tally.places_s += self.fullness.places * (now - self.told_at)
            # Counters begin again where the server was started again.
            tally.prefix_queries += max(0.0, load.prefix_queries - before.prefix_queries)
            tally.prefix_hits += max(0.0, load.prefix_hits - before.prefix_hits)
        tally.most_kv = max(tally.most_kv, load.kv_usage or 0.0)
        self.told_at = now

    def worked_s(self) -> float:
        """Seconds with anything in flight, up to now."""
        now = self.clock()
        return self.tally.worked_s + now - (now if self.worked_since is None else self.worked_since)

    async def ask(self, request: SampleRequest, prompt: str, work: float) -> SampleResponse:
        """Send one request; raises ProviderError, and puts the server aside where it failed."""
        permit = self.limiter.enter(0, request.max_tokens * request.n, request.n)
        flight = Flight(work, self.clock())
        full = self.free(1)[0] < 1
        if not self.flights:
            self.worked_since = flight.sent_at
        self.flights.add(flight)
        self.work += work
        self.health.taken()
        outcome: RequestOutcome = "other"
        response: SampleResponse | None = None
        try:
            response = await self._sample(request, flight)
            outcome = "ok"
            return response
        except ProviderError as error:
            outcome = LIMITER_OUTCOMES.get(type(error).__name__, "other")
            self._failed(error)
            raise
        except asyncio.CancelledError:
            self.health.left()
            raise
        finally:
            self.flights.discard(flight)
            if not self.flights and self.worked_since is not None:
                self.tally.worked_s += self.clock() - self.worked_since
                self.worked_since = None
            self.work = max(0.0, self.work - work) if self.flights else 0.0
            sequences = self.limiter.sequences
            self.limiter.done(
                outcome=outcome,
                sent_at=flight.sent_at,
                headers={} if response is None else response.headers,
                usage=None if response is None else response.usage,
                permit=permit,
            )
            self._count(request, response, flight, prompt, request.n / max(sequences, 1), full)

    async def _sample(self, request: SampleRequest, flight: Flight) -> SampleResponse:
        try:
            async with asyncio.timeout(None) as flight.cutter:
                return await self.provider.sample(request)
        except TimeoutError:
            if not flight.cut_why:
                raise
        why = f"{self.name} {flight.cut_why}"
        if self.provider.capabilities.seed:
            # Whatever it was writing, the same seed asks for it again elsewhere.
            raise ConnectionFailed(why, sent=request.sending.sent)
        raise TimedOut(why, sent=request.sending.sent, phase="total")

    def cut(self, why: str) -> None:
        """Let go of all that is in flight: the server hangs."""
        self.health.failed(self.clock(), f"it {why}")
        for flight in list(self.flights):
            flight.cut_why = why
            if flight.cutter is not None:
                flight.cutter.reschedule(asyncio.get_running_loop().time())

    def _failed(self, error: ProviderError) -> None:
        self.tally.failures += 1
        broken = isinstance(error, Overloaded) and error.status not in OVERLOADED_STATUSES
        lost = isinstance(error, TimedOut) and error.phase == "connect"
        if broken or lost or isinstance(error, ConnectionFailed):
            self.health.failed(self.clock(), str(error))
        else:
            self.health.left()

    def _count(
        self,
        request: SampleRequest,
        response: SampleResponse | None,
        flight: Flight,
        prompt: str,
        share: float,
        full: bool,
    ) -> None:
        if response is None:
            return
        now = self.clock()
        self.last_answer = now
        self.health.answered()
        self.tally.answers += 1
        self.tally.samples += len(response.choices)
        self._prompts.pop(prompt, None)
        self._prompts[prompt] = None
        if len(self._prompts) > PROMPTS:
            self._prompts.popitem(last=False)
        if response.usage is not None:
            usage = response.usage
            self.tally.output_tokens += usage.output_tokens
            self.tally.prompt_tokens += usage.prompt_tokens
            self.tally.cached_tokens += usage.cached_input_tokens
            self.speed.saw(usage.output_tokens, now - flight.sent_at, share, full=full)
