"""A server that sends the key back, in every place and form: nothing of it is kept or shown."""

from __future__ import annotations

import base64
import contextlib
import gzip
import html
import json
import sqlite3
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.run.crash_lanes import programs_lane
from tests.run.serving import Said, saying
from tests.run.struck import below, named, start

SECRET = "sk-orch/Zq+9=wX&yT7<bN3>mK5%rL2-4hJd8"
PIECE = 8

FORMS: dict[str, Callable[[str], str]] = {
    "whole": lambda key: key,
    "cut": lambda key: key[3:24],
    "url": lambda key: urllib.parse.quote(key, safe=""),
    "url, lower case": lambda key: urllib.parse.quote(key, safe="").replace("%2F", "%2f"),
    "base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(b"x" + key.encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "HEX": lambda key: key.encode().hex().upper(),
    "json": lambda key: json.dumps(key).replace("/", "\\/"),
    "html": html.escape,
}


def answer(text: str = "4", **more: object) -> dict[str, object]:
    choice = {"index": 0, "finish_reason": "stop", "text": text,
              "message": {"role": "assistant", "content": text}}  # fmt: skip
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"id": "x", "model": "m", "choices": [choice], "usage": usage, **more}


def as_json(document: object, status: int = 200, **headers: str) -> Said:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps(document).encode()


def refused(status: int, echo: str, **headers: str) -> Said:
    error = {"message": f"Incorrect key: {echo}", "type": echo, "param": echo, "code": echo}
    return as_json({"error": error}, status, **headers)


PLACES: dict[str, Callable[[str], Said]] = {
    "the text": lambda echo: as_json(answer(echo)),
    "the id": lambda echo: as_json(answer(id=echo)),
    "the model": lambda echo: as_json(answer(model=echo)),
    "a header": lambda echo: as_json(answer(), x_request_id=echo, request_id=echo),
    "the finish": lambda echo: as_json(
        {**answer(), "choices": [{"index": 0, "text": "4", "finish_reason": echo}]}
    ),
    "the usage": lambda echo: as_json(
        answer(usage={"prompt_tokens": 1, "completion_tokens": 1, "note": echo, echo: 1})
    ),
    "an error inside a 200": lambda echo: as_json({"error": {"message": echo, "code": echo}}),
    "a page": lambda echo: (200, {"Content-Type": "text/html"}, f"<p>{echo}".encode()),
    "something after it": lambda echo: (200, {}, json.dumps(answer()).encode() + echo.encode()),
    "a strange encoding": lambda echo: (200, {"Content-Encoding": "br"}, echo.encode()),
    "broken gzip": lambda echo: (
        200,
        {"Content-Encoding": "gzip"},
        gzip.compress(echo.encode())[:-9] + echo.encode(),
    ),
    "a 400": lambda echo: refused(400, echo),
    "a 422": lambda echo: as_json({"detail": [{"loc": ["body", echo], "msg": echo}]}, 422),
    "a 429": lambda echo: refused(429, echo, Retry_After="0"),
    "a 500": lambda echo: (500, {}, f"trace: {echo}".encode()),
    "a 503": lambda echo: refused(503, echo, Retry_After=echo),
}
LAST = {
    "a 401": lambda echo: refused(401, echo),
    "a 404": lambda echo: refused(404, f"model {echo}"),
    "a redirect": lambda echo: (307, {"Location": f"http://127.0.0.1:1/{echo}"}, b""),
}
"""What ends a run."""


def echoing(answers: list[Said]) -> contextlib.AbstractContextManager[str]:
    """A server that gives these answers, and then ordinary ones."""
    return saying(answers, as_json(answer()), key=SECRET)


def pieces() -> set[str]:
    """What must stand nowhere: so many characters in a row of the key in any form."""
    told = [form(SECRET) for form in FORMS.values()]
    # Of base64 only what is the key's own.
    told += [base64.b64encode(b"\0" * lead + SECRET.encode()).decode()[4:-4] for lead in range(3)]
    own = [text for text in told if not text.startswith(("QmVhcmVy", "eHNr"))]
    return {text[i : i + PIECE] for text in own for i in range(len(text) - PIECE + 1)}


def everything(folder: Path) -> Iterator[tuple[str, str]]:
    """Every text below a folder: files, and rows of databases with what is packed in them."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes().decode("latin-1")
        if path.name == "run.db":
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                for (packed,) in db.execute("SELECT content FROM bodies").fetchall():
                    yield f"{path}: bodies", zlib.decompress(packed).decode("latin-1")


def nothing_in(texts: Iterator[tuple[str, str]]) -> None:
    wanted = pieces()
    for where, text in texts:
        found = [piece for piece in wanted if piece in text]
        assert not found, (where, found[:3], [text[max(text.find(p) - 60, 0) :][:200]
                                              for p in found[:1]])  # fmt: skip


@pytest.mark.parametrize("provider", ["compatible", pytest.param("openai", marks=pytest.mark.slow)])
def test_an_echo_of_the_key_is_kept_and_shown_nowhere(provider, orch, tmp_path):
    """The two ways of asking: straight, and through the official client."""
    scenes = [(place, form) for place in PLACES for form in FORMS]
    answers = [PLACES[place](FORMS[form](SECRET)) for place, form in scenes]
    (tmp_path / "p.toml").write_text('[models."m"]\ninput = "3.00"\noutput = "15.00"\n')
    with echoing(answers) as url:
        ended = orch(
            "run", "--provider", provider, "--base-url", url, "--model", "m", "--task",
            "arithmetic", "--prices", tmp_path / "p.toml", "--samples", 4, "--limit", 50, "--name",
            "r", "--budget", 5, "--n-per-request", 1, "--api-key-env", f"SOME_KEY@{url}",
            "--max-concurrent", 4, "--json", SOME_KEY=SECRET, XDG_CACHE_HOME=str(tmp_path / "c"),
        )  # fmt: skip
        assert ended.code in (0, 1), ended.err
        assert "***" in ended.err + ended.out
    for words in (["report", "r", "--html", "p.html"], ["samples", "r"],
                  ["export", "jsonl", "r", "-o", "x.jsonl"], ["budget", "r"], ["check", "r"],
                  ["runs"]):  # fmt: skip
        shown = orch(*words, SOME_KEY=SECRET)
        assert shown.code == 0, (words, shown.err)
        nothing_in(iter([(" ".join(words), shown.out + shown.err)]))
    nothing_in(iter([("stdout", ended.out), ("stderr", ended.err)]))
    nothing_in(everything(tmp_path))


@pytest.mark.parametrize("place", list(LAST))
def test_an_echo_in_what_ends_a_run_is_kept_and_shown_nowhere(place, orch, tmp_path):
    (tmp_path / "p.toml").write_text('[models."m"]\ninput = "3.00"\noutput = "15.00"\n')
    for number, form in enumerate(("whole", "base64", "hex", "cut")):
        answers = [LAST[place](FORMS[form](SECRET))] * 8
        with echoing(answers) as url:
            ended = orch(
                "run", "--provider", "compatible", "--base-url", url, "--model", "m", "--task",
                "arithmetic", "--prices", tmp_path / "p.toml", "--samples", 1, "--limit", 4,
                "--name", f"r{number}", "--api-key-env", "SOME_KEY", SOME_KEY=SECRET,
            )  # fmt: skip
        assert ended.code == 4, ended.err
        nothing_in(iter([("stdout", ended.out), ("stderr", ended.err)]))
    nothing_in(everything(tmp_path))


def test_no_process_below_shows_the_key_and_the_cell_does_not_have_it(tmp_path):
    """In `ps` nowhere; in the environment of our own processes alone."""
    with programs_lane(tmp_path) as lane:
        lane.flags["api-key-env"] = "SOME_KEY"
        process = start(tmp_path, lane.words(20, "r", False), SOME_KEY=SECRET)
        seen, until = set[int](), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            for pid in below(process.pid):
                if named(pid) == named(process.pid):
                    continue  # not yet another program
                seen.add(pid)
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        shown = Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1")
                        assert SECRET[:PIECE] not in shown, (named(pid), name)
            time.sleep(0.05)
        _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert len(seen) > 2, "its judges were seen"
