"""Whether what a program produced is what was expected; runs in the parent, never in the cell.

Outputs (text):
    lines   line by line, ignoring white space at line ends and blank lines at the end (default)
    tokens  as sequences of words, however they are spread over lines
    exact   byte for byte
With a tolerance above zero, words that are numbers on both sides may differ by
tolerance x max(1, |expected|).

Values (of calls): Python's equality over exact builtin types, and because JSON has only lists and
string keys: a tuple may stand for a list, a set for a list of distinct items, a number for the
string of it as a key. NaN equals NaN. The same tolerance for floats.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest
from typing import Any

RULES = ("lines", "tokens", "exact")


def same_output(got: bytes, expected: str, rule: str = "lines", tolerance: float = 0.0) -> bool:
    """Whether output `got` is `expected`. ValueError for an unknown rule."""
    if rule not in RULES:
        raise ValueError(f"unknown comparison {rule!r}: use one of {', '.join(RULES)}")
    wanted = expected.encode("utf-8", "surrogatepass")
    if got == wanted:
        return True
    if rule == "exact":
        return False
    if rule == "tokens":
        return _same_words(got.split(), wanted.split(), tolerance)
    left = [line.rstrip() for line in got.rstrip().split(b"\n")]
    right = [line.rstrip() for line in wanted.rstrip().split(b"\n")]
    if left == right:
        return True
    return (
        tolerance > 0
        and len(left) == len(right)
        and all(
            _same_words(a.split(), b.split(), tolerance) for a, b in zip(left, right, strict=True)
        )
    )


def _same_words(got: list[bytes], expected: list[bytes], tolerance: float) -> bool:
    if len(got) != len(expected):
        return False
    pairs = zip(got, expected, strict=True)
    return all(a == b or (tolerance > 0 and _near_text(a, b, tolerance)) for a, b in pairs)


def _near_text(got: bytes, expected: bytes, tolerance: float) -> bool:
    try:
        return _near(float(got), float(expected), tolerance)
    except (ValueError, OverflowError):
        return False


def _near(got: float, expected: float, tolerance: float) -> bool:
    if got != got or expected != expected:
        return got != got and expected != expected
    if got == expected:
        return True
    try:
        return abs(got - expected) <= tolerance * max(1.0, abs(expected))
    except OverflowError:
        return False


def same_value(got: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Whether a value of exact builtin types is `expected`, a value read from JSON."""
    if isinstance(expected, list | tuple):
        if isinstance(got, set | frozenset):
            return _same_set(got, expected)
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return False
        return all(same_value(a, b, tolerance) for a, b in zip(got, expected, strict=True))
    if isinstance(expected, dict):
        return isinstance(got, dict) and _same_dict(got, expected, tolerance)
    if isinstance(got, Decimal | Fraction):
        got = _as_plain_number(got)
    if isinstance(got, float) or isinstance(expected, float):
        if isinstance(got, int | float) and isinstance(expected, int | float):
            return _near(got, expected, tolerance)
        return False
    if isinstance(got, bytes | bytearray | complex | range):
        return bool(type(got) is type(expected) and got == expected)
    return bool(got == expected)


def _as_plain_number(value: Decimal | Fraction) -> int | float:
    """The integer, or else the nearest float: JSON has no other numbers to compare with."""
    try:
        if -(1 << 53) < value < 1 << 53 and value == int(value):
            return int(value)
        return float(value)
    except (ArithmeticError, ValueError):
        return float("nan")


def _same_set(got: set[Any] | frozenset[Any], expected: list[Any] | tuple[Any, ...]) -> bool:
    items = [tuple(item) if isinstance(item, list) else item for item in expected]
    try:
        return len(set(items)) == len(items) and set(got) == set(items)
    except TypeError:
        return False


def _same_dict(got: dict[Any, Any], expected: dict[Any, Any], tolerance: float) -> bool:
    if len(got) != len(expected):
        return False
    by_name = {key if isinstance(key, str) else _key(key): value for key, value in got.items()}
    if len(by_name) != len(got):
        return False
    missing = object()
    for key, value in expected.items():
        mine = (
            got[key]
            if key in got
            else by_name.get(key if isinstance(key, str) else _key(key), missing)
        )
        if mine is missing or not same_value(mine, value, tolerance):
            return False
    return True


def _key(key: Any) -> str:
    """A key as JSON would have written it."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    try:
        return str(key)
    except ValueError:  # an int of more digits than str() takes
        return hex(key)


def show(value: Any, limit: int = 200) -> str:
    """A short text of a value for a verdict's detail, whatever its size."""
    if isinstance(value, bytes):
        value = value[: 4 * limit].decode("utf-8", "replace")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >> 512:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        text = repr(value[: 2 * limit])
    else:
        try:
            text = repr(value[:50] if isinstance(value, list | tuple) else value)
        except (ValueError, RecursionError):
            text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def first_difference(got: bytes, expected: str) -> str:
    """The first line in which two outputs differ, for a person."""
    left = got.decode("utf-8", "replace").rstrip().split("\n")
    right = expected.rstrip().split("\n")
    for number, (a, b) in enumerate(zip_longest(left, right), 1):
        if (a or "").rstrip() != (b or "").rstrip() or a is None or b is None:
            mine = "nothing" if a is None else show(a, 80)
            return f"line {number}: {mine} instead of {'nothing' if b is None else show(b, 80)}"
    return "the outputs differ in white space"
