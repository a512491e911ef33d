r"""Brings an answer's text to forms that math-verify reads as a person does.

Only notation is touched, before anything is parsed: 1.2e4, repeating decimals, \varnothing,
sized brackets, fractions without braces, angles in degrees under a sine, roots of negative
integers, currencies and units after a number. Text work alone, linear in the length of the text.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import isqrt

LONGEST = 10_000
"""Longer answers are left as they are."""

_SIZED = re.compile(r"\\(?:big|Big|bigg|Bigg)[lrm]?(?![A-Za-z])")
_BOLD = re.compile(r"\\(?:boldsymbol|bm|mathbf|textbf|pmb)\s*\{([^{}]*)\}")
_SCIENTIFIC = re.compile(r"(?<![\w.\\])(\d+(?:\.\d+)?)[eE]([-+]?\d{1,4})(?![\w.])")
_REPEATING = re.compile(r"(?<![\d.])(\d{0,40})\.(\d{0,40})\\overline\s*\{(\d{1,40})\}")
_BARE_FRACTION = re.compile(r"\\[dt]?frac\s*([A-Za-z0-9])\s*([A-Za-z0-9])(?![A-Za-z0-9])")
_DEGREES = re.compile(
    r"\\(sin|cos|tan|cot|sec|csc)\s*(?:\\left)?(\(?)\s*(\d{1,9})\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)"
)
_NEGATIVE_ROOT = re.compile(r"\\sqrt\s*\{\s*-\s*(\d+)\s*\}")
_CURRENCY = re.compile(r"[€£¥]|\\(?:pounds|euro|texteuro|yen)(?![A-Za-z])")
_DASH = re.compile(r"[‐-―−]\s*(?=[\d.\\(])")  # noqa: RUF001
_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+|\\[dt]?frac\{[-\d]+\}\{\d+\})"
_UNIT = (
    r"(?:dollars?|cents?|euros?|pounds?|bucks|"
    r"(?:k|c|m)?m/(?:s|h|hr|min)(?:\^\{?2\}?)?|km/h|mi/h|ft/s|mph|kmh)"
)
_WITH_UNIT = re.compile(rf"(\$?\s*{_NUMBER})(?:\s|\\[,;:! ]|~)*{_UNIT}\.?\s*(\$?)")
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALED = re.compile(rf"(\$?\s*{_NUMBER})\s*({'|'.join(_SCALES)})\s*(\$?)", re.IGNORECASE)
_BASED = re.compile(
    r"\$?\s*([0-9A-Za-z]{1,200})\s*_\s*(?:\{\s*)?(?:\\(?:text|mathrm)\s*\{\s*)?"
    r"(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)\s*\}?\s*\}?\s*\$?"
)
_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "sixteen": 16,
}  # fmt: skip


def common(answer: str) -> str:
    """The answer in forms that the parser knows."""
    if len(answer) > LONGEST:
        return answer
    text = _SIZED.sub("", answer)
    text = _BOLD.sub(r"\1", text)
    text = text.replace("\\varnothing", "\\emptyset")
    text = _DASH.sub("-", text)
    text = _CURRENCY.sub("", text)
    text = _REPEATING.sub(_fraction, text)
    text = _SCIENTIFIC.sub(lambda found: f"{found[1]}\\times 10^{{{int(found[2])}}}", text)
    text = _BARE_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _DEGREES.sub(_radians, text)
    text = _NEGATIVE_ROOT.sub(_imaginary, text)
    scaled = _SCALED.fullmatch(text.strip())
    if scaled:
        text = f"{scaled[1]}\\times 10^{{{_SCALES[scaled[2].lower()]}}}{scaled[3]}"
    whole = _WITH_UNIT.fullmatch(text.strip())
    return f"{whole[1]}{whole[2]}" if whole else text


def same_base(gold: str, found: str) -> bool | None:
    """Whether two numerals are equal where one is written with its base; None where none is.

    Digits without a base are taken to be of the expected one: a problem says in which it asks.
    """
    wanted, given = _BASED.fullmatch(gold.strip()), _BASED.fullmatch(found.strip())
    if wanted is None and given is None:
        return None
    if wanted is not None and given is None:
        bare = found.strip().strip("$").strip()
        return bare.lower() == wanted[1].lower() if bare.isalnum() else None
    ours, theirs = _value(gold, wanted), _value(found, given)
    return None if ours is None or theirs is None else ours == theirs


def other_brackets(gold: str, found: str) -> bool:
    """Whether one is a list in round brackets, which has an order, and the other one in braces."""
    kinds = {_brackets(gold), _brackets(found)}
    return kinds == {"(", "{"}


def _brackets(text: str) -> str:
    text = text.strip().strip("$").strip().replace("\\left", "").replace("\\right", "")
    if "," not in text:
        return ""
    if text.startswith("\\{") and text.endswith("\\}") and "(" not in text:
        return "{"
    inside = text[1:-1]
    return "(" if text.startswith("(") and text.endswith(")") and "(" not in inside else ""


def _fraction(found: re.Match[str]) -> str:
    whole, start, repeated = found[1] or "0", found[2], found[3]
    shift, nines = 10 ** len(start), 10 ** len(repeated) - 1
    value = Fraction(int(whole + start), shift) + Fraction(int(repeated), nines * shift)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _radians(found: re.Match[str]) -> str:
    angle = Fraction(int(found[3]), 180)
    radians = f"\\frac{{{angle.numerator}\\pi}}{{{angle.denominator}}}"
    return f"\\{found[1]}({radians}" if found[2] else f"\\{found[1]}({radians})"


def _imaginary(found: re.Match[str]) -> str:
    number = found[1].lstrip("0") or "0"
    if len(number) > 40:
        return found[0]
    root = isqrt(int(number))
    if root * root != int(number):
        value = f"i\\sqrt{{{number}}}"
    else:
        value = {0: "0", 1: "i"}.get(root, f"{root}i")
    before = found.string[: found.start()].rstrip()[-1:]
    return f"\\cdot {value}" if before.isalnum() else value


def _value(text: str, based: re.Match[str] | None) -> int | None:
    bare = text.strip().strip("$").strip()
    digits, base = (based[1], based[2]) if based else (bare, "10")
    try:
        return int(digits, _WORDS.get(base) or int(base))
    except ValueError:
        return None
