"""Where the final answer stands in a model's output, for the rule on math-verify.

An output has an answer only where it says so. Of these marks the last one in the text counts:

    \\boxed{...} or \\fbox{...}, with its closing brace
    #### ...                                  to the end of the line
    final answer is / answer is / answer: ... to the end of the line or sentence

Several boxes side by side, joined by commas or by `and` or `or`, are one answer. Without a mark
the last line counts if it is nothing but mathematics: a formula between dollar signs, or a
number or expression, after an optional `x =`. A number somewhere in unfinished prose is no
answer: over thousands of samples such luck would add up.

Text work alone, linear in the length of the text; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PHRASE = re.compile(r"answer\s*(?:\*\*\s*)?(?:is\b|are\b|:|=)\s*(?:\*\*)?:?\s*", re.IGNORECASE)
_CLOSING = re.compile(r"I hope (?:it|this) is correct", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\$|\.(?:\s|$)")
_JOINED = re.compile(r"[\s$.]*(?:,|and\b|or\b|,\s*and\b)[\s$]*|[\s$]*")
_BARE = re.compile(r"(?:\\?[A-Za-z]\s?=\s?)?(?:\$[^$]+\$|\\\(.+\\\)|\\\[.+\\\]|[-+$\d\s.,/*^()%]+)")
_INTEGER = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.0*)?")
_BRACES = re.compile(r"\\[{}]|\\(?:boxed|fbox)\s*\{|[{}]")


def answer(text: str) -> str | None:
    """The part of `text` that holds the final answer, freed of its mark, or None."""
    found = max(_boxes(text), _hashes(text), _phrase(text), key=lambda one: one[0])
    if found[0] < 0:
        return _last_line(text)
    return found[1].strip() or None


def integer(found: str) -> str | None:
    """The digits of an answer that is an integer of any length and nothing else, or None."""
    bare = found.replace("\\$", "").strip().strip("$").strip().rstrip(".").strip()
    if not bare.isascii() or not _INTEGER.fullmatch(bare):
        return None
    digits = bare.partition(".")[0].replace(",", "").lstrip("+")
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").lstrip("0")
    return f"{sign}{digits}" if digits else "0"


def plain(found: str) -> str:
    """An answer's text without dollar signs, white space, text commands and a final point."""
    text = found.replace("\\left", "").replace("\\right", "").replace("\\dfrac", "\\frac")
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox|operatorname)\s*\{([^{}]*)\}", r"\1", text)
    for gone in ("\\$", "$", "\\!", "\\,"):
        text = text.replace(gone, "")
    text = "".join(text.split())
    return text.rstrip(".").lower()


def _boxes(text: str) -> tuple[int, str]:
    """Place and content of the last closed box, with the boxes that stand beside it."""
    closed = sorted(_closed_boxes(text))
    if not closed:
        return -1, ""
    start, inside, end = closed.pop()
    place, contents = inside, [text[inside : end - 1]]
    while closed and len(contents) < 20:
        before, inside, end = closed.pop()
        if end > start or not _JOINED.fullmatch(text[end:start][:200]):
            break
        contents.append(text[inside : end - 1])
        start = before
    return place, ", ".join(f"${one}$" for one in reversed(contents))


def _closed_boxes(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield start, start of the content, and end of every box whose brace is closed."""
    open_braces: list[tuple[int, int] | None] = []
    for brace in _BRACES.finditer(text):
        token = brace.group()
        if token.endswith("{") and not token.startswith("\\{"):
            is_box = len(token) > 1
            open_braces.append((brace.start(), brace.end()) if is_box else None)
        elif token == "}" and open_braces:
            box = open_braces.pop()
            if box is not None:
                yield *box, brace.end()


def _hashes(text: str) -> tuple[int, str]:
    place = text.rfind("####")
    if place < 0:
        return -1, ""
    return place, text[place:].split("\n", 1)[0].lstrip("#")


def _phrase(text: str) -> tuple[int, str]:
    places = [(found.start(), found.end()) for found in _PHRASE.finditer(text)]
    if not places:
        return -1, ""
    start, end = places[-1]
    line = text[end:].split("\n", 1)[0]
    return start, _sentence(_CLOSING.split(line, maxsplit=1)[0].rstrip())


def _sentence(line: str) -> str:
    """The line up to the end of its first sentence; a point inside a formula ends none."""
    inside = False
    for end in _SENTENCE_END.finditer(line):
        if end.group() == "$":
            inside = not inside
        elif not inside:
            return line[: end.start()]
    return line.rstrip("*")


def _last_line(text: str) -> str | None:
    lines = text.rstrip().rsplit("\n", 1)
    last = lines[-1].strip()
    if not any(map(str.isdigit, last)) and "$" not in last and "\\" not in last:
        return None
    return last.rstrip(".") if _BARE.fullmatch(last.rstrip(".")) else None
