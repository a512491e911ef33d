"""Durations such as 1h30m, as seconds."""

import re

UNITS = {"h": 3600, "m": 60, "s": 1}
_WHOLE = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse(text):
    """Seconds; raises ValueError for anything else than hours, minutes, seconds in that order."""
    found = _WHOLE.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"not a duration: {text!r}")
    return sum(int(n or 0) * unit for n, unit in zip(found.groups(), UNITS.values(), strict=True))
