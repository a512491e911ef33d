"""Sets of real numbers: intervals, their unions, and what a relation of one unknown names."""

from __future__ import annotations

from itertools import pairwise

from verifiers.stated.forms import Answer, Several, Span, Value
from verifiers.stated.number import symbols, value
from verifiers.stated.tokens import NotWhole
from verifiers.stated.tree import Tree, number

INFINITY: Tree = ("constant", "infinity")
MINUS_INFINITY: Tree = ("multiply", number(-1), INFINITY)


def as_span(answer: Answer) -> Span | None:
    """An interval, or a set of numbers as pieces of one point each; None for all else."""
    if isinstance(answer, Span):
        return answer
    if isinstance(answer, Several) and answer.opening in ("(", "[") and len(answer.parts) == 2:
        low, high = answer.parts
        if isinstance(low, Value) and isinstance(high, Value):
            piece = (low.tree, high.tree, answer.opening == "[", answer.closing == "]")
            return Span((piece,))
    if isinstance(answer, Several) and answer.opening == "{":
        trees = [part.tree for part in answer.parts if isinstance(part, Value)]
        if len(trees) == len(answer.parts):
            return Span(tuple((tree, tree, True, True) for tree in trees))
    return None


def union(parts: list[Answer]) -> Answer:
    pieces: list[tuple[Tree, Tree, bool, bool]] = []
    names = set()
    for part in parts:
        span = as_span(part)
        if span is None:
            raise NotWhole("a union of other things than intervals")
        pieces += span.pieces
        names.add(span.name)
    return Span(tuple(pieces), names.pop() if len(names) == 1 else "")


def both(spans: list[Span]) -> Span:
    """x > 2 and x < 5: what lies in both of two half-lines; raises NotWhole for all else."""
    pieces = [piece for span in spans for piece in span.pieces]
    names = {span.name for span in spans}
    below = [piece for piece in pieces if piece[0] == MINUS_INFINITY]
    above = [piece for piece in pieces if piece[1] == INFINITY]
    if len(pieces) != 2 or len(spans) != 2 or len(names) != 1 or len(below) != 1 != len(above):
        raise NotWhole("several conditions")
    low, high = value(above[0][0]), value(below[0][1])
    if below == above or (low is not None and high is not None and low >= high):
        raise NotWhole("conditions that no number meets")
    return Span(((above[0][0], below[0][1], above[0][2], below[0][3]),), names.pop())


def reals_without(points: list[Tree]) -> Span:
    """All real numbers but some; raises NotWhole where their order is not known."""
    known = [(size, point) for point in points if (size := value(point)) is not None]
    if len(known) != len(points) or not points:
        raise NotWhole("points whose order is not known")
    ends = [
        MINUS_INFINITY,
        *(point for _, point in sorted(known, key=lambda one: one[0])),
        INFINITY,
    ]
    return Span(tuple((a, b, False, False) for a, b in pairwise(ends)))


def _of_distance(trees: list[Tree], signs: list[str]) -> Span | None:
    """|x| < 3 and |x| > 3."""
    if len(trees) != 2 or trees[0][0] != "absolute" or trees[0][1][0] != "symbol":
        return None
    size = value(trees[1])
    if size is None or size <= 0:
        return None
    name, low, high = trees[0][1][1], ("multiply", number(-1), trees[1]), trees[1]
    closed = signs[0] in ("<=", ">=")
    if signs[0] in ("<", "<="):
        return Span(((low, high, closed, closed),), name)
    if signs[0] in (">", ">="):
        return Span(((MINUS_INFINITY, low, False, closed), (high, INFINITY, closed, False)), name)
    return None


def span_of(trees: list[Tree], signs: list[str]) -> Span | None:
    """The numbers that a relation of one unknown names, where it stands alone on its side."""
    if (distance := _of_distance(trees, signs)) is not None:
        return distance
    unknown = [tree[0] == "symbol" for tree in trees]
    if sum(unknown) != 1 or any(symbols(t) for t, u in zip(trees, unknown, strict=True) if not u):
        return None
    place = unknown.index(True)
    name = trees[place][1]
    if signs == ["!="]:
        other = trees[1 - place]
        return Span(((MINUS_INFINITY, other, False, False), (other, INFINITY, False, False)), name)
    rising, falling = {"<", "<="}, {">", ">="}
    if not (set(signs) <= rising or set(signs) <= falling) or len(trees) > 3:
        return None
    if set(signs) <= falling:
        trees, place = trees[::-1], len(trees) - 1 - place
        signs = [{">": "<", ">=": "<="}[sign] for sign in reversed(signs)]
    if len(trees) == 3 and place != 1:
        return None
    low = trees[place - 1] if place else MINUS_INFINITY
    high = trees[place + 1] if place + 1 < len(trees) else INFINITY
    low_in = place > 0 and signs[place - 1] == "<="
    high_in = place + 1 < len(trees) and signs[place] == "<="
    return Span(((low, high, low_in, high_in),), name)
