"""Keys go home only: which URL may be asked, and which key may go there.

A key variable of the table (OPENAI_API_KEY, ...) belongs to the hosts of its provider, reached by
https; it is never sent elsewhere, whoever asks. Another host needs a variable of its own, named
explicitly. Error texts name variables and hosts, never a key or a URL's credentials.
"""

from __future__ import annotations

import base64
import html
import ipaddress
import json
import re
from collections.abc import Mapping
from urllib.parse import quote

from yarl import URL

from providers.errors import BadResponse, ProviderConfigError, ProviderError


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


_ESCAPE = re.compile(r"%[0-9A-F]{2}")
PIECE = 8
"""So many characters of a key in a row are taken for a part of it."""


def without_key(text: str, key: Key | None) -> str:
    """The text without the key, or any piece of it, in any of its usual forms."""
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
    """The key as it is, as URLs, JSON and HTML write it, in hex and in base64.

    Of base64 what is the same whatever stands before and after the key.
    """
    quoted = quote(secret, safe="")
    digits = secret.encode().hex()
    forms = {secret, quoted, _ESCAPE.sub(lambda found: found[0].lower(), quoted)}
    forms |= {digits, digits.upper(), secret.replace("/", "\\/"), json.dumps(secret)[1:-1]}
    forms |= {html.escape(secret), html.escape(secret, quote=False)}
    for lead in range(3):
        padded = b"\0" * lead + secret.encode()
        # Four characters carry three bytes: only whole groups of the key's own are kept.
        whole = len(padded) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(padded).decode()[4 * (lead > 0) : whole])
    return forms


MOST_SIGN = 16


class KeyFilter:
    """Takes the key out of whatever a server sends back, before anybody reads it.

    A server that echoes what it was asked with would otherwise have its echo stored. Whole answers
    are looked at for a few spans of the key only, which is cheap: any echo of half of it, or of
    31 characters, holds one. An answer that holds any is cleaned of every piece.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = key
        secret = "" if key is None else key.reveal()
        size = min(max(len(secret) // 4, 4), MOST_SIGN)
        self._signs = sorted(
            {
                form[start : start + size].encode()
                for form in _forms(secret)
                if len(secret) >= PIECE
                for start in range(0, len(form) - size + 1, size)
            }
        )

    def clean(self, body: bytes) -> bytes:
        """The body without the key."""
        for sign in self._signs:
            if sign in body:
                # Latin-1 keeps every byte, and a key is ASCII.
                return without_key(body.decode("latin-1"), self._key).encode("latin-1")
        return body

    def clean_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers without the key."""
        if not self._signs:
            return headers
        said = "\n".join(headers.values()).encode("latin-1", "replace")
        if self.clean(said) is said:
            return headers
        return {name: without_key(value, self._key) for name, value in headers.items()}

    def clean_error(self, error: ProviderError) -> None:
        """Take the key out of an error's words, and of the answer that it keeps."""
        error.args = (without_key(str(error), self._key), *error.args[1:])
        if isinstance(error, BadResponse):
            error.body = self.clean(error.body)
