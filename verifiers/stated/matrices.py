r"""Matrices and vectors: \begin{pmatrix}, a number before one, a transposed row, 2i + 3j.

The rows of a determinant (vmatrix) are no matrix.
"""

from __future__ import annotations

import re

from verifiers.stated.expression import parse
from verifiers.stated.forms import Answer, Matrix, Named, Several, Value
from verifiers.stated.number import symbols
from verifiers.stated.tokens import NotWhole, tokens_of
from verifiers.stated.tree import Tree, number

_MATRIX = re.compile(
    r"(?:(?P<name>[^=&]{1,40})=)?(?P<scale>[^=&]{0,60}?)(?P<open>[(\[]?)\s*"
    r"\\begin\s*\{(?P<kind>[pbB]?matrix|smallmatrix|array)\}(?:\s*\{[lcr|]*\})?"
    r"(?P<rows>.*)\\end\s*\{(?P=kind)\}\s*(?P<close>[)\]]?)",
    re.DOTALL,
)
_NAME = re.compile(
    r"\s*(?:\\[a-z]+\s*\{[A-Za-z]{1,3}\}|[A-Za-z]{1,3})(?:_\{?\w\}?)?(?:\^\{?-?\w\}?)?\s*"
)
_AXIS = re.compile(
    r"\\(?:hat|vec|mathbf|bm|boldsymbol|widehat)\s*\{?\s*"
    r"(?:\\(?:hat|mathbf|bm|boldsymbol|vec)\s*\{?\s*)?(?:\\([ij])math(?![A-Za-z])|([ijk])(?![A-Za-z]))"
    r"\s*\}{0,2}"
)
_AXES = ("hat i", "hat j", "hat k")
TRANSPOSED = re.compile(
    r"([(\[\\].*[)\]}])\s*\^\s*\{?\s*(?:T|\\top|\\intercal|\\(?:mathsf|mathrm|text)\s*\{?\s*T\s*\}?)\s*\}?",
    re.DOTALL,
)


def matrix_in(text: str) -> Answer | None:
    """The matrix that a text is, with its name; None where it is none. Raises NotWhole."""
    if "\\begin" not in text:
        return None
    found = _MATRIX.fullmatch(text.strip("$ "))
    if found is None or found["open"] + found["close"] not in ("", "()", "[]"):
        return None
    rows = _rows(found["rows"])
    if found["scale"].strip():
        factor = parse(tokens_of(found["scale"].strip().removesuffix("\\cdot")))
        rows = tuple(tuple(("multiply", factor, cell) for cell in row) for row in rows)
    if found["name"] is None:
        return Matrix(rows)
    if not _NAME.fullmatch(found["name"]):
        raise NotWhole("a matrix beside something else")
    return Named(found["name"].strip(), Matrix(rows))


def _rows(inside: str) -> tuple[tuple[Tree, ...], ...]:
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", inside) if row.strip()]
    cells = tuple(tuple(parse(tokens_of(cell)) for cell in row.split("&")) for row in rows)
    if not cells or len({len(row) for row in cells}) != 1:
        raise NotWhole("rows of different lengths")
    return cells


def transposed(answer: Answer) -> Answer:
    """A matrix with rows for columns, or a row as the column that it is; raises NotWhole."""
    if isinstance(answer, Several) and answer.opening in ("(", "["):
        answer = Matrix((_trees(answer),))
    if not isinstance(answer, Matrix):
        raise NotWhole("the transpose of no matrix")
    return Matrix(tuple(zip(*answer.rows, strict=True)))


def _trees(row: Answer) -> tuple[Tree, ...]:
    if not isinstance(row, Several) or not all(isinstance(part, Value) for part in row.parts):
        raise NotWhole("a row of other things than numbers")
    return tuple(part.tree for part in row.parts if isinstance(part, Value))


def nested_rows(answer: Several) -> Matrix | None:
    """[[1,2],[3,4]] as a matrix; None where it is none."""
    if answer.opening not in ("(", "["):
        return None
    rows = [
        part for part in answer.parts if isinstance(part, Several) and part.opening in ("(", "[")
    ]
    if len(rows) != len(answer.parts):
        return None
    try:
        made = tuple(map(_trees, rows))
    except NotWhole:
        return None
    return Matrix(made) if len({len(row) for row in made}) == 1 else None


def with_axes(text: str) -> str:
    r"""The text with one notation of unit vectors, \hat{i}, where it has two of them."""
    found = {one[1] or one[2] for one in _AXIS.finditer(text)}
    if len(found) < 2:
        return text
    return _AXIS.sub(lambda one: f"\\hat{{{one[1] or one[2]}}}", text)


def vector_of(answer: Value) -> Several | None:
    r"""2\hat{i} + 3\hat{j} as \langle 2,3\rangle; None where it is no such sum."""
    if not symbols(answer.tree) & set(_AXES):
        return None
    found = _coefficients(answer.tree)
    if found is None:
        return None
    last = max(_AXES.index(axis) for axis in found)
    parts = [found.get(axis, number(0)) for axis in _AXES[: max(last + 1, 2)]]
    return Several(tuple(Value(part) for part in parts), "<", ">")


def _coefficients(tree: Tree) -> dict[str, Tree] | None:
    kind, *parts = tree
    if kind == "symbol":
        return {parts[0]: number(1)} if parts[0] in _AXES else None
    if kind == "add":
        total: dict[str, Tree] = {}
        for part in parts:
            more = _coefficients(part)
            if more is None:
                return None
            for axis, factor in more.items():
                total[axis] = ("add", total[axis], factor) if axis in total else factor
        return total
    if kind == "multiply":
        holding = [part for part in parts if symbols(part) & set(_AXES)]
        inner = _coefficients(holding[0]) if len(holding) == 1 else None
        others = [part for part in parts if part is not holding[0]] if holding else []
        if inner is None or not others:
            return inner
        return {axis: ("multiply", *others, factor) for axis, factor in inner.items()}
    if kind == "divide" and not symbols(parts[1]) & set(_AXES):
        inner = _coefficients(parts[0])
        return inner and {axis: ("divide", one, parts[1]) for axis, one in inner.items()}
    return None
