"""Finds the program in a model's output. Text work alone: nothing is parsed or run here.

Rules:
    continue   the output continues the prompt: the program is the prompt and then the output
    block      the last fenced block that defines the entry function (else the last one), or the
               whole output where nothing is fenced; the prompt's own code goes before it
    paper      the first fenced block, freed of a leading `python` (as "Large Language Monkeys"
               does for CodeContests), or the whole output where nothing is fenced

A fence is three backticks. A block that is never closed runs to the end under `block` (an output
cut by its token limit) and does not count under `paper`. Whether an unfenced output is a program
at all shows when it is run: a syntax error there means that there was no answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FENCE = "```"
_LANGUAGE = re.compile(r"[ \t]*[A-Za-z0-9+#._-]*[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Program:
    """A program as found."""

    source: str
    fenced: bool
    """Whether a fence, or the prompt that it continues, marked it as a program."""


def program(text: str, how: Mapping[str, Any]) -> Program | None:
    """The program in `text` by the rule of `how`, or None where there is none.

    `how` has `rule`, and where the rule needs them `before` (the prompt's code) and `entry`.
    """
    rule = how["rule"]
    if rule == "continue":
        return Program(how["before"] + text, fenced=True) if text.strip() else None
    if rule == "paper":
        return _first_block(text)
    if rule != "block":
        raise ValueError(f"there is no rule {rule!r} for finding a program")
    found = _last_block(text, how.get("entry"))
    before = how.get("before", "")
    if found is None or not before:
        return found
    # The prompt ends inside a function: without a body of its own it would not be a program.
    return Program(f"{before}\n    pass\n\n{found.source}", found.fenced)


def _first_block(text: str) -> Program | None:
    text = text.strip()
    parts = text.split(FENCE, 2)
    if len(parts) == 3:
        code = parts[1].strip().removeprefix("python").strip()
        return Program(code, fenced=True) if code else None
    return Program(text, fenced=False) if text else None


def _last_block(text: str, entry: str | None) -> Program | None:
    parts = text.split(FENCE)
    blocks = [_without_language(block) for block in parts[1::2]]
    blocks = [block for block in blocks if block.strip()]
    if not blocks:
        return Program(text, fenced=False) if text.strip() else None
    if entry is not None:
        defines = re.compile(
            rf"^\s*(?:async\s+)?(?:def|class)\s+{re.escape(entry)}\b", re.MULTILINE
        )
        blocks = [block for block in blocks if defines.search(block)] or blocks
    return Program(blocks[-1], fenced=True)


def _without_language(block: str) -> str:
    """A block without the word that names its language on the fence's line."""
    found = _LANGUAGE.match(block)
    return block[found.end() :] if found else block
