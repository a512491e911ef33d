"""Thousands of interleavings of everything that can happen to a ledger, crashes included.

The machine drives a real ledger over a real SQLite journal, beside accounts kept in the simplest
way there is: a list of what happened to each reservation. A crash forgets whatever was not yet
durable; reopening must then show exactly the accounts as of the last durable moment, with what
was open held as uncertain.
"""

import os
import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from budgets.ledger import DoesNotFit, Ledger, LedgerFault
from budgets.sqlite_journal import SqliteJournal

SCOPES = ("arm:0", "arm:1", "model:m", "task:t")
AMOUNTS = st.integers(0, 10**13) | st.integers(0, 50)


@dataclass
class Entry:
    """What became of one reservation."""

    worst: int
    scopes: tuple[str, ...]
    state: str = "open"
    counted: int = 0
    """What it counts as now: settled or uncertain."""


@dataclass
class Accounts:
    """The plain book beside the ledger."""

    caps: dict[str, int | None] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    faulty: bool = False
    passed: bool = False
    """Whether the fault is only that a cap was passed by what was noticed afterwards."""
    lowered: bool = False
    """Whether a cap was ever set below what was committed under it."""

    def committed(self, scope: str) -> int:
        return sum(self.parts(scope))

    def parts(self, scope: str) -> tuple[int, int, int]:
        mine = [e for e in self.entries.values() if scope in e.scopes]
        return (
            sum(e.counted for e in mine if e.state == "settled"),
            sum(e.counted for e in mine if e.state == "uncertain"),
            sum(e.worst for e in mine if e.state == "open"),
        )

    def within(self) -> bool:
        """Whether every cap holds."""
        return all(cap is None or self.committed(scope) <= cap for scope, cap in self.caps.items())


class Abandoned(SqliteJournal):
    """A journal whose process can die: what is queued never reaches the disk."""

    def die(self) -> None:
        self._queue.clear()
        self.close()


class LedgerMachine(RuleBasedStateMachine):
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        # A crash is played by dropping what is queued, so memory is as good as a disk here.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.accounts = Accounts(caps={"run": 3 * 10**13, "arm:0": 2 * 10**13})
        self.durable = Accounts(caps=dict(self.accounts.caps))
        self.reopen()

    def reopen(self) -> None:
        self.journal = Abandoned(self.folder / "ledger.db")
        self.ledger = Ledger.open(self.journal, self.accounts.caps)

    @rule(
        target=requests,
        worst=AMOUNTS,
        scopes=st.lists(st.sampled_from(SCOPES), max_size=3).map(tuple),
    )
    def reserve(self, worst: int, scopes: tuple[str, ...]) -> int:
        every = ("run", *scopes)
        fits = all(
            (cap := self.accounts.caps.get(scope)) is None
            or self.accounts.committed(scope) + worst <= cap
            for scope in every
        )
        try:
            request = self.ledger.reserve(worst, scopes, "a request")
        except DoesNotFit as miss:
            assert not fits
            cap = self.accounts.caps[miss.scope]
            assert cap is not None
            assert miss.free == cap - self.accounts.committed(miss.scope) < worst
            return 0
        except LedgerFault:
            assert self.accounts.faulty
            return 0
        assert fits and not self.accounts.faulty
        assert request not in self.accounts.entries
        self.accounts.entries[request] = Entry(worst, every)
        return request

    def open_entry(self, request: int) -> Entry | None:
        entry = self.accounts.entries.get(request)
        return entry if entry is not None and entry.state == "open" else None

    @rule(request=consumes(requests), share=st.fractions(0, 1))
    def settle(self, request: int, share: float) -> None:
        entry = self.open_entry(request)
        if entry is None:
            return
        actual = int(entry.worst * share)
        self.ledger.settle(request, actual)
        entry.state, entry.counted = "settled", actual

    @rule(request=consumes(requests), more=st.integers(1, 10**13), rare=st.integers(0, 9))
    def settle_above_the_bound(self, request: int, more: int, rare: int) -> None:
        entry = self.open_entry(request)
        if entry is None or rare:
            return
        self.ledger.settle(request, entry.worst + more)
        entry.state, entry.counted = "settled", entry.worst + more
        self.accounts.faulty, self.accounts.passed = True, False
        assert self.ledger.fault is not None

    @rule(request=consumes(requests))
    def release(self, request: int) -> None:
        entry = self.open_entry(request)
        if entry is not None:
            self.ledger.release(request)
            entry.state = "released"

    @rule(request=requests, share=st.none() | st.fractions(0, 1))
    def hold(self, request: int, share: float | None) -> None:
        entry = self.open_entry(request)
        if entry is None:
            return
        amount = None if share is None else int(entry.worst * share)
        self.ledger.hold(request, "reset", amount)
        entry.state, entry.counted = "uncertain", entry.worst if amount is None else amount

    @rule(request=consumes(requests), share=st.fractions(0, 1))
    def resolve(self, request: int, share: float) -> None:
        entry = self.accounts.entries.get(request)
        if entry is None or entry.state != "uncertain":
            return
        actual = int(entry.counted * share)
        self.ledger.resolve(request, actual, "export")
        entry.state, entry.counted = "settled", actual

    @rule(
        target=requests,
        amount=AMOUNTS,
        scopes=st.lists(st.sampled_from(SCOPES), max_size=2).map(tuple),
        rare=st.integers(0, 4),
    )
    def notice_afterwards(self, amount: int, scopes: tuple[str, ...], rare: int) -> int:
        """A server ran on unwatched: nothing was reserved for it, and it counts all the same."""
        if rare:
            return 0
        request = self.ledger.charge_uncertain(amount, scopes, "a server ran on")
        accounts = self.accounts
        accounts.entries[request] = Entry(0, ("run", *scopes), "uncertain", amount)
        over = any(
            (cap := accounts.caps.get(scope)) is not None and accounts.committed(scope) > cap
            for scope in ("run", *scopes)
        )
        if amount and over and not accounts.faulty:
            accounts.faulty = accounts.passed = True
        return request

    @rule(scope=st.sampled_from(("run", *SCOPES)), cap=st.none() | st.integers(0, 9 * 10**13))
    def set_cap(self, scope: str, cap: int | None) -> None:
        self.ledger.set_cap(scope, cap)
        self.accounts.caps[scope] = cap
        if cap is not None and self.accounts.committed(scope) > cap:
            self.accounts.lowered = True

    @rule()
    def accept(self) -> None:
        if self.accounts.faulty:
            self.ledger.accept_fault("looked into")
            self.accounts.faulty = self.accounts.passed = False

    @rule()
    def become_durable(self) -> None:
        self.journal.flush()
        self.durable = deepcopy(self.accounts)

    @rule(raised=st.integers(0, 10**12))
    def crash_and_reopen(self, raised: int) -> None:
        self.journal.die()
        was = self.durable
        for entry in was.entries.values():
            if entry.state == "open":
                entry.state, entry.counted = "uncertain", entry.worst
        cap = was.caps["run"]
        was.caps["run"] = None if cap is None else cap + raised
        self.accounts = deepcopy(was)
        self.reopen()
        self.journal.flush()
        self.durable = deepcopy(self.accounts)

    @invariant()
    def a_fault_lasts_until_it_is_accepted_or_the_caps_hold_again(self) -> None:
        accounts = self.accounts
        if accounts.passed and accounts.within():
            accounts.faulty = accounts.passed = False
        assert (self.ledger.fault is not None) == accounts.faulty

    @invariant()
    def the_accounts_agree_to_the_last_unit(self) -> None:
        for scope in ("run", *SCOPES):
            totals = self.ledger.totals(scope)
            assert (totals.settled, totals.uncertain, totals.reserved) == self.accounts.parts(scope)
            assert totals.cap == self.accounts.caps.get(scope)

    @invariant()
    def the_cap_holds(self) -> None:
        excused = self.accounts.lowered or any(
            entry.counted > entry.worst for entry in self.accounts.entries.values()
        )
        for scope in ("run", *SCOPES):
            totals = self.ledger.totals(scope)
            assert totals.cap is None or excused or totals.committed <= totals.cap

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)


class TestLedgerMachine(LedgerMachine.TestCase):
    settings = settings(
        max_examples=200,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestLedgerMachineLonger(LedgerMachine.TestCase):
    settings = settings(TestLedgerMachine.settings, max_examples=4000)
