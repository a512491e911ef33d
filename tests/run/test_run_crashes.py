"""The crash matrix: signals at seeded moments over every command that touches a run.

Two hundred moments in twenty pieces of ten, each piece a run of its own that goes on from moment
to moment; ORCH_CRASHES=FROM-TO chooses moments (docs/reliability.md). After every moment: nothing
of the command is left, the run is whole, the books agree with the server's own bill, no file is
half written. After a piece the run is completed: every slot once, every verdict what it should be.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from budgets.money import PICO, picodollars
from orchestrator.audit.check import check_run
from tests.run.crash_lanes import (
    KEY,
    Lane,
    batch_lane,
    hours_lane,
    programs_lane,
    query,
    tokens_lane,
)
from tests.run.struck import (
    STRIKES,
    Struck,
    below,
    heeds,
    start,
    strike,
    take_in_orphans,
    wait_until_gone,
)
from tests.run.test_run_money import books, events

FIRST, LAST = map(int, os.environ.get("ORCH_CRASHES", "0-200").split("-"))
PIECE = 10
LOST = "does not list batch"
"""What is said of a batch that was killed on its way, before its provider had it."""
LANES = ["tokens", "programs", "batch openai", "programs", "hours", "tokens", "batch anthropic"]

READING = {
    "verify": ["verify", "r"],
    "verify twice": ["verify", "r", "--repeat", "2"],
    "audit": ["verify", "r", "--audit"],
    "report": ["report", "r", "--html", "page.html", "--csv", "table.csv"],
    "export": ["export", "jsonl", "r", "-o", "rows.jsonl"],
    "export csv": ["export", "csv", "r", "-o", "rows.csv"],
    "backup": ["backup", "r", "copy"],
    "check": ["check", "r"],
    "samples": ["samples", "r", "--first", "5"],
    "budget": ["budget", "r"],
}


def lane_of(name: str, serve, folder: Path) -> contextlib.AbstractContextManager[Lane]:
    if name == "tokens":
        return tokens_lane(serve, folder)
    if name == "programs":
        return programs_lane(folder)
    if name == "hours":
        return hours_lane(folder)
    return batch_lane(folder, name.split()[1])


class Piece:
    """One run that is struck again and again."""

    def __init__(self, lane: Lane, folder: Path) -> None:
        self.lane, self.folder, self.run = lane, folder, folder / "runs/r"
        self.samples = 0
        self.moments = 0
        self.in_flight = 0
        """Moments at which the server had requests open (or, by the hour, was held)."""
        self.unsure = 0
        """Moments after which more of the money was uncertain, or open for good, than before."""
        self.tally = Counter[str]()

    def moment(self, number: int) -> None:
        rng = random.Random(number)
        there = (self.run / "study.toml").exists() and (self.run / "run.db").exists()
        commands = ["run"] * 20 + list(READING)
        command = rng.choice(commands) if there and self.samples else "run"
        if command == "run":
            self.samples += self.lane.step
            words = self.lane.words(self.samples, "r", resume=there)
        else:
            words = READING[command]
        how = rng.choice(STRIKES)
        before, doubt = events(self.run), self.in_doubt()
        process = start(self.folder, words, **KEY)
        aim = self.await_moment(process, rng, command, before)
        early, open_ = not heeds(process.pid), self.lane.under_way()
        hit = strike(process, how, rng)
        try:
            out, err = process.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            pytest.fail(f"moment {number}: {command} did not end after {how} ({hit})")
        ended = Struck(process.returncode, out, err, how, hit, early, command == "run", before)
        wait_until_gone({*self.lane.server}, 20, (number, command, how))
        more = self.in_doubt() - doubt
        name = "resume" if command == "run" and there else command
        print(
            f"moment {number}: {self.lane.name}, {name}, {how} {aim}, exit code {ended.code}; "
            f"{open_} under way, {max(more, 0):,} picodollars more in doubt", *hit, flush=True,
        )  # fmt: skip
        self.moments += 1
        self.in_flight += open_ > 0
        self.unsure += more > 0
        self.tally[f"{self.lane.name}, {name}, {how}: {ended.code}"] += 1
        self.look(ended, (number, name, how, ended.code, hit, err[-1500:]))

    def in_doubt(self) -> int:
        """Picodollars that are uncertain, or that a dead command left reserved."""
        if events(self.run) == 0:
            return 0
        totals = books(self.run)
        return totals.uncertain + totals.reserved

    def await_moment(self, process, rng: random.Random, command: str, before: int) -> str:
        """A time after the start, some way into the buying with so many requests under way, or a
        step that the server comes to; returns which."""
        if command != "run" or rng.random() < 0.15:
            time.sleep(pause_s := rng.uniform(0.2, 4.0 if command == "run" else 2.5))
            return f"after {pause_s:.1f} s"
        if self.lane.aims:
            return self.await_step(process, rng, before)
        run, wanted = self.run, before + rng.randrange(1, self.lane.stir)
        wide, until = rng.randint(1, self.lane.wide), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            # What is wanted may not come any more once a session runs out.
            if self.lane.under_way() >= wide and events(run) >= wanted:
                break
            wide = wide if rng.random() < 0.99 else max(wide - 1, 1)
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.03))
        return "while it buys"

    def await_step(self, process, rng: random.Random, before: int) -> str:
        """A moment within a step of the server, each of which takes some tenths of a second."""
        aim, until = rng.choice(self.lane.aims), time.monotonic() + 120
        done = self.lane.reached(aim)
        while process.poll() is None and time.monotonic() < until:
            if self.lane.reached(aim) > done or (aim == "reserved" and events(self.run) > before):
                time.sleep(rng.uniform(0, 0.25))
                return aim
            time.sleep(0.01)
        return f"too late for {aim}"

    def look(self, ended: Struck, where: object) -> None:
        """What holds after every moment."""
        if not ended.early:
            assert "Traceback" not in ended.err + ended.out, where
            assert ended.code in self.allowed(ended), where
        if not (self.run / "run.db").exists():
            return
        found = check_run(self.run).findings
        assert not found or not (self.run / "study.toml").exists(), (where, found)
        self.lane.settle()
        totals, billed, slack = books(self.run), self.lane.billed(), self.lane.slack
        owed = totals.settled + totals.uncertain + totals.reserved
        assert totals.settled <= billed + slack, (where, totals, billed)
        assert billed <= owed + slack, (where, totals, billed)
        assert owed <= picodollars(self.lane.cap), (where, totals)
        if ended.bought and "KILL" not in ended.how and not ended.early:
            # A resume that was struck before it opened the books has not looked at them yet.
            assert totals.reserved == 0 or events(self.run) == ended.events, (where, totals)
        slots = query(self.run, "SELECT arm, problem, slot FROM samples")
        assert len(slots) == len(set(slots)), where
        self.look_at_files(ended, where)

    def allowed(self, ended: Struck) -> set[int]:
        kind = ended.how.split()[0]
        by_itself = {0, 3} if self.lane.name == "hours" else {0}
        if "holds nothing yet" in ended.err:
            by_itself.add(2)
        if LOST in ended.err:
            by_itself.add(1)
        if kind in ("child", "children"):
            # What it killed was needed, or was replaced; a server that died may end the run.
            died = any("providers.tiny" in name or name == "?" for name in ended.hit)
            return by_itself | ({1, 4} if died else set())
        return by_itself | {-signal.SIGKILL if kind == "KILL" else 130}

    def look_at_files(self, ended: Struck, where: object) -> None:
        """Whatever has its final name is whole."""
        for path in self.folder.glob("*.jsonl"):
            for line in path.read_text().splitlines():
                json.loads(line)
        if (page := self.folder / "page.html").exists():
            assert page.read_text().rstrip().endswith("</html>"), where
        if (table := self.folder / "rows.csv").exists():
            assert table.read_text().endswith("\n"), where
        if (copy := self.folder / "copy").exists():
            assert not check_run(copy).findings, where
            subprocess.run(["rm", "-r", str(copy)], check=True)
        if (summary := self.run / "summary.json").exists():
            json.loads(summary.read_text())
        if "KILL" not in ended.how and not ended.early:
            left = [
                p.name for p in self.folder.iterdir() if p.suffix == ".new" or ".part" in p.name
            ]
            assert not left, (where, left)

    def complete(self) -> None:
        """Left alone, the run comes to its end, with everything once."""
        resume = (self.run / "run.db").exists() and (self.run / "study.toml").exists()
        self.samples = max(self.samples, self.lane.step)
        ended = self.undisturbed(self.lane.words(self.samples, "r", resume))
        if LOST in ended.err:
            # What never reached the provider is asked for anew once a person has said so.
            print("a batch that the provider never had is cleared up by hand", flush=True)
            bill = f"{Decimal(self.lane.billed()) / PICO:f}"
            assert self.undisturbed(["budget", "resolve", "r", "--usd", bill]).code == 0
            assert books(self.run).settled == self.lane.billed()
            ended = self.undisturbed(self.lane.words(self.samples, "r", True))
        assert ended.code in self.lane.ends, (ended.code, ended.err[-3000:])
        if ended.code == 0:
            wanted = [(p, s) for p in range(self.lane.problems) for s in range(self.samples)]
            found = query(self.run, "SELECT problem, slot FROM samples ORDER BY 1, 2")
            assert found == wanted
            (open_,) = query(
                self.run, "SELECT count(*) FROM samples s WHERE s.kind = 'ok' AND NOT EXISTS"
                " (SELECT 1 FROM verdicts v WHERE v.arm = s.arm AND v.problem = s.problem"
                " AND v.slot = s.slot AND v.kind != 'infra_error')",
            )  # fmt: skip
            assert open_ == (0,)
        seeds = query(self.run, "SELECT seed FROM requests")
        assert len(seeds) == len(set(seeds))
        self.look_at_verdicts()

    def undisturbed(self, words: list[str]) -> Struck:
        """A command that is left alone."""
        process = start(self.folder, words, **KEY)
        out, err = process.communicate(timeout=600)
        ended = Struck(process.returncode, out, err, "nothing")
        self.look(ended, (words, err[-1500:]))
        return ended

    def look_at_verdicts(self) -> None:
        """A judge that was killed has made no program wrong, and none right."""
        if self.lane.truth is None:
            return
        for text, kind in query(
            self.run, "SELECT s.text, v.kind FROM samples s JOIN verdicts v"
            " USING (arm, problem, slot)",
        ):  # fmt: skip
            assert kind in (self.lane.truth(text), "infra_error"), (text, kind)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(FIRST, LAST, PIECE))
def test_signals_at_any_moment_cost_nothing(first, serve, tmp_path):
    take_in_orphans()
    before = set(below(os.getpid()))
    name = LANES[first // PIECE % len(LANES)]
    with lane_of(name, serve, tmp_path) as lane:
        lane.server |= before
        piece = Piece(lane, tmp_path)
        for number in range(first, min(first + PIECE, LAST)):
            piece.moment(number)
        piece.complete()
        totals = books(piece.run)
        print(
            f"{lane.name}: settled {totals.settled:,} <= bill {lane.billed():,} <= "
            f"{totals.settled + totals.uncertain:,} picodollars, cap {lane.cap}; "
            f"{piece.moments} moments, {piece.in_flight} with requests under way, after "
            f"{piece.unsure} more was in doubt"
        )
        print("\n".join(f"{count:4} {what}" for what, count in sorted(piece.tally.items())))
