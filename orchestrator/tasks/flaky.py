"""Issues of SWE-bench Lite whose tests do not always say the same of one patch, as the paper lists
them."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("swebench_flaky.toml")


@cache
def named_flaky() -> frozenset[str]:
    """The issues' ids."""
    return frozenset(tomllib.loads(FILE.read_text(encoding="utf-8"))["issues"])
