"""How often Python looks for reference cycles while a run goes on.

An attempt makes dozens of objects that die with it and hardly a cycle. At Python's own pace the
collector would walk over all that is in flight many times a second, an eighth of what dispatching
costs; what was loaded before is not looked at either.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

THRESHOLDS = 20_000, 20, 20


@contextlib.contextmanager
def collecting_seldom() -> Iterator[None]:
    """Collect seldom, and leave alone what is alive now; afterwards as before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
