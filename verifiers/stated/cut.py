r"""Leaves out of an output what is not the model's solution: its thinking, and what runs on.

A base model that is not stopped goes on with a question of its own and answers that. So an output
ends where, after a first answer, the next question begins: at a line `Question:`, `Problem 2.`,
`Q:`, `User:`, ...; at a paragraph that asks something; after the line `#### 18`, at the next
paragraph if another `####` follows it. Linear in the length of the text.
"""

from __future__ import annotations

import re

from verifiers.chat_tokens import answering

_THINKING = re.compile(r"<(think|thinking|reasoning|thought)>", re.IGNORECASE)
_THOUGHT = re.compile(r"</(?:think|thinking|reasoning|thought)>", re.IGNORECASE)
_END = re.compile(
    r"<[|｜](?:end(?!_header)|eot|im_end|eom|return)[^\n|｜>]*[|｜]>|</s>|<eos>|<end_of_turn>"
)
_STYLED = re.compile(
    r"<(b|strong|i|em|u|p|span|div|center|font)(?:\s[^<>\n]{0,80})?>([^<>]{0,400})</\1>",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"(?:\A|(?<=\n\n))(?:>[^\n]*(?:\n|\Z))+")
_NEXT = re.compile(
    r"^[ \t]*(?:[#*_>]+[ \t]*)?(?:next[ \t]+)?"
    r"(?:question|problem|exercise|q|example|input|instruction|human|user|student)"
    r"(?:[ \t]*\#?\d+)?(?:[*_]+)?[ \t]*[:.)](?=[\s*]|$)"
    r"|^[ \t]*(?:[#*_>]+[ \t]*)(?:next[ \t]+)?(?:question|problem|exercise)"
    r"(?:[ \t]*\#?\d+)?[ \t*_]*$"
    r"|<\|(?:im_start|start_header_id)\|>[ \t]*user|<start_of_turn>[ \t]*user|\[INST\]",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWERED = re.compile(
    r"\\(?:boxed|fbox)\b|(?<!\#)\#\#\#\#(?!\#)[ \t]*[-+$\\(\[\d.]"
    r"|\banswer\b[^\n]{0,60}?(?:\bis\b|:|=)|</answer>",
    re.IGNORECASE,
)
_HASHES = re.compile(r"(?<!\#)\#\#\#\#(?!\#)[ \t]*[-+$\\(\[\d.][^\n]*")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_ASKS = re.compile(
    r"\b(?:how (?:many|much|long|far|old|often|tall|fast)"
    r"|what (?:is|are|was|were|fraction|percent\w*|number)|which of|find (?:the|all)|compute"
    r"|evaluate|determine|simplify|solve for|calculate)\b",
    re.IGNORECASE,
)
_OWN_VOICE = re.compile(
    r"\b(?:wait|hmm|let me|let's|let us|i|we|actually|check|verify|verification|again|mistake|oops|"
    r"sorry|correct(?:ion|ed)?|recheck|note|answer|this|so|therefore|thus|hence|now|first|second|"
    r"then|next|step|finally|part)\b",
    re.IGNORECASE,
)


def solution(text: str) -> str:
    """The part of an output in which its answer may stand; "" where the thinking never ends."""
    text = answering(text.removeprefix("\ufeff"))
    thoughts = list(_THOUGHT.finditer(text))
    if thoughts:
        text = text[thoughts[-1].end() :]
    open_thinking = _THINKING.search(text)
    if open_thinking is not None:
        text = text[: open_thinking.start()]
    end = _END.search(text)
    if end is not None:
        text = text[: end.start()]
    text = _STYLED.sub(r"\2", text)
    if ">" in text:
        text = _QUOTED.sub(lambda quote: re.sub(r"(?m)^>+[ \t]?", "", quote[0]), text)
    answered = _ANSWERED.search(text) if _may_answer(text) else None
    if answered is None:
        return text
    after = text.find("\n", answered.end())
    if after < 0:
        return text
    marked = _NEXT.search(text, after)
    if marked is not None:
        text = text[: marked.start()]
    return _until_asked(_until_hashes_run_on(text), after)


def _may_answer(text: str) -> bool:
    """Whether a search for an answer's mark can find one: a look at words costs far less."""
    folded = text.casefold()
    return "####" in folded or "box" in folded or "answer" in folded


def _until_hashes_run_on(text: str) -> str:
    """Up to the first `####` answer, where a paragraph of other words leads to a second one."""
    first = _HASHES.search(text)
    second = _HASHES.search(text, first.end()) if first is not None else None
    if first is None or second is None:
        return text
    between = text[first.end() : second.start()]
    words = len(between.split())
    apart = _PARAGRAPH.match(between.lstrip(" \t")) is not None or between.startswith("\n\n")
    if apart and words >= 3 and not _OWN_VOICE.search(between[:400]):
        return text[: first.end()]
    return text


def _until_asked(text: str, after: int) -> str:
    """Up to the first paragraph behind an answer that asks a question, not of itself."""
    if after >= len(text):
        return text
    gaps = list(_PARAGRAPH.finditer(text, after))
    ends = [gap.start() for gap in gaps[1:]] + [len(text)]
    for gap, end in zip(gaps, ends, strict=False):
        paragraph = text[gap.end() : min(end, gap.end() + 1_000)]
        if _ASKS.search(paragraph) and not _OWN_VOICE.search(paragraph):
            return text[: gap.start()]
    return text
