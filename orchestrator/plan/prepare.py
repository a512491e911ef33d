"""From a study to arms that are ready to buy: everything that can be wrong is found here.

In order: problems, prices, keys and addresses, the server's models. Until this is done nothing
is written and nothing is sent but a question for the list of models. The bundled model's server
is the exception: it starts later, when its time meter already runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from budgets.concurrency import Concurrency
from budgets.limiter import Limiter
from budgets.price import Price
from budgets.price_book import PriceBook, Unpriced
from budgets.price_file import PriceFileError
from budgets.profile import ProfileError
from orchestrator.errors import ConfigError
from orchestrator.plan import problems as problem_sets
from orchestrator.plan.agents import AgentSetting, check_judged, one_slot_each, setting_of
from orchestrator.plan.asked_more import body_fields, header_fields, with_system
from orchestrator.plan.dollars import amount
from orchestrator.plan.fleet import Fleet, Launch, launch_of, open_fleet, servers_of
from orchestrator.plan.lengths import too_long
from orchestrator.plan.openfiles import connections_allowed
from orchestrator.plan.preflight import check_model, say_repeats
from orchestrator.plan.request import (
    askable,
    chat_where_needed,
    refuse_raw_prompts,
)
from orchestrator.plan.study import Arm, Study
from orchestrator.plan.typed import (
    NOWHERE,
    Destination,
    Typed,
    check_price,
    destinations_of,
    refuse_cheap_hours,
)
from orchestrator.tasks import Problem, SamplingDefaults, Task, TaskError
from providers.batch.base import BatchLane
from providers.batch.client import BatchClient
from providers.errors import ProviderConfigError
from providers.fleet.admission import FleetLimiter
from providers.registry import make_batches, make_provider
from providers.sample import Provider, SampleRequest
from providers.transport import Timeouts
from verifiers.dedupe import Deduplicating
from verifiers.verdict import Verifier

BUNDLED_GPU_HOUR = "0.10"
"""Dollars an hour for this machine when it serves the bundled model: about what two cores cost
to rent."""

KEEPS_STOP = ("local", "vllm")
"""Providers whose API can leave the stop string in the output."""

BUNDLED_SAMPLES = 2000
DEFAULT_SAMPLES = 100
BUNDLED_CONCURRENCY = "8-64"
"""Enough to keep its batches full; more would only wait in its queue."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that one or more arms buy from, as far as it is known before it is reached."""

    provider: str
    base_url: str
    model: str
    bundled: bool
    usd_per_hour: int
    """Picodollars an hour for one server, with all its GPUs; 0: not paid by the hour."""
    servers: str = ""
    """A file of addresses."""
    launch: Launch | None = None
    """Servers that are started here; None: none are."""

    @property
    def ours(self) -> bool:
        """Whether a session starts and ends its servers."""
        return self.bundled or self.launch is not None


@dataclass(slots=True)
class PreparedArm:
    """An arm whose problems, price and server are settled; the engine's parts come later."""

    spec: Arm
    task: Task
    problems: list[Problem]
    endpoint: Endpoint
    price: Price | None
    base: SampleRequest
    limiter: Limiter | FleetLimiter
    verifier: Verifier
    destination: Destination = NOWHERE
    provider: Provider | None = None
    """None for servers of ours until they run."""
    fleet: Fleet | None = None
    """Its servers where there may be several."""
    batches: tuple[BatchLane, BatchClient] | None = None
    """The batch API, and what to close after it."""
    agent: AgentSetting | None = None
    too_long: dict[int, str] = field(default_factory=dict)
    """By place of a problem, why its prompt leaves no room for an answer."""

    async def aclose(self) -> None:
        """Close whatever was opened to the arm's provider."""
        if self.fleet is not None:
            await self.fleet.aclose()
        elif self.provider is not None:
            await self.provider.aclose()
        if self.batches is not None:
            await self.batches[1].aclose()

    @property
    def key(self) -> str:
        return f"{self.spec.provider}/{self.endpoint.model}/{self.spec.task}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A study whose every arm can be bought."""

    study: Study
    arms: list[PreparedArm]
    book: PriceBook
    """The prices in force."""
    cap: int | None
    notes: list[str]
    """What a person should know before it starts."""


async def prepare(study: Study, typed: Typed, *, judging: bool = True) -> Prepared:
    """Check a whole study; raises ConfigError, and closes what it opened if it does.

    Without `judging` what judges is not started: a plan is priced also where it cannot be run.
    """
    cap = amount(study.budget, "--budget") if study.budget else None
    book = price_book(study)
    arms: list[PreparedArm] = []
    notes: list[str] = []
    limiters: dict[Endpoint, Limiter] = {}
    try:
        for spec in study.arms:
            arms.append(_prepare_arm(spec, study, book, limiters, notes, typed))
        _settle_keys_and_prices(arms, study, book, notes, typed)
        for arm in arms:
            if arm.spec.batch:
                arm.batches = open_batches(arm, study, notes)
        _refuse_waiting_servers(arms)
        _refuse_shared_time(arms)
        for arm in arms:
            if judging:
                await _start_verifier(arm.verifier)
            if not arm.endpoint.ours:
                await _open(arm, arms, study, typed, notes)
    except BaseException:
        await close(arms)
        raise
    return Prepared(study, arms, book, cap, notes)


async def _open(
    arm: PreparedArm, arms: list[PreparedArm], study: Study, typed: Typed, notes: list[str]
) -> None:
    """Reach the arm's server or servers, and see that they have the model; raises ConfigError."""
    try:
        source = servers_of(arm.spec)
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None
    if source:
        others = (one.fleet for one in arms if one.fleet and one.endpoint == arm.endpoint)
        arm.fleet = next(others, None) or await open_fleet(
            arm.spec, arm.endpoint.model, typed, study,
            lambda: make_limiter(study, arm.endpoint, notes), source, notes,
        )  # fmt: skip
        arm.provider, arm.limiter = arm.fleet.provider, arm.fleet.limiter
    else:
        arm.provider = open_provider(arm, study)
    refuse_raw_prompts(arm.spec, arm.problems, arm.provider.capabilities)
    arm.base = askable(arm.base, arm.provider.capabilities, notes)
    say_repeats(arm.base, arm.spec.samples, notes)
    if not source:
        await check_model(arm.provider, arm.spec.provider, arm.base, notes)
        arm.too_long = await too_long(arm.provider, arm.problems, arm.base, notes)


def _settle_keys_and_prices(
    arms: list[PreparedArm], study: Study, book: PriceBook, notes: list[str], typed: Typed
) -> None:
    """Decide which key goes where before anything is asked; raises ConfigError."""
    remote = [arm for arm in arms if not arm.endpoint.ours]
    places = destinations_of([arm.spec for arm in remote], typed)
    for arm, place in zip(remote, places, strict=True):
        arm.destination = place
        refuse_cheap_hours(arm.spec, place.host, typed)
        if arm.price is not None:
            model = arm.endpoint.model
            note = check_price(arm.spec, model, place.host, book, study.prices, typed)
            notes += [note] if note else []


async def close(arms: list[PreparedArm]) -> None:
    """Close what was opened to check arms that are not run."""
    for arm in arms:
        await arm.verifier.aclose()
        await arm.aclose()


def price_book(study: Study) -> PriceBook:
    """The prices in force: the catalogue with the user's file over it; raises ConfigError."""
    try:
        return PriceBook.load(Path(study.prices) if study.prices else None)
    except PriceFileError as error:
        raise ConfigError(str(error)) from None


def bundled(spec: Arm) -> bool:
    """Whether an arm buys from the model that orch brings and serves itself."""
    return spec.provider == "local" and not (spec.model or spec.base_url or spec.servers)


def samples_wanted(spec: Arm) -> int:
    """Attempts at each problem: as a person asked, else as many as such an arm gets by default."""
    return spec.samples or (BUNDLED_SAMPLES if bundled(spec) else DEFAULT_SAMPLES)


def _prepare_arm(
    spec: Arm,
    study: Study,
    book: PriceBook,
    limiters: dict[Endpoint, Limiter],
    notes: list[str],
    typed: Typed,
) -> PreparedArm:
    if spec.budget:
        amount(spec.budget, "an arm's budget")
    agent = setting_of(spec, trust=typed.trust, bound=frozenset(key.variable for key in typed.keys))
    spec = chat_where_needed(spec, spec.model, notes) if agent is None else one_slot_each(spec)
    task = problem_sets.load(spec, study, trust=typed.trust)
    problems = with_system(problem_sets.select(task, spec, study), spec)
    check_judged(agent, task)
    is_bundled = bundled(spec)
    model = spec.model
    if is_bundled:
        from providers.tiny import MODEL_ID

        model = MODEL_ID
        spec = structs.replace(spec, gpu_hour=spec.gpu_hour or BUNDLED_GPU_HOUR)
    elif not model:
        raise ConfigError(
            "No model is named; give --model NAME (with --provider local and no --base-url the "
            "bundled model is used)."
        )
    spec = structs.replace(spec, samples=samples_wanted(spec))
    try:
        launch = launch_of(spec, typed)
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None
    if launch is not None:
        spec = structs.replace(spec, gpus=launch.gpus_each)
    price, per_hour = _price(spec, model, book)
    base = sampling(spec, task.defaults, model)
    endpoint = Endpoint(
        spec.provider, spec.base_url, model, is_bundled, per_hour, spec.servers, launch
    )
    if endpoint not in limiters:
        limiters[endpoint] = make_limiter(study, endpoint, notes)
    try:
        verifier = task.verifier(spec.verifier or None)
    except TaskError as error:
        raise ConfigError(str(error)) from None
    if hasattr(verifier, "start"):
        # What judges in processes of its own is worth asking once per distinct text.
        verifier = Deduplicating(verifier)
    return PreparedArm(
        spec, task, problems, endpoint, price, base, limiters[endpoint], verifier, agent=agent
    )


def _price(spec: Arm, model: str, book: PriceBook) -> tuple[Price | None, int]:
    """The token price, or the price of an hour; raises ConfigError for a model without either."""
    if spec.gpu_hour:
        return None, amount(spec.gpu_hour, "--gpu-hour", zero=True) * spec.gpus
    try:
        return book.find(model, spec.provider, datetime.now(UTC)), 0
    except Unpriced as error:
        raise ConfigError(
            f"{error}. For a server of your own, --gpu-hour USD prices the time it is held "
            "(0 if it costs nothing)."
        ) from None


def sampling(spec: Arm, defaults: SamplingDefaults, model: str) -> SampleRequest:
    """The request of every attempt: the task's defaults, overridden by the arm."""
    return SampleRequest(
        model=model,
        max_tokens=defaults.max_tokens if spec.max_tokens is None else spec.max_tokens,
        temperature=defaults.temperature if spec.temperature is None else spec.temperature,
        top_p=defaults.top_p if spec.top_p is None else spec.top_p,
        stop=defaults.stop if spec.stop is None else tuple(spec.stop),
        extra=body_fields(spec)
        | (
            {"include_stop_str_in_output": True}
            if defaults.keep_stop and spec.provider in KEEPS_STOP
            else {}
        ),
    )


def open_provider(arm: PreparedArm, study: Study, base_url: str = "") -> Provider:
    """The arm's provider; nothing is sent. Raises ConfigError."""
    try:
        return make_provider(
            arm.spec.provider,
            base_url=base_url or arm.endpoint.base_url or None,
            api_key_env=arm.destination.bound,
            model=arm.endpoint.model,
            timeouts=Timeouts(total_s=study.timeout_s),
            environ=os.environ,
            headers=header_fields(arm.spec),
        )
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None


def open_batches(arm: PreparedArm, study: Study, notes: list[str]) -> tuple[BatchLane, BatchClient]:
    """The batch API of the arm's provider; nothing is sent. Raises ConfigError."""
    try:
        opened = make_batches(
            arm.spec.provider,
            base_url=arm.endpoint.base_url or None,
            api_key_env=arm.destination.bound,
            model=arm.endpoint.model,
            timeouts=Timeouts(total_s=study.timeout_s),
            environ=os.environ,
        )
    except ProviderConfigError as error:
        raise ConfigError(f"--batch: {error}.") from None
    if arm.price is not None and any(band.batch is None for band in arm.price.bands):
        notes.append(
            f"No batch price of {arm.endpoint.model} is known, so its full price is counted; add "
            "`batch = {...}` to its table in a --prices file."
        )
    return opened


def _refuse_waiting_servers(arms: list[PreparedArm]) -> None:
    """A batch takes up to a day; no server paid by the hour may be held meanwhile."""
    paid = next((arm.endpoint.model for arm in arms if arm.endpoint.usd_per_hour), None)
    if paid is not None and any(arm.spec.batch for arm in arms):
        raise ConfigError(
            f"The server of {paid} is paid by the hour and would be held while a batch of another "
            "arm is waited for; put the batch arms into a study of their own."
        )


def _refuse_shared_time(arms: list[PreparedArm]) -> None:
    """The time of one server cannot be told apart by arms, so no arm's own budget can bound it."""
    for arm in arms:
        users = [other for other in arms if other.endpoint == arm.endpoint]
        if arm.endpoint.usd_per_hour and arm.spec.budget and len(users) > 1:
            raise ConfigError(
                f"The server of {arm.endpoint.model} is paid by the hour and shared by "
                f"{len(users)} arms, so an arm's own budget of {arm.spec.budget} cannot bound its "
                "time; leave that budget out, or put the arm into a study of its own."
            )


async def _start_verifier(verifier: Verifier) -> None:
    """Start what judges before anything is bought; raises ConfigError where it cannot judge."""
    if not isinstance(verifier, Deduplicating):
        return
    from verifiers.lean_project import LeanMissing
    from verifiers.sandbox import NoSandbox

    try:
        await verifier.start()
    except (NoSandbox, LeanMissing) as error:
        raise ConfigError(str(error)) from None


def make_limiter(study: Study, endpoint: Endpoint, notes: list[str]) -> Limiter:
    """The limits that the study asks for, within the open-files limit; raises ConfigError."""
    text = study.max_concurrent
    if endpoint.bundled and text == "auto":
        text = BUNDLED_CONCURRENCY
    try:
        wanted = Concurrency.parse(text)
        fit, why = connections_allowed(wanted.most)
        if why:
            notes.append(why)
        if fit != wanted.most:
            text = f"{min(wanted.least, fit)}-{fit}"
        if study.limits:
            return Limiter.from_profile(
                study.limits, model=endpoint.model, concurrency=text, timeout_s=study.timeout_s
            )
        return Limiter(concurrency=text, timeout_s=study.timeout_s)
    except ProfileError as error:
        raise ConfigError(f"--limits: {error}.") from None
    except ValueError as error:
        raise ConfigError(f"--max-concurrent: {error}.") from None
