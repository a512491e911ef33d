"""The k at which coverage is reported, wherever it is: 1, 2, 5, 10, 20, 50, ... and the last."""

from __future__ import annotations


def points_to(most: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to `most`, and `most` itself; nothing where it is 0."""
    ks = [lead * 10**power for power in range(len(str(most))) for lead in (1, 2, 5)]
    kept = [k for k in ks if k <= most]
    return kept if not most or kept[-1] == most else [*kept, most]
