"""What runs inside the cell when two expressions are compared by algebra.

This file's text is sent into the cell, so it imports nothing of ours. No text is parsed here: both
expressions come as trees of plain data (of `expression`, a number as ["number", hex, hex]), and
sympy builds them node by node. Equality is proved, never taken from a few digits: numbers that
agree to thirty digits must be shown to be equal, and expressions with unknowns must agree at
points of both signs and be shown to be equal.
"""

from __future__ import annotations

from typing import Any

ValueTree = list[Any]
_DIGITS = 40
_CLOSE = 10**-25
_POINTS = ("1.3717", "2.7391", "0.4139", "-1.9273", "-0.5719", "3.1811")
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec",
    "arccsc": "acsc", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "max": "Max", "min": "Min",
    "gcd": "gcd", "lcm": "lcm",
}  # fmt: skip


def settle(questions: list[list[Any]], voting: ValueTree | None) -> dict[str, Any]:
    """Answer each [question, gold, found], and say in which form a tree votes."""
    answers = [_answer(*question) for question in questions]
    return {"answers": answers, "key": "" if voting is None else _key(voting)}


def warm() -> None:
    """Use once what every comparison uses, in the process from which those are forked."""
    half: ValueTree = ["divide", ["number", "0x1", "0x1"], ["number", "0x2", "0x1"]]
    root: ValueTree = ["root", ["number", "0x2", "0x1"], ["number", "0x2", "0x1"]]
    x: ValueTree = ["symbol", "x"]
    for left, right in (
        (root, ["divide", ["number", "0x2", "0x1"], root]),
        (
            ["multiply", ["add", x, half], half],
            ["add", ["multiply", half, x], ["power", half, half]],
        ),
        (["power", x, half], ["root", x, ["number", "0x2", "0x1"]]),
        (["call", "sin", x], ["call", "cos", x]),
        (["log", x, ["constant", "e"]], ["multiply", ["constant", "pi"], x]),
    ):
        settle([["equal", left, right]], left)


def _answer(question: str, gold: ValueTree, found: ValueTree) -> bool:
    try:
        if question == "proportional":
            return _proportional(gold, found)
        return _equal(_built(gold), _built(found), gold, found)
    except (
        TypeError,
        ValueError,
        ZeroDivisionError,
        NotImplementedError,
        AttributeError,
        KeyError,
    ):
        # What sympy cannot build or decide is not known to be equal.
        return False


def _equal(a: Any, b: Any, gold: ValueTree, found: ValueTree) -> bool:
    import sympy

    if a.has(sympy.oo, sympy.zoo, sympy.nan) or b.has(sympy.oo, sympy.zoo, sympy.nan):
        # 17 + infinity is no way to write infinity.
        return bool(a == b and _is_infinity(gold) and _is_infinity(found))
    if a == b:
        return True
    names = sorted((a.free_symbols | b.free_symbols), key=str)
    if not names:
        return _near(a, b) and _proved(a, b)
    if not _near_everywhere(a, b, names):
        return False
    # Both signs agree; what is left to be shown holds where roots of unknowns are real.
    return _proved(_built(gold, positive=True), _built(found, positive=True))


def _is_infinity(tree: ValueTree) -> bool:
    if tree[0] == "multiply" and len(tree) == 3:
        return bool(tree[1][0] == "number") and _is_infinity(tree[2])
    return tree == ["constant", "infinity"]


def _near(a: Any, b: Any) -> bool:
    left, right = a.evalf(_DIGITS), b.evalf(_DIGITS)
    return bool(abs(left - right) <= _CLOSE * max(abs(left), abs(right)))


def _near_everywhere(a: Any, b: Any, names: list[Any]) -> bool:
    """Whether the two agree wherever both have a value, and have one at some point."""
    import sympy

    seen = 0
    complex_on_purpose = a.has(sympy.I) or b.has(sympy.I)
    for shift in range(len(_POINTS)):
        values = {
            name: sympy.Rational(_POINTS[(shift + 2 * n + n // 3) % len(_POINTS)])
            + sympy.Rational(n, 7)
            for n, name in enumerate(names)
        }
        left, right = a.subs(values).evalf(_DIGITS), b.subs(values).evalf(_DIGITS)
        real = left.is_real and right.is_real
        if not (left.is_number and right.is_number) or left.has(sympy.zoo, sympy.nan):
            continue
        if not real and not complex_on_purpose:
            if bool(left.is_real) != bool(right.is_real):
                return False
            continue
        seen += 1
        if abs(left - right) > _CLOSE * max(abs(left), abs(right)):
            return False
    return seen > 0


def _proved(a: Any, b: Any) -> bool:
    import sympy

    difference = a - b
    if any(form(difference) == 0 for form in (sympy.expand, sympy.radsimp, sympy.simplify)):
        return True
    if difference.free_symbols:
        return bool(sympy.simplify(sympy.expand_trig(sympy.expand_log(difference))) == 0)
    if sympy.simplify(difference.rewrite(sympy.cos)) == 0:
        return True
    return difference.equals(0) is True


def _proportional(gold: ValueTree, found: ValueTree) -> bool:
    import sympy

    a, b = sympy.together(_built(gold)), sympy.together(_built(found))
    if a.free_symbols != b.free_symbols or not a.free_symbols or b == 0:
        return False
    ratio = sympy.simplify(a / b)
    return not ratio.free_symbols and ratio != 0 and bool(ratio.is_finite)


def _key(tree: ValueTree) -> str:
    """Equal for answers that are obviously equal; it serves voting, not judging."""
    import sympy

    try:
        built = _built(tree)
        if not built.free_symbols:
            return str(sympy.nsimplify(built) if built.is_Rational else built.evalf(15))
        return str(sympy.expand(sympy.cancel(built)))
    except (
        TypeError,
        ValueError,
        ZeroDivisionError,
        NotImplementedError,
        AttributeError,
        KeyError,
    ):
        return ""


def _built(tree: ValueTree, positive: bool = False) -> Any:
    """The expression of a tree; raises ValueError on what has no value of its own."""
    import sympy

    kind, *parts = tree
    if kind == "number":
        return sympy.Rational(int(parts[0], 16), int(parts[1], 16))
    if kind == "symbol":
        return sympy.Symbol(parts[0], **({"positive": True} if positive else {"real": True}))
    if kind == "constant":
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "infinity": sympy.oo}[parts[0]]
    if kind in ("sum", "product"):
        return _series(kind, parts, positive)
    name, values = (parts[0], parts[1:]) if kind == "call" else ("", parts)
    built = [_built(part, positive) for part in values]
    if kind == "call":
        known = _FUNCTIONS.get(name)
        return getattr(sympy, known)(*built) if known else sympy.Function(name)(*built)
    return _operation(kind, built)


def _operation(kind: str, built: list[Any]) -> Any:
    import sympy

    if kind in ("add", "multiply"):
        return (sympy.Add if kind == "add" else sympy.Mul)(*built)
    if kind == "divide":
        if built[1] == 0:
            raise ZeroDivisionError("a division by zero")
        return built[0] / built[1]
    if kind == "degree":
        return built[0] * sympy.pi / 180
    if kind == "root":
        base, degree = built
        if degree.is_odd and base.is_negative:
            return -sympy.root(-base, degree)
        return sympy.root(base, degree)
    made = {
        "power": sympy.Pow, "factorial": sympy.factorial, "absolute": sympy.Abs,
        "floor": sympy.floor, "ceiling": sympy.ceiling, "binomial": sympy.binomial,
        "log": sympy.log,
    }  # fmt: skip
    return made[kind](*built)


def _series(kind: str, parts: list[Any], positive: bool) -> Any:
    import sympy

    index, start, end, body = (_built(part, positive) for part in parts)
    made = sympy.Sum if kind == "sum" else sympy.Product
    return made(body, (index, start, end)).doit()
