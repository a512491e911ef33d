"""Where what was downloaded or made once is kept for later runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder of orch's in the user's cache; it need not be there yet."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return base.joinpath("orch", *parts)
