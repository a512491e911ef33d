"""A pool of warm cells: the tier is chosen once, and each seat starts the cells that it needs.

A seat runs one sample at a time. What its cells show (packages, programs, a project directory) is
a flavour; a seat starts a flavour's cell when it first needs it, and ends one after some thousand
samples.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from verifiers.sandbox import layout, tiers
from verifiers.sandbox.cell import Cell
from verifiers.sandbox.confine import LAYERS, Confinement
from verifiers.sandbox.flavour import Flavour, make_plan, shows_a_jail
from verifiers.sandbox.limits import Limits, SandboxFault
from verifiers.sandbox.slots import Slots

_RECYCLE_AFTER = 2000
_CELLS_PER_SEAT = 6


class _Seat:
    def __init__(self) -> None:
        self.cells: dict[Flavour, Cell] = {}


class Cells(ABC):
    """The pool. Whoever inherits says with `leaks` whether a tier withstands attacks."""

    def __init__(
        self,
        limits: Limits,
        tier: str | None,
        jobs: int,
        flavour: Flavour,
        python: str | None,
        trust: bool,
        without: Sequence[str],
        landlock_at_most: int,
    ) -> None:
        self.limits = limits
        self.jobs = jobs
        self._wanted_tier, self._python, self._trust = tier, python, trust
        self._flavour = flavour
        self._layers = tuple(layer for layer in LAYERS if layer not in without)
        # A cell with a layer left out on purpose would fail its own test.
        self._self_test = not without
        self._landlock_at_most = landlock_at_most
        self._slots = Slots()
        self._seats: asyncio.Queue[_Seat] = asyncio.Queue()
        self._all: list[_Seat] = []
        self._starting: asyncio.Lock | None = None
        self.tier = ""

    @abstractmethod
    async def leaks(self) -> str:
        """What got through the tier that is chosen; "" where nothing did."""

    async def start(self) -> None:
        """Choose the tier and open the seats. NoSandbox says why there is none."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self.tier:
                return
            reasons: dict[str, str] = {}
            for tier in tiers.candidates(self._wanted_tier, self._trust):
                reason = await self._try(tier)
                if not reason:
                    break
                reasons[tier] = reason
            else:
                raise tiers.refusal(reasons, self._wanted_tier)
            for _ in range(1, self.jobs):
                self._add_seat()

    def facts(self) -> dict[str, Any]:
        """What the cells say of themselves: Landlock's version, whether samples may fork, ..."""
        cells = [cell for seat in self._all for cell in seat.cells.values()]
        return dict(cells[0].facts) if cells else {}

    def _add_seat(self) -> None:
        seat = _Seat()
        self._all.append(seat)
        self._seats.put_nowait(seat)

    async def _try(self, tier: str) -> str:
        """Start a cell of this tier and attack it; why the tier is unfit, or ""."""
        self.tier = tier
        self._add_seat()
        try:
            if tier != "none" and self._self_test:
                reason = await self.leaks()
            else:
                async with self._seat() as seat:
                    await self._cell(seat, self._flavour)
                return ""
        except SandboxFault as fault:
            reason = str(fault)
        if reason:
            await self.aclose()
            self._seats = asyncio.Queue()
        return reason

    async def aclose(self) -> None:
        """End every cell and remove every directory. Safe to call again."""
        cells = [cell for seat in self._all for cell in seat.cells.values()]
        for seat in self._all:
            seat.cells.clear()
        await asyncio.gather(*(self._end(cell) for cell in cells))
        self._slots.close()
        self.tier = ""
        self._all.clear()

    @asynccontextmanager
    async def _seat(self) -> AsyncIterator[_Seat]:
        if not self.tier:
            await self.start()
        seat = await self._seats.get()
        try:
            yield seat
        finally:
            self._seats.put_nowait(seat)

    async def _cell(self, seat: _Seat, flavour: Flavour) -> Cell:
        """The seat's cell of a flavour, started, replaced or recycled as needed."""
        cell = seat.cells.pop(flavour, None)
        if cell is not None and (not cell.usable or cell.samples >= _RECYCLE_AFTER):
            await self._end(cell)
            cell = None
        if cell is None:
            while len(seat.cells) >= _CELLS_PER_SEAT:
                await self._end(seat.cells.pop(next(iter(seat.cells))))
            cell = await self._new_cell(flavour)
        seat.cells[flavour] = cell
        return cell

    async def _new_cell(self, flavour: Flavour) -> Cell:
        uid = self._slots.take_uid() if self.tier != "none" else None
        scratch = "/tmp" if shows_a_jail(self.tier, self._layers) else self._slots.make_scratch(uid)
        cell = Cell(self._plan(flavour, uid, scratch), self._interpreter().python)
        try:
            await cell.start()
        except BaseException:
            await self._end(cell)
            raise
        return cell

    async def _end(self, cell: Cell) -> None:
        await cell.close()
        self._slots.give_back(cell.plan.uid)
        self._slots.remove_scratch(cell.plan.scratch)

    def _interpreter(self) -> layout.Layout:
        return layout.interpreter(self._python)

    def _plan(self, flavour: Flavour, uid: int | None, scratch: str) -> Confinement:
        chosen = tiers.layers(self.tier, self._layers)
        return make_plan(
            flavour, self.tier, chosen, self._interpreter(), self.limits, uid, scratch,
            self._landlock_at_most,
        )  # fmt: skip
