"""The time of several servers under one roof: a meter each, seen from outside as one.

A server's meter runs from its launch to its end, so that one that died costs no more while the
others go on. Admission ends for all when the next slice of any does not fit.
"""

from __future__ import annotations

from collections.abc import Callable

from budgets.meter import TimeMeter


class FleetMeter:
    """Meters by server; has the ways of a TimeMeter that a session uses.

    `meter_of` makes the meter of one server, given its name and the id under which a guard holds
    it. `end_s`: how long a server may take to end once nobody is heard of (its lease and what its
    end takes); the drain that its meter pays ahead must hold that.
    """

    def __init__(self, meter_of: Callable[[str, str], TimeMeter], *, end_s: float = 0.0) -> None:
        self._meter_of = meter_of
        self._end_s = end_s
        self._meters: dict[str, TimeMeter] = {}
        self._ended: list[TimeMeter] = []

    def open(self, name: str, hold: str = "") -> None:
        """A server is held from now on; raises DoesNotFit where its first slice does not."""
        if name in self._meters:
            return
        meter = self._meter_of(name, hold)
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
        self._meter_of("", "").try_start()

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
