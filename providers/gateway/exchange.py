"""One call's way: bounded, reserved, durable, admitted, passed on, settled, recorded.

A call runs as a task of its own, so that an agent that hangs up stops nothing: before the call has
left it is given back, afterwards the upstream is listened to until it has told its usage, for
`drain_s` at most. What the upstream refuses for the moment, and certainly does not bill, is tried
again here and never shown; whatever may have been billed and is not known counts as spent
(budgets/outcomes.py). The key of an attempt that has ended while its call waited sends nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from budgets.charge import Charge, charge
from budgets.dialects import Reported, read_usage, usage_of
from budgets.limiter import CannotClear, Permit
from budgets.outcomes import LIMITER_OUTCOMES, Action, outcome_action, what_happened
from budgets.price import Price
from providers.errors import BadResponse, Fatal, ProviderError, RateLimited, Sent, UnknownModel
from providers.gateway.accounts import Accounts, Call, key_ended
from providers.gateway.attempts import Attempt
from providers.gateway.dialects import CHAT, COMPLETIONS, ApiPath
from providers.gateway.errors import GatewayRefusal, OverBudget, error_body
from providers.gateway.passing import Heard, Passing, Reply, passed
from providers.gateway.streams import Reader, reader_of
from providers.openai_answer import limit_headers
from providers.refusals import Asked, refusal
from providers.sample import Sending

OUTPUT_TOKENS = 16_384
"""How long an answer may be where the agent does not say and no cap does, at a price per token."""
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
PATIENCE_S = 300.0
"""How long a call may wait for money, limits and retries before its agent is told so."""
_BYTES_PER_TOKEN = 3
"""For rate limits, which want a likely number and are told the true one afterwards."""


class _Answer(msgspec.Struct):
    usage: dict[str, Any] | None = None
    id: str | None = None
    model: str | None = None
    service_tier: Any = None
    cost: Any = None


@dataclass(slots=True)
class House:
    """What all calls share."""

    accounts: Accounts
    drain_s: float
    fatal: Callable[[Exception], None]
    """Told what no further call can succeed after, until a person acts."""
    patience_s: float = PATIENCE_S
    jitter: random.Random = field(default_factory=lambda: random.Random(0))

    def pause_s(self, failures: int) -> float:
        """Seconds before another try."""
        step = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**failures)
        return step * self.jitter.uniform(0.5, 1.0)


class Exchange:
    """One call under way."""

    def __init__(
        self,
        house: House,
        attempt: Attempt,
        endpoint: ApiPath,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self.passing = Passing()
        self.task: asyncio.Task[None]
        self._house = house
        self._accounts = house.accounts
        self._attempt = attempt
        self._endpoint = endpoint
        self._headers = headers
        self._body = body
        self._sending = Sending("not_sent")
        self._call = Call(attempt.number, endpoint.path, "", 0)
        self._worst = 0
        self._price: Price | None = None
        self._prompt_bound = self._output_bound = 0
        self._stream = self._hide = False
        self._deadline = 0.0
        self._upstream_said: Reply | None = None
        """The latest refusal, as the agent may be shown it."""

    def desert(self) -> None:
        """The agent is gone: what has not left is given back, what has is listened to a while."""
        self.passing.desert()
        if self._sending.sent == "not_sent":
            self.task.cancel()
        else:
            asyncio.get_running_loop().call_later(self._house.drain_s, self.task.cancel)

    async def run(self) -> None:
        """The whole way. Whatever happens, the reservation is closed and the agent answered."""
        self._deadline = time.monotonic() + self._house.patience_s
        try:
            await self._run()
        except asyncio.CancelledError:
            self._close("Cancelled", "the call was cut off")
            self._refuse(GatewayRefusal(503, "The gateway is closing.", code="overloaded"))
            raise
        except OverBudget as error:
            self._release()
            self._accounts.refused(self._attempt, self._call, error)
            self._refuse(error)
        except GatewayRefusal as error:
            self._release()
            self._refuse(error)
        except ProviderError as error:
            self._fail(error)
        except Exception as error:
            # A disk that is full, or a mistake of ours: whoever opened the gateway must hear of it.
            self._house.fatal(error)
            self._close("BadResponse", "a fault of the gateway's")
            self._refuse(
                GatewayRefusal(500, "The gateway failed at this call.", code="server_error")
            )

    async def _run(self) -> None:
        attempt, upstream = self._attempt, self._attempt.upstream
        upstream.refuse_unspoken(self._endpoint)
        reader: Reader | None = None
        if self._endpoint.billed:
            self._prepare()
            reader = reader_of(self._endpoint, hide=self._hide) if self._stream else None
            wait_s = self._deadline - time.monotonic()
            self._call.reservation = await self._accounts.reserve(attempt, self._worst, wait_s)
            await self._accounts.book.durable()
        failures = pauses = 0
        while True:
            try:
                await self._try(reader)
                return
            except ProviderError as error:
                limited = isinstance(error, RateLimited)
                pause_s = self._pause_before_retry(error, failures, pauses)
                if pause_s is None:
                    raise
                failures, pauses = failures + (not limited), pauses + limited
            self._call.tries += 1
            self._sending.sent = "not_sent"
            await asyncio.sleep(pause_s)

    def _prepare(self) -> None:
        """Read the body, bound its cost, and ask for what the gateway needs to hear."""
        attempt, endpoint = self._attempt, self._endpoint
        body = document(self._body)
        model = attempt.upstream.fixed(body.get("model"))
        body["model"] = self._call.model = model
        self._price = price = attempt.upstream.price_of(model)
        asked, most = endpoint.asked_output(body), attempt.caps.output_tokens
        if asked is None and most is None and price is not None and not price.free:
            most = OUTPUT_TOKENS
        if endpoint.output_fields and most is not None and (asked is None or asked > most):
            field = attempt.upstream.output_field(model) if endpoint is CHAT else ""
            endpoint.limit_output(body, most, field)
        self._stream = body.get("stream") is True
        if self._stream and (endpoint is CHAT or endpoint is COMPLETIONS):
            options = body.get("stream_options")
            options = options if isinstance(options, dict) else {}
            self._hide = options.get("include_usage") is not True
            body["stream_options"] = {**options, "include_usage": True}
        assert endpoint.bound is not None
        bound = endpoint.bound(body)
        self._prompt_bound = bound.prompt_tokens + attempt.output_tokens
        self._output_bound = bound.output_tokens
        if price is not None:
            self._worst = price.worst(
                prompt_tokens=self._prompt_bound,
                output_tokens=self._output_bound,
                cache_write=bound.cache_write,
            )
        self._body = msgspec.json.encode(body)

    async def _try(self, reader: Reader | None) -> None:
        """Send once; raises ProviderError, which nothing of has been shown to the agent yet."""
        upstream = self._attempt.upstream
        permit = await self._admit() if self._endpoint.billed else None
        heard = Heard(self.passing, reader, upstream.key_filter)
        sent_at = time.monotonic()
        self._call.sent_at = time.time()
        try:
            if self._attempt.ended:
                raise key_ended()
            await upstream.transport.send(
                upstream.route(self._endpoint, self._headers),
                self._body if self._endpoint.method == "POST" else None,
                sending=self._sending,
                timeouts=upstream.timeouts,
                listener=heard,
            )
            body = b"" if heard.streaming else self._whole(heard)
            if heard.status != 200:
                raise self._refusal(heard, body)
        except BaseException as error:
            self._call.latency_s = time.monotonic() - sent_at
            self._done(permit, sent_at, error, heard)
            raise
        self._call.latency_s = time.monotonic() - sent_at
        self._answered(heard, reader, body, permit, sent_at)

    async def _admit(self) -> Permit:
        limiter = self._attempt.upstream.limiter
        started = time.monotonic()
        tokens = self._prompt_bound // _BYTES_PER_TOKEN
        try:
            async with asyncio.timeout(self._deadline - started):
                return await limiter.admit(tokens, self._output_bound)
        except TimeoutError:
            raise GatewayRefusal(503, "The upstream's rate limit had no room in time.",
                          code="overloaded") from None  # fmt: skip
        except CannotClear as reason:
            self._house.fatal(reason)
            raise GatewayRefusal(503, f"The upstream cannot be asked now: {reason}.",
                          code="overloaded") from None  # fmt: skip
        finally:
            self._attempt.waited_s += time.monotonic() - started

    def _done(
        self, permit: Permit | None, sent_at: float, error: BaseException, heard: Heard
    ) -> None:
        """Tell the limiter of a try that failed."""
        if permit is None:
            return
        retry_after_s = error.retry_after_s if isinstance(error, ProviderError) else None
        self._attempt.upstream.limiter.done(
            outcome=LIMITER_OUTCOMES.get(type(error).__name__, "other"),
            sent_at=sent_at,
            headers=limit_headers(heard.headers),
            retry_after_s=retry_after_s,
            permit=permit,
        )

    def _answered(
        self,
        heard: Heard,
        reader: Reader | None,
        body: bytes,
        permit: Permit | None,
        sent_at: float,
    ) -> None:
        """Success: settle by the upstream's usage, then let the agent see the end."""
        self._call.status = 200
        if self._endpoint.billed:
            self._settle(heard, reader, body, permit, sent_at)
        if heard.streaming and reader is not None:
            self.passing.push(self._attempt.upstream.key_filter.clean(reader.end()))
            self.passing.finish()
        else:
            kind = heard.headers.get("content-type", "application/json")
            headers = {"content-type": kind, **passed(heard.headers)}
            self.passing.answer(Reply(200, body, headers))

    def _settle(
        self,
        heard: Heard,
        reader: Reader | None,
        body: bytes,
        permit: Permit | None,
        sent_at: float,
    ) -> None:
        attempt, call = self._attempt, self._call
        raw: Mapping[str, Any] | None
        beside: Mapping[str, Any] = {}
        if heard.streaming and reader is not None:
            call.streamed, raw = True, reader.usage
        else:
            raw, beside = self._told(body)
        usage = self._endpoint.usage_of(raw)
        if self._endpoint.usage_of is usage_of:
            said = read_usage(raw, beside, headers=heard.headers)
        else:
            said = Reported(usage)
        attempt.upstream.limiter.done(
            outcome="ok", sent_at=sent_at, headers=limit_headers(heard.headers),
            usage=usage, permit=permit,
        )  # fmt: skip
        attempt.answered += 1
        call.usage, call.usage_raw = usage, b"" if raw is None else msgspec.json.encode(raw)
        booked = Charge(0, 0)
        if self._price is not None:
            # What of it is not certain (a tier, a surcharge, dollars of its own) is held.
            booked = charge(self._price, said, self._worst, at=datetime.now(UTC))
        call.outcome = "ok" if booked.settled is not None else "ok_no_usage"
        if usage is not None:
            attempt.used = attempt.used.plus(usage)
        self._book(booked.settled, booked.held, booked.why)

    def _told(self, body: bytes) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
        """The usage of a whole answer, and what stands beside it of its price."""
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None, {}
        self._call.provider_id = answer.id or ""
        beside = {"service_tier": answer.service_tier, "cost": answer.cost, "model": answer.model}
        return answer.usage, beside

    def _whole(self, heard: Heard) -> bytes:
        try:
            return self._attempt.upstream.key_filter.clean(heard.whole())
        except ValueError as error:
            raise BadResponse(f"an answer that cannot be read: {error}", sent="maybe_billed",
                              status=heard.status) from None  # fmt: skip

    def _refusal(self, heard: Heard, body: bytes) -> ProviderError:
        """What an answer that is no success stands for; the answer is kept for the agent."""
        door = self._attempt.upstream.door
        host = door.base_url.host or ""
        asked = Asked(door.row.name, host, door.key, door.key_variable, self._call.model)
        error = refusal(heard.status, heard.headers, body, asked)
        kind = heard.headers.get("content-type", "application/json")
        self._upstream_said = Reply(
            heard.status, body, {"content-type": kind, **passed(heard.headers)}
        )
        return error

    # What did not become an answer.

    def _pause_before_retry(self, error: ProviderError, failures: int, pauses: int) -> float | None:
        """How long to wait before the same call is sent again; None: it is not.

        `pauses`: how often a rate limit was met. The limiter waits as long as the upstream asks;
        the pause here grows where it asks for none.
        """
        action = outcome_action(self._attempt.upstream.name, _what(error))
        limited = isinstance(error, RateLimited)
        tried = failures >= self._attempt.upstream.max_retries and not limited
        if action != "release" or not error.retryable or tried or self.passing.deserted:
            return None
        pause_s = self._house.pause_s(pauses if limited else failures)
        if not limited:
            pause_s = max(error.retry_after_s or 0.0, pause_s)
        return pause_s if time.monotonic() + pause_s < self._deadline else None

    def _fail(self, error: ProviderError) -> None:
        """The upstream did not answer: book what it may have cost, and tell the agent."""
        attempt, kind = self._attempt, type(error).__name__
        attempt.failed[kind] = attempt.failed.get(kind, 0) + 1
        fatal = isinstance(error, Fatal)
        if isinstance(error, UnknownModel) and not attempt.upstream.model:
            fatal = False
        reply = self._upstream_said
        if fatal:
            self._house.fatal(error)
            text = f"The gateway's upstream refuses every call: {error}"
            reply = self._own(
                GatewayRefusal(self._endpoint.stop_status, text, code="upstream_refused")
            )
        elif reply is None or error.status is None:
            reply = self._own(
                GatewayRefusal(502, f"The upstream did not answer: {error}", code="upstream")
            )
        self._call.status = reply.status
        self._close(kind, _what(error), error)
        self._reply(reply)

    def _close(self, kind: str, note: str, error: ProviderError | None = None) -> None:
        """Release or hold the reservation by the outcome table, if it is open."""
        if not self._call.reservation:
            return
        sent: Sent = self._sending.sent if error is None else error.sent
        status = None if error is None else error.status
        self._call.outcome = what_happened(kind, sent, status)
        if outcome_action(self._attempt.upstream.name, self._call.outcome) == "release":
            self._release(self._call.outcome)
        else:
            self._book(None)

    def _release(self, outcome: str = "not_sent") -> None:
        if self._call.reservation:
            self._call.outcome = outcome
            self._accounts.over(self._attempt, self._call, self._worst, "release", None)
            self._call = Call(self._call.attempt, self._call.endpoint, self._call.model, 0)

    def _book(self, cost: int | None, held: int = 0, why: str = "") -> None:
        """Settle, or hold where the cost is not known; `held`: what may come on top, and why."""
        action: Action = "hold" if cost is None else "settle"
        self._accounts.over(
            self._attempt,
            self._call,
            self._worst,
            action,
            cost,
            held if cost is not None else 0,
            why,
        )
        self._call = Call(self._call.attempt, self._call.endpoint, self._call.model, 0)

    def _refuse(self, error: GatewayRefusal) -> None:
        self._reply(self._own(error))

    def _own(self, error: GatewayRefusal) -> Reply:
        """A refusal in the dialect's words; over a cap, with the status that stops its agents."""
        status = self._endpoint.stop_status if isinstance(error, OverBudget) else error.status
        body = error_body(self._endpoint.shape, status, str(error), error.code)
        return Reply(status, body, {"content-type": "application/json"})

    def _reply(self, reply: Reply) -> None:
        if self.passing.reply is None:
            self.passing.answer(reply)
        else:
            self.passing.finish(broken=True)


def _what(error: ProviderError) -> str:
    return what_happened(type(error).__name__, error.sent, error.status)


def document(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises GatewayRefusal."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayRefusal(400, f"The body is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise GatewayRefusal(400, "The body is not a JSON object.")
    return found
