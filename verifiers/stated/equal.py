"""Whether a stated answer is the expected one: True, False, or None where it cannot be said.

Structure is compared here, pairs of expressions by a `same` that is given: the exact arithmetic
of `number` settles what is rational, and whoever knows more algebra may settle the rest. `same`
is asked with a question, "equal" or "proportional", and two trees. What the gold's form leaves
open decides: percent or decimal, ratio or fraction, set or list, tuple or interval or vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from verifiers.stated.forms import (
    About,
    Answer,
    Based,
    Clock,
    Empty,
    Equation,
    Matrix,
    Named,
    OptionLetter,
    Ratio,
    Same,
    Several,
    Span,
    Value,
    Words,
)
from verifiers.stated.matrices import nested_rows
from verifiers.stated.number import symbols, value
from verifiers.stated.spans import as_span
from verifiers.stated.tree import Tree, number

Question = Literal["equal", "proportional"]
Settles = Callable[[Question, Tree, Tree], bool | None]


def same_numbers(question: Question, gold: Tree, found: Tree) -> bool | None:
    """What exact arithmetic alone can say of two expressions."""
    if gold == found:
        return True
    if question == "proportional":
        return None
    ours, theirs = value(found), value(gold)
    if ours is not None and theirs is not None:
        return ours == theirs
    return None


def equal(gold: Answer, found: Answer, same: Settles) -> bool | None:
    """Whether the answer found is the gold."""
    if isinstance(found, About):
        return _any((equal(gold, found.exact, same), equal(gold, found.rounded, same)))
    if isinstance(gold, About):
        exact = Value(gold.rounded.tree, gold.rounded.unit, gold.rounded.mark)
        return _any((equal(gold.exact, found, same), equal(exact, found, same)))
    if isinstance(found, Same):
        return _all(equal(gold, part, same) for part in found.parts)
    if isinstance(gold, Same):
        return equal(gold.parts[-1], found, same)
    if isinstance(gold, Equation) or isinstance(found, Equation):
        return _equations(gold, found, same)
    if isinstance(found, Named) or isinstance(gold, Named):
        return _named(gold, found, same)
    if isinstance(gold, Value):
        return _value(gold, found, same)
    if isinstance(gold, Several):
        return _several(gold, found, same)
    if isinstance(gold, Span):
        return _span(gold, found, same)
    return _other(gold, found, same)


def _all(results: Iterable[bool | None]) -> bool | None:
    seen = list(results)
    if False in seen:
        return False
    return None if None in seen else True


def _any(results: Iterable[bool | None]) -> bool | None:
    seen = list(results)
    if True in seen:
        return True
    return None if None in seen else False


def _named(gold: Answer, found: Answer, same: Settles) -> bool | None:
    if isinstance(gold, Named) and isinstance(found, Named):
        if _bare(gold.name) != _bare(found.name):
            both = _as_equation(gold) is not None and _as_equation(found) is not None
            return _equations(gold, found, same) if both else False
        return equal(gold.answer, found.answer, same)
    if isinstance(found, Named):
        return equal(gold, found.answer, same)
    assert isinstance(gold, Named)
    return equal(gold.answer, found, same)


def _bare(name: str) -> str:
    return "".join(name.split()).lower() if len(name) > 1 else name


def _equations(gold: Answer, found: Answer, same: Settles) -> bool | None:
    ours, theirs = _as_equation(found), _as_equation(gold)
    if ours is None or theirs is None or ours.relation != theirs.relation:
        return False
    if (ours.left, ours.right) == (theirs.left, theirs.right):
        return True
    if ours.relation != "=":
        return _all(
            (same("equal", theirs.left, ours.left), same("equal", theirs.right, ours.right))
        )
    return same("proportional", _difference(theirs), _difference(ours))


def _as_equation(answer: Answer) -> Equation | None:
    if isinstance(answer, Equation):
        return answer
    if not isinstance(answer, Named) or not isinstance(answer.answer, Value):
        return None
    if len(answer.name) > 1 or not symbols(answer.answer.tree):
        return None
    return Equation(("symbol", answer.name), answer.answer.tree)


def _difference(one: Equation) -> Tree:
    return ("add", one.left, ("multiply", number(-1), one.right))


def _value(gold: Value, found: Answer, same: Settles) -> bool | None:
    if isinstance(found, Ratio) and len(found.parts) == 2 and not gold.unit and not gold.mark:
        return same("equal", gold.tree, ("divide", *found.parts))
    if isinstance(found, Based):
        if found.in_words:
            return False
        ours = number(int(found.digits, found.base))
        # The digits of another base than ten are the answer's, not a number that is asked for.
        return same("equal", gold.tree, ours) if not symbols(gold.tree) else False
    if isinstance(found, Several) and len(found.parts) == 1:
        return None if found.opening else _value(gold, found.parts[0], same)
    if isinstance(found, OptionLetter):
        return gold.tree[0] == "symbol" and str(gold.tree[1]) == found.letter and not found.words
    if not isinstance(found, Value):
        return False
    if gold.mark or found.mark:
        return _marked(gold, found, same)
    if _other_measure(gold.unit, found.unit):
        return False
    if found.approximate:
        exact = value(gold.tree)
        if exact is None or exact.denominator == 1:
            return False
    return same("equal", gold.tree, found.tree)


def _other_measure(gold: str, found: str) -> bool:
    return gold not in ("", "thing") and found not in ("", "thing") and gold != found


def _marked(gold: Value, found: Value, same: Settles) -> bool | None:
    """Where one of the two is in percent or in degrees."""
    if _other_measure(gold.unit, found.unit):
        return False
    if gold.mark == found.mark:
        return same("equal", gold.tree, found.tree)
    if "degree" in (gold.mark, found.mark):
        if "%" in (gold.mark, found.mark):
            return False
        other, degrees = (found, gold) if gold.mark == "degree" else (gold, found)
        if other.unit not in ("", "thing", "radian"):
            return False
        if other.unit == "radian" or any(one == ("constant", "pi") for one in _walk(other.tree)):
            turned = ("multiply", degrees.tree, ("divide", ("constant", "pi"), number(180)))
            return same("equal", *((other.tree, turned) if other is gold else (turned, other.tree)))
        return same("equal", gold.tree, found.tree)
    if (found if gold.mark else gold).unit not in ("", "thing"):
        return False
    hundredth = ("divide", (gold if gold.mark else found).tree, number(100))
    size = value(gold.tree)
    if gold.mark == "%":
        exact = same("equal", hundredth, found.tree)
        if size is None or abs(size) <= 1:
            # 0.5 for 0.5 %: the part itself, or its percents.
            return exact
        return _any((exact, same("equal", gold.tree, found.tree)))
    if size is not None and abs(size) <= 1:
        return same("equal", gold.tree, hundredth)
    return same("equal", gold.tree, found.tree)


def _walk(tree: Tree) -> Iterable[Tree]:
    yield tree
    for part in tree[1:]:
        if isinstance(part, tuple):
            yield from _walk(part)


def _several(gold: Several, found: Answer, same: Settles) -> bool | None:
    if isinstance(found, Matrix):
        return _columns(gold, found, same)
    if isinstance(found, Span):
        span = as_span(gold)
        return False if span is None or gold.opening == "{" else _span(span, found, same)
    if gold.opening == "{" and len(gold.parts) == 1 and not isinstance(found, Several):
        return equal(gold.parts[0], found, same)
    if not isinstance(found, Several):
        return False
    ordered = {"(", "[", "<"}
    if gold.opening == "{":
        if found.opening in ordered:
            return False
        return _same_set(gold.parts, found.parts, same)
    if _differ_in_names(gold.parts) != _differ_in_names(found.parts):
        # x = 1, y = 2 in the order of their letters is the pair (1, 2).
        wanted, given = _values(gold.parts), _values(found.parts)
        return False if wanted is None or given is None else _in_order(wanted, given, same)
    if gold.opening == "[" and found.opening != "[" and len(gold.parts) == 2:
        return False
    if gold.opening in ordered:
        if found.opening == "{" or {gold.opening, found.opening} == {"(", "["}:
            return False
        if found.opening and gold.opening == "[" and found.opening != "[":
            return False
        return _in_order(gold.parts, found.parts, same)
    if found.opening in ordered:
        return _in_order(gold.parts, found.parts, same)
    if found.opening == "{" and _distinct(found.parts, same) is False:
        return False
    return _matched(gold.parts, found.parts, same)


def _differ_in_names(parts: Sequence[Answer]) -> bool:
    """Whether every part is of another unknown: x = 1, y = 2."""
    names = [part.name for part in parts if isinstance(part, Named)]
    return len(parts) > 1 and len(set(names)) == len(parts)


def _values(parts: Sequence[Answer]) -> Sequence[Answer] | None:
    """The parts without their names, where those are in the order of their letters."""
    if not _differ_in_names(parts):
        return parts
    names = [part.name for part in parts if isinstance(part, Named)]
    if names != sorted(names):
        return None
    return [part.answer for part in parts if isinstance(part, Named)]


def _columns(gold: Several, found: Matrix, same: Settles) -> bool | None:
    if gold.opening not in ("(", "<") or any(len(row) != 1 for row in found.rows):
        return False
    return _in_order(gold.parts, [Value(row[0]) for row in found.rows], same)


def _in_order(gold: Sequence[Answer], found: Sequence[Answer], same: Settles) -> bool | None:
    if len(gold) != len(found):
        return False
    return _all(equal(a, b, same) for a, b in zip(gold, found, strict=True))


def _matched(gold: Sequence[Answer], found: Sequence[Answer], same: Settles) -> bool | None:
    """Whether each of the two lists holds the other's parts, as often."""
    if len(gold) != len(found):
        return False
    left = list(found)
    unsure = False
    for one in gold:
        results = [equal(one, other, same) for other in left]
        if True in results:
            left.pop(results.index(True))
        elif None in results:
            unsure = True
        else:
            return False
    return None if unsure else True


def _same_set(gold: Sequence[Answer], found: Sequence[Answer], same: Settles) -> bool | None:
    return _all(
        _any(equal(one, other, same) for other in others)
        for ones, others in ((gold, found), (found, gold))
        for one in ones
    )


def _distinct(parts: Sequence[Answer], same: Settles) -> bool | None:
    pairs = [(a, b) for n, a in enumerate(parts) for b in parts[:n]]
    repeated = _any(equal(a, b, same) for a, b in pairs)
    return None if repeated is None else not repeated


def _span(gold: Span, found: Answer, same: Settles) -> bool | None:
    if isinstance(found, Named):
        found = found.answer
    span = as_span(found)
    if span is None and isinstance(found, Several) and not found.opening:
        # (1,2) or (3,4), where a union is expected.
        spans = [as_span(part) for part in found.parts]
        if all(spans):
            span = Span(tuple(piece for one in spans if one for piece in one.pieces))
    if span is None or len(span.pieces) != len(gold.pieces):
        return False
    if gold.name and span.name and gold.name != span.name:
        return False

    def piece(a: tuple[Tree, Tree, bool, bool], b: tuple[Tree, Tree, bool, bool]) -> bool | None:
        if a[2:] != b[2:]:
            return False
        return _all((same("equal", a[0], b[0]), same("equal", a[1], b[1])))

    return _all(
        _any(piece(one, other) for other in others)
        for ones, others in ((gold.pieces, span.pieces), (span.pieces, gold.pieces))
        for one in ones
    )


def _other(gold: Answer, found: Answer, same: Settles) -> bool | None:
    if isinstance(gold, Empty):
        return isinstance(found, Empty)
    if isinstance(gold, Words):
        return isinstance(found, Words) and gold.text == found.text
    if isinstance(gold, OptionLetter):
        return _choice(gold, found)
    if isinstance(gold, Clock):
        return _clock(gold, found)
    if isinstance(gold, Based):
        return _based(gold, found)
    if isinstance(gold, Matrix):
        return _matrix(gold, found, same)
    assert isinstance(gold, Ratio)
    if isinstance(found, Ratio) and len(found.parts) == len(gold.parts):
        (a, *rest), (b, *others) = gold.parts, found.parts
        pairs = zip(rest, others, strict=True)
        return _all(same("equal", ("divide", p, a), ("divide", q, b)) for p, q in pairs)
    if isinstance(found, Value) and len(gold.parts) == 2 and not found.mark and not found.unit:
        return same("equal", ("divide", *gold.parts), found.tree)
    return False


def _choice(gold: OptionLetter, found: Answer) -> bool:
    if isinstance(found, OptionLetter):
        return gold.letter == found.letter
    if isinstance(found, Value) and found.tree[0] == "symbol" and not found.unit:
        return str(found.tree[1]).upper() == gold.letter
    return False


def _clock(gold: Clock, found: Answer) -> bool:
    if not isinstance(found, Clock) or gold.minute != found.minute:
        return False
    if gold.half and found.half and gold.half != found.half:
        return False
    if gold.hour == found.hour:
        return True
    # 14:30 is 2:30 in the afternoon.
    late, early = sorted((gold, found), key=lambda one: -one.hour)
    return late.hour - 12 == early.hour and not late.half and early.half == "pm"


def _based(gold: Based, found: Answer) -> bool:
    if isinstance(found, Based):
        return int(gold.digits, gold.base) == int(found.digits, found.base) and (
            gold.base == found.base
        )
    # Digits without a base are of the expected one: a problem says in which it asks.
    if isinstance(found, Value) and not found.unit and not found.mark:
        digits = value(found.tree)
        plain = found.tree[0] == "number" and digits is not None and digits.denominator == 1
        return plain and str(digits) == gold.digits
    return False


def _matrix(gold: Matrix, found: Answer, same: Settles) -> bool | None:
    if isinstance(found, Several) and (rows := nested_rows(found)) is not None:
        found = rows
    if isinstance(found, Several) and found.opening in ("(", "<", "["):
        trees = [part.tree for part in found.parts if isinstance(part, Value)]
        if any(len(row) != 1 for row in gold.rows) or len(trees) != len(found.parts):
            return False
        found = Matrix(tuple((tree,) for tree in trees))
    if not isinstance(found, Matrix) or len(found.rows) != len(gold.rows):
        return False
    return _all(
        same("equal", a, b) if len(mine) == len(theirs) else False
        for mine, theirs in zip(gold.rows, found.rows, strict=True)
        for a, b in zip(mine, theirs, strict=False)
    )
