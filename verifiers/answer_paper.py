"""The paper's reading of final answers for GSM8K and MATH, as text work alone.

What counts as the answer, and how it is brought to a common form before it is compared, follows
the released evaluation of "Large Language Monkeys" (arXiv 2407.21787), which for MATH is the
procedure of Minerva (Lewkowycz et al. 2022, arXiv 2206.14858, appendix D). Slips of the
original are kept where they change verdicts, and said. Nothing here evaluates anything; every
function is linear in its input but for answers, whose length the caller bounds.
"""

from __future__ import annotations

import re

_GSM8K = re.compile(r"#### (-?[$0-9.,]+)")
_OPENING = "Final Answer: The final answer is"
_CLOSING = " I hope it is correct"

_REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)
"""Appendix D's substitutions. Their order matters: later ones see what earlier ones left."""

_REMOVED = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units"),
    *("\\ldots", "sue", "points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm"),
    *("pounds", "meters", "meals", "edges", "students", "childrentickets", "multiples"),
    "\\text{s}",
    "\\text{.}",
    "\\text{\ns}",
    "\\text{}^2",
    "\\text{}^3",
    "\\text{\n}",
    "\\text{}",
    "\\mathrm{th}",
    "^\\circ",
    "^{\\circ}",
    "\\;",
    ",\\!",
    "{,}",
    '"',
    "\\dots",
)
"""Appendix D's removed expressions, in its order. They go wherever they stand, also in words."""


def gsm8k_answer(text: str) -> str | None:
    """The number after the first `#### `, without commas, dollar signs and a final point."""
    found = _GSM8K.search(text)
    if found is None:
        return None
    answer = found.group(1).replace(",", "").replace("$", "")
    return answer.removesuffix(".")


def math_answer(text: str) -> str | None:
    """What stands between the two phrases of the prompt's form, on one line, the first time.

    The closing phrase is appended once, so that a text cut after `... is $X$. ` still counts.
    One character of any kind before the closing phrase (the full stop) is not the answer's.
    """
    for line in (text + _CLOSING.lstrip() + ".").split("\n"):
        start = line.find(_OPENING)
        if start < 0:
            continue
        start += len(_OPENING)
        end = line.find(_CLOSING, start + 1)
        if 0 <= end < len(line) - len(_CLOSING):
            return line[start : end - 1].strip()
    return None


def boxed(solution: str) -> str | None:
    r"""The content of the last `\boxed{...}` (or, without any, `\fbox{...}`) of a solution.

    `\boxed 5$` without braces runs to the next dollar sign.
    """
    if "\\boxed " in solution:
        return solution.split("\\boxed ")[-1].split("$")[0]
    start = solution.rfind("\\boxed")
    if start < 0:
        start = solution.rfind("\\fbox")
    if start < 0:
        return None
    depth = 0
    for index in range(start, len(solution)):
        if solution[index] == "{":
            depth += 1
        elif solution[index] == "}":
            depth -= 1
            if depth == 0:
                opening = solution.index("{", start)
                return solution[opening + 1 : index]
    return None


def normalised(answer: str) -> str:
    """A MATH answer in Minerva's common form: two answers with one form are equal."""
    answer = answer.rpartition("=")[2]
    for old, new in _REPLACED:
        answer = answer.replace(old, new)
    for gone in _REMOVED:
        answer = answer.replace(gone, "")
    answer = "\n".join(map(_only_math, answer.split("\n")))
    for command in ("\\text{", "\\textbf{", "\\overline{"):
        answer = _unwrapped(answer, command, last=False)
    answer = _unwrapped(answer, "\\boxed{", last=True)
    answer = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", answer)
    answer = re.sub(r"sqrt([^{])", r"sqrt{\1}", answer)
    answer = answer.replace("$", "")
    digits = answer.replace(",", "")
    return digits if digits.isdigit() else answer


def _only_math(line: str) -> str:
    """A line with two dollar signs is what stands between the first two."""
    parts = line.split("$", 2)
    return f"${parts[1]}$" if len(parts) == 3 else line


def _unwrapped(text: str, command: str, *, last: bool) -> str:
    """Drop a command and its brace: the next closing one on its line, or with `last` the last."""
    kept: list[str] = []
    place = 0
    while (start := text.find(command, place)) >= 0:
        inside = start + len(command)
        line_end = text.find("\n", inside)
        line_end = len(text) if line_end < 0 else line_end
        end = (text.rfind if last else text.find)("}", inside, line_end)
        if end < 0:
            kept.append(text[place:inside])
            place = inside
            continue
        kept += (text[place:start], text[inside:end])
        place = end + 1
    return "".join(kept) + text[place:]
