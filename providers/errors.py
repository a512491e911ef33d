"""Every way in which buying a sample can fail, classified once, at a provider's boundary.

    ProviderError
    ├── RateLimited        429 that will clear: pause everything on the key, try again
    ├── Overloaded         5xx, 529: try again
    ├── ConnectionFailed   refused, reset, DNS, TLS: try again
    ├── TimedOut           connect, first byte or total
    ├── BadResponse        an answer that cannot be read (broken JSON, half a body)
    ├── InvalidRequest     this problem cannot be asked so: no retry, the run goes on
    └── Fatal              stop the run and say what to do
        ├── AuthFailed
        ├── NoCredit       quota or daily limit used up, balance empty
        ├── Forbidden      not allowed from here, whatever the key: a region, a gateway
        └── UnknownModel

`sent` says how far the request got, which decides what it may have cost: nothing sent costs
nothing, an error status is not billed, anything else may have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from providers.connection import HttpAnswer
    from providers.sample import SampleResponse

Sent = Literal["not_sent", "rejected", "maybe_billed"]
"""not_sent: no byte of the request left. rejected: the provider answered with an error status.
maybe_billed: the request left and no whole answer came back, or a gateway answered for a server
behind it that may have finished the work (502, 504)."""


class ProviderConfigError(ValueError):
    """A provider that cannot be set up as asked; nothing was sent."""


class ProviderError(Exception):
    """A request that did not become a sample."""

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        sent: Sent,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.sent: Sent = sent
        self.status = status
        self.retry_after_s = retry_after_s


class RateLimited(ProviderError):
    """Too many requests or tokens for now; not charged to an attempt's retries."""

    retryable = True


class Overloaded(ProviderError):
    """The provider cannot answer at the moment."""

    retryable = True


class ConnectionFailed(ProviderError):
    """The connection could not be made or broke."""

    retryable = True


class TimedOut(ProviderError):
    """No answer in time. `phase` says which: only a total timeout is a censored draw."""

    def __init__(
        self,
        message: str,
        *,
        sent: Sent,
        phase: Literal["connect", "first_byte", "total"],
    ) -> None:
        super().__init__(message, sent=sent)
        self.phase = phase
        self.retryable = phase == "connect"


class BadResponse(ProviderError):
    """An answer came and its samples could not be read.

    Drawing again would look at the output (what cannot be read may be what the model wrote), so
    its slots are censored. A page that no model wrote is the exception, and is asked again.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: Sent,
        status: int | None = None,
        body: bytes = b"",
        answer: SampleResponse | None = None,
        of_a_model: bool = True,
    ) -> None:
        super().__init__(message, sent=sent, status=status)
        self.body = body
        """What came, as it came."""
        self.answer = answer
        """What could be read beside the samples: usage, model, id."""
        self.retryable = not of_a_model
        self.cut: HttpAnswer | None = None
        """What came of an answer that broke off in the middle, from the transport."""


class InvalidRequest(ProviderError):
    """The provider refuses this very request."""

    too_long = False
    """Whether the prompt does not fit the model's context, however often it is sent."""
    field = ""
    """The field of the body that it refuses by name, where it names one that can be left out."""


class Fatal(ProviderError):
    """Nothing sent to this provider can succeed until a person acts."""


class AuthFailed(Fatal):
    """The key is missing, wrong, or lacks the right."""


class NoCredit(Fatal):
    """The account's money or quota is used up and does not come back by waiting."""


class Forbidden(Fatal):
    """Not allowed from here, whatever the key."""


class UnknownModel(Fatal):
    """The provider does not have the model."""
