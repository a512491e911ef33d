r"""Where the answer in a sentence ends, and what comments on it.

"5 because 2 + 3 = 5 and not 6", "5, since ...", "5 (see above)", "5. Then we ..." state 5. "5 if n
is odd", "5 or 6", "not 5", "either 5 or 6", "5?" are left as they stand: they do not read whole.
"""

from __future__ import annotations

import re

_COMMENT = re.compile(
    r"[\s,;(*]*(?:\b(?:because|since|hence|thus|therefore|so|which|namely|i\.e\.|that is)\b"
    r"|\bas (?:we|the|it|there|this|that|shown|required|desired|expected|above|they|each|he|she|all"
    r"|given|stated|calculated|computed|found)\b)"
    r"|\s*[,;]\s*(?:and\s+)?not\b|\s+and not\b|\s+(?:rather than|instead of)\b"
    r"|\s+--+\s+(?=[A-Za-z])|\s*—\s*(?=[A-Za-z])|\s+–\s+(?=[A-Za-z])",
    re.IGNORECASE,
)
_SEPARATORS = " \t,;(*"
_HOPE = re.compile(r"I hope (?:it|this) is correct", re.IGNORECASE)
_END = re.compile(r"(?:[.?]|!(?!\s*[-=*/+^<>\\]))(?=\s|$|\*|\")|。|(?<=[\d)$])\.(?=[A-Z][a-z]+\s)")
_HALF_OF_DAY = re.compile(r"\b([ap])\.\s?m\.", re.IGNORECASE)
_ABBREVIATED = re.compile(r"\b(Rs|sq|cu)\.(?=\s)")
_ASIDE = re.compile(r"(?<!option)(?<!choice)\s+\([A-Za-z][^()\d$\\]*\)$", re.IGNORECASE)
_CHANGES = re.compile(
    r"\b(?:not|negative|(?:hundred|thousand|million|billion|trillion|dozen)s?|per\s?cent\w*|per|or|and|approx\w*"
    r"|about|half|mod\w*|base|minus|wrong|incorrect|false|squared|cubed|factorial|root|times|below|more|less"
    r"|fewer|max\w*|min|minimum|loss|owed|debt|repeating|recurring|guess\w*|estimate\w*|un(?:sure|certain)"
    r"|maybe|perhaps|possibly|probably|likely|if|when|unless|either|wait|no)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\s*[,;]?\s*which\s+(?:is|was|seems|looks|would\s+be|can(?:not|['’]t)\s+be)\s+(?:\w+ly\s+)?"
    r"(?:wrong|incorrect|false|impossible|not\s+(?:right|correct|possible|allowed|valid|the\s+answer))",
    re.IGNORECASE,
)
_DASH = re.compile(r"\s*(?:--+|[—–])\s*")
_NOT_SURE = re.compile(
    r"not\s+(?:sure|certain|quite|really|exactly|right|correct)\b|i\s+(?:guess|think)\b",
    re.IGNORECASE,
)
_SECOND_THOUGHTS = (
    r"wait\b|no(?:pe)?\b[,.!]|no\s+wait|not\s+quite|hold\s+on|actually\b|hmm+\b|oops\b|sorry\b"
    r"|correction\b|on\s+second\s+thoughts?|i\s+(?:made|was\s+wrong|take\s+that\s+back|mean\b)"
    r"|let\s+me\s+(?:re-?think|re-?consider|re-?do|try\s+again|start\s+over|correct)"
    r"|just\s+kidding|scratch\s+that|never\s+mind|or\b"
)
_NEXT_TAKES_BACK = re.compile(
    rf"\s*(?:{_SECOND_THOUGHTS}|but|however|alternatively|unless|if\b)", re.IGNORECASE
)
_TAKES_BACK = re.compile(
    rf"[\s$.*)\]\\}}]*(?:(?:(?:but|oh|ah|uh|um+)\b,?\s+)?(?:{_SECOND_THOUGHTS})"
    r"|(?:but\s+)?(?:this|that|it|which)(?:['’]s|\s+(?:is|was|looks|seems))\s+"
    r"(?:clearly\s+)?(?:wrong|incorrect|false|not\s+(?:right|correct)|impossible)(?=\s*(?:[.,;!\n]|$))"
    r"|(?:but\s+)?(?:this|that|it|which)\s+(?:does\s+not|doesn['’]t|can['’]t|cannot)\s+"
    r"(?:look|seem|sound|be)\s+(?:right|correct))",
    re.IGNORECASE,
)
_CALLED_OUT = re.compile(r"(?<=\w)(\*\*|__)!+(?=\s|$)")
_BOLD = re.compile(r"(?<=\S)(?:\*\*|__)(?=[\s.,;:!?)]|$)|(?:(?<=\s)|^)(?:\*\*|__)(?=\S)")
_VALUE = re.compile(
    r"[\d$\\+\-−–(\[{|<>=≈√±.∞∅½⅓⅔¼¾€£\"'`*]|[A-Za-z](?![A-Za-z])|(?:negative|minus|sqrt|pi|option|choice|no"
    r"|none|positive|infinity|Rs|USD|EUR)\b|(?:either|not|about|approximately|exactly)\s+[-+\d$\\(]",
    re.IGNORECASE,
)  # fmt: skip


LONGEST_CLAUSE = 1_200


class NotStated(Exception):
    """An output states no answer; says why, for a person."""


def looks_like_a_value(text: str) -> bool:
    """Whether a statement means to give a value, well formed or not, rather than words."""
    found = _VALUE.match(text)
    return found is not None and not (found[0] in ("a", "A", "I") and text[1:2] == " ")


def refuse_second_thoughts(after: str) -> None:
    """Raises NotStated where what follows an answer takes it back at once."""
    if _TAKES_BACK.match(after):
        raise NotStated("an answer that is taken back at once")


def without_bold(line: str) -> str:
    """A line of prose without its marks of emphasis; 2**3 stays as it is."""
    return _BOLD.sub("", _CALLED_OUT.sub(r"\1.", line))


def first_clause(line: str) -> str:
    """The answer at the start of a line of any length; raises NotStated."""
    start = line[:LONGEST_CLAUSE]
    found = clause(start)
    # A long line without any end is stated as a whole: never the part that fits.
    return line.strip() if len(line) > len(start) and len(found) > LONGEST_CLAUSE // 2 else found


def clause(line: str) -> str:
    """The answer at the start of a line, without what comments on it; raises NotStated."""
    line = _ABBREVIATED.sub(r"\1", _HALF_OF_DAY.sub(r"\1m", _HOPE.split(line, maxsplit=1)[0]))
    place, inside = 0, False
    while place < len(line):
        character = line[place]
        if character == "\\" and line[place + 1 : place + 2] == "$":
            place += 2
            continue
        if character == "$":
            inside = not inside and "$" in line[place + 1 :]
        elif not inside:
            ended = _END.match(line, place)
            if ended is not None:
                return _closed(line, place)
            # A run of separators is looked at once, from its start.
            begins = place and not character.isalnum() and line[place - 1] not in _SEPARATORS
            if begins and _COMMENT.match(line, place):
                _refuse_denial(line, place)
                return _bare(line[:place])
        place += 1
    return _bare(line)


def _refuse_denial(line: str, place: int) -> None:
    """A comment that takes back what it comments on."""
    dash = _DASH.match(line, place)
    after = line[dash.end() :] if dash is not None else ""
    if _DENIAL.match(line, place) or _NEXT_TAKES_BACK.match(after) or _NOT_SURE.match(after):
        raise NotStated("an answer that is taken back at once")


def _closed(line: str, place: int) -> str:
    """A line whose first sentence ends at a place."""
    mark, before, after = line[place], line[:place], line[place + 1 :]
    if mark == "?":
        raise NotStated("a question about the answer")
    if mark == "!" and before[-1:].isdigit():
        raise NotStated("a factorial, or a number that is called out")
    if _NEXT_TAKES_BACK.match(after.lstrip('*" ')):
        raise NotStated("an answer that is taken back at once")
    refuse_second_thoughts(after)
    return _bare(before)


def _bare(text: str) -> str:
    text = text.strip()
    aside = _ASIDE.search(text)
    if aside is not None and not _CHANGES.search(aside[0]):
        text = text[: aside.start()]
    return text.strip().rstrip(",;")
