"""What runs inside the cell when maths answers are read and compared.

This file's text is sent into the cell, so it imports nothing of ours. Text is only ever read in
a call that does not hold the expected answer: `read` and `read_latex` turn it into a tree of
plain JSON data, and `compare` and `compare_latex`, in another process, build expressions from
two trees, never from text. So whoever takes over a reading can at most state another answer.

A tree is a list of steps in postfix order; each step makes one value out of the last `count`
values: [kind, ...], with integers as hexadecimal text.
"""

from __future__ import annotations

from typing import Any

MAXIMAL_STEPS = 20_000
ReadingSteps = list[list[Any]]


def read(text: str) -> dict[str, Any]:
    """Find and parse the answer in a short text by math-verify; `found` may be empty.

    `key` is equal for answers that are obviously equal, and serves voting, not judging.
    """
    from math_verify import parse

    found = parse(text, extraction_config=_configuration(), parsing_timeout=0)
    return {"found": [_encoded(value) for value in found], "key": _key(found)}


def compare(gold: list[ReadingSteps], found: list[ReadingSteps]) -> bool:
    """Whether math-verify holds the two answers (of `read`) for equal."""
    from math_verify import verify

    return bool(verify(list(map(_decoded, gold)), list(map(_decoded, found)), timeout_seconds=0))


def read_latex(text: str) -> dict[str, Any]:
    """Parse one LaTeX expression by sympy's own parser; `found` is empty where it cannot."""
    from sympy.parsing.latex import parse_latex

    try:
        value = parse_latex(text)
        return {"found": [_encoded(value)], "key": ""}
    except ImportError:
        raise
    except Exception as error:  # The original counts whatever the parser raises as unequal.
        return {"found": [], "key": "", "error": f"{type(error).__name__}: {error}"[:200]}


def compare_latex(gold: list[ReadingSteps], found: list[ReadingSteps]) -> bool:
    """Whether sympy simplifies the difference of the two expressions to zero."""
    import sympy

    try:
        difference = _decoded(gold[0]) - _decoded(found[0])
        return bool(sympy.simplify(difference) == 0)
    except Exception:  # The original counts whatever the comparison raises as unequal.
        return False


def _configuration() -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig

    return [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]


def _key(found: list[Any]) -> str:
    import sympy

    value = found[0] if found else ""
    if isinstance(value, str):
        return "".join(value.split()).lower()
    try:
        if not _tame(value):
            return str(value)
        if getattr(value, "is_number", False):
            number = str(sympy.N(value, 15))
            whole = "." in number and "e" not in number and "I" not in number
            return number.rstrip("0").rstrip(".") if whole else number
        return str(sympy.expand(value) if isinstance(value, sympy.Expr) else value)
    except Exception:  # Whatever sympy stumbles over still has a text.
        return str(value)


def _tame(value: Any) -> bool:
    """Whether it is cheap to evaluate: no towers, no large powers, factorials, sums, integrals."""
    import sympy

    if not isinstance(value, sympy.Basic):
        return False
    for part in sympy.preorder_traversal(value):
        if isinstance(part, sympy.Pow):
            exponent = part.args[1]
            if exponent.has(sympy.Pow) or (exponent.is_Number and abs(exponent) > 1000):
                return False
        elif isinstance(part, sympy.Function):
            if any(one.is_Number and abs(one) > 1000 for one in part.args):
                return False
        elif isinstance(part, sympy.Sum | sympy.Product | sympy.Integral | sympy.Limit):
            return False
    return True


def _specials() -> dict[str, Any]:
    from latex2sympy2_extended.logic import And
    from latex2sympy2_extended.sets import FiniteSet
    from sympy import S
    from sympy.functions.elementary.piecewise import ExprCondPair

    names = (
        *("ImaginaryUnit", "Exp1", "Pi", "Infinity", "NegativeInfinity", "ComplexInfinity"),
        *("NaN", "EulerGamma", "GoldenRatio", "Catalan", "TribonacciConstant", "EmptySet"),
        *("UniversalSet", "Reals", "Integers", "Naturals", "Naturals0", "Rationals"),
        *("Complexes", "true", "false"),
    )
    singletons = {name: getattr(S, name) for name in names}
    return {**singletons, "l2s.And": And, "l2s.FiniteSet": FiniteSet, "ExprCondPair": ExprCondPair}


def _encoded(root: Any) -> ReadingSteps:
    """The postfix steps of an expression, a matrix or a text."""
    specials = _specials()
    steps: ReadingSteps = []
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:
        value, opened = waiting.pop()
        step, parts = _step(value, specials)
        if opened or not parts:
            steps.append(step)
        else:
            waiting.append((value, True))
            waiting.extend((part, False) for part in reversed(parts))
        if len(steps) + len(waiting) > MAXIMAL_STEPS:
            raise OverflowError("the answer is too large")
    return steps


def _step(value: Any, specials: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    import sympy
    from sympy.core.function import AppliedUndef

    if isinstance(value, str):
        return ["text", value], []
    if isinstance(value, bool):
        return ["special", "true" if value else "false"], []
    for name, special in specials.items():
        if value is special:
            return ["special", name], []
    if isinstance(value, sympy.Integer):
        return ["integer", hex(value.p)], []
    if isinstance(value, sympy.Rational):
        return ["rational", hex(value.p), hex(value.q)], []
    if isinstance(value, sympy.Float):
        sign, mantissa, exponent, bits = value._mpf_
        return ["float", [int(sign), hex(mantissa), int(exponent), int(bits)], value._prec], []
    if isinstance(value, sympy.Symbol):
        assumed = {k: v for k, v in value._assumptions_orig.items() if isinstance(v, bool)}
        return ["symbol", value.name, assumed], []
    if isinstance(value, sympy.MatrixBase):
        parts = list(value.flat())
        return ["matrix", len(parts), *map(int, value.shape)], parts
    if isinstance(value, sympy.Basic):
        parts = list(getattr(value, "_unsorted_args", value.args))
        if isinstance(value, AppliedUndef):
            return ["function", len(parts), value.func.__name__], parts
        return ["node", len(parts), _name(type(value), specials)], parts
    return ["text", str(value)], []


def _name(kind: type, specials: dict[str, Any]) -> str:
    import sympy

    for name, special in specials.items():
        if kind is special:
            return name
    if getattr(sympy, kind.__name__, None) is not kind:
        raise TypeError(f"no rule for {kind.__name__}")
    return str(kind.__name__)


def _decoded(steps: ReadingSteps) -> Any:
    """The value of postfix steps; raises on anything that is not a whole tree."""
    specials = _specials()
    values: list[Any] = []
    for kind, *rest in steps:
        if kind in ("matrix", "function", "node"):
            count = rest[0]
            parts = values[len(values) - count :]
            del values[len(values) - count :]
            values.append(_built(kind, rest[1:], parts, specials))
        else:
            values.append(_atom(kind, rest, specials))
    (value,) = values
    return value


def _atom(kind: str, rest: list[Any], specials: dict[str, Any]) -> Any:
    import sympy

    if kind == "text":
        return str(rest[0])
    if kind == "special":
        return specials[rest[0]]
    if kind == "integer":
        return sympy.Integer(int(rest[0], 16))
    if kind == "rational":
        return sympy.Rational(int(rest[0], 16), int(rest[1], 16))
    if kind == "symbol":
        return sympy.Symbol(rest[0], **rest[1])
    sign, mantissa, exponent, bits = rest[0]
    return sympy.Float._new((sign, int(mantissa, 16), exponent, bits), rest[1])


def _built(kind: str, rest: list[Any], parts: list[Any], specials: dict[str, Any]) -> Any:
    import sympy

    if kind == "matrix":
        return sympy.Matrix(rest[0], rest[1], parts)
    if kind == "function":
        return sympy.Function(rest[0])(*parts)
    made = specials.get(rest[0]) or getattr(sympy, rest[0])
    if not (isinstance(made, type) and issubclass(made, sympy.Basic)):
        raise TypeError(f"{rest[0]} is no expression")
    try:
        # As the parsers leave it: an unevaluated sum or power is compared as it stands.
        return made(*parts, evaluate=False)
    except (TypeError, ValueError):
        return made(*parts)
