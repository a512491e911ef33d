"""Damage to a stored run: lost and changed rows are found, and mended or refused, never guessed."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyed import keyed_server

from orchestrator.audit.check import check_run
from orchestrator.audit.repair import repair_run
from tests.forks import run_forked
from tests.run.conftest import environment


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_forked(
        ["orchestrator", *words], cwd=folder, env=environment(), capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Iterator[Path]:
    """A run that is complete, while its server goes on."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "p.toml").write_text('[models."some-model"]\ninput = "3.00"\noutput = "15.00"\n')
    with keyed_server() as server:
        ended = command(
            folder, "run", "--provider", "compatible", "--base-url", server.url, "--model",
            "some-model", "--task", "arithmetic", "--prices", str(folder / "p.toml"), "--samples",
            "12", "--limit", "12", "--name", "r", "--n-per-request", "2",
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        yield folder / "runs/r"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    (tmp_path / "runs").mkdir()
    return Path(shutil.copytree(whole, tmp_path / "runs/r"))


@contextlib.contextmanager
def changing(run: Path):
    db = sqlite3.connect(run / "run.db", isolation_level=None)
    try:
        yield db
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def check(run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    ended = command(run.parent.parent, "check", str(run), *more)
    assert "Traceback" not in ended.stderr + ended.stdout
    return ended


def test_a_whole_run_is_whole(run):
    ended = check(run)
    assert ended.returncode == 0, ended.stdout
    assert "is whole" in ended.stdout


def test_fifty_deleted_settlements_are_found_and_count_as_uncertain(run):
    with changing(run) as db:
        db.execute(
            "DELETE FROM ledger WHERE event IN"
            " (SELECT event FROM ledger WHERE kind = 'settle' ORDER BY event LIMIT 50)"
        )
    for quick in (["report", "r"], ["run", "--resume", "r", "--samples", "13"]):
        ended = command(run.parent.parent, *quick)
        assert ended.returncode == 4 and "orch check" in ended.stderr, ended.stderr
    ended = check(run)
    assert ended.returncode == 4 and "50 of" in ended.stdout and "missing" in ended.stdout
    mended = check(run, "--repair")
    assert mended.returncode == 0, mended.stdout
    assert "uncertain" in mended.stdout
    assert next(run.glob("damaged-*/run.db")).exists()
    again = command(run.parent.parent, "run", "--resume", "r", "--samples", "13")
    assert again.returncode == 0, again.stderr
    shown = command(run.parent.parent, "budget", "r")
    assert "the process ended before this was settled" in shown.stdout
    assert check(run).returncode == 0


def test_many_damaged_problems_are_told_in_a_few_lines(run):
    with changing(run) as db:
        db.execute(
            "UPDATE problems SET content = replace(content, 'answer\": \"', 'answer\": \"9')"
        )
    for words in ((), ("--repair",)):
        ended = check(run, *words)
        assert ended.returncode == 4
        for begin in ("damaged: problems: ", "left as it is: problems: ")[: 1 + len(words)]:
            told = [line for line in ended.stdout.splitlines() if line.startswith(begin)]
            assert len(told) == 4 and told[-1] == f"{begin}10 more (--json lists all)", told
    found = json.loads(check(run, "--json").stdout)["findings"]
    assert sum(one["where"] == "problems" for one in found) == 13


CHANGES = [
    ("UPDATE samples SET text = text || ' ' WHERE rowid = 7", "samples", False),
    ("UPDATE answers SET cost = cost + 1 WHERE request = 3", "answers", False),
    ("UPDATE ledger SET amount = 12345 WHERE event = 9", "ledger", False),
    ("UPDATE ledger SET at = at + 1 WHERE event = 9", "ledger", False),
    ("UPDATE problems SET content = replace(content, '1', '2') WHERE problem = 3", "problems",
     False),
    ("UPDATE requests SET seed = seed + 1 WHERE request = 4", "requests", False),
    ("UPDATE meta SET value = value || ' ' WHERE key = 'created'", "meta", False),
    ("UPDATE verdicts SET kind = 'passed' WHERE kind = 'failed'", "verdicts", True),
    ("UPDATE verdicts SET kind = 'perhaps' WHERE problem = 1", "verdicts", True),
    ("DELETE FROM verdicts WHERE problem = 2", "verdicts", True),
    ("DELETE FROM samples WHERE problem = 2", "samples", True),
    ("DELETE FROM ledger WHERE event > (SELECT max(event) - 5 FROM ledger)", "ledger", True),
    ("DELETE FROM ledger WHERE kind = 'reserve' AND reservation IN (3, 4)", "ledger", True),
    ("DELETE FROM answers WHERE request = 5", "answers", False),
    ("DELETE FROM seal", "seal", True),
]  # fmt: skip


@pytest.mark.parametrize(("change", "where", "mends"), CHANGES, ids=[one[0] for one in CHANGES])
def test_every_change_is_found_and_mended_or_refused(change, where, mends, run):
    with changing(run) as db:
        assert db.execute(change).rowcount > 0
    assert where in {finding.where for finding in check_run(run).findings}
    mended = repair_run(run)
    assert bool(mended.left) != mends, mended
    assert bool(mended.done) == mends
    if mends:
        assert not check_run(run).findings


def test_a_lost_write_ahead_log_is_found_and_its_money_is_uncertain(run, whole):
    with contextlib.closing(sqlite3.connect(run / "run.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
    earlier = run.parent / "earlier.db"
    shutil.copy(run / "run.db", earlier)
    more = command(run.parent.parent, "run", "--resume", "r", "--samples", "20")
    assert more.returncode == 0, more.stderr
    (run / "run.db-wal").unlink(missing_ok=True)
    shutil.copy(earlier, run / "run.db")
    ended = command(run.parent.parent, "report", "r")
    assert ended.returncode == 4 and "commits are missing" in ended.stderr
    found = check(run)
    assert found.returncode == 4 and "commits are missing" in found.stdout
    mended = check(run, "--repair")
    assert mended.returncode == 0, mended.stdout
    assert "count as uncertain" in mended.stdout
    assert check(run).returncode == 0


def flipped(run: Path, rng: random.Random) -> int:
    """Flip one bit inside the content of a row of the database; returns where."""
    path = run / "run.db"
    data = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as db:
        texts = [row[0].encode() for row in db.execute("SELECT content FROM problems")]
        texts += [row[0].encode() for row in db.execute("SELECT content FROM repeated")]
        texts += [row[0].encode() for row in db.execute("SELECT note FROM ledger") if row[0]]
    while True:
        text = rng.choice(texts)
        start = data.find(text)
        if start >= 0:
            break
    where = start + rng.randrange(len(text))
    data[where] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))
    return where


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_in_live_content_is_found(seed, run):
    flipped(run, random.Random(seed))
    assert check_run(run).findings


def test_a_backup_of_a_run_that_goes_on_is_whole(start_orch, tmp_path):
    from tests.run.test_run_money import wait_for_sampling

    process = start_orch("run", "--provider", "local", "--samples", "5000", "--name", "r")
    wait_for_sampling(process, tmp_path / "runs/r", 20)
    ended = command(tmp_path, "backup", "r", "copy")
    assert ended.returncode == 0, ended.stderr
    assert command(tmp_path, "check", "r").returncode == 0
    process.terminate()
    process.communicate(timeout=240)
    assert process.returncode == 130
    assert check(tmp_path / "copy").returncode == 0
    assert command(tmp_path, "backup", "r", "copy").returncode == 2
    assert command(tmp_path, "report", "copy").returncode == 0


def content_of(run: Path) -> object:
    """Every row of every table, or that it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(run / "run.db")) as db:
            tables = db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
            return tables, [
                db.execute(f"SELECT * FROM {name}").fetchall()
                for name, sql in tables
                if sql and sql.startswith("CREATE TABLE")
            ]
    except (sqlite3.Error, ValueError) as error:
        return repr(error)


def corrupt(run: Path, rng: random.Random) -> str:
    """Do something to live content; says what."""
    path = run / "run.db"
    data, before = path.read_bytes(), content_of(run)
    how = rng.choice(["bit", "bit", "bit", "bytes", "page", "truncated", "rows", "cell", "older"])
    while True:
        if how in ("bit", "bytes", "page"):
            changed = bytearray(data)
            at = rng.randrange(100, len(data))
            if how == "bit":
                changed[at] ^= 1 << rng.randrange(8)
            elif how == "bytes":
                changed[at : at + 16] = rng.randbytes(len(changed[at : at + 16]))
            else:
                at -= at % 4096
                changed[at : at + 4096] = bytes(4096)
            path.write_bytes(changed)
        elif how == "truncated":
            path.write_bytes(data[: rng.randrange(1, len(data) // 4096) * 4096])
        elif how == "older":
            shutil.copy(run / "older.db", path)
        else:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
                table = rng.choice(["ledger", "samples", "answers", "requests", "verdicts"])
                rows = db.execute(f"SELECT * FROM {table} ORDER BY random()").fetchmany(3)
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                row = rows[rng.randrange(len(rows))]
                key = " AND ".join(f"{name} IS ?" for name in columns)
                if how == "rows":
                    db.execute(f"DELETE FROM {table} WHERE {key}", row)
                else:
                    name = rng.choice(columns[1:])
                    with contextlib.suppress(sqlite3.IntegrityError):
                        db.execute(f"UPDATE {table} SET {name} = {name} || '1' WHERE {key}", row)
        if content_of(run) != before:
            return how
        path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_corruptions_are_found_and_mended_or_refused(whole, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(whole, source)
    shutil.copy(source / "run.db", source / "older.db")
    more = command(whole.parent.parent, "run", "--resume", str(source), "--samples", "16")
    assert more.returncode == 0, more.stderr
    with changing(source):
        pass
    tally: dict[str, list[int]] = {}
    for seed in range(200):
        run = Path(shutil.copytree(source, tmp_path / "damaged"))
        how = corrupt(run, random.Random(seed))
        found = check_run(run).findings
        assert found, (seed, how)
        mended = repair_run(run)
        assert mended.left or not check_run(run).findings, (seed, how, mended)
        tally.setdefault(how, [0, 0])[bool(mended.left)] += 1
        if seed % 20 == 0:
            for words in (["check", str(run)], ["report", str(run)]):
                ended = command(tmp_path, *words)
                assert ended.returncode in (0, 2, 4), (seed, how, ended.stderr)
                assert "Traceback" not in ended.stderr + ended.stdout, (seed, how)
        shutil.rmtree(run)
    print("by kind: mended, refused", dict(sorted(tally.items())))
