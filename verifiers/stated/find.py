r"""Where an output states its final answer. In this order of precedence:

    1. the last \boxed{...} (\fbox, \boxed 9), with the boxes that only commas, "and" or "or" join
    2. the line after ####
    3. the sentence "answer is ...", "Answer: ...", without the clause or sentence that comments it
    4. <answer>...</answer>
    5. a last line, or formula set apart, that is nothing but mathematics

A mark that comes first in this order decides, also where its content turns out to be no answer.
Statements of one kind that contradict each other state nothing, unless words between them take
the earlier one back; of boxes the last one counts. A number in prose is no answer: over thousands
of samples such luck would add up.

Text work alone, linear in the length of the text; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from verifiers.stated.boxes import boxed
from verifiers.stated.clauses import NotStated, first_clause, looks_like_a_value
from verifiers.stated.cut import solution
from verifiers.stated.equal import equal, same_numbers
from verifiers.stated.forms import Clock, Named, OptionLetter, Ratio, Several, Value
from verifiers.stated.special import LONGEST
from verifiers.stated.tokens import NotWhole
from verifiers.stated.whole import read

_HASHES = re.compile(r"(?<!#)####(?!#)[ \t]*")
_ANSWER = re.compile(r"\b(?:answers?|ans)\b", re.IGNORECASE)
_VERB = re.compile(
    r"\s*(?:\*\*|__)?"
    r"(?:\s+(?:to|for|of|in|here|then|thus|therefore|choice|option|now)\b[^.\n:=$\\\d!?]{0,60}?)?"
    r"\s*(?:\*\*|__)?\s*"
    r"(?:(?:is|are|was)\s+(?:equal\s+to|given\s+by|thus|therefore|then|simply|just|indeed|exactly|"
    r"clearly|found\s+to\s+be|the\s+number)\b"
    r"|(?:would|will|should|must|has\s+to|can\s+only)\s+be\b|comes\s+(?:out\s+)?to(?:\s+be)?\b"
    r"|turns\s+out\s+to\s+be\b|equals?\b|is\b|are\b|was\b|becomes\b|[:=]|\.(?=\s*\S))"
    r"(?:\s*(?:\*\*|__|:|=|,(?=\s)))*[ \t]*",
    re.IGNORECASE,
)
_HEADING = re.compile(r"[ \t]*(?:\*\*|__)?[ \t]*\n\s*")
_BESIDE = re.compile(r"[ \t]+(?=\$|\\[(\[])")
_HEADING_START = re.compile(r"(?:^|\n)[ \t#*_>]*(?:the\s+)?(?:final\s+)?$", re.IGNORECASE)
_SUPPOSED = re.compile(
    r"\b(?:if|suppos\w*|assum\w*|whether|unless|doubt\w*|wrong|incorrect|might|perhaps|maybe|guess\w*"
    r"|previous|student'?s?|another|other|expected|initial|candidate|would-be|possible)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:not|never|cannot|no)\b|n't\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|no|actually|oops|sorry|correction|corrected|instead|mistake|wrong|incorrect|rather|"
    r"recheck|re-check|error|let me|hmm)\b",
    re.IGNORECASE,
)
_TAG = re.compile(r"<answer>", re.IGNORECASE)
_BARE = re.compile(
    r"(?:\\?[A-Za-z]\s?=\s?)?(?:\$[^$]+\$|\$\$[^$]+\$\$|\\\(.+\\\)|\\\[.+\\\]|[-+$\d\s.,/*^()%]+"
    r"|\(?[A-J]\)?)"
)
_DISPLAY = re.compile(
    r"(?:\$\$([^$]{1,1000})\$\$|\\\[((?:(?!\\\]).){1,1000})\\\])[ \t]*\.?\s*$", re.DOTALL
)
_SHOWN = re.compile(r"\s*(?:\$\$([^$]+)\$\$|\\\[((?:(?!\\\]).)+)\\\])", re.DOTALL)
_PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NEXT_LINE = re.compile(r"[*\s]*")
_MOST = 50


def stated(text: str) -> str:
    """The text of the answer that an output states; raises NotStated."""
    text = solution(text)
    for found in (boxed(text), _after_hashes(text), _said(text), _tagged(text), _bare(text)):
        if found is not None:
            return found
    raise NotStated("the output states no final answer")


def _after_hashes(text: str) -> str | None:
    if "####" not in text:
        return None
    marks = list(_HASHES.finditer(text))[-_MOST:]
    lines: list[tuple[int, str]] = []
    for mark in marks:
        line = _rest_of_line(text, mark.end()).split("####", 1)[0]
        if not _ANSWER.search(line[:40]):
            lines.append((mark.start(), line.replace("**", "").strip()))
    lines = [(place, line) for place, line in lines if line]
    values = [(place, line) for place, line in lines if looks_like_a_value(line)]
    if values:
        return _agreed(text, [(place, first_clause(line)) for place, line in values], "####")
    for _, line in reversed(lines[-1:]):
        if len(line.split()) <= 4 and len(marks) == 1:
            return first_clause(line)
    return None


def _said(text: str) -> str | None:
    """What the sentences "answer is ..." say."""
    if "ans" not in text.casefold():
        return None
    values: list[tuple[int, str]] = []
    final: list[tuple[int, str]] = []
    words: list[str] = []
    for mark in list(_ANSWER.finditer(text))[-4 * _MOST :]:
        found = _statement(text, mark.start(), mark.end())
        if found is None:
            continue
        if looks_like_a_value(found):
            values.append((mark.start(), found))
            if re.search(r"final\s+$", text[max(0, mark.start() - 10) : mark.start()], re.I):
                final.append((mark.start(), found))
        else:
            words.append(found)
    if values:
        return _agreed(text, final or values, "answer is")
    return words[-1] if words else None


def _statement(text: str, start: int, end: int) -> str | None:
    """What one sentence about an answer says it is; None where it is no such sentence."""
    verb = _VERB.match(text, end, end + 200)
    if verb is None:
        heading = _HEADING.match(text, end, end + 60) or _BESIDE.match(text, end, end + 60)
        before = text[max(0, start - 40) : start]
        if heading is None or not _HEADING_START.search(before if start > 40 else "\n" + before):
            return None
        place = heading.end()
    else:
        place = verb.end()
    if text[start:end].lower() == "ans" and (verb is None or verb[0].strip()[:1] not in ":=."):
        return None
    if text[start:end].lower() != "ans" and verb is not None and verb[0].strip() == ".":
        return None
    sentence = re.split(r"[.!?\n]", text[max(0, start - 200) : start])[-1]
    part = re.split(r"[,;:]", sentence)[-1]
    if _SUPPOSED.search(sentence) or _DENIED.search(part):
        return None
    beside = _rest_of_line(text, place)
    if not beside.strip("* \t"):
        place = _NEXT_LINE.match(text, place, place + LONGEST).end()  # type: ignore[union-attr]
    shown = _SHOWN.match(text, place, place + LONGEST)
    if shown is not None:
        return (shown[1] or shown[2]).strip()
    return first_clause(_rest_of_line(text, place)) or None


def _rest_of_line(text: str, place: int) -> str:
    end = text.find("\n", place)
    return text[place:] if end < 0 else text[place:end]


def _agreed(text: str, found: Sequence[tuple[int, str]], what: str) -> str:
    """The last of several statements, unless it contradicts another one; raises NotStated."""
    *earlier, (place, last) = found[-_MOST:]
    for before, other in earlier:
        if not _alike(other, last) and not _TAKEN_BACK.search(text, before, place):
            raise NotStated(f"the output states several answers by {what!r}")
    return last


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return equal(read(one), read(other), same_numbers) is True
    except NotWhole:
        return False


def _tagged(text: str) -> str | None:
    starts = list(_TAG.finditer(text))
    if not starts:
        return None
    place = starts[-1].end()
    inside, closed, _ = text[place : place + LONGEST + 200].partition("</answer>")
    if not closed:
        raise NotStated("an <answer> that is not closed")
    return inside.strip()


def _bare(text: str) -> str | None:
    """A last line or a formula set apart that is mathematics and nothing else."""
    text = text.rstrip()
    shown = _DISPLAY.search(text, max(0, len(text) - 2 * LONGEST))
    if shown is not None:
        found, before = (shown[1] or shown[2]).strip(), text[: shown.start()]
    else:
        before, _, found = text.rpartition("\n")
        found = found.strip().rstrip(".")
        if len(found) > LONGEST or not _BARE.fullmatch(found):
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
    if isinstance(answer, OptionLetter):
        return found if not before.strip() else None
    return found if isinstance(answer, Value | Several | Named | Ratio | Clock) else None
