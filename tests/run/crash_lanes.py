"""What the crash matrix runs against: servers of several kinds, each with a bill of its own.

A lane says how its run is asked for, what its server billed, how many requests it has open at this
moment, and what its samples should be judged. Servers answer slowly, so that signals find money
under way.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from budgets.money import PICO
from tests.run.batch_house import PRICES as BATCH_PRICES
from tests.run.batch_house import house
from tests.run.conftest import PRICES
from tests.run.serving import Reply, serving
from tests.run.struck import below, named

INPUT, OUTPUT = 3_000_000, 15_000_000
"""Picodollars a token at PRICES."""
KEY = {"SOME_KEY": "abcdefgh12345678"}


@dataclass
class Lane:
    """One kind of run."""

    name: str
    flags: dict[str, str]
    """What a fresh run is asked for with, beside its samples."""
    problems: int
    step: int
    """Samples that each further session adds to every problem."""
    stir: int
    """About how many ledger events a session brings."""
    billed: Callable[[], int]
    """Picodollars that the server billed so far, which grows while it works for a dead client."""
    under_way: Callable[[], int]
    """How many requests the server has taken and not answered; of hours: whether it is held."""
    wide: int
    """How many requests are under way at most."""
    slack: int = 0
    """Picodollars by which the bill of this lane is known."""
    server: frozenset[int] = frozenset()
    """Processes of its server, which no strike means."""
    truth: Callable[[str], str] | None = None
    """The verdict that a text deserves."""
    key: str = ""
    """HOST, where an address of the study must be bound again at a resume."""
    settle: Callable[[], None] = lambda: None
    aims: tuple[str, ...] = ()
    """Steps of the server at one of which a moment is, in place of so many requests under way."""
    reached: Callable[[str], int] = lambda step: 0
    """How often the server came to a step."""
    cap: str = "5"
    ends: frozenset[int] = frozenset({0})
    """How the run ends that is left alone."""

    def words(self, samples: int, name: str, resume: bool) -> list[str]:
        """`orch run ...`: fresh, or continued with more samples."""
        given = dict(self.flags, samples=str(samples), budget=self.cap)
        key = given.pop("api-key-env", "")
        flags = [part for name, value in given.items() for part in (f"--{name}", value)]
        switch = ["--batch"] if self.name.startswith("batch") else []
        if resume:
            bound = ["--api-key-env", f"{key}@{self.key}"] if key else []
            more = ["--samples", str(samples), "--budget", self.cap]
            return ["run", "--resume", name, *bound, *more]
        return ["run", *switch, *flags, *(["--api-key-env", key] if key else []), "--name", name]


def still(count: Callable[[], int], still_s: float = 0.6) -> None:
    """Return once a bill stands still: a server finishes what a killed client had in flight."""
    until = time.monotonic() + 60
    last, since = count(), time.monotonic()
    while time.monotonic() - since < still_s:
        assert time.monotonic() < until, "the bill goes on growing"
        time.sleep(0.05)
        if count() != last:
            last, since = count(), time.monotonic()


@dataclass
class Slow:
    """A server of ours in front of `answer`, which takes its time and counts who waits."""

    answer: Callable[[dict[str, Any]], Reply]
    least_s: float
    most_s: float
    waiting: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.waiting += 1
        try:
            said = self.answer(body)
            time.sleep(random.Random(body["seed"]).uniform(self.least_s, self.most_s))
            return said
        finally:
            with self._lock:
                self.waiting -= 1


@contextlib.contextmanager
def tokens_lane(serve: Callable[[], Any], folder: Path) -> Iterator[Lane]:
    """The bundled model's own server, in a process of its own that outlives every run."""
    before = set(below(os.getpid()))
    server = serve()
    (folder / "p.toml").write_text(PRICES)
    pids = set(below(os.getpid())) - before

    def passed_on(body: dict[str, Any]) -> Reply:
        path = "/chat/completions" if "messages" in body else "/completions"
        asked = urllib.request.Request(
            server.url.rstrip("/") + path, json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(asked, timeout=240) as answer:
            return answer.status, {}, json.load(answer)

    slow = Slow(passed_on, 0.2, 0.8)
    with serving(slow.reply, {"data": [{"id": "orch-tiny"}]}) as url:
        flags = {
            "provider": "openai", "base-url": url + "/v1", "model": "orch-tiny",
            "task": "arithmetic", "prices": str(folder / "p.toml"), "n-per-request": "4",
            "limit": "20", "max-concurrent": "16",
        }  # fmt: skip
        yield Lane(
            "tokens", flags, 20, 32, 300, server.billed, lambda: slow.waiting, 16,
            server=frozenset(pids), settle=lambda: still(lambda: len(server.bill())),
        )  # fmt: skip


PROGRAMS = {
    "passed": "```python\nprint(int(input()) * 2)\n```",
    "failed": "```python\nprint(int(input()) * 2 + 1)\n```",
    "crashed": "```python\nraise SystemExit(3)\n```",
    "slow": "```python\nimport time\ntime.sleep(0.15)\nprint(int(input()) * 2)\n```",
    "no_answer": "I do not know.",
}


def worth(text: str) -> str:
    kind = next(kind for kind, program in PROGRAMS.items() if text.startswith(program))
    return "passed" if kind == "slow" else kind


@contextlib.contextmanager
def programs_lane(folder: Path) -> Iterator[Lane]:
    """Programs that are judged in the cell, from a server with a thread for each request."""
    bill: list[tuple[int, int]] = []
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> Reply:
        rng = random.Random(body["seed"])
        n = body.get("n", 1)
        texts = [f"{rng.choice(list(PROGRAMS.values()))}\n{body['seed']} {i}" for i in range(n)]
        choices = [
            {"index": i, "finish_reason": "stop", "text": text,
             "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(texts)
        ]  # fmt: skip
        with lock:
            bill.append((40, 30 * n))
        usage = {"prompt_tokens": 40, "completion_tokens": 30 * n}
        return 200, {}, {"id": "x", "model": "hostile", "choices": choices, "usage": usage}

    tests = {
        "kind": "stdio",
        "cases": [{"input": f"{i}\n", "output": f"{2 * i}\n"} for i in (3, 8)],
    }
    with (folder / "t.jsonl").open("w") as file:
        for number in range(6):
            line = {"id": f"p{number}", "prompt": f"Double it ({number}).", "tests": tests}
            file.write(json.dumps(line) + "\n")
    (folder / "p.toml").write_text(PRICES.replace("orch-tiny", "hostile"))
    slow = Slow(answer, 0.3, 1.0)
    with serving(slow.reply) as url:
        flags = {
            "provider": "openai", "base-url": url + "/v1", "model": "hostile",
            "task": str(folder / "t.jsonl"), "prices": str(folder / "p.toml"),
            "n-per-request": "2", "max-concurrent": "8", "max-tokens": "64",
        }  # fmt: skip
        yield Lane(
            "programs", flags, 6, 20, 110, lambda: sum(p * INPUT + o * OUTPUT for p, o in bill),
            lambda: slow.waiting, 8, truth=worth, settle=lambda: still(lambda: len(bill)),
        )  # fmt: skip


UPLOADS = {"openai": ("uploading",), "anthropic": ()}


@contextlib.contextmanager
def batch_lane(folder: Path, protocol: str) -> Iterator[Lane]:
    """A batch API: what was handed over runs on, whoever dies."""
    (folder / "p.toml").write_text(BATCH_PRICES)
    with house(protocol) as server:
        server.takes_s, server.lag_s = 1.5, 0.3
        flags = {
            "provider": protocol, "model": "m", "base-url": f"{server.url}/v1", "api-key-env":
            "SOME_KEY", "task": "arithmetic", "prices": str(folder / "p.toml"), "limit": "5",
            "n-per-request": "4", **({"prompt-style": "chat"} if protocol == "openai" else {}),
        }  # fmt: skip
        yield Lane(
            f"batch {protocol}", flags, 5, 8, 10, lambda: server.billed,
            lambda: server.under_way, 1, key=server.url,
            settle=lambda: still(lambda: len(server.bill)),
            reached=lambda step: server.reached[step],
            aims=("reserved", *UPLOADS[protocol], "creating", "made", "looked at", "fetching"),
        )  # fmt: skip


class Presence:
    """How long a server was there, by looking: what its owner would bill."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.here = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        last = None
        while not self._over.wait(0.05):
            self.here = here = any("providers.tiny" in named(pid) for pid in below(os.getpid()))
            now = time.monotonic()
            if here and last is not None:
                self.seconds += now - last
            last = now if here else None

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def hours_lane(folder: Path) -> Iterator[Lane]:
    """The bundled model at a dollar a second: the bill is the time that its server was there."""
    presence = Presence()
    flags = {
        "provider": "local", "task": "arithmetic", "gpu-hour": "3600", "limit": "20",
        "confirm-over": "1000",
    }  # fmt: skip
    try:
        yield Lane(
            "hours", flags, 20, 200, 60, lambda: round(presence.seconds * PICO),
            lambda: int(presence.here), 1, cap="150", slack=2 * PICO, ends=frozenset({0, 3}),
        )  # fmt: skip
    finally:
        presence.end()


def query(run: Path, text: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute(text).fetchall()
