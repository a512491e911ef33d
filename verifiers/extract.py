"""Finds the program in a model's answer.

Rules, in order:
1. Fenced blocks (``` or ~~~ of three or more, closed by a fence at least as long, or by the end of
   the text when the answer was cut). Blocks labelled with the wanted language (python, python3,
   py; cpp, c++, cc) come before unlabelled ones; blocks of other languages are ignored.
2. Of several, the last one that defines `entry` if an entry is known, else the last one: answers
   reason first and conclude last.
3. No block at all: the whole text, as base models continue a prompt without fences.
"""

from __future__ import annotations

import re

_LABELS = {
    "python": {"python", "python3", "py", "python 3"},
    "cpp": {"cpp", "c++", "cc", "cxx", "c++17", "c++20"},
}
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\n`]*?)[ \t]*$")


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """Every fenced block as (label in lower case, content)."""
    blocks: list[tuple[str, str]] = []
    fence, label, lines = "", "", list[str]()
    for line in text.splitlines():
        found = _FENCE.match(line)
        if not fence and found:
            fence, label, lines = found[1], found[2].lower(), []
        elif fence and found and found[1].startswith(fence) and not found[2]:
            blocks.append((label, "\n".join(lines) + "\n"))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        blocks.append((label, "\n".join(lines) + "\n"))
    return blocks


def extract_code(text: str, language: str = "python", entry: str | None = None) -> str:
    """The program in `text`, by the rules above; "" where all blocks are of other languages."""
    blocks = fenced_blocks(text)
    if not blocks:
        return text
    labels = _LABELS.get(language, {language})
    wanted = [body for label, body in blocks if label.split("{")[0].strip() in labels]
    wanted = wanted or [body for label, body in blocks if not label]
    if not wanted:
        return ""
    if entry is not None:
        name = re.escape(entry.split(".")[0].removesuffix("()"))
        defining = re.compile(
            rf"^\s*(?:async\s+def|def|class)\s+{name}\b|^{name}\s*=", re.MULTILINE
        )
        holding = [body for body in wanted if defining.search(body)]
        if holding:
            return holding[-1]
    return wanted[-1]
