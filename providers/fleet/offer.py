"""A fleet that one process holds and others may use: told over a socket private to the user.

Whoever connects gets one JSON document: the model, the servers' addresses as they are now, and
their key, which so never lies in a file. A socket whose process is gone refuses, and is no offer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from providers.errors import ProviderConfigError
from providers.fleet.holds import state_directory
from providers.keys import Key

ANSWER_S = 2.0


def offer_path(identifier: str) -> Path:
    directory = state_directory() / "fleets"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{identifier}.sock"


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same place by a short name: a socket's may have a hundred characters or so."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


class Offering:
    """The holder's side: answers until closed."""

    def __init__(self, identifier: str, tell: Callable[[], dict[str, object]]) -> None:
        """`tell` makes the document: "model", "urls" and "keys", one for each address."""
        self.path = offer_path(identifier)
        self._tell = tell
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        before = os.umask(0o177)
        try:
            with _short(self.path) as path:
                self._server = await asyncio.start_unix_server(self._answer, path)
        finally:
            os.umask(before)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(self._tell()).encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)


@dataclass(slots=True)
class Offer:
    """The user's side: a fleet that somebody holds; has the ways of a ServersFile."""

    path: Path
    model: str
    urls: dict[URL, Key]

    def read(self) -> list[URL]:
        """Its addresses now; raises ProviderConfigError where its holder is gone."""
        again = ask(self.path)
        if again is None:
            raise ProviderConfigError("whoever held this fleet is gone, and its servers with it")
        self.urls = again.urls
        return list(self.urls)

    def changed(self) -> list[URL] | None:
        """Its addresses where they have changed; None where not, or where its holder is gone."""
        again = ask(self.path)
        if again is None or list(again.urls) == list(self.urls):
            return None
        self.urls = again.urls
        return list(self.urls)


def ask(path: Path) -> Offer | None:
    """What is offered at a socket; None where nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            with _short(path) as short:
                connection.connect(short)
            with connection.makefile("rb") as file:
                document = json.loads(file.read())
        pairs = zip(document["urls"], document["keys"], strict=True)
        urls = {URL(url): Key(key, "the key of a launched server") for url, key in pairs}
        return Offer(path, str(document["model"]), urls)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_offer(model: str) -> Offer | None:
    """A fleet of this model that somebody holds now and that has a server; None: there is none."""
    try:
        paths = sorted(offer_path("any").parent.glob("*.sock"))
    except OSError:
        return None
    found = (offer for path in paths if (offer := ask(path)) is not None)
    return next((offer for offer in found if offer.model == model and offer.urls), None)
