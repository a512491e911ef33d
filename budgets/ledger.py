"""The ledger: reserve, then settle, release, or hold as uncertain; the cap is never passed.

    reserve(worst) ──┬── settle(actual)         billed, and the bill is known
                     ├── settle(actual, held)   billed so much at least; `held` more is uncertain
                     ├── release()              certainly not billed
                     └── hold(note) ── resolve(actual)
                         may have been billed: counts as spent until somebody looks it up

A pure state machine in whole picodollars over a Journal. Every change is one Event, appended to
the journal and then applied by the same code that replays the journal at start, so a ledger read
back from disk is the ledger that was. Nothing here waits, reads a clock or knows of runs.

Invariant, for every scope with a cap, at every instant:

    settled + uncertain + reserved <= cap

It rests on one assumption: nothing is billed above the worst case that was reserved for it. A
bill above its bound is charged in full, sets `fault`, and every later `reserve` raises
LedgerFault. Lowering a cap below what is already committed only stops further reservations.

A scope is a free string ("run", "arm:0", "model:gpt-4o"); "run" always exists and is implied in
every reservation. All caps that a reservation falls under are checked together: either all of
them take it or none does. Scopes are kept for ever, so they should be few.

    LedgerError
    ├── DoesNotFit            a cap has no room: wait for settlements, ask for less, or stop
    ├── LedgerFault           a bill was above its bound: nothing more may be reserved
    ├── UnknownReservation    the id is not open (or not uncertain): a mistake of the caller
    └── DamagedJournal        what was read back cannot have been written
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from budgets.journal import Event, Journal, PaidTime
from budgets.money import usd
from budgets.totals import Totals, Uncertain

RUN = "run"
"""The scope that every reservation counts against."""

NO_CAP = -1
"""The amount of a `cap` event that takes a cap away."""

LEFT_OPEN = "the process ended before this was settled"


class LedgerError(Exception):
    """Something the ledger cannot do."""


class DoesNotFit(LedgerError):
    """A reservation for which a cap has no room; nothing was reserved."""

    def __init__(self, scope: str, worst: int, free: int) -> None:
        super().__init__(scope, worst, free)
        self.scope = scope
        """The scope with the least room."""
        self.worst = worst
        """What was asked for, in picodollars."""
        self.free = free
        """What is left under that scope's cap; negative where the cap was lowered."""

    def __str__(self) -> str:
        return f"${usd(self.worst)} does not fit: ${usd(self.free)} is free in {self.scope!r}"


class LedgerFault(LedgerError):
    """Reserving is over: a bill came in above its declared bound."""


class UnknownReservation(LedgerError):
    """The reservation was never made, or is finished already."""


class DamagedJournal(LedgerError):
    """The journal holds an event that no ledger wrote, or lacks one that it wrote."""


class _Held:
    """A reservation, open or uncertain."""

    __slots__ = ("amount", "names", "note", "origin", "paid", "scopes")

    def __init__(self, origin: Event, names: tuple[str, ...], scopes: tuple[Totals, ...]) -> None:
        self.amount = origin.amount
        self.names = names
        self.scopes = scopes
        self.origin = origin
        self.note = ""
        self.paid = 0

    @property
    def purpose(self) -> str:
        request = self.origin.request
        return self.origin.note or (f"request {request}" if request else "")


class Ledger:
    """Exact accounts of one budget; see the module's contract. Not for several threads.

    >>> from budgets import Ledger, MemoryJournal, picodollars
    >>> ledger = Ledger.open(MemoryJournal(), caps={"run": picodollars("1.00")})
    >>> request = ledger.reserve(picodollars("0.30"), note="problem 1, slot 0")
    >>> ledger.settle(request, picodollars("0.02"))
    >>> ledger.totals().free == picodollars("0.98")
    True
    """

    def __init__(self, journal: Journal | None) -> None:
        """An empty ledger; use `open` or `read`. Without a journal it only replays."""
        self._journal = journal
        self._scopes: dict[str, Totals] = {RUN: Totals()}
        self._groups: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[Totals, ...]]] = {}
        self._open: dict[int, _Held] = {}
        self._uncertain: dict[int, _Held] = {}
        self._last = 0
        self.fault: str | None = None
        """Why nothing more may be reserved, as a sentence; None while all is well."""
        self._passed = False
        """Whether the fault is that a cap was passed by what was noticed afterwards."""
        self.left_open: tuple[Uncertain, ...] = ()
        """What `open` found open, left so by a process that died."""
        self._apply: dict[str, Callable[[Event], None]] = {
            "cap": self._apply_cap,
            "reserve": self._apply_reserve,
            "settle": self._apply_settle,
            "part": self._apply_part,
            "release": self._apply_release,
            "hold": self._apply_hold,
            "resolve": self._apply_resolve,
        }

    @classmethod
    def open(cls, journal: Journal, caps: Mapping[str, int | None]) -> Ledger:
        """Continue the accounts in `journal` under `caps` (picodollars; None takes a cap away).

        Reservations that a dead process left open become uncertain at their worst case. Scopes
        that `caps` does not name keep the cap they had.
        """
        ledger = cls.read(journal.events())
        ledger._journal = journal
        left = set(ledger._open)
        for reservation in sorted(left):
            ledger.hold(reservation, LEFT_OPEN)
        ledger.left_open = tuple(item for item in ledger.uncertain() if item.reservation in left)
        for scope, cap in caps.items():
            if ledger._scope(scope).cap != cap:
                ledger.set_cap(scope, cap)
        return ledger

    @classmethod
    def read(cls, events: Iterable[Event]) -> Ledger:
        """The accounts as `events` left them, for looking only: open reservations stay open."""
        ledger = cls(None)
        for event in events:
            try:
                ledger._apply[event.kind](event)
            except (KeyError, TypeError, ValueError):
                raise DamagedJournal(
                    f"a {event.kind!r} of reservation {event.reservation} cannot follow what is "
                    "before it in the journal"
                ) from None
        return ledger

    # -- changes ------------------------------------------------------------------------------

    def reserve(
        self, worst: int, scopes: Sequence[str] = (), note: str = "", *,
        request: int = 0, time: PaidTime | None = None,
    ) -> int:  # fmt: skip
        """Set `worst` picodollars aside in "run" and every one of `scopes`, or in none.

        `request` and `time` say what it is for where a program is to know it again, `note` says
        it to people. Returns the reservation's id. Raises DoesNotFit, or LedgerFault once a bill
        was above its bound. Send nothing before the journal's `durable()` returned.
        """
        if self.fault is not None:
            raise LedgerFault(self.fault)
        _check(worst)
        names, group = self._group(tuple(scopes))
        short: tuple[int, str] | None = None
        for name, scope in zip(names, group, strict=True):
            free = scope.free
            if free is not None and worst > free and (short is None or free < short[0]):
                short = (free, name)
        if short is not None:
            raise DoesNotFit(short[1], worst, short[0])
        reservation = self._last + 1
        self._emit(Event("reserve", reservation, worst, names, note, request, time))
        return reservation

    def settle(self, reservation: int, actual: int, note: str = "", *, held: int = 0) -> None:
        """The request was billed `actual`; the rest of its worst case is free again.

        `held`: so much more may have been billed, within the worst case, and counts as uncertain.
        """
        _check(actual)
        _check(held)
        worst = self._held(self._open, reservation).amount
        held = min(held, worst - actual) if held else 0
        if held <= 0:
            self._emit(Event("settle", reservation, actual, (), note))
            return
        self._emit(Event("part", reservation, actual, (), note))
        self._emit(Event("hold", reservation, held, (), note))

    def release(self, reservation: int, note: str = "") -> None:
        """The request certainly cost nothing."""
        self._held(self._open, reservation)
        self._emit(Event("release", reservation, 0, (), note))

    def hold(self, reservation: int, note: str, amount: int | None = None) -> None:
        """The request may have been billed: `amount` (the worst case by default) counts as spent.

        An amount above the worst case is charged all the same (time that passed unwatched), and
        is a fault where it passes a cap.
        """
        held = self._held(self._open, reservation)
        amount = held.amount if amount is None else amount
        _check(amount)
        self._emit(Event("hold", reservation, amount, (), note))

    def resolve(self, reservation: int, actual: int, note: str) -> None:
        """An uncertain amount turned out to be `actual`; the note says how that is known."""
        _check(actual)
        self._held(self._uncertain, reservation)
        self._emit(Event("resolve", reservation, actual, (), note))

    def charge_uncertain(
        self, amount: int, scopes: Sequence[str], note: str, *,
        request: int = 0, time: PaidTime | None = None,
    ) -> int:  # fmt: skip
        """Count `amount` as uncertain though nothing was reserved for it, and return its id.

        For costs that were noticed afterwards (a server that ran on after a crash); passing a
        cap this way is a fault, until resolving or a higher cap brings it back under.
        """
        _check(amount)
        names, _ = self._group(tuple(scopes))
        reservation = self._last + 1
        self._emit(Event("reserve", reservation, 0, names, note, request, time))
        self._emit(Event("hold", reservation, amount, (), note))
        return reservation

    def set_cap(self, scope: str, cap: int | None, note: str = "") -> None:
        """Give `scope` a cap in picodollars, or take it away with None."""
        if cap is not None:
            _check(cap)
        self._emit(Event("cap", 0, NO_CAP if cap is None else cap, (scope,), note))

    def accept_fault(self, why: str) -> None:
        """A person has looked into the fault: reserving may go on. Journalled with `why`."""
        if self.fault is not None:
            cap = self._scopes[RUN].cap
            note = f"fault accepted: {why}"
            self._emit(Event("cap", 0, NO_CAP if cap is None else cap, (RUN,), note, accepts=True))

    # -- looking ------------------------------------------------------------------------------

    def totals(self, scope: str = RUN) -> Totals:
        """One scope's money; all zero for a scope that nothing was reserved in."""
        found = self._scopes.get(scope) or Totals()
        return Totals(found.settled, found.uncertain, found.reserved, found.cap)

    def room(self, scopes: Sequence[str] = ()) -> int | None:
        """The most that can be reserved in "run" and `scopes` now; None where nothing caps."""
        _, group = self._group(tuple(scopes))
        return min((free for scope in group if (free := scope.free) is not None), default=None)

    def scopes(self) -> list[str]:
        """Every scope that has a cap or ever had a reservation."""
        return list(self._scopes)

    def uncertain(self) -> list[Uncertain]:
        """Every amount that may have been billed, in the order of holding."""
        return [
            Uncertain(
                reservation,
                held.amount,
                held.note,
                held.purpose,
                held.names,
                held.paid,
                held.origin.request,
                held.origin.time,
            )
            for reservation, held in self._uncertain.items()
        ]

    def worst_of(self, reservation: int) -> int:
        """What is set aside, or counts as uncertain, for a reservation; 0: it is finished."""
        held = self._open.get(reservation) or self._uncertain.get(reservation)
        return 0 if held is None else held.amount

    @property
    def open_reservations(self) -> int:
        """How many reservations are under way."""
        return len(self._open)

    # -- the machine --------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        if self._journal is None:
            raise LedgerError("this ledger was opened for reading only")
        self._journal.append(event)
        self._apply[event.kind](event)

    def _scope(self, name: str) -> Totals:
        scope = self._scopes.get(name)
        if scope is None:
            scope = self._scopes[name] = Totals()
        return scope

    def _group(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Totals, ...]]:
        group = self._groups.get(names)
        if group is None:
            every = tuple(dict.fromkeys((RUN, *names)))
            group = self._groups[names] = (every, tuple(self._scope(name) for name in every))
        return group

    @staticmethod
    def _held(where: dict[int, _Held], reservation: int) -> _Held:
        held = where.get(reservation)
        if held is None:
            raise UnknownReservation(f"reservation {reservation} is unknown or already finished")
        return held

    def _apply_cap(self, event: Event) -> None:
        (name,) = event.scopes
        self._scope(name).cap = None if event.amount == NO_CAP else event.amount
        if event.accepts:
            self.fault, self._passed = None, False
        self._perhaps_mended()

    def _apply_reserve(self, event: Event) -> None:
        names, scopes = self._group(event.scopes)
        for scope in scopes:
            scope.reserved += event.amount
        self._open[event.reservation] = _Held(event, names, scopes)
        self._last = max(self._last, event.reservation)

    def _apply_settle(self, event: Event) -> None:
        held = self._open.pop(event.reservation)
        for scope in held.scopes:
            scope.reserved -= held.amount
            scope.settled += event.amount
        if self._passed:
            self._perhaps_mended()
        if event.amount > held.amount:
            self._above_bound(held, event.amount, event.note)

    def _apply_part(self, event: Event) -> None:
        held = self._open[event.reservation]
        for scope in held.scopes:
            scope.reserved -= event.amount
            scope.settled += event.amount
        held.amount -= event.amount
        held.paid += event.amount

    def _apply_release(self, event: Event) -> None:
        held = self._open.pop(event.reservation)
        for scope in held.scopes:
            scope.reserved -= held.amount
        self._perhaps_mended()

    def _apply_hold(self, event: Event) -> None:
        held = self._open.pop(event.reservation)
        for name, scope in zip(held.names, held.scopes, strict=True):
            scope.reserved -= held.amount
            scope.uncertain += event.amount
            free = scope.free
            passed = event.amount > held.amount and free is not None and free < 0
            if passed and (self.fault is None or self._passed):
                assert free is not None
                self.fault = (
                    f"${usd(event.amount)} had to be counted as spent though only "
                    f"${usd(held.amount)} was reserved, which passes the cap of {name!r} by "
                    f"${usd(-free)}: {event.note or held.purpose}"
                )
                self._passed = True
        self._perhaps_mended()
        held.amount, held.note = event.amount, event.note
        self._uncertain[event.reservation] = held

    def _apply_resolve(self, event: Event) -> None:
        held = self._uncertain.pop(event.reservation)
        for scope in held.scopes:
            scope.uncertain -= held.amount
            scope.settled += event.amount
        self._perhaps_mended()
        if event.amount > held.amount:
            self._above_bound(held, event.amount, event.note)

    def _perhaps_mended(self) -> None:
        """A cap that was passed by what was noticed afterwards, and holds again, is no fault."""
        if self._passed and not any((scope.free or 0) < 0 for scope in self._scopes.values()):
            self.fault, self._passed = None, False

    def _above_bound(self, held: _Held, actual: int, note: str) -> None:
        self._passed = False
        which = ", ".join(part for part in (held.purpose, note) if part) or "a request"
        self.fault = (
            f"{which} was billed ${usd(actual)}, above the ${usd(held.amount)} declared for it "
            "as its worst case: the price or the token bound in use is too low"
        )


def _check(amount: int) -> None:
    if type(amount) is not int or amount < 0:
        raise ValueError(f"{amount!r} is not a whole, non-negative number of picodollars")
