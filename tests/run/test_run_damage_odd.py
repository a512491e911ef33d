"""Damage as people and disks do it: files missing, swapped, stale, half there; and no false alarm.

Whatever is damaged is found by `orch check`, no command ends with a traceback or exit code 1, and
what can be mended is.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from keyed import keyed_server

from orchestrator.audit.check import check_run
from orchestrator.audit.repair import repair_run
from orchestrator.store.schema import SEAL
from tests.run.struck import start
from tests.run.test_run_damage import changing, command
from tests.run.test_run_money import events

COMMANDS = [
    ["check", "r"], ["report", "r"], ["report", "r", "--json"], ["samples", "r", "--first", "2"],
    ["export", "jsonl", "r", "-o", "x.jsonl"], ["budget", "r"], ["runs"], ["backup", "r", "copy"],
    ["run", "--resume", "r", "--samples", "13"], ["check", "r", "--repair"],
]  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Iterator[Path]:
    """Two complete runs, a and b, and the first as it was a session earlier."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "p.toml").write_text('[models."some-model"]\ninput = "3.00"\noutput = "15.00"\n')
    with keyed_server() as server:
        for name, samples, limit in (("a", "8", "12"), ("a", "12", "12"), ("b", "6", "20")):
            given = [
                "--provider", "compatible", "--base-url", server.url, "--model", "some-model",
                "--task", "arithmetic", "--prices", str(folder / "p.toml"), "--limit", limit,
                "--n-per-request", "2", "--name", name,
            ]  # fmt: skip
            if (folder / "runs" / name).exists():
                shutil.copytree(folder / "runs/a", folder / "earlier")
                given = ["--resume", name]
            ended = command(folder, "run", *given, "--samples", samples)
            assert ended.returncode == 0, ended.stderr
        yield folder


@pytest.fixture
def run(pair: Path, tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return Path(shutil.copytree(pair / "runs/a", tmp_path / "runs/r"))


def tables(run: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(run / "run.db")) as db:
        return [
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            if db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        ]


def no_command_breaks(folder: Path, *, among: list[list[str]] = COMMANDS) -> dict[str, int]:
    codes = {}
    for words in among:
        ended = command(folder, *words)
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said and "fault of orch itself" not in said, (words, said)
        assert ended.returncode in (0, 2, 4), (words, said)
        codes[" ".join(words)] = ended.returncode
        shutil.rmtree(folder / "copy", ignore_errors=True)
    return codes


def cut_wal(run: Path, keep: float) -> None:
    path = run / "run.db-wal"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize(
    "keep",
    [pytest.param(0.0, marks=pytest.mark.slow), pytest.param(0.5, marks=pytest.mark.slow), None],
    ids=["emptied", "half", "removed"],
)
def test_a_write_ahead_log_that_is_lost_alone(keep, start_orch, tmp_path):
    run = tmp_path / "runs/r"
    process = start_orch("run", "--provider", "local", "--samples", "3000", "--name", "r")
    until = time.monotonic() + 150
    while events(run) < 5 or (run / "run.db-wal").stat().st_size < 300_000:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not check_run(run).findings
    if keep is None:
        (run / "run.db-wal").unlink()
    else:
        cut_wal(run, keep)
    found = check_run(run).findings
    assert any("commits are missing" in one.what for one in found), found
    codes = no_command_breaks(tmp_path, among=[["check", "r"], ["report", "r"]])
    assert codes == {"check r": 4, "report r": 4}
    mended = repair_run(run)
    assert mended.done and not mended.left and not check_run(run).findings


def swap_database(run: Path, pair: Path) -> None:
    shutil.copy(pair / "runs/b/run.db", run / "run.db")


def other_seal(run: Path, pair: Path) -> None:
    shutil.copy(pair / "runs/b" / SEAL, run / SEAL)


def half_copy(run: Path, pair: Path) -> None:
    data = (run / "run.db").read_bytes()
    (run / "run.db").write_bytes(data[: len(data) // 2 // 4096 * 4096])


def emptied(run: Path, pair: Path) -> None:
    (run / "run.db").write_bytes(b"")


def text_instead(run: Path, pair: Path) -> None:
    (run / "run.db").write_text("not a database\n" * 1000)


def earlier_database(run: Path, pair: Path) -> None:
    shutil.copy(pair / "earlier/run.db", run / "run.db")


def directory_instead(run: Path, pair: Path) -> None:
    (run / "run.db").unlink()
    (run / "run.db").mkdir()


FOUND = [swap_database, other_seal, half_copy, emptied, text_instead, earlier_database,
         directory_instead]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("damage", FOUND, ids=lambda one: one.__name__)
def test_files_swapped_or_half_there_are_found(damage: Callable[..., None], run, pair):
    damage(run, pair)
    assert check_run(run).findings
    codes = no_command_breaks(run.parent.parent)
    assert codes["check r"] == 4
    assert codes["run --resume r --samples 13"] in (2, 4)


def no_seal(run: Path, pair: Path) -> None:
    (run / SEAL).unlink()


def stale_seal(run: Path, pair: Path) -> None:
    shutil.copy(pair / "earlier" / SEAL, run / SEAL)


def garbage_seal(run: Path, pair: Path) -> None:
    (run / SEAL).write_bytes(b"\xff\0{[[" * 40)


def garbage_summary(run: Path, pair: Path) -> None:
    (run / "summary.json").write_bytes(b"[" * 100_000)


def no_summary(run: Path, pair: Path) -> None:
    (run / "summary.json").unlink()


HARMLESS = [no_seal, stale_seal, garbage_seal, garbage_summary, no_summary]


@pytest.mark.slow
@pytest.mark.parametrize("damage", HARMLESS, ids=lambda one: one.__name__)
def test_what_holds_no_truth_costs_nothing(damage: Callable[..., None], run, pair):
    damage(run, pair)
    assert not check_run(run).findings
    among = [words for words in COMMANDS if words[0] != "run"]
    assert set(no_command_breaks(run.parent.parent, among=among).values()) == {0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "study", ["", "\0", "[[arms]]\nprovider = 5\n", "x = " + "[" * 100_000, "seed"], ids=range(5)
)
def test_a_study_file_that_was_changed_is_told(study, run):
    path = run / "study.toml"
    path.write_text(study if study != "seed" else path.read_text().replace("[study]", "[study]\n") +
                    "\n[[arms]]\nprovider = 'local'\ntask = 'arithmetic'\n")  # fmt: skip
    codes = no_command_breaks(run.parent.parent)
    assert codes["run --resume r --samples 13"] == 2
    assert codes["report r"] == 0 and codes["check r"] == 0


@pytest.mark.slow
def test_rows_lost_from_any_table_are_found(pair, tmp_path):
    for table in tables(pair / "runs/a"):
        if table == "seal":
            continue
        run = Path(shutil.copytree(pair / "runs/a", tmp_path / "runs/r"))
        with changing(run) as db:
            assert db.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}"
                              " ORDER BY random() LIMIT 1)").rowcount == 1  # fmt: skip
        assert check_run(run).findings, table
        no_command_breaks(tmp_path, among=[["check", "r"], ["report", "r"]])
        shutil.rmtree(run)


KINDS = {0x02: "inner index", 0x05: "inner table", 0x0A: "leaf index", 0x0D: "leaf table"}


@pytest.mark.slow
def test_a_flipped_bit_in_any_kind_of_page_is_found(pair, tmp_path):
    """In what a page's cells hold, of every kind that there is."""
    data = (pair / "runs/a/run.db").read_bytes()
    rng, seen = random.Random(1), set()
    for page in range(1, len(data) // 4096):
        head = page * 4096
        kind = KINDS.get(data[head])
        if kind is None or (kind in seen and rng.random() < 0.8):
            continue
        begin = int.from_bytes(data[head + 5 : head + 7], "big")
        if not int.from_bytes(data[head + 3 : head + 5], "big"):
            continue
        run = Path(shutil.copytree(pair / "runs/a", tmp_path / "runs/r"))
        changed = bytearray(data)
        changed[head + begin] ^= 1 << rng.randrange(8)
        (run / "run.db").write_bytes(changed)
        found = check_run(run).findings
        assert found, (page, kind)
        repair_run(run)
        shutil.rmtree(run)
        seen.add(kind)
    assert {"leaf index", "leaf table", "inner table"} <= seen


LOOKS = int(os.environ.get("ORCH_LOOKS", "100"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_at_full_speed_is_never_called_damaged(tmp_path):
    """check, report, samples, export and backup beside the writer; a backup can be resumed."""
    words = ["run", "--provider", "local", "--gpu-hour", "0", "--samples", "200000", "--name", "r"]
    process = start(tmp_path, words)
    try:
        while events(tmp_path / "runs/r") < 4:
            time.sleep(0.1)
        for number in range(LOOKS):
            assert not (found := check_run(tmp_path / "runs/r").findings), (number, found)
        among = [words for words in COMMANDS[:8] if words[0] != "export"]
        for _ in range(max(LOOKS // 25, 1)):
            assert set(no_command_breaks(tmp_path, among=among).values()) == {0}
        assert command(tmp_path, "export", "csv", "r", "-o", "x.csv").returncode == 0
        assert command(tmp_path, "backup", "r", "runs/copy").returncode == 0
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=240)
    assert process.returncode == 130
    depth = max(
        row[0] for row in sqlite3.connect(tmp_path / "runs/copy/run.db").execute(
            "SELECT count(*) FROM samples GROUP BY problem")
    )  # fmt: skip
    ended = subprocess.run(
        [*process.args[:3], "run", "--resume", "copy", "--samples", str(depth), "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["exit_code"] == 0
    assert not check_run(tmp_path / "runs/copy").findings
