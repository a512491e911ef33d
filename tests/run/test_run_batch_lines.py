"""Files of a batch's results as they may come: odd lines, lines twice, a file that is cut off."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from budgets.ledger import Ledger
from orchestrator.store.reader import RunReader
from tests.run.batch_house import INPUT, OUTPUT, PRICES, House, house

both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
PROBLEMS, SAMPLES = 4, 12


def bought(orch: Any, folder: Path, server: House, provider: str) -> Any:
    """A run of batches to its end."""
    prices = folder / "batch_prices.toml"
    prices.write_text(PRICES)
    style = ["--prompt-style", "chat"] if provider == "openai" else []
    return orch(
        "run", "--batch", "--provider", provider, "--model", "m", "--base-url", f"{server.url}/v1",
        "--api-key-env", "SOME_KEY", "--task", "arithmetic", "--prices", prices, "--limit",
        PROBLEMS, "--samples", SAMPLES, "--n-per-request", 1, "--budget", "5", "--name", "r",
        *style, SOME_KEY="abcdefgh12345678",
    )  # fmt: skip


def kinds(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "runs" / "r" / "run.db")) as db:
        return dict(db.execute("SELECT kind, count(*) FROM samples GROUP BY 1").fetchall())


def totals(folder: Path) -> Any:
    with closing(RunReader(folder / "runs" / "r")) as reader:
        return Ledger.read(list(reader.events())).totals()


def answer_of(line: dict[str, Any]) -> dict[str, Any]:
    """The answer in a line of either API, to be changed."""
    response = line.get("response")
    found: dict[str, Any] = response["body"] if response else line["result"]["message"]
    return found


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def apply(line: bytes) -> bytes:
        document = json.loads(line)
        change(document)
        return json.dumps(document).encode()

    return apply


def as_text(line: dict[str, Any]) -> None:
    """The answer as JSON in a text."""
    holder, name = line.get("result"), "message"
    if holder is None:
        holder, name = line["response"], "body"
    holder[name] = json.dumps(holder[name])


HARMLESS: list[Callable[[bytes], bytes]] = [
    changed(lambda line: answer_of(line)["usage"].update(prompt_tokens_details=["x"])),
    changed(lambda line: answer_of(line).update(model=None, id=7)),
    changed(as_text),
    changed(lambda line: line.get("response", {}).update(status_code="200")),
    changed(lambda line: line.update(error={}, more=[1], id=None)),
    lambda line: b"\xef\xbb\xbf" + line,
    lambda line: line + b"\r\n\r\n",
    lambda line: line + b"\n" + line,
    lambda line: b'"x"\nnull\n[1]\n{"custom_id": 5}\n{"custom_id": "other-0"}\n' + line,
    lambda line: line[:-1] + b', "score": NaN}',
    lambda line: line[:-1] + b",}",
    lambda line: line + b" " + line,
    changed(lambda line: line.update(response=line["response"]["body"]) if "response" in line
            else None),
]  # fmt: skip


def each_oddly(lines: list[bytes]) -> bytes:
    odd = [HARMLESS[at % len(HARMLESS)](line) for at, line in enumerate(lines)]
    return b"\n".join(odd)


@both
def test_odd_lines_are_read(provider: str, orch: Any, tmp_path: Path) -> None:
    with house(provider) as server:
        server.rewrite = each_oddly
        ended = bought(orch, tmp_path, server, provider)
        assert ended.code == 0, ended.err
        assert kinds(tmp_path) == {"ok": PROBLEMS * SAMPLES}
        assert totals(tmp_path).settled == server.billed and not totals(tmp_path).uncertain


def test_what_no_line_says_is_held_and_what_an_error_cost_is_settled(
    orch: Any, tmp_path: Path
) -> None:
    def some_wrong(lines: list[bytes]) -> bytes:
        silent, broken, *rest = map(json.loads, lines)
        silent["response"] = None
        broken["response"]["status_code"] = 500
        broken["response"]["body"] |= {"choices": None, "error": {"message": "broke off"}}
        return b"\n".join(json.dumps(line).encode() for line in (silent, broken, *rest))

    with house("openai") as server:
        server.rewrite = some_wrong
        ended = bought(orch, tmp_path, server, "openai")
        assert ended.code == 0, ended.err
        assert kinds(tmp_path) == {"ok": PROBLEMS * SAMPLES - 2, "censored": 2}
        books = totals(tmp_path)
        assert books.settled < server.billed <= books.settled + books.uncertain
        dearest = max(prompt * INPUT + output * OUTPUT for prompt, output in server.bill)
        assert server.billed - books.settled <= dearest, "the error said what it cost"


@both
@pytest.mark.parametrize("form", ["cut", "list"])
def test_a_file_gives_its_whole_lines(provider: str, form: str, orch: Any, tmp_path: Path) -> None:
    with house(provider) as server:
        if form == "cut":
            server.rewrite = lambda lines: b"\n".join(lines)[: -len(lines[-1]) // 2]
        else:
            server.rewrite = lambda lines: b"[" + b", ".join(lines) + b"]"
        ended = bought(orch, tmp_path, server, provider)
        assert ended.code == 0, ended.err
        books = totals(tmp_path)
        if form == "list":
            assert kinds(tmp_path) == {"ok": PROBLEMS * SAMPLES}
            assert books.settled == server.billed and not books.uncertain
            return
        assert kinds(tmp_path) == {"ok": PROBLEMS * SAMPLES - 1, "censored": 1}
        assert books.settled < server.billed <= books.settled + books.uncertain
        assert "only 47 results came" in " ".join(ended.err.split())
