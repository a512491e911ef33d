"""Whether a server may be asked: well, put aside, or on trial. Pure; times are any one clock's.

A server that refuses, hangs or answers 5xx is put aside. It gets another try after a pause that
doubles from failure to failure: one request alone, once whoever watches has seen it healthy. That
request's answer brings it back.
"""

from __future__ import annotations

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Health:
    """The health of one server."""

    def __init__(self) -> None:
        self.why = ""
        """Why it is aside, in words; empty: it is well."""
        self.since = 0.0
        """When it was put aside."""
        self.gone = False
        """Nothing answers at its address, as was seen since it was put aside."""
        self._until = 0.0
        self._pause_s = 0.0
        self._seen_well = True
        self._trying = False

    @property
    def well(self) -> bool:
        return not self.why

    def failed(self, now: float, why: str, *, look_first: bool = True) -> None:
        """Put it aside. `look_first`: ask for its health before it gets another request."""
        if self.well:
            self.since = now
        elif not self._trying and now < self._until:
            # Others that were in flight when it failed tell nothing new.
            return
        self.why = why
        self._trying = False
        self._seen_well = not look_first
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._until = now + self._pause_s

    def answered(self) -> None:
        """It answered a request: it is well."""
        self.gone = False
        self.why = ""
        self._pause_s = 0.0
        self._trying = False

    def to_look_at(self, now: float) -> bool:
        """Whether it is time to ask an aside server for its health."""
        return not self.well and not self._seen_well and now >= self._until

    def looked(self, now: float, healthy: bool) -> None:
        """What came of asking."""
        self._seen_well = healthy
        self.gone = not healthy
        if not healthy:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._until = now + min(self._pause_s, 5.0)

    def open(self, now: float) -> bool:
        """Whether a request may go there now, if only one on trial."""
        return self.well or (self._seen_well and not self._trying and now >= self._until)

    def opens_at(self) -> float | None:
        """When it may be tried; None: not before it was seen healthy, or while it is on trial."""
        return self._until if self._seen_well and not self._trying else None

    def taken(self) -> None:
        """A request went there."""
        self._trying = not self.well

    def left(self) -> None:
        """That request was cancelled, which says nothing: another may be on trial."""
        self._trying = False
