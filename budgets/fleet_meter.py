"""The time of several servers under one roof: a meter each, seen from outside as one.

A server's meter runs from its launch to its end, so that one that died costs no more while the
others go on. Admission ends for all when the next slice of any does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from budgets.clock import held_s
from budgets.ledger import Ledger
from budgets.meter import TimeMeter, time_cost


class FleetMeter:
    """Meters by server; has the ways of a TimeMeter that a session uses.

    `usd_per_hour`: picodollars an hour of one server. `end_s`: how long a server may take to end
    once nobody is heard of (its lease and what its end takes), which is always paid ahead.
    """

    def __init__(
        self,
        ledger: Ledger,
        usd_per_hour: int,
        scopes: Sequence[str] = (),
        *,
        slice_s: float = 2.0,
        drain_s: float = 15.0,
        end_s: float = 0.0,
        clock: Callable[[], float] = held_s,
        borrowed: bool = False,
    ) -> None:
        self._ledger = ledger
        self._rate = usd_per_hour
        self._scopes = tuple(scopes)
        self._slice_s, self._drain_s = slice_s, drain_s + end_s
        self._end_s = end_s
        self._clock = clock
        self._borrowed = borrowed
        self._meters: dict[str, TimeMeter] = {}
        self._ended: list[TimeMeter] = []

    def open(self, name: str) -> None:
        """A server is held from now on; raises DoesNotFit where its first slice does not."""
        if name in self._meters:
            return
        meter = TimeMeter(
            self._ledger, self._rate, self._scopes, slice_s=self._slice_s, drain_s=self._drain_s,
            clock=self._clock, note=name, borrowed=self._borrowed,
            guarded=not self._borrowed,
        )  # fmt: skip
        meter.start()
        self._meters[name] = meter

    def close(self, name: str) -> None:
        """A server has ended. Harmless for one that is not held."""
        meter = self._meters.pop(name, None)
        if meter is not None:
            meter.stop()
            self._ended.append(meter)

    def try_open(self) -> None:
        """Raise DoesNotFit where not even one server's first slice fits; nothing is held."""
        worst = time_cost(self._rate, int((self._slice_s + self._drain_s) * 10**9) + 1)
        self._ledger.release(self._ledger.reserve(worst, self._scopes), "asked whether it fits")

    @property
    def exhausted(self) -> bool:
        return any(meter.exhausted for meter in self._meters.values())

    def near_the_end(self, margin_s: float) -> bool:
        """Whether some server must be told to end now."""
        margin_s = max(margin_s, self._end_s)
        return any(meter.near_the_end(margin_s) for meter in self._meters.values())

    @property
    def running(self) -> bool:
        return bool(self._meters)

    @property
    def held_s(self) -> float:
        """Seconds that servers were held, summed over them."""
        return sum(meter.held_s for meter in (*self._meters.values(), *self._ended))

    @property
    def settled(self) -> int:
        """Picodollars settled so far."""
        return sum(meter.settled for meter in (*self._meters.values(), *self._ended))

    def tick(self) -> None:
        """Settle the time that passed and pay for the next slice of each."""
        for meter in list(self._meters.values()):
            meter.tick()

    def stop(self) -> None:
        """Settle exactly up to now and give back the rest. Harmless when nothing is held."""
        for name in list(self._meters):
            self.close(name)
