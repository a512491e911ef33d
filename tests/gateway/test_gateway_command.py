"""`orch gateway -- COMMAND`: the whole of it in one line, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from budgets.ledger import Ledger
from orchestrator.store.reader import RunReader
from tests.forks import Forked, run_forked
from tests.hostile.bill import read_bill, total
from tests.hostile.server import hostile_process

ROOT = Path(__file__).resolve().parents[2]
CALLS = """
import json, os, sys, urllib.error, urllib.request
assert "sk-house" not in str(dict(os.environ))
body = {"model": "hostile", "max_tokens": 50, "messages": [{"role": "user", "content": "a" * 99}]}
head = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
head["Content-Type"] = "application/json"
for i in range(int(sys.argv[1])):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), head)
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        print("refused", error.code); break
sys.exit(int(sys.argv[2]))
"""


class Place:
    """A folder with prices, before a server that keeps its own bill."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "prices.toml").write_text('[models.hostile]\ninput = "3.0"\noutput = "15.0"\n')
        (folder / "agent.py").write_text(CALLS)

    @property
    def bill(self) -> int:
        return total(self.folder / "bill.jsonl")

    def command(self, budget: str, *command: object, **more: str) -> list[str]:
        options = [f"--{name.replace('_', '-')}={text}" for name, text in more.items()]
        return [
            "orchestrator", "gateway", f"--budget={budget}",
            "--provider=compatible", f"--base-url={self.url}/v1", "--prices=prices.toml",
            "--name=door", "--json", *options, "--", *map(str, command),
        ]  # fmt: skip

    def call(self, budget: str, *command: object, **more: str) -> tuple[int, Any, str]:
        """Exit code, what was spent, what the command printed."""
        mine = ("ORCH_", "OPENAI_", "ANTHROPIC_")
        env = {name: text for name, text in os.environ.items() if not name.startswith(mine)}
        ended = run_forked(
            self.command(budget, *command, **more), cwd=self.folder, text=True, timeout=120,
            env={**env, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-house"},
            capture_output=True, check=False,
        )  # fmt: skip
        start = ended.stderr.find("{")
        document = json.loads(ended.stderr[start:]) if start >= 0 else ended.stderr
        return ended.returncode, document, ended.stdout

    def ledger(self) -> Ledger:
        with closing(RunReader(self.folder / "runs" / "door")) as reader:
            return Ledger.read(reader.events())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with hostile_process(tmp_path / "bill.jsonl", faults="") as url:
        yield Place(tmp_path, url)


def test_gateway_command_has_its_own_exit_code_and_its_bill(place: Place) -> None:
    code, spent, _ = place.call("1", sys.executable, "agent.py", 3, 7)
    assert code == 7 and spent["calls"] == spent["answered"] == 3
    assert place.ledger().totals().settled == place.bill > 0
    assert place.ledger().open_reservations == 0
    everything = b"".join(
        path.read_bytes() for path in (place.folder / "runs").rglob("*") if path.is_file()
    )
    assert b"sk-orch-" not in everything and b"sk-house" not in everything


def test_gateway_command_is_cut_at_the_cap_and_a_second_one_continues_it(place: Place) -> None:
    code, spent, said = place.call("0.006", sys.executable, "agent.py", 40, 0)
    assert code == 3 and spent["refused"] == {"run": 1} and "refused" in said
    before = place.bill
    assert 0 < before <= 6_000_000_000
    code, spent, _ = place.call("0.006", sys.executable, "agent.py", 40, 0)
    assert place.bill <= 6_000_000_000
    assert place.ledger().totals().committed <= 6_000_000_000
    code, spent, _ = place.call("1", sys.executable, "agent.py", 1, 0)
    assert code == 0 and place.bill > before


def test_gateway_command_that_cannot_be_asked_as_asked_says_so(place: Place) -> None:
    for command, more in (
        ([sys.executable, "agent.py", 1, 0], {"gpu_hour": "2"}),
        (["no-such-command"], {}),
        ([sys.executable, "agent.py", 1, 0], {"model": "unpriced-model"}),
    ):
        code, said, _ = place.call("1", *command, **more)
        assert code == 2 and isinstance(said, str) and said.startswith("orch: "), said
    assert not read_bill(place.folder / "bill.jsonl")


def test_gateway_command_killed_with_its_gateway_leaves_no_call_unbooked(place: Place) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = Forked(
        place.command("1", sys.executable, "agent.py", 10_000, 0),
        cwd=place.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not place.bill > 50_000_000 and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    after = place.bill
    totals = place.ledger().totals()
    assert totals.settled <= after <= totals.committed
    code, _spent, _ = place.call("1", sys.executable, "agent.py", 1, 0)
    assert code == 0
    totals = place.ledger().totals()
    assert totals.settled <= place.bill <= totals.settled + totals.uncertain
