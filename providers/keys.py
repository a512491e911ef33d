"""Keys go home only: which URL may be asked, and which key may go there.

A key variable of the table (OPENAI_API_KEY, ...) belongs to the hosts of its provider, reached by
https; it is never sent elsewhere, whoever asks. Another host needs a variable of its own, named
explicitly. Error texts name variables and hosts, never a key or a URL's credentials.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from yarl import URL

from providers.errors import ProviderConfigError


class Key:
    """A secret that does not show itself: only `reveal` gives the text."""

    __slots__ = ("_text", "variable")

    def __init__(self, text: str, variable: str) -> None:
        self._text = text
        self.variable = variable

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Key(from {self.variable})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not written anywhere")


def read_key(variable: str, environ: Mapping[str, str]) -> Key | None:
    """The key in `variable`, None if it is unset or empty; raises ProviderConfigError."""
    text = environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ProviderConfigError(
            f"{variable} does not look like a key: it contains spaces or characters that cannot "
            "stand in a header"
        )
    return Key(text, variable)


def checked_url(text: str, source: str) -> URL:
    """A base URL without a trailing slash; raises ProviderConfigError naming `source`."""
    try:
        url = URL(text.strip())
        host, port = url.host, url.port
    except ValueError:
        raise ProviderConfigError(f"{source} is not a URL") from None
    if url.user is not None or url.password is not None:
        raise ProviderConfigError(
            f"{source} carries credentials; put the key into an environment variable and bind it "
            "to the host with `api_key_env` VAR@HOST"
        )
    if url.scheme not in ("http", "https") or not host or not port:
        raise ProviderConfigError(
            f"{source} is not an http or https URL such as http://localhost:8000/v1"
        )
    if url.query_string or url.fragment:
        raise ProviderConfigError(f"{source} must end with its path: leave out what follows ? or #")
    return URL(str(url).rstrip("/"))


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key|Bearer)[-_ ][\w*.\-]{8,}")


def scrubbed(text: str, key: Key | None, limit: int = 300) -> str:
    """A server's text on one line, without our key or anything that looks like one."""
    if key is not None:
        text = text.replace(key.reveal(), "***")
    text = _KEY_LIKE.sub("***", " ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
