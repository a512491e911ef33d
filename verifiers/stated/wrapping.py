r"""What is taken off an answer before it is read: markdown, quotes, delimiters of formulas, the
words "Answer:" in front of it, "in total" behind it, a mark of joy at the end.
"""

from __future__ import annotations

import re

_TEXT_COMMAND = re.compile(
    r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mbox|operatorname|boldsymbol|bm|boxed|textsf)"
    r"\s*\{([^{}]*)\}"
)
_MARKS = "✅✓✔☑🎉🎯👍💯∎■□◻⬛🏁✨\ufe0f"
"""Signs that end a solution. Crosses and question marks are none: they say something else."""
_LABEL = re.compile(
    r"(?:\\text\s*\{\s*)?(?:the\s+)?(?:final\s+|correct\s+)?answer\s*(?:is\b|:)\s*(?::\s*)?(\}?)\s*",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?:(?:exactly|precisely|only|just|simply|a\s+total\s+of)\s+)+(?=[-\d\\$])", re.I
)
_BEHIND = re.compile(
    r"(?<=[\w}$%])\s+(?:in\s+(?:total|all)|all\s+together|altogether|left\s+over)$", re.IGNORECASE
)


def unwrapped(text: str) -> str:
    """Without markdown, outer quotes, delimiters of formulas and a final point."""
    before = None
    while text != before:
        before = text
        text = text.strip().strip('`"').strip()
        if len(text) > 2 and text[0] == text[-1] == "'":
            text = text[1:-1]
        text = text.removesuffix("\\").strip() if text.endswith("\\") else text
        for mark in ("**", "__", "*", "$$", "$"):
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
                text = text[len(mark) : -len(mark)]
        for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
            if text.startswith(opening) and text.endswith(closing):
                text = text[2:-2]
        text = text.strip().removeprefix(":")
        # A point ends a sentence, several say that something is left out.
        text = text if text.endswith("..") else text.rstrip(".,;:")
        text = text.strip(_MARKS)
        if text.startswith("=") and not text.startswith("=="):
            text = text[1:]
        for mark in ("**", "__"):
            if text.count(mark) == 1:
                text = text.removeprefix(mark).removesuffix(mark)
        text = _BEHIND.sub("", _BEFORE.sub("", _without_label(text), count=1))
    return text


def _without_label(text: str) -> str:
    label = _LABEL.match(text)
    if label is None:
        return text
    opened = label[0].startswith("\\text")
    if opened and not label[1]:
        return "\\text{" + text[label.end() :]
    return text[label.end() :] if opened or not label[1] else text


def bare_words(text: str) -> str:
    """The text without commands for words and dollar signs, for what is told by its letters."""
    before = None
    while text != before:
        before, text = text, _TEXT_COMMAND.sub(r" \1 ", text)
    text = re.sub(r"\\[,;:! ]|\\q?quad(?![A-Za-z])|\$|\\[()\[\]]", " ", text)
    return " ".join(text.split()).strip(" .,;*")
