"""A fleet as one provider: each request goes to the server that would be done with it first.

A try that certainly cost nothing (no byte left, an error status that is not billed) is sent to
another server at once, under the reservation that its sender holds; what may have cost anything
goes back to the sender, who books it and asks the same request again with the same seed. Which
server a request went to is left in `request.sending.server`.

`admission` (FleetLimiter) lets a request through when some server has room for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from budgets.outcomes import outcome_action, what_happened
from providers.errors import BadResponse, ConnectionFailed, ProviderError, RateLimited
from providers.fleet.routing import Expected, choose
from providers.fleet.server import FleetServer
from providers.sample import Capabilities, SampleRequest, SampleResponse


class FleetProvider:
    """Several servers of one model; see the module's contract."""

    def __init__(
        self,
        name: str,
        servers: Sequence[FleetServer],
        capabilities: Capabilities,
        *,
        tell: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` gets sentences for a person."""
        self.name = name
        self.capabilities = capabilities
        self.servers: list[FleetServer] = list(servers)
        self.tell = tell
        self.clock = clock
        self.changed = asyncio.Event()
        """Set when anything came back, came or went."""
        self.requests = 0
        """Requests inside `sample` now."""
        self._expected: Expected | None = None
        self._gone: list[FleetServer] = []

    def expected_tokens(self, prompt: str) -> float:
        """Output tokens expected of one sample of a prompt; 0 before anything was asked."""
        return 0.0 if self._expected is None else self._expected.of(prompt)

    def open_servers(self) -> list[FleetServer]:
        """The servers that may be asked now."""
        now = self.clock()
        return [one for one in self.servers if not one.leaving and one.health.open(now)]

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request to a server that is well; raises ProviderError."""
        if self._expected is None:
            self._expected = Expected(request.max_tokens)
        prompt = prompt_of(request)
        work = self._expected.of(prompt) * request.n
        tried: list[FleetServer] = []
        self.requests += 1
        try:
            while True:
                server = self._choose(request, prompt, work, tried)
                request.sending.server = server.name
                try:
                    response = await server.ask(request, prompt, work)
                except ProviderError as error:
                    tried.append(server)
                    self._say_aside(server)
                    if not self._cost_nothing(error) or not self._others(tried):
                        raise
                else:
                    if response.usage is not None:
                        tokens = response.usage.output_tokens
                        self._expected.saw(prompt, tokens, max(len(response.choices), 1))
                    return response
        finally:
            self.requests -= 1
            self.changed.set()

    async def models(self) -> list[str]:
        """The ids of the models that every server offers; raises ProviderError."""
        offered = [await server.provider.models() for server in self.servers]
        return [name for name in offered[0] if all(name in other for other in offered)]

    async def aclose(self) -> None:
        """Close the connections to all servers."""
        for server in (*self.servers, *self._gone):
            await server.provider.aclose()

    def add(self, server: FleetServer) -> None:
        """Use a server from now on."""
        self.servers.append(server)
        self.changed.set()

    def remove(self, server: FleetServer) -> None:
        """Ask a server nothing more; what it has in flight may still come back."""
        server.leaving = True
        self.servers.remove(server)
        self._gone.append(server)
        self.changed.set()

    @property
    def every_server(self) -> list[FleetServer]:
        """Those in use, and those that left."""
        return [*self.servers, *self._gone]

    def cut(self, server: FleetServer, why: str) -> None:
        """A server hangs: what it has in flight goes elsewhere."""
        server.cut(why)
        self._say_aside(server)
        self.changed.set()

    def _choose(
        self, request: SampleRequest, prompt: str, work: float, tried: Sequence[FleetServer]
    ) -> FleetServer:
        able = [one for one in self.open_servers() if one not in tried]
        if not able:
            raise ConnectionFailed(f"none of the servers is up: {self.down()}", sent="not_sent")
        roomy = [one for one in able if one.free(request.n)[0] >= request.n]
        able = roomy or able
        return able[choose(able, work, prompt)]

    def _others(self, tried: Sequence[FleetServer]) -> bool:
        return any(one not in tried for one in self.open_servers())

    def _cost_nothing(self, error: ProviderError) -> bool:
        """Whether the same request may go to another server under the same reservation."""
        if not error.retryable or isinstance(error, RateLimited | BadResponse):
            return False
        happened = what_happened(type(error).__name__, error.sent, error.status)
        return outcome_action(self.name, happened) == "release"

    def _say_aside(self, server: FleetServer) -> None:
        if not server.health.well:
            self.tell(f"{server.name} is put aside: {server.health.why}")

    def down(self) -> str:
        """Why each server is not asked, in words."""
        return "; ".join(f"{one.name}: {one.health.why or 'leaving'}" for one in self.servers)


def prompt_of(request: SampleRequest) -> str:
    """What tells a request's prompt from others."""
    if request.prompt is not None:
        return request.prompt
    return "\0".join(message["content"] for message in request.messages or ())
