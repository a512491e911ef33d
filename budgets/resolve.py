"""Clearing up what was held as uncertain, against the provider's own bill.

A request that timed out has no answer and so no name at the provider: a bill tells of such
requests only what they cost together. `spread` divides that sum over them, exactly and in
proportion to what is held for each, so that none gets more than was held while the sum is within
what all of them could cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise


def spread(amounts: Sequence[int], total: int) -> list[int]:
    """Divide `total` over `amounts` in proportion; the parts add up to `total`, to the last unit.

    Where `total` is at most the sum of `amounts`, no part is above its amount.
    """
    whole = sum(amounts)
    if total < 0 or (total and not whole):
        raise ValueError(f"{total} cannot be divided over amounts that add up to {whole}")
    if not whole:
        return [0] * len(amounts)
    bounds = [0, *(before * total // whole for before in accumulate(amounts))]
    return [after - before for before, after in pairwise(bounds)]
