"""Which key a person gave to which host: VAR@HOST.

A host is scheme, name and port, so that neither http in place of https nor another port gets a
key. A variable without a host is for the one host that is asked; whether a person named that host
is for the caller to know. Errors name variables and hosts, never a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from yarl import URL

from providers.errors import ProviderConfigError
from providers.keys import checked_url

FIELD = "`api_key_env`"


class Host(NamedTuple):
    """What a key belongs to."""

    scheme: str
    name: str
    port: int

    @classmethod
    def of(cls, url: URL) -> Host:
        """The host of a checked URL (providers.keys.checked_url)."""
        return cls(url.scheme, (url.host or "").rstrip("."), url.port or 0)

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        usual = {"https": 443, "http": 80}.get(self.scheme)
        return f"{self.scheme}://{name}" + ("" if self.port == usual else f":{self.port}")


class Binding(NamedTuple):
    """A key's variable and the host that it belongs to; None: the one that is asked."""

    variable: str
    host: Host | None
    file: str = ""
    """A file of servers: the key belongs to every host that it names."""


def read_bindings(texts: Iterable[str]) -> tuple[Binding, ...]:
    """The bindings that were given, in order; raises ProviderConfigError.

    Each text is VAR or VAR@HOST, where HOST is an address such as https://llm.example:8443; a
    path in it is left out, and without a scheme https is meant. VAR@FILE gives the key to every
    server that a file of addresses names.
    """
    bindings: list[Binding] = []
    for text in texts:
        variable, at, address = text.partition("@")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable) or (at and not address):
            raise ProviderConfigError(
                f"{FIELD} takes the name of a variable and the host that its key belongs to, such "
                "as CORP_KEY@https://llm.example:8443; the key itself is never given there"
            )
        host, file = None, ""
        if address and "://" not in address and Path(address).expanduser().is_file():
            file = str(Path(address).expanduser().absolute())
        elif address:
            whole = address if "://" in address else f"https://{address}"
            host = Host.of(checked_url(whole, f"the host in {FIELD} {variable}@..."))
        for other in bindings:
            if (other.host, other.file) == (host, file) and other.variable != variable:
                raise ProviderConfigError(
                    f"{FIELD} gives both {other.variable} and {variable} to "
                    f"{host or 'the one host that is asked'}; a host gets one key"
                )
        bindings.append(Binding(variable, host, file))
    return tuple(bindings)


def bound_variable(bindings: Sequence[Binding], host: Host | None) -> str | None:
    """The variable bound to `host` itself, None if there is none."""
    return next((one.variable for one in bindings if one.host and one.host == host), None)


def refuse_idle(bindings: Iterable[Binding], hosts: Iterable[Host]) -> None:
    """Raise ProviderConfigError for a binding to a host that nobody asks: a slip in its name."""
    asked = set(hosts)
    for binding in bindings:
        if binding.host is not None and binding.host not in asked:
            shown = ", ".join(sorted(map(str, asked))) or "none"
            raise ProviderConfigError(
                f"{FIELD} binds {binding.variable} to {binding.host}, which no arm asks; the hosts "
                f"asked are: {shown}"
            )


def for_the_one_host(bindings: Iterable[Binding], hosts: Iterable[Host], named: bool) -> str | None:
    """The variable that was given without a host, None if none was.

    `named`: a person named the one host, or it is the provider's own. Raises ProviderConfigError
    where several hosts are asked, or a file or variable named it.
    """
    variable = next((one.variable for one in bindings if not one.host and not one.file), None)
    if variable is None:
        return None
    asked = sorted({str(host) for host in hosts})
    if len(asked) > 1:
        raise ProviderConfigError(
            f"{FIELD} {variable} names no host and {len(asked)} are asked ({', '.join(asked)}); "
            f"say which gets that key: {FIELD} {variable}@{asked[0]}"
        )
    if asked and not named:
        raise ProviderConfigError(
            f"{FIELD} {variable} names no host, and {asked[0]} comes from a study file or the "
            "environment, which give no key away; if that host is right, say so: "
            f"{FIELD} {variable}@{asked[0]}"
        )
    return variable
