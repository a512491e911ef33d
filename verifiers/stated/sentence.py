r"""The sentences that state an answer: "answer is ...", "Answer: ...", a heading "Answer", and
"... is the answer".

Sentences that contradict each other state nothing, unless words between them take the earlier one
back. "If the answer is 3", "the wrong answer is 3" and "Bob's answer is 3" are no such sentences,
and "the answer is not 3" states nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from verifiers.stated.clauses import (
    NotStated,
    first_clause,
    looks_like_a_value,
    refuse_second_thoughts,
    without_bold,
)
from verifiers.stated.equal import equal, same_numbers
from verifiers.stated.forms import Words
from verifiers.stated.special import LONGEST
from verifiers.stated.tokens import NotWhole
from verifiers.stated.whole import read

ANSWER = re.compile(r"\b(?:answers?|ans)\b|答案", re.IGNORECASE)
_ABOUT = (
    r"(?:\s*\([^()\n]{1,40}\))?"
    r"(?:\s+(?:to|for|of|in|here|then|thus|therefore|choice|option|now)\b[^.\n:=$\\\d!?]{0,60}?"
    r"|\s+(?:rounded\s+|correct\s+)?to\s+\d+\s+(?:decimal|significant|places)[a-z ]{0,30}?"
    r"|\s+(?:that\s+|which\s+)?(?:we|you)(?:'re|\s+are)?\s+(?:seek|sought|get|got|want|need|obtain"
    r"|found|find|looking\s+for|asked\s+for)"
    r"|\s*,\s*(?:then|of\s+course|in|as|expressed|written|rounded|to)\b[^,.\n:=$\\\d!?]{0,50},)?"
)
_VERB = re.compile(
    rf"\s*(?:\*\*|__)?{_ABOUT}\s*(?:\*\*|__)?\s*"
    r"(?:(?<![A-Za-z])(?:(?:is|are|was)\s+(?:equal\s+to|given\s+by|thus|therefore|then|simply|just"
    r"|only|indeed|exactly|clearly|found\s+to\s+be|the\s+number)\b"
    r"|(?:would|will|should|must|has\s+to|can\s+only)\s+be\b|comes\s+(?:out\s+)?to(?:\s+be)?\b"
    r"|turns\s+out\s+to\s+be\b|equals?\b|is\b|are\b|was\b|becomes\b|of(?=\s+[-$\\(\d*]))"
    r"|=>|[:=：是为]|(?<=\s)[-–](?=\s)|—|\.(?=\s*\S))"
    r"(?:\s*(?:\*\*|__|[:=：]|,(?=\s)))*[ \t]*",
    re.IGNORECASE,
)
_HEADING = re.compile(r"[ \t]*(?:\*\*|__)?[ \t]*\n\s*")
_BESIDE = re.compile(r"[ \t]+(?=\$|\\[(\[])")
_HEADING_START = re.compile(r"(?:^|\n)[ \t#*_>]*(?:the\s+)?(?:final\s+)?$", re.IGNORECASE)
_HANDED = re.compile(
    r"\b(?:obtain|get|have|gives?|giving|yields?|yielding)\s+(?:us\s+)?(?:the|our|an?)\s+(?:final\s+)?$",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:common|easy|typical|usual)\s+(?:mistake|error|misconception|trap)\b|\btempt\w*"
    r"|\bto\s+(?:think|believe|say|assume|conclude)\b"
    r"|\b(?:if|suppos\w*|assum\w*|whether|unless|doubt\w*|wrong|incorrect|might|perhaps|maybe|guess\w*"
    r"|previous|student'?s?|another|other|expected|initial|candidate|would-be|possible|impossible"
    r"|claim\w*|reject\w*|discard\w*|exclud\w*|(?:some|people|others|they)\s+(?:might\s+|may\s+)?(?:say|think|believe)s?)\b"
    r"|\b(?!problem|question|exercise|it|that|here|let|what)\w+['’]s\s+(?:final\s+)?$",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:not|never|cannot|no)\b|n't\b", re.IGNORECASE)
_DENIES = re.compile(r"(?:not|never)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|no|actually|oops|sorry|correction|corrected|instead|mistake|wrong|incorrect|rather|"
    r"recheck|re-check|error|let me|hmm)\b",
    re.IGNORECASE,
)
_SHOWN = re.compile(r"\s*(?:\$\$([^$]+)\$\$|\\\[((?:(?!\\\]).)+)\\\])", re.DOTALL)
# As pandoc tells a formula from two sums of dollars.
_FORMULA = re.compile(r"(?<![\\$])\$(?=[^\s$])[^$\n]{1,400}(?<=\S)\$(?!\d)")
_CUT_FORMULA = re.compile(r"\$\s*[-+]?[\d.,]+\s*")
"""A number behind a dollar sign, and the end: dollars, or a formula that was to go on."""
_GOES_ON = re.compile(r",\s*\n\s*(?:(?:and|or)\s+)?[-$\\(\d]")
_NEXT_LINE = re.compile(r"[*\s]*")
_CLOSING_TAG = re.compile(r"</\w+>")
_REVERSED = re.compile(
    r"(?:^|(?<=[.!?]\s)|(?<=\n))[\s*]*(?:(?:so|thus|hence|therefore|then|and)\b,?\s*)*"
    r"(?P<value>[-$\\(\d*][^\n]{0,200}?)\s+is\s+(?:the|our|my)\s+"
    r"(?:(?:final|correct|required|desired|right)\s+)*$",
    re.IGNORECASE,
)
_ENDS = re.compile(r"\s*(?:[.!*]|\n|$)")
MOST = 50


def said(text: str) -> str | None:
    """What the sentences about an answer say it is; None without any. Raises NotStated."""
    if "ans" not in text.casefold() and "答案" not in text:
        return None
    values: list[tuple[int, str]] = []
    final: list[tuple[int, str]] = []
    words: list[str] = []
    denied = False
    for mark in list(ANSWER.finditer(text))[-4 * MOST :]:
        found = _reversed(text, mark.start(), mark.end()) or _statement(text, mark)
        if found is None:
            continue
        if _DENIES.match(found):
            denied = True
        elif looks_like_a_value(found):
            values.append((mark.start(), found))
            if re.search(r"final\s+$", text[max(0, mark.start() - 10) : mark.start()], re.I):
                final.append((mark.start(), found))
        else:
            words.append(found)
    if values:
        answer = agreed(text, final or values, "answer is")
        refuse_second_thoughts(rest_of_text(text, values[-1][0]))
        return answer
    if denied and not words:
        raise NotStated("an answer that is denied")
    return words[-1] if words else None


def agreed(text: str, found: Sequence[tuple[int, str]], what: str) -> str:
    """The last of several statements, unless it contradicts another one; raises NotStated."""
    *earlier, (place, last) = found[-MOST:]
    for before, other in earlier:
        if not _alike(other, last) and not _TAKEN_BACK.search(text, before, place):
            raise NotStated(f"the output states several answers by {what!r}")
    return last


def rest_of_line(text: str, place: int) -> str:
    end = text.find("\n", place)
    return text[place:] if end < 0 else text[place:end]


def rest_of_text(text: str, place: int) -> str:
    """What follows the line of a place, as far as it may matter."""
    end = text.find("\n", place)
    return "" if end < 0 else text[end : end + 200]


def _statement(text: str, mark: re.Match[str]) -> str | None:
    """What one sentence about an answer says it is; None where it is no such sentence."""
    start, end = mark.span()
    short = mark[0].lower() == "ans"
    verb = _VERB.match(text, end, end + 200)
    before = text[max(0, start - 40) : start]
    must_read = False
    if verb is None:
        heading = _HEADING.match(text, end, end + 60) or _BESIDE.match(text, end, end + 60)
        headed = _HEADING_START.search(before if start > 40 else "\n" + before)
        must_read = headed is None
        if heading is None or not (headed or _HANDED.search(before)):
            return None
        place = heading.end()
    else:
        place = verb.end()
        must_read = re.search(r"(?:of|[-–—])\s*$", verb[0], re.IGNORECASE) is not None
    if short and (verb is None or verb[0].strip()[:1] not in ":=."):
        return None
    if not short and verb is not None and verb[0].strip() == ".":
        return None
    sentence = re.split(r"[.!?\n]", text[max(0, start - 200) : start])[-1]
    part = re.split(r"[,;:]", sentence)[-1]
    if _SUPPOSED.search(sentence) or _DENIED.search(part):
        return None
    beside = rest_of_line(text, place)
    if not beside.strip("* \t"):
        place = _NEXT_LINE.match(text, place, place + LONGEST).end()  # type: ignore[union-attr]
    shown = _SHOWN.match(text, place, place + LONGEST)
    if shown is not None:
        return (shown[1] or shown[2]).strip()
    if _CUT_FORMULA.fullmatch(text, place) and (
        _FORMULA.search(text[:place])
        or re.match(r"final answer:", sentence.strip("* "), re.IGNORECASE)
    ):
        raise NotStated("a formula that the end of the text cut off")
    line = _CLOSING_TAG.split(rest_of_line(text, place), maxsplit=1)[0]
    if _GOES_ON.match(text, place + len(line.rstrip()) - 1):
        raise NotStated("a list that goes on in the next line")
    if before[-1:] in ("*", "_") and before[-2:] not in ("**", "__"):
        line = line.rstrip().removesuffix(before[-1])
    found = first_clause(without_bold(line)) or None
    return None if must_read and found is not None and not _reads(found) else found


def _reversed(text: str, start: int, end: int) -> str | None:
    """The value in "... is the answer"; None where that is not the whole sentence."""
    found = _REVERSED.search(text, max(0, start - 260), start)
    if found is None or not _ENDS.match(text, end):
        return None
    value = without_bold(found["value"])
    return value if _reads(value) else None


def _reads(text: str) -> bool:
    try:
        return not isinstance(read(text), Words)
    except NotWhole:
        return False


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return equal(read(one), read(other), same_numbers) is True
    except NotWhole:
        return False
