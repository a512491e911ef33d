"""The exact value of an expression that is a rational number, by bounded arithmetic.

1/52! and 51/52! differ, and so do 6.6e-34 and 6.6e-33: nothing is rounded. What is irrational,
holds letters, or would grow beyond LARGEST_BITS has no value here. Everything is linear in the
tree but for the arithmetic, whose numbers are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import comb, factorial, isqrt

from verifiers.stated.tree import Tree

LARGEST_BITS = 20_000
_LARGEST_FACTORIAL = 1_000


class _NoValue(Exception):
    pass


def value(tree: Tree) -> Fraction | None:
    """The number that the tree is, or None."""
    try:
        return _value(tree)
    except _NoValue:
        return None


def symbols(tree: Tree) -> frozenset[str]:
    """The letters that stand for something unknown."""
    return frozenset(part[1] for part in parts_of(tree) if part[0] == "symbol")


def parts_of(tree: Tree) -> Iterator[Tree]:
    """The tree and every tree in it."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(part for part in one[1:] if isinstance(part, tuple))


def _value(tree: Tree) -> Fraction:
    kind, *parts = tree
    if kind == "number":
        return _bounded(parts[0])
    if kind in ("add", "multiply"):
        total = _value(parts[0])
        for part in parts[1:]:
            total = _bounded(total + _value(part) if kind == "add" else total * _value(part))
        return total
    if kind in ("divide", "power", "root", "binomial"):
        return _bounded(_of_two(kind, _value(parts[0]), _value(parts[1])))
    if kind in ("factorial", "absolute", "floor", "ceiling"):
        return _bounded(_of_one(kind, _value(parts[0])))
    raise _NoValue


def _bounded(found: Fraction) -> Fraction:
    if max(found.numerator.bit_length(), found.denominator.bit_length()) > LARGEST_BITS:
        raise _NoValue
    return found


def _of_one(kind: str, of: Fraction) -> Fraction:
    if kind == "absolute":
        return abs(of)
    if kind == "floor":
        return Fraction(of.__floor__())
    if kind == "ceiling":
        return Fraction(of.__ceil__())
    if of.denominator != 1 or not 0 <= of <= _LARGEST_FACTORIAL:
        raise _NoValue
    return Fraction(factorial(int(of)))


def _of_two(kind: str, a: Fraction, b: Fraction) -> Fraction:
    if kind == "divide":
        if b == 0:
            raise _NoValue
        return a / b
    if kind == "root":
        return _power(a, 1 / b if b else _fail())
    if kind == "power":
        return _power(a, b)
    if a.denominator != 1 or b.denominator != 1 or not 0 <= b <= a <= _LARGEST_FACTORIAL:
        raise _NoValue
    return Fraction(comb(int(a), int(b)))


def _fail() -> Fraction:
    raise _NoValue


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    degree = exponent.denominator
    if base == 0 and exponent <= 0:
        raise _NoValue
    if degree > 1:
        if base < 0 or degree > 64:
            raise _NoValue
        base = Fraction(_exact_root(base.numerator, degree), _exact_root(base.denominator, degree))
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and base != 0 and size * abs(exponent.numerator) > LARGEST_BITS:
        raise _NoValue
    if abs(base) == 1:
        return base if exponent.numerator % 2 else Fraction(1)
    return base**exponent.numerator


def _exact_root(of: int, degree: int) -> int:
    """The whole root of a natural number; fails where it has none."""
    root = isqrt(of) if degree == 2 else _whole_root(of, degree)
    if root**degree != of:
        raise _NoValue
    return root


def _whole_root(of: int, degree: int) -> int:
    low, high = 0, 1 << (of.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**degree <= of:
            low = middle
        else:
            high = middle - 1
    return low
