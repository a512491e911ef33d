r"""The answer in the last box of an output, with what stands beside it.

Boxes that nothing but commas, "and", "or", spacing and list marks join are one answer of several
parts. What stands right beside a box belongs to the answer: `-\boxed{3}` is not 3, `\boxed{50}\%`
is 50 %, `\boxed{4}` million is not 4, and `x > \boxed{5}`, "not \boxed{5}", "\boxed{5} or 6" are
no answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from verifiers.stated.clauses import NotStated, refuse_second_thoughts

_BRACES = re.compile(r"\\[{}]|\\(?:boxed|fbox|framebox)\s*\{|[{}]|\\(?:boxed|fbox)(?![A-Za-z{])\s*")
_WITHOUT_BRACES = re.compile(r"[^$\n]{1,200}")
# Possessive: a gap that several ways of reading fit must not be tried in all of them.
_JOINED = re.compile(
    r"(?:[\s$,;.*•]|\\(?:quad|qquad|[,;:! ()\[\]])|\\text\s*\{\s*(?:,?\s*(?:and|or)\s*)?\}|\\\\|&"
    r"|\b(?:and|or)\b|\n\s*[-*•]\s|\(?\b[a-zA-Z0-9]{1,2}\s*[.)]|\n\s*[-*])*+",
)
_DERIVED = re.compile(
    r"\b(?:so|thus|hence|therefore|gives?|yields?|then|implies|means|making|final|finally|answer)\b"
    r"|\\(?:implies|Rightarrow|Longrightarrow|therefore|to|rightarrow)\b|=|[.!?:]\s|\n",
    re.IGNORECASE,
)
_SIDE = r"(?:[\s${]|\\[(\[,;:!]|\\(?:displaystyle|left|mathbf|bm|quad|qquad)|\*\*|__)*"
_BEFORE = re.compile(
    r"(?:(?P<word>[A-Za-z]{2,}\s+[-–—]+)"
    r"|(?P<wrong>[-+*/^_<>≠±√−×÷|]|\\(?:pm|mp|cdot|times|div|ne|neq|lt|gt|le|leq|ge|geq|leqslant|geqslant"
    r"|sqrt|frac|not|log|ln|sin|cos|tan|pi|sim)"
    r"|(?:\b(?:not|cannot|never|than|neither|nor|unless|wrong\w*|incorrect\w*|either|minus"
    r"|negative|twice|half\s+of|opposite\s+of|at\s+(?:most|least))"
    r"|n't|instead of)"
    r"\s*(?:equal(?:\s+to)?|be|is)?))$",
    re.IGNORECASE,
)
_TOUCHES_BEFORE = re.compile(
    r"(?:[0-9)\]]|\d\.|(?:\}|\\sqrt(?:\[[^\]]*\])?|\\frac|[\^_])\s*\{\s*|(?<![A-Za-z\\])[A-Za-z]|\\(?:pi|theta|alpha|beta))$"
)
_TAG = re.compile(r"<(?:final_?)?answer>[\s$]*$", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"\s*</[A-Za-z_]+>")
_AFTER = re.compile(
    r"(?:[\^_*/+<>≠±×÷√]|!(?!\*\*)(?=\S|\s*[-=*/+^<>\\])|-\s?(?=[\d\\(a-zA-Z])|\\(?:pm|mp|cdot|times|div|ne|neq|le|leq|ge|geq|lt|gt|frac|sqrt"
    r"|pi|log|ln|sin|cos|tan)(?![A-Za-z])"
    r"|,?\s*(?:\\text\s*\{\s*)?(?:or|if|unless|provided)\b"
    r"|\?|[:.]\d|(?:squared|cubed|factorial)\b|(?:\w+th|halve|third|quarter)s\b"
    r"|,?\s*(?:when|whenever)\s[\s$\\(]*[a-z][\s$\\)]+(?:is|=\s*\d*[a-z])\b"
    r"|(?:\\text\s*\{\s*)?of\b[\s}$]*(?:\d|[b-z]\b)"
    r"|(?:plus|minus|times|mod|divided\s+by|multiplied\s+by)\s+[$\\(\dx]"
    r"|(?:is|was)\s[^.\n]{0,30}?\b(?:guess|attempt|mistake|error|trap)\b"
    r"|(?:is|was|would\s+be|looks|seems)\s+(?:clearly\s+)?(?:wrong|incorrect|false|impossible|not)\b"
    r"|(?:is|was)n['’]t\b|can(?:not|['’]t)\s+be\b"
    r"|,?\s*(?:\\text\s*\{\s*)?(?:and|to|out of|by)\b[\s$}]*(?=[-\d\\])|,\s*[$\s]*[-\d])",
    re.IGNORECASE,
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)")
_SCALED = re.compile(
    r"[\s$~]*(?:\\[,;: ]\s*)?(?:\\(?:text|mathrm)\s*\{\s*)?"
    r"(\\?%|percent|hundred|thousand|million|billion|trillion|dozen)(?![A-Za-z])",
    re.IGNORECASE,
)
_OF = re.compile(r"[\s$}\\,;]*(?:text\s*\{\s*)?of\b")
_MOST = 50


def boxed(text: str) -> str | None:
    """The content of the last box or joined boxes; None without any. Raises NotStated."""
    if "\\boxed" not in text and "\\fbox" not in text and "\\framebox" not in text:
        return None
    boxes = list(_boxes(text))
    if not boxes:
        raise NotStated("a box that is not closed")
    start, inside, close, end = boxes.pop()
    contents = [text[inside:close].strip()]
    last_end = end
    while boxes and len(contents) < _MOST:
        before, inside, close, end = boxes[-1]
        gap = text[end:start] if start - end <= 200 else text[end : end + 200] + "\n"
        if not _JOINED.fullmatch(gap):
            if text[inside:close].strip() != contents[-1] and not _DERIVED.search(gap):
                raise NotStated("several boxes in one sentence, none of which is said to be it")
            break
        boxes.pop()
        contents.append(text[inside:close].strip())
        start = before
    _refuse_what_stands_before(text, start)
    answer = contents[0] if len(contents) == 1 else ", ".join(reversed(contents))
    if not answer:
        raise NotStated("an empty box")
    return answer + _refuse_what_stands_after(text, last_end)


def _refuse_what_stands_before(text: str, start: int) -> None:
    before = text[max(0, start - 60) : start]
    if _TOUCHES_BEFORE.search(before):
        raise NotStated("a box that is a part of an expression")
    stripped = re.sub(_SIDE + "$", "", _TAG.sub("", before)) if before else ""
    found = _BEFORE.search(stripped)
    if found is not None and found["wrong"] is not None:
        raise NotStated(f"a box after {found['wrong']!r}")


def _refuse_what_stands_after(text: str, end: int) -> str:
    """What belongs to the answer behind its box."""
    after = text[end : end + 120]
    scaled = _SCALED.match(after)
    if scaled is not None:
        if _OF.match(after, scaled.end()):
            raise NotStated("a share of something in a box")
        return f" {scaled[1]}"
    if _DEGREES.match(after):
        return "^\\circ"
    if re.match(r"[0-9A-Za-z(]", after):
        raise NotStated("a box that is a part of an expression")
    beside = re.sub(r"^(?:[ \t$}]|\\[)\],;:! ]|\*\*)*", "", after)
    if _AFTER.match(beside) and not _CLOSING_TAG.match(beside):
        raise NotStated(f"a box before {beside.split(None, 1)[0][:20]!r}")
    refuse_second_thoughts(after)
    return ""


def _boxes(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Every outermost box in order: start, start and end of its content, end.

    A box that is not closed ends the search with nothing: what it would say is not known.
    """
    open_braces: list[tuple[int, int] | None] = []
    found: list[tuple[int, int, int, int]] = []
    depth = skip = 0
    for brace in _BRACES.finditer(text):
        token = brace.group()
        if brace.start() < skip:
            continue
        if token in ("\\{", "\\}"):
            continue
        if token == "{" or (token.endswith("{") and token.startswith("\\")):
            box = (brace.start(), brace.end()) if len(token) > 1 else None
            open_braces.append(box)
            depth += box is not None
        elif token == "}":
            if open_braces:
                box = open_braces.pop()
                depth -= box is not None
                if box is not None and depth == 0:
                    found.append((*box, brace.start(), brace.end()))
        elif depth == 0:
            content = _WITHOUT_BRACES.match(text, brace.end())
            if content is not None:
                end = _end_without_braces(content[0])
                found.append((brace.start(), brace.end(), brace.end() + end, brace.end() + end))
    if depth:
        return
    yield from found[-_MOST - 1 :]


def _end_without_braces(content: str) -> int:
    r"""How far `\boxed 9` reaches: to the end of its line, sentence or formula."""
    stop = re.search(r"[.,;]?(?:\s|$)(?![-+=*/^\d\\])|[.,;]$", content)
    return stop.start() if stop is not None else len(content)
