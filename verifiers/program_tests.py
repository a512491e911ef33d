"""What tests of programs look like, and whether what somebody gives as tests is that.

    {"kind": "stdio", "cases": [{"input", "output"}], "compare": "lines", "tolerance": 0}
    {"kind": "calls", "entry": "f", "cases": [{"args", "expected"}], "tolerance": 0}
    {"kind": "assert", "entry": "f", "source": "def check(candidate): ..."}

`compare` and `tolerance` are explained in compare.py. stdio may have a `checker`: trusted Python
source whose `check(input, expected, output)` says whether an output is right, for problems with
several right outputs. assert may have a `reference`, a right program: where it passes the test only
in one cell with it, that is where the test is judged. `forgeable`, true or false, decides that
instead. All may name a `time_limit_s`. A key that is none of these is a mistake, and told.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from verifiers import compare
from verifiers.sandbox.limits import LONGEST_S

_KEYS = {
    "stdio": ("kind", "cases", "compare", "tolerance", "checker", "time_limit_s"),
    "calls": ("kind", "entry", "cases", "tolerance", "time_limit_s"),
    "assert": ("kind", "entry", "source", "reference", "forgeable", "time_limit_s"),
}
_CASE_KEYS = {"stdio": ("input", "output"), "calls": ("args", "expected")}
KINDS = tuple(_KEYS)


class BadTests(ValueError):
    """Tests that cannot be understood; says what is wrong."""


def check_tests(tests: Any, language: str = "python") -> None:
    """BadTests with one clear sentence unless `tests` has one of the shapes above."""
    if not isinstance(tests, Mapping):
        raise BadTests("`tests` must be an object with a `kind`")
    kind = tests.get("kind")
    if kind not in KINDS:
        raise BadTests(
            f"`kind` of the tests is {kind!r}: use {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    refuse_unknown(tests, _KEYS[kind], f"tests of kind {kind}")
    if language not in ("python", "cpp"):
        raise BadTests(f"programs in {language!r} cannot be judged: use python or cpp")
    if language == "cpp" and kind != "stdio":
        raise BadTests("C++ programs can only be judged by tests of kind stdio")
    if kind != "stdio" and not (isinstance(tests.get("entry"), str) and tests["entry"]):
        raise BadTests(f"tests of kind {kind} need an `entry`, the name of a function")
    _check_number(tests, "tolerance", "a number from 0 up", lambda value: value >= 0)
    _check_number(
        tests,
        "time_limit_s",
        f"a number of seconds above 0, at most {LONGEST_S:g}",
        lambda value: 0 < value <= LONGEST_S,
    )
    for name in ("source",) if kind == "assert" else ():
        if not isinstance(tests.get(name), str):
            raise BadTests(f"tests of kind {kind} need `{name}`, the test's code")
    for name in ("checker", "reference"):
        if not isinstance(tests.get(name, ""), str):
            raise BadTests(f"`{name}` must be Python source")
    if not isinstance(tests.get("forgeable", True), bool):
        raise BadTests("`forgeable` must be true or false")
    if kind == "assert":
        return
    if kind == "stdio" and tests.get("compare", "lines") not in compare.RULES:
        raise BadTests(f"`compare` must be one of {', '.join(compare.RULES)}")
    cases = tests.get("cases")
    if not isinstance(cases, Sequence) or isinstance(cases, str) or not cases:
        raise BadTests("`cases` must be a list of at least one case")
    for number, case in enumerate(cases):
        _check_case(kind, case, number)


def refuse_unknown(found: Iterable[str], known: Sequence[str], of: str) -> None:
    """BadTests for the first key that is not known, with the one that was perhaps meant."""
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.5)
            meant = f"; did you mean `{near[0]}`?" if near else f": they have {', '.join(known)}"
            raise BadTests(f"`{name}` is no key of {of}{meant}")


def _check_number(
    tests: Mapping[str, Any], name: str, wanted: str, fits: Callable[[float], bool]
) -> None:
    value = tests.get(name, 1)
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        # A whole number of four hundred digits is none that a limit can be.
        if not math.isfinite(value) or not fits(float(value)):
            raise ValueError
    except (ValueError, OverflowError):
        raise BadTests(f"`{name}` must be {wanted}") from None


def _check_case(kind: str, case: Any, number: int) -> None:
    if not isinstance(case, Mapping):
        raise BadTests(f"case {number} is no object")
    refuse_unknown(case, _CASE_KEYS[kind], f"case {number}")
    for name in _CASE_KEYS[kind]:
        if name not in case:
            raise BadTests(f"case {number} has no `{name}`")
        if kind == "stdio" and not isinstance(case[name], str):
            raise BadTests(f"`{name}` of case {number} must be text")
    if kind == "calls" and not isinstance(case["args"], list | tuple):
        raise BadTests(f"`args` of case {number} must be a list")
