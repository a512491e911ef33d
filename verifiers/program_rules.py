"""Finds the program in a model's output. Text work alone: nothing is parsed or run here.

Rules:
    continue   the output continues the prompt: the program is the prompt and then the output
    block      the rules of extract.py: the last fenced block that defines the entry function,
               or the whole output where nothing is fenced; the prompt's own code goes before it
    paper      the first fenced block, freed of a leading `python` (as "Large Language Monkeys"
               does for CodeContests), or the whole output where nothing is fenced

A block that is never closed does not count under `paper`. Whether an unfenced output is a program
at all shows when it is run: a syntax error there means that there was no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifiers.extract import extract_code, fenced_blocks

FENCE = "```"


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
    found = _last_block(text, how)
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


def _last_block(text: str, how: Mapping[str, Any]) -> Program | None:
    found = extract_code(text, how.get("language", "python"), how.get("entry"))
    if not found.strip():
        return None
    return Program(found, fenced=bool(fenced_blocks(text)))
