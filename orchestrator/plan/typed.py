"""What only the person at the keyboard can say, and no file, `.env` or variable says for them.

A study file may come from a stranger, and so may a `.env` or a whole run directory. So a key goes
only to a host that it was bound to on the command line, and a price that counts less than the
published one, which would make the cap a multiple of itself, must be named there as well.
"""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from budgets.money import usd
from budgets.price import Price
from budgets.price_book import PriceBook
from budgets.undercut import Undercut, undercut
from orchestrator.errors import ConfigError
from orchestrator.plan.addresses import urls_of
from orchestrator.plan.study import Arm
from providers.bindings import Binding, Host, bound_variable, for_the_one_host, refuse_idle
from providers.errors import ProviderConfigError
from providers.keys import is_loopback
from providers.registry import home_of, host_of, key_variable

FAR_BELOW = Fraction(1, 10)
"""A price below this share of the published one is said at the start, whoever named it."""


class Typed(NamedTuple):
    """What stood on the command line itself."""

    keys: tuple[Binding, ...] = ()
    """--api-key-env, which the shell's own ORCH_API_KEY_ENV may give as well."""
    base_url: bool = False
    prices: str = ""
    """The file of --prices; "" where it was not typed."""
    gpu_hour: bool = False
    trust: bool = False
    """To judge without a sandbox."""
    vllm: str = ""
    """--vllm: a program to run."""
    server_args: tuple[str, ...] = ()
    """--server-arg: what launched servers are given, some of which load code."""
    lease_s: float = 0.0
    use_held: bool = False
    """To use a fleet that `orch serve --launch` holds instead of launching one."""


class Destination(NamedTuple):
    """Where an arm's requests go, and with which key."""

    host: Host | None
    """None: a server of orch's own, or a recording."""
    bound: str | None
    """The variable that a person bound to the host; None: the provider's own, if it is at home."""
    variable: str | None
    """The variable whose key goes along; None: no key does."""


NOWHERE = Destination(None, None, None)


def server_arguments(texts: tuple[str, ...]) -> tuple[str, ...]:
    """--server-arg as words, as a shell would split them; raises ConfigError."""
    try:
        return tuple(word for text in texts for word in shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"--server-arg {texts[-1]!r} cannot be split: {error}.") from None


def destinations_of(arms: list[Arm], typed: Typed) -> list[Destination]:
    """Where each arm's requests go, and with which key; raises ConfigError.

    Arms of the bundled model are to be left out by the caller: their server needs no key.
    """
    try:
        places = [_addresses(arm) for arm in arms]
        all_found = [
            [host_of(arm.provider, address, os.environ) for address in addresses]
            for arm, addresses in zip(arms, places, strict=True)
        ]
        hosts = {
            place[0]: place[1] or typed.base_url for found in all_found for place in found if place
        }
        refuse_idle(typed.keys, hosts)
        alone = for_the_one_host(typed.keys, hosts, all(hosts.values()))
        asked = []
        for arm, addresses, found in zip(arms, places, all_found, strict=True):
            # Servers of a fleet are alike; each gets its own host's key when it is opened.
            host = None if found[0] is None else found[0][0]
            bound = bound_variable(typed.keys, host) or alone
            variable = key_variable(
                arm.provider, base_url=addresses[0], api_key_env=bound, environ=os.environ
            )
            asked.append(Destination(host, bound, variable))
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None
    return asked


def _addresses(arm: Arm) -> list[str | None]:
    """Where the arm's requests may go; None: the provider's own address."""
    return [str(url) for url in urls_of(arm)] or [arm.base_url or None]


def refuse_cheap_hours(arm: Arm, host: Host | None, typed: Typed) -> None:
    """Raise ConfigError where a file says that a provider who bills tokens is paid by the hour."""
    owner = None if host is None else home_of(host)
    if owner is not None and arm.gpu_hour and not typed.gpu_hour:
        raise ConfigError(
            f"The study prices {arm.model} by the hour, but {host} is {owner}'s own host and bills "
            "tokens, so its bill would not be counted; leave gpu_hour out, or give --gpu-hour on "
            "the command line if you know that it holds."
        )


def check_price(
    arm: Arm, model: str, host: Host | None, book: PriceBook, file: str, typed: Typed
) -> str | None:
    """A sentence about a stated price far below the published one, None where there is none.

    Raises ConfigError where it is below at all and its file was not named on the command line.
    """
    today = datetime.now(UTC)
    stated = book.stated(model, arm.provider, today)
    listed = None if stated is None else _listed(arm, model, host, book)
    found = stated and listed and undercut(stated, listed, batch=arm.batch)
    if not found or listed is None:
        return None
    said = (
        f"{file} prices {_of(found)} {model} at ${usd(found.rate)}, and {listed.source} at "
        f"${usd(found.listed)}"
    )
    if not typed.prices:
        raise ConfigError(
            f"{said}, so a budget could cost a multiple of itself. Name that file on the command "
            f"line if its price holds: --prices {file}"
        )
    return f"{said}: less than a tenth of it" if found.share < FAR_BELOW else None


def _listed(arm: Arm, model: str, host: Host | None, book: PriceBook) -> Price | None:
    """What is published for the model where it is asked, or else where it comes from."""
    today = datetime.now(UTC)
    owner = None if host is None else home_of(host)
    listed = book.listed(model, owner or arm.provider, today)
    if listed is not None or host is None or is_loopback(host.name):
        return listed
    from budgets.catalogue import vendors

    for vendor in vendors(model, today):
        return book.listed(model, vendor, today)
    return None


def _of(found: Undercut) -> str:
    return "a request of" if found.kind == "request" else f"{found.kind} tokens (per million) of"
