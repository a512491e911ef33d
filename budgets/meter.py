"""A server that costs by the hour it is held, under the same ledger as everything else.

The meter always holds one reservation: the next slice of time plus the drain, the longest it
takes to finish what is under way and let the server go. Each tick settles the time that passed
and reserves again; where a full slice no longer fits, what is left of the old reservation is
kept, `exhausted` is set, and `deadline` says until when the server is paid for.

Crash rule: a reservation of a dead process becomes uncertain at its worst case (Ledger.open), so
the slice and the drain count as spent. A launched server ends with the process that launched it,
within that time. A borrowed server does not: nobody let it go, so the time from the end of that
reservation until somebody looks again (`count_gaps`) may have been paid for as well, and is
uncertain too. Its owner's bill, or a person who knows that it was not held, clears that up.

Time is counted by a clock that nobody can set (clock.py). The wall clock stands only in what the
journal keeps of a reservation (PaidTime), beside that clock's own reading: after a crash the gap
is counted by the latter where the machine was not started anew meanwhile, else by the wall clock.

Ticks must come at least every slice; a tick later than slice and drain together has spent more
than was reserved, which the ledger reports as a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from budgets.clock import Moment, held_s, mark
from budgets.journal import PaidTime
from budgets.ledger import Ledger
from budgets.totals import Uncertain

_NANO = 10**9
_HOUR = 3600 * _NANO


def time_cost(usd_per_hour: int, nanoseconds: int) -> int:
    """Picodollars for a span of time at `usd_per_hour` picodollars an hour, rounded up."""
    return -(-usd_per_hour * nanoseconds // _HOUR)


class Meter(Protocol):
    """What a run needs of a server's time: a TimeMeter's, or of several as one (fleet_meter.py)."""

    @property
    def exhausted(self) -> bool: ...
    def near_the_end(self, margin_s: float) -> bool: ...
    @property
    def running(self) -> bool: ...
    @property
    def held_s(self) -> float: ...
    def tick(self) -> None: ...
    def stop(self) -> None: ...


class TimeMeter:
    """Charges the time between `start` and `stop` to a ledger.

    `usd_per_hour` is in picodollars an hour (times the number of GPUs); `clock` gives the seconds
    that are counted, `wall` the Unix time. `server` is the name by which the journal and people
    know it, `hold` the id under which a guard holds it. `borrowed`: somebody else runs the server,
    and it goes on when this process dies. `guarded`: a guard ends it within what is reserved, so
    a process that was stopped for longer counts no time beyond that at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        usd_per_hour: int,
        scopes: Sequence[str] = (),
        *,
        slice_s: float = 2.0,
        drain_s: float = 15.0,
        clock: Callable[[], float] = held_s,
        wall: Callable[[], float] = time.time,
        server: str = "",
        hold: str = "",
        borrowed: bool = False,
        guarded: bool = False,
    ) -> None:
        self._ledger = ledger
        self._rate = usd_per_hour
        self._scopes = tuple(scopes)
        self._slice = _nanoseconds(slice_s)
        self._drain = _nanoseconds(drain_s)
        self._clock = clock
        self._wall = wall
        self._boot = mark().boot
        self._server = server
        self._hold = hold
        self._borrowed = borrowed
        self._guarded = guarded
        self._started = 0.0
        self._reservation: int | None = None
        self._covered = 0
        self._settled_until = 0
        self.settled = 0
        """Picodollars settled so far."""
        self.exhausted = False
        """No further slice fits: admit nothing more."""

    @property
    def deadline(self) -> float | None:
        """Clock time by which the server must be given up for the cap to hold; None: not near."""
        if not self.exhausted:
            return None
        return self._started + self._covered / _NANO

    def near_the_end(self, margin_s: float) -> bool:
        """Whether the server is paid for less than `margin_s` more, and nothing pays for longer."""
        return self.deadline is not None and self._clock() >= self.deadline - margin_s

    @property
    def running(self) -> bool:
        """Whether time is counted now."""
        return self._reservation is not None

    @property
    def held_s(self) -> float:
        """Seconds settled so far."""
        return self._settled_until / _NANO

    def start(self) -> None:
        """Begin to pay: reserve the first slice and the drain. Raises DoesNotFit, LedgerFault."""
        if self._reservation is not None:
            raise RuntimeError("the meter is running already")
        self._started = self._clock()
        self._settled_until = self.settled = 0
        self._reserve(self._slice + self._drain)
        self.exhausted = False

    def try_start(self) -> None:
        """Raise DoesNotFit or LedgerFault where `start` would; nothing stays reserved."""
        worst = time_cost(self._rate, self._slice + self._drain)
        self._ledger.release(self._ledger.reserve(worst, self._scopes), "asked whether it fits")

    def tick(self) -> None:
        """Settle the time that passed and pay for the next slice if it fits."""
        if self._reservation is None:
            return
        if self._ledger.fault is not None:
            self.exhausted = True
            return
        now = self._elapsed()
        until = now + self._slice + self._drain
        room = self._ledger.room(self._scopes)
        more = time_cost(self._rate, until) - time_cost(self._rate, self._covered)
        self.exhausted = room is not None and more > max(room, 0)
        if now > self._covered:
            self._settle(now)
            self.exhausted = True
        elif not self.exhausted:
            # One turn, no await: what the settlement frees is reserved again at once.
            self._settle(now)
            self._reserve(until)

    def stop(self) -> None:
        """Settle exactly up to now and give back the rest. Harmless when not running."""
        if self._reservation is not None:
            self._settle(self._elapsed())

    def _elapsed(self) -> int:
        """Nanoseconds since the start; a clock set back gives no settled time back."""
        elapsed = max(_nanoseconds(self._clock() - self._started), self._settled_until)
        return min(elapsed, self._covered) if self._guarded else elapsed

    def _settle(self, now: int) -> None:
        assert self._reservation is not None
        # From the running total, so that many ticks cost no more than one.
        total = time_cost(self._rate, now)
        self._ledger.settle(self._reservation, total - self.settled, "time held")
        self._reservation = None
        self._settled_until, self.settled = now, total

    def _reserve(self, until: int) -> None:
        """Pay for the time from what is settled until `until`, in nanoseconds since the start."""
        worst = time_cost(self._rate, until) - self.settled
        end = self._started + until / _NANO
        paid = PaidTime(
            self._server, self._wall() + end - self._clock(), self._rate, self._borrowed,
            self._boot, end, self._hold,
        )  # fmt: skip
        self._reservation = self._ledger.reserve(worst, self._scopes, time_of(paid), time=paid)
        self._covered = until


def time_of(paid: PaidTime) -> str:
    """What a meter's reservation is for, for a person."""
    return f"time of the server of {paid.server}" if paid.server else "time of a server"


def count_gaps(ledger: Ledger, seen: float, seen_mark: Moment | None = None) -> int:
    """Count the time that borrowed servers were not watched; returns picodollars.

    To be called once on a ledger that was just opened, before anything else is appended to its
    journal. `seen` is the Unix time at which somebody looked again, `seen_mark` the same moment by
    the clock that counts. The slices that the dead
    process had reserved are counted already; only time beyond them is added.
    """
    return sum(
        hold_gap(ledger, item, seen, seen_mark)
        for item in ledger.left_open
        if item.time is not None and item.time.borrowed
    )


def hold_gap(
    ledger: Ledger, uncertain: Uncertain, seen: float, seen_mark: Moment | None = None
) -> int:
    """Count the time from the end of a meter's last slice until `seen`; returns picodollars.

    `uncertain` is that slice, as `Ledger.left_open` lists it after reopening. For a server that
    certainly ran on until then, whoever launched it.
    """
    paid = _paid(uncertain)
    if seen_mark is not None and paid.boot and paid.boot == seen_mark.boot:
        unwatched_s = seen_mark.held_s - paid.held_until_s
    else:
        unwatched_s = seen - paid.until
    gap = _nanoseconds(max(0.0, unwatched_s))
    amount = time_cost(paid.usd_per_hour, gap)
    if amount:
        ledger.charge_uncertain(
            amount,
            uncertain.scopes,
            f"nobody watched the server for {gap / _NANO:.0f} s after a crash"
            f" (after reservation {uncertain.reservation})",
            time=msgspec.structs.replace(paid, until=seen, boot="", held_until_s=0.0),
        )
    return amount


def resolve_until(ledger: Ledger, uncertain: Uncertain, ended: float) -> None:
    """Settle a dead process's last slice up to `ended`, when its server was certainly gone."""
    paid = _paid(uncertain)
    unused = _nanoseconds(max(0.0, paid.until - ended))
    # Rounded down, so that what is settled is rounded up.
    saved = paid.usd_per_hour * unused // _HOUR
    actual = max(0, uncertain.amount - saved)
    ledger.resolve(uncertain.reservation, actual, "its guard saw the last of it gone")


def _paid(uncertain: Uncertain) -> PaidTime:
    if uncertain.time is None:
        raise ValueError(f"reservation {uncertain.reservation} is not a meter's")
    return uncertain.time


def _nanoseconds(seconds: float) -> int:
    return -int(-seconds * _NANO // 1)
