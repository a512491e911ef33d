r"""Where an output states its final answer. In this order of precedence:

    1. the last \boxed{...} (\fbox, \boxed 9), with the boxes that only commas, "and" or "or" join
    2. the line after ####
    3. the sentence "answer is ...", "Answer: ...", without the clause or sentence that comments it
    4. <answer>...</answer>, or "answer" in a JSON object
    5. a last line, or formula set apart, that is nothing but mathematics

A mark that comes first in this order decides, also where its content turns out to be no answer.
Statements of one kind that contradict each other state nothing, unless words between them take
the earlier one back; of boxes the last one counts. A number in prose is no answer: over thousands
of samples such luck would add up.

Text work alone, linear in the length of the text; nothing is evaluated.
"""

from __future__ import annotations

import json
import re

from verifiers.stated.boxes import boxed
from verifiers.stated.clauses import (
    NotStated,
    first_clause,
    looks_like_a_value,
    refuse_second_thoughts,
    without_bold,
)
from verifiers.stated.cut import solution
from verifiers.stated.equal import equal, same_numbers
from verifiers.stated.forms import Clock, Named, OptionLetter, Ratio, Several, Value
from verifiers.stated.sentence import ANSWER, MOST, agreed, rest_of_line, rest_of_text, said
from verifiers.stated.special import LONGEST
from verifiers.stated.tokens import NotWhole
from verifiers.stated.whole import read

_HASHES = re.compile(r"(?<!#)####(?!#)[ \t]*")
_NUMBERED = re.compile(r"\d{1,2}[.):]\s+[^\W\d_]")
_TAG = re.compile(r"<((?:final_?)?answer)>", re.IGNORECASE)
_FIELD = re.compile(
    r'"(?:final_?)?answer"\s*:\s*("(?:[^"\\\n]|\\.){1,1000}"|-?[\d.]{1,400})\s*[,}\n]',
    re.IGNORECASE,
)
_BARE = re.compile(
    r"(?:\\?[A-Za-z]\s?=\s?)?(?:\$[^$]+\$|\$\$[^$]+\$\$|\\\(.+\\\)|\\\[.+\\\]|[-+$\d\s.,/*^()%]+"
    r"|\**\(?[A-J]\)?\**)"
)
_PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_OPTION = re.compile(r"\(?[A-J][).]\s+\S[^\n]*")
_DISPLAY = re.compile(
    r"(?:\$\$([^$]{1,1000})\$\$|\\\[((?:(?!\\\]).){1,1000})\\\])[ \t]*\.?\s*$", re.DOTALL
)


def stated(text: str) -> str:
    """The text of the answer that an output states; raises NotStated."""
    text = solution(text)
    for found in (boxed(text), _after_hashes(text), said(text), _tagged(text), _bare(text)):
        if found is not None:
            return found
    raise NotStated("the output states no final answer")


def _after_hashes(text: str) -> str | None:
    if "####" not in text:
        return None
    marks = list(_HASHES.finditer(text))[-MOST:]
    lines: list[tuple[int, str]] = []
    for mark in marks:
        line = rest_of_line(text, mark.end()).split("####", 1)[0].strip()
        if not ANSWER.search(line[:40]) and not _NUMBERED.match(line):
            lines.append((mark.start(), without_bold(line).strip()))
    lines = [(place, line) for place, line in lines if line]
    values = [(place, line) for place, line in lines if looks_like_a_value(line)]
    if values:
        answer = agreed(text, [(place, first_clause(line)) for place, line in values], "####")
        refuse_second_thoughts(rest_of_text(text, values[-1][0]))
        return answer
    for place, line in lines[-1:]:
        # Words are a heading where anything follows.
        _, _, after = text[place:].partition("\n")
        if len(line.split()) <= 4 and len(marks) == 1 and not after.strip():
            return first_clause(line)
    return None


def _tagged(text: str) -> str | None:
    starts = list(_TAG.finditer(text))
    if not starts:
        fields = _FIELD.findall(text[-20 * LONGEST :])
        return str(json.loads(fields[-1], parse_float=str, parse_int=str)) if fields else None
    place = starts[-1].end()
    inside = text[place : place + LONGEST + 200]
    closing = re.search(f"</{starts[-1][1]}>", inside, re.IGNORECASE)
    if closing is None:
        raise NotStated("an <answer> that is not closed")
    refuse_second_thoughts(inside[closing.end() :])
    return inside[: closing.start()].strip()


def _bare(text: str) -> str | None:
    """A last line or a formula set apart that is mathematics and nothing else."""
    text = text.rstrip()
    shown = _DISPLAY.search(text, max(0, len(text) - 2 * LONGEST))
    if shown is not None:
        found, before = (shown[1] or shown[2]).strip(), text[: shown.start()]
    else:
        before, _, found = text.rpartition("\n")
        found = found.strip().rstrip(".")
        alone = not before.strip() and _OPTION.fullmatch(found)
        if len(found) > LONGEST or not (_BARE.fullmatch(found) or alone):
            return None
    previous = before.rstrip().rpartition("\n")[2].strip().rstrip(".")
    if len(previous) <= LONGEST and previous and _BARE.fullmatch(previous) and "=" not in previous:
        raise NotStated("a list of values, none of which is said to be the answer")
    if _PLAIN_INTEGER.fullmatch(found):
        return found
    try:
        answer = read(found)
    except NotWhole:
        return None
    if isinstance(answer, Named) and _another_value_of(previous, answer):
        raise NotStated("several values of one unknown, none of which is said to be the answer")
    if isinstance(answer, OptionLetter):
        return found if not before.strip() else None
    return found if isinstance(answer, Value | Several | Named | Ratio | Clock) else None


def _another_value_of(line: str, last: Named) -> bool:
    """Whether a line gives the same unknown another value."""
    try:
        before = read(line) if 0 < len(line) <= LONGEST else None
    except NotWhole:
        return False
    return (
        isinstance(before, Named)
        and before.name == last.name
        and equal(before, last, same_numbers) is False
    )
