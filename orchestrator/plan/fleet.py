"""An arm whose servers are several: where they are, whose key each gets, and that all are alike.

Servers are named by addresses (--base-url A --base-url B), by a file that is read again when it
changes (--servers), or are launched here (--launch; session/fleets.py starts them). However many,
they are one provider and one arm; all must serve the same model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from budgets.fullness import ServerLoad
from budgets.limiter import Limiter
from orchestrator.errors import ConfigError
from orchestrator.plan.addresses import urls_of
from orchestrator.plan.asked_more import header_fields
from orchestrator.plan.study import Arm, Study
from orchestrator.plan.typed import Typed
from providers import known
from providers.bindings import Host, bound_variable
from providers.errors import ProviderConfigError, ProviderError, UnknownModel
from providers.fleet.addresses import ServersFile
from providers.fleet.admission import FleetLimiter
from providers.fleet.alike import Served, greedy, served
from providers.fleet.engines import EngineProgram, find_program
from providers.fleet.gpus import gpu_ids, groups
from providers.fleet.guard import LEASE_S
from providers.fleet.offer import Offer, find_offer
from providers.fleet.provider import FleetProvider
from providers.fleet.server import FleetServer
from providers.fleet.watch import FleetWatch
from providers.keys import Key
from providers.lane import FastLane
from providers.openai import OpenAIProvider, bearer
from providers.probe import HttpProbe, probe_transport
from providers.registry import make_provider
from providers.sample import Capabilities, Provider
from providers.transport import Timeouts, Transport

LEAST_QUEUE = 2048
"""Sequences that the queue of a launched server holds at least."""
COMPARE_S = 2.0
"""How often servers that came later are looked for."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a person asked to be launched, checked: the engine is there, and so are the GPUs."""

    program: EngineProgram
    model: str
    groups: tuple[tuple[str, ...], ...]
    tensor_parallel: int
    data_parallel: int
    arguments: tuple[str, ...]
    lease_s: float

    @property
    def gpus_each(self) -> int:
        """GPUs of one server; on the CPU this machine counts as one for each."""
        return self.tensor_parallel * self.data_parallel


@dataclass(slots=True)
class Fleet:
    """Several servers as the engine sees them, and what watches them."""

    provider: FleetProvider
    limiter: FleetLimiter
    watch: FleetWatch
    opener: Opener
    transport: Transport

    async def aclose(self) -> None:
        await self.provider.aclose()
        await self.transport.aclose()


def servers_of(arm: Arm) -> ServersFile | Offer | list[URL] | None:
    """What names an arm's servers, where they are several; raises ProviderConfigError.

    A local model without an address is looked for among the fleets that `orch serve --launch`
    holds.
    """
    urls = urls_of(arm)
    if arm.servers:
        return ServersFile(Path(arm.servers))
    row = known.find(arm.provider)
    named = row is not None and row.url_variable and os.environ.get(row.url_variable)
    if arm.provider == "local" and arm.model and not arm.base_url and not named:
        return find_offer(arm.model)
    return urls or None


def held_for(arm: Arm) -> Offer | None:
    """A fleet of an arm's model that somebody holds now, where it launches one of its own."""
    return find_offer(arm.model) if arm.launch and arm.model else None


def launch_of(arm: Arm, typed: Typed) -> Launch | None:
    """What is to be launched for an arm; None: nothing. Raises ProviderConfigError."""
    if not arm.launch:
        return None
    if arm.provider not in ("local", "vllm"):
        raise ProviderConfigError("--launch starts local servers; it goes with --provider local")
    if arm.base_url or arm.servers:
        raise ProviderConfigError("--launch starts servers of its own; leave out the addresses")
    from providers.tiny import MODEL_ID

    if typed.use_held and held_for(arm) is not None:
        return None
    program = find_program(typed.vllm, arm.model or MODEL_ID)
    each = arm.tensor_parallel * arm.data_parallel
    if arm.data_parallel > 1 and not program.whole:
        raise ProviderConfigError(
            "this build of vLLM has no `vllm serve`, without which --data-parallel cannot be; "
            "leave it out and launch more servers"
        )
    here = () if program.engine == "bundled" else gpu_ids(arm.gpu_ids)
    return Launch(
        program, arm.model or MODEL_ID, tuple(groups(arm.launch, here, each)),
        arm.tensor_parallel, arm.data_parallel, typed.server_args, typed.lease_s or LEASE_S,
    )  # fmt: skip


@dataclass(slots=True)
class Opener:
    """Opens servers by address, and lets in only those that serve the same model as the first."""

    arm: Arm
    model: str
    typed: Typed
    timeout_s: float
    limiter: Callable[[], Limiter]
    transport: Transport
    tell: list[Callable[[str], None]] = field(default_factory=list)
    reference: tuple[str, Served] | None = None
    """The first server that was let in, and what it serves."""
    fleet: FleetProvider | None = None
    source: ServersFile | Offer | None = None
    """What names the servers anew from time to time."""
    urls: dict[FleetServer, URL] = field(default_factory=dict)
    unchecked: set[FleetServer] = field(default_factory=set)

    def say(self, sentence: str) -> None:
        for tell in self.tell:
            tell(sentence)

    def open(self, url: URL) -> FleetServer:
        """A server that nothing was sent to yet; raises ProviderConfigError."""
        provider: Provider
        if isinstance(self.source, Offer):
            provider = own_provider(url, self.source.urls[url], self.model, self.timeout_s)
        else:
            provider = self._provider(url)
            if not isinstance(provider, OpenAIProvider):
                raise ProviderConfigError(
                    f"several addresses go with servers of OpenAI's protocol, and "
                    f"{self.arm.provider} has another; give one --base-url"
                )
        server = FleetServer(f"{url.host}:{url.port}", provider, self.limiter())
        self.urls[server] = url
        self.unchecked.add(server)
        return server

    def _provider(self, url: URL) -> Provider:
        bound = bound_variable(self.typed.keys, Host.of(url))
        if bound is None and isinstance(self.source, ServersFile):
            file = str(self.source.path)
            bound = next((key.variable for key in self.typed.keys if key.file == file), None)
        return make_provider(
            self.arm.provider, base_url=str(url), api_key_env=bound, model=self.model,
            timeouts=Timeouts(total_s=self.timeout_s), environ=os.environ,
            headers=header_fields(self.arm),
        )  # fmt: skip

    async def check(self, server: FleetServer) -> str:
        """Why a server may not be used, in words; empty: it may. Raises ProviderError."""
        assert isinstance(server.provider, OpenAIProvider)
        found = await served(server.provider, self.model)
        if self.reference is None:
            self.reference = (server.name, found)
        name, first = self.reference
        if differs := first.differs(found):
            return f"{server.name} does not serve the model that {name} serves: it has {differs}"
        self.unchecked.discard(server)
        return ""

    def probe(self, server: FleetServer) -> CheckedProbe:
        assert isinstance(server.provider, OpenAIProvider)
        provider = server.provider
        return CheckedProbe(self, server, HttpProbe(provider.base_url, provider.secret_headers,
                                                    self.transport))  # fmt: skip

    async def follow(self) -> None:
        """Look again at what names the servers, and use them as they are named now."""
        if self.source is None or self.fleet is None:
            return
        try:
            urls = await asyncio.to_thread(self.source.changed)
        except ProviderConfigError as error:
            self.say(f"{error}; the servers stay as they are")
            return
        if urls is None:
            return
        here = {url: server for server, url in self.urls.items() if not server.leaving}
        for url, server in here.items():
            if url not in urls:
                self.fleet.remove(server)
                self.say(f"{server.name} is named no more and is asked nothing more")
        for url in urls:
            if url not in here:
                self._join(url)

    def _join(self, url: URL) -> None:
        assert self.fleet is not None
        try:
            server = self.open(url)
        except ProviderConfigError as error:
            self.say(f"{url.host}:{url.port} is not used: {error}")
            return
        # Put aside until it was seen healthy and compared with the others.
        server.health.failed(server.clock(), "it has just been named")
        self.fleet.add(server)

    async def compare(self) -> None:
        """Tell of servers whose greedy answer differs, of later ones too, until cancelled.

        Kinds of GPU round differently.
        """
        first: tuple[str, str] | None = None
        seen: set[FleetServer] = set()
        while self.fleet is not None:
            able = self.fleet.open_servers()
            new = [one for one in able if one not in self.unchecked and one not in seen]
            seen.update(new)
            texts = await asyncio.gather(*(greedy(one.provider, self.model) for one in new))
            for server, text in zip(new, texts, strict=True):
                if text is None:
                    continue
                first = first or (server.name, text)
                if text != first[1]:
                    self.say(
                        f"{server.name} answers a greedy probe otherwise than {first[0]}: other "
                        "hardware or software, whose samples may differ for the same seed"
                    )
            await asyncio.sleep(COMPARE_S)


@dataclass(slots=True)
class CheckedProbe:
    """A probe that also compares a server with the others before it is asked for samples."""

    opener: Opener
    server: FleetServer
    inner: HttpProbe

    async def load(self) -> ServerLoad | None:
        return await self.inner.load()

    async def ill(self) -> str:
        if ill := await self.inner.ill():
            return ill
        if self.server not in self.opener.unchecked:
            return ""
        try:
            refused = await self.opener.check(self.server)
        except UnknownModel as error:
            refused = f"{self.server.name} is not used: {error}"
        except ProviderError as error:
            return str(error)
        if refused and self.opener.fleet is not None:
            self.opener.say(refused)
            self.opener.fleet.remove(self.server)
        return refused


def own_provider(url: URL, key: Key, model: str, timeout_s: float) -> OpenAIProvider:
    """How a server that was launched here is asked."""
    row = known.find("vllm")
    assert row is not None
    lane = FastLane(url, bearer(key), timeouts=Timeouts(total_s=timeout_s))
    return OpenAIProvider("vllm", lane, key=key, capabilities=row.capabilities_of(model))


async def open_fleet(
    arm: Arm, model: str, typed: Typed, study: Study, limiter: Callable[[], Limiter],
    source: ServersFile | Offer | Sequence[URL], notes: list[str],
) -> Fleet:  # fmt: skip
    """Open and compare the servers that `source` names; raises ConfigError where none serves."""
    transport = probe_transport()
    opener = Opener(arm, model, typed, study.timeout_s, limiter, transport)
    servers: list[FleetServer] = []
    try:
        if isinstance(source, ServersFile | Offer):
            opener.source, urls = source, source.read()
        else:
            urls = list(source)
        servers += [opener.open(url) for url in urls]
        await _check_all(opener, servers, notes)
    except (ConfigError, ProviderConfigError) as error:
        for server in servers:
            await server.provider.aclose()
        if isinstance(error, ProviderConfigError):
            raise ConfigError(f"{error}.") from None
        raise
    fleet = FleetProvider(
        servers[0].provider.name, servers, servers[0].provider.capabilities, tell=opener.say
    )
    opener.fleet = fleet
    watch = FleetWatch(fleet, opener.probe, also=opener.follow)
    limit = FleetLimiter(fleet, patience_s=study.server_patience)
    return Fleet(fleet, limit, watch, opener, transport)


async def _check_all(opener: Opener, servers: Sequence[FleetServer], notes: list[str]) -> None:
    silent: list[str] = []
    for server in servers:
        try:
            refused = await opener.check(server)
        except UnknownModel as error:
            refused = f"{server.name} cannot be used: {error}"
        except ProviderError as error:
            silent.append(f"{server.name}: {error}")
            server.health.failed(server.clock(), str(error))
            continue
        if refused:
            raise ConfigError(
                f"{refused}. One arm is one model; leave that server out, or put it into an arm "
                "of its own."
            )
    if len(silent) == len(servers):
        raise ConfigError(
            f"None of the {len(servers)} servers answers ({'; '.join(silent)}). Start them, or "
            "correct their addresses."
        )
    notes += [f"{one}: it is used once it answers" for one in silent]


def launched_fleet(
    arm: Arm, model: str, typed: Typed, study: Study, limiter: Callable[[], Limiter],
    capabilities: Capabilities,
) -> Fleet:  # fmt: skip
    """A fleet without servers yet: those that are launched join when they are ready."""
    transport = probe_transport()
    opener = Opener(arm, model, typed, study.timeout_s, limiter, transport)
    fleet = FleetProvider("vllm", [], capabilities, tell=opener.say)
    opener.fleet = fleet
    limit = FleetLimiter(fleet, patience_s=study.server_patience)
    return Fleet(fleet, limit, FleetWatch(fleet, opener.probe), opener, transport)
