"""Whether what a program produced is what was expected; runs in the parent, never in the cell.

Outputs (text):
    lines   line by line, ignoring white space around lines and blank lines around them (default)
    tokens  as sequences of words, however they are spread over lines
    exact   byte for byte
With a tolerance above zero, words that are numbers on both sides may differ by
tolerance x max(1, |expected|).

Values (of calls): Python's equality, and because JSON has only lists and string keys: a tuple may
stand for a list, and a number for the string of it as a key. NaN equals NaN. The same tolerance
for numbers, where one is asked for.
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
    left = [line.strip() for line in got.strip().split(b"\n")]
    right = [line.strip() for line in wanted.strip().split(b"\n")]
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
        return b"_" not in got + expected and _near(float(got), float(expected), tolerance)
    except (ValueError, OverflowError):
        return False


def _near(got: float, expected: float, tolerance: float) -> bool:
    if got != got or expected != expected:
        return got != got and expected != expected
    if got == expected or not tolerance:
        return got == expected
    try:
        return abs(got - expected) <= tolerance * max(1.0, abs(expected))
    except OverflowError:
        return False


def same_value(got: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Whether a value of exact builtin types is `expected`, a value read from JSON."""
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return False
        return all(same_value(a, b, tolerance) for a, b in zip(got, expected, strict=True))
    if isinstance(expected, dict):
        return isinstance(got, dict) and _same_dict(got, expected, tolerance)
    if isinstance(expected, int | float) and isinstance(got, int | float | Decimal | Fraction):
        return _same_number(got, expected, tolerance)
    return bool(got == expected)


def _same_number(got: float | Decimal | Fraction, expected: float, tolerance: float) -> bool:
    """Python compares numbers of different types exactly; only a tolerance makes them floats."""
    if isinstance(got, Decimal | Fraction):
        if got == expected or not tolerance:
            return got == expected
        try:
            got = float(got)
        except (ArithmeticError, ValueError):
            return False
    return _near(got, expected, tolerance)


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
    left = got.decode("utf-8", "replace").strip().split("\n")
    right = expected.strip().split("\n")
    for number, (a, b) in enumerate(zip_longest(left, right), 1):
        if (a or "").strip() != (b or "").strip() or a is None or b is None:
            mine = "nothing" if a is None else show(a, 80)
            return f"line {number}: {mine} instead of {'nothing' if b is None else show(b, 80)}"
    return "the outputs differ in white space"
