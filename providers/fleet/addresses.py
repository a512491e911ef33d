"""Where a fleet's servers are: several URLs in one text, or a file of them that is read again.

A file has one URL a line; what follows # is a comment. It is how batch systems and autoscalers
announce servers, so it may change at any time: a server that it names anew is used, one that it
names no more is asked nothing more.
"""

from __future__ import annotations

from pathlib import Path

from yarl import URL

from providers.errors import ProviderConfigError
from providers.keys import checked_url


def split_urls(text: str, source: str) -> list[URL]:
    """The URLs of a text with commas, each once; raises ProviderConfigError."""
    urls = [checked_url(part, source) for part in text.split(",") if part.strip()]
    return list(dict.fromkeys(urls))


class ServersFile:
    """A file of URLs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None

    def read(self) -> list[URL]:
        """Its URLs, in order; raises ProviderConfigError naming the line that is wrong."""
        try:
            self._seen = self._mark()
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ProviderConfigError(f"`servers` {self.path} cannot be read: {reason}") from None
        urls = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                urls.append(checked_url(text, f"line {number} of {self.path}"))
        return list(dict.fromkeys(urls))

    def changed(self) -> list[URL] | None:
        """Its URLs where it has changed since it was read; None where it has not, or is away."""
        try:
            if self._mark() == self._seen:
                return None
        except OSError:
            return None
        return self.read()

    def _mark(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size
