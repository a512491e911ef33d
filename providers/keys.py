"""Keys go home only: which URL may be asked, and which key may go there.

A key variable of the table (OPENAI_API_KEY, ...) belongs to the hosts of its provider, reached by
https; it is never sent elsewhere, whoever asks. Another host needs a variable of its own, named
explicitly. Error texts name variables and hosts, never a key or a URL's credentials.
"""

from __future__ import annotations

import base64
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
    """A server's text on one line, without our key or anything that looks like one.

    Cut only afterwards: a key that is cut in two is no longer found whole.
    """
    text = _KEY_LIKE.sub("***", " ".join(without_key(text, key).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


PIECE = 8
"""So many characters of a key in a row are taken for a part of it."""


def without_key(text: str, key: Key | None) -> str:
    """The text without the key, or any piece of it, as it is or in base64."""
    if key is None:
        return text
    secret = key.reveal()
    if len(secret) < PIECE:
        return text.replace(secret, "***")
    pieces = {
        form[start : start + PIECE]
        for form in _forms(secret)
        for start in range(len(form) - PIECE + 1)
    }
    clean, end, start = [], 0, 0
    while start <= len(text) - PIECE:
        if text[start : start + PIECE] not in pieces:
            start += 1
            continue
        clean.append(text[end:start] + "***")
        while start <= len(text) - PIECE and text[start : start + PIECE] in pieces:
            start += 1
        start = end = start + PIECE - 1
    return "".join(clean) + text[end:]


def _forms(secret: str) -> set[str]:
    """The key as it is, and what of its base64 is the same whatever stands before and after it."""
    forms = {secret}
    for lead in range(3):
        padded = b"\0" * lead + secret.encode()
        # Four characters carry three bytes: only whole groups of the key's own are kept.
        whole = len(padded) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(padded).decode()[4 * (lead > 0) : whole])
    return forms


class KeyFilter:
    """Takes the key out of whatever a server sends back, before anybody reads it.

    A server that echoes what it was asked with would otherwise have its echo stored. Whole answers
    are looked at for quarters of the key only, which is cheap; one that holds any is cleaned.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = key
        secret = "" if key is None else key.reveal()
        size = len(secret) // 4
        self._signs = [
            form[start : start + size].encode()
            for form in _forms(secret)
            if size >= 4
            for start in range(0, len(form) - size + 1, size)
        ]

    def clean(self, body: bytes) -> bytes:
        """The body without the key."""
        for sign in self._signs:
            if sign in body:
                # Latin-1 keeps every byte, and a key is ASCII.
                return without_key(body.decode("latin-1"), self._key).encode("latin-1")
        return body
