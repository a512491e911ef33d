r"""Brings Unicode, markdown and spacing commands of an answer to plain LaTeX notation.

3² becomes 3^{2}, √3 \sqrt 3, ½ \frac{1}{2}; digits of other scripts become ASCII, marks that turn
the direction of writing go. Meaning is never changed: what is not known is left as it stands, and
fails later as no answer. Text work alone, linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣ", "0123456789+-=()nix", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙ", "0123456789+-=()n", strict=True))
_SUPERS = re.compile(f"[{''.join(_SUPER)}]+")
_SUBS = re.compile(f"[{''.join(_SUB)}]+")
_SIGNS = {
    "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ", "∕": "/",
    "⁄": "/", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "≅": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ",
    "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∅": r"\emptyset ", "⌀": r"\emptyset ", "°": r"^\circ ", "º": r"^\circ ",
    "∠": r"\angle ", "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "′": "'", "″": "''",
    "→": r"\to ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}", "π": r"\pi ", "Π": r"\Pi ", "θ": r"\theta ", "α": r"\alpha ",
    "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "λ": r"\lambda ", "μ": r"\mu ",
    "φ": r"\varphi ", "ϕ": r"\phi ", "ω": r"\omega ", "σ": r"\sigma ", "ρ": r"\rho ",
    "∑": r"\sum ", "…": r"\ldots ", "⋯": r"\ldots ", "“": '"', "”": '"', "‘": "'", "’": "'",
    "٪": "%", "٫": ".",
}  # fmt: skip
_DASHES = dict.fromkeys(map(chr, (*range(0x2010, 0x2016), 0x2212, 0xFE63, 0xFF0D)), "-")
_INVISIBLE = dict.fromkeys(
    (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, 0xAD)
)
_ONE_FOR_ONE = str.maketrans({**_SIGNS, **_DASHES})
_ROOT_OF_DIGITS = re.compile(r"\\sqrt(\[\d\])? (\d+(?:\.\d+)?|[A-Za-z])")
_SPACING = re.compile(
    r"\\(?:enspace|thinspace|medspace|thickspace|space|displaystyle|textstyle|"
    r"scriptstyle|limits|nolimits|strut|hfill|centering|large|Large|huge|Huge|normalsize|small)"
    r"(?![A-Za-z])|\\[hv]space\*?\{[^{}]*\}|\\[hv]?phantom\{[^{}]*\}"
    # Elsewhere it says "about".
    r"|(?<=[\w}$])~|(?<=\{)~(?=[A-Za-z])"
)
_STYLE = re.compile(r"\\(?:text)?color\s*\{[^{}]*\}|\\(?:bf|bfseries|it|sf|tt|bold)(?![A-Za-z])")
_RUPEES = re.compile(r"\bRs\.?\s*(?=\d)")
_DOLLARS = re.compile(r"\b(?:US|A|C)(?=\\?\$\s*\d)")
_TIMES = re.compile(r"(?<=\d)\s*x\s*(?=10\s*(?:\^|\*\*))|(?<=\d) x (?=\d)")
_SIZED = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*")
_SAME = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    (re.compile(r"\\(?:leq|leqslant)(?![A-Za-z])"), r"\\le"),
    (re.compile(r"\\(?:geq|geqslant)(?![A-Za-z])"), r"\\ge"),
    (re.compile(r"\\(?:neq|not\s*=)(?![A-Za-z])"), r"\\ne"),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:varnothing)(?![A-Za-z])"), r"\\emptyset"),
    (re.compile(r"\\(?:dots|cdots|dotsc|dotsb)(?![A-Za-z])"), r"\\ldots"),
    (re.compile(r"\\(?:degree|degrees)(?![A-Za-z])"), r"^\\circ "),
    (re.compile(r"\\(?:lbrace)(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace)(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\(?:lvert|rvert|vert)(?![A-Za-z])"), "|"),
    (re.compile(r"\\(?:lbrack)(?![A-Za-z])"), "["),
    (re.compile(r"\\(?:rbrack)(?![A-Za-z])"), "]"),
    (re.compile(r"\\(?:imath)(?![A-Za-z])"), "i"),
    (re.compile(r"\\(?:euro|texteuro|EUR)(?![A-Za-z])"), "€"),
    (re.compile(r"\\(?:pounds|textsterling)(?![A-Za-z])"), "£"),
    (re.compile(r"\\(?:yen|textyen)(?![A-Za-z])"), "¥"),
    (re.compile(r"\\(?:textdollar|dollar)(?![A-Za-z])"), r"\\$"),
)


def plain_notation(text: str) -> str:
    """The text in the notation that the grammar reads."""
    text = _RUPEES.sub("₹", text.translate(_INVISIBLE))
    text = text.replace("per cent", "percent")
    text = _TIMES.sub(r"\\times ", text)
    if not text.isascii():
        text = _SUPERS.sub(lambda run: "^{" + "".join(_SUPER[c] for c in run[0]) + "}", text)
        text = _SUBS.sub(lambda run: "_{" + "".join(_SUB[c] for c in run[0]) + "}", text)
        text = "".join(map(_fraction_or_digit, text)).translate(_ONE_FOR_ONE)
        # What composes is told apart above; the rest is one sign in two widths.
        text = unicodedata.normalize("NFKC", text).translate(_ONE_FOR_ONE)
        text = _ROOT_OF_DIGITS.sub(r"\\sqrt\1{\2}", text)
    text = _DOLLARS.sub("", text)
    if "\\" in text or "~" in text:
        text = _STYLE.sub("", _SIZED.sub("", text))
        text = _SPACING.sub(" ", text)
        for old, new in _SAME:
            text = old.sub(new, text)
    return text


def _fraction_or_digit(character: str) -> str:
    if character.isascii():
        return character
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind == "No":
        parts = unicodedata.normalize("NFKD", character).split("⁄")
        if len(parts) == 2 and all(part.isdecimal() for part in parts):
            return f"\\frac{{{parts[0]}}}{{{parts[1]}}}"
    return character
