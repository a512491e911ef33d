"""Reads what a sample's process claims; every line of it may be a lie, and none is believed.

A claim line that is malformed, out of order or one too many makes its answers `missing`.
"""

from __future__ import annotations

import json

from verifiers.sandbox import tagged
from verifiers.sandbox.limits import CallOutcome, Outcome


def cases_before_the_last(claims: bytes, count: int) -> tuple[int, bool]:
    """How many cases claim to have ended before another began, and whether the last left something.

    No case and something left (0, True) where the claims do not add up.
    """
    lines = claims.splitlines()
    left = bool(lines) and lines[-1].startswith(b'{"left":')
    whole = lines[:-1] if left else lines
    if len(whole) >= count or whole != [b'{"case":%d}' % n for n in range(len(whole))]:
        return 0, True
    return len(whole), left


def read_claims(whole: Outcome, count: int) -> list[CallOutcome]:
    """The outcome of each call from claim lines; all missing where they do not add up."""
    lines = whole.claims.split(b"\n")
    complete = lines[:-1]
    if len(complete) > count or (lines[-1] and whole.status == "ok"):
        bad = CallOutcome("missing", detail="more was reported than was asked", whole=whole)
        return [bad] * count
    outcomes = [_read_claim(line, number, whole) for number, line in enumerate(complete)]
    why = whole.detail or "the program ended before this call returned"
    if whole.status == "ok":
        why = "the program ended before this call returned"
    missing = CallOutcome("missing", detail=why, whole=whole)
    return outcomes + [missing] * (count - len(outcomes))


def _read_claim(line: bytes, number: int, whole: Outcome) -> CallOutcome:
    bad = CallOutcome("missing", detail="what was reported is no answer", whole=whole)
    try:
        tagged.check_size(line)
        claim = json.loads(line)
    except (ValueError, RecursionError):
        return bad
    if not isinstance(claim, dict) or claim.pop("n", None) != number or len(claim) != 1:
        return bad
    if "x" in claim:
        parts = [str(p) for p in claim["x"]] if isinstance(claim["x"], list) else ["?"]
        detail = f"{parts[1]}: {parts[0]}" if len(parts) > 1 and parts[0] else parts[-1]
        return CallOutcome("raised", detail=detail[:2000], whole=whole)
    try:
        return CallOutcome("returned", tagged.decode(_line_value(line)), whole=whole)
    except (ValueError, KeyError):
        return bad


def _line_value(line: bytes) -> bytes:
    """The text of the value in a claim line `{"n":0,"v":...}`."""
    return line[line.index(b'"v":') + 4 : -1]
