"""Finds the program in a model's output by the rule of its task. Text work alone.

Rules:
    continue   (also `completion`) the output continues the prompt: the program is the prompt and
               then the output, up to an end-of-text token or a fence; a first line that lost its
               indentation gets it back
    block      the rules of extract.py, for answers in chat style: the last whole program; the
               prompt's own code goes before it, and the answer may be the function's body alone
    paper      the first fenced block, freed of a leading `python` (as "Large Language Monkeys"
               does for CodeContests), or the whole output where nothing is fenced

A block that is never closed does not count under `paper`. Whether an unfenced output is a program
at all shows when it is run: a syntax error there means that there was no answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifiers.extract import answer_only, extract_code, fenced_blocks
from verifiers.extract_lines import is_prose
from verifiers.extract_repair import without_torn_end

FENCE = "```"
RULES = ("block", "paper", "completion")
_RETURNS = re.compile(r"^(?:return|yield)\b", re.MULTILINE)
_FUTURE = re.compile(r"^from __future__ import [^\n]*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FoundProgram:
    """A program as found."""

    source: str
    fenced: bool
    """Whether a fence, or the prompt that it continues, marked it as a program."""


def program(text: str, how: Mapping[str, Any]) -> FoundProgram | None:
    """The program in `text` by the rule of `how`, or None where there is none.

    `how` has `rule`, and where the rule needs them `before` (the prompt's code), `entry` and
    `language`.
    """
    rule = how["rule"]
    if rule in ("continue", "completion"):
        return _continued(text, how)
    if rule == "paper":
        return _first_block(text)
    if rule != "block":
        raise ValueError(f"there is no rule {rule!r} for finding a program")
    return _last_block(text, how)


def _first_block(text: str) -> FoundProgram | None:
    text = text.strip()
    parts = text.split(FENCE, 2)
    if len(parts) == 3:
        code = parts[1].strip().removeprefix("python").strip()
        return FoundProgram(code, fenced=True) if code else None
    return FoundProgram(text, fenced=False) if text else None


def _last_block(text: str, how: Mapping[str, Any]) -> FoundProgram | None:
    entry, before = how.get("entry"), how.get("before", "")
    found = extract_code(text, how.get("language", "python"), entry)
    if not found.strip():
        return None
    fenced = bool(fenced_blocks(answer_only(text)))
    if not before:
        return FoundProgram(found, fenced)
    lost = _RETURNS.search(found) is not None
    if (found[:1] in (" ", "\t") or lost) and not _defines(found, entry):
        return FoundProgram(before + _indented(before, found), fenced)
    return FoundProgram(_after(before, found), fenced)


def _after(before: str, source: str) -> str:
    """A program after the prompt's code, which ends inside a function that lacks its body."""
    future = "".join(_FUTURE.findall(source))
    return f"{future}{before}\n    pass\n\n{_FUTURE.sub('', source)}"


def _continued(text: str, how: Mapping[str, Any]) -> FoundProgram | None:
    before, entry = how.get("before", ""), how.get("entry")
    lines = answer_only(text).split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return None
    if lines[first].lstrip().startswith(FENCE) or _is_chat(lines, first, entry):
        return _last_block(text, how)
    end = next((n for n, line in enumerate(lines) if line.startswith(FENCE)), len(lines))
    body = "\n".join(lines[:end])
    if how.get("language", "python") == "python":
        whole = without_torn_end(body)
        body = whole if whole.strip() else body
    if not before:
        return FoundProgram(body, fenced=False)
    if lines[first][:1] not in (" ", "\t") and _defines(body, entry):
        return FoundProgram(_after(before, body), fenced=True)
    return FoundProgram(before + _indented(before, body), fenced=True)


def _is_chat(lines: list[str], first: int, entry: str | None) -> bool:
    """Whether the output talks, and gives the whole function between fences."""
    line = lines[first]
    if line[:1] in (" ", "\t") or not is_prose(line, line):
        return False
    return any(_defines(block.body, entry) for block in fenced_blocks("\n".join(lines)))


def _defines(source: str, entry: str | None) -> bool:
    name = re.escape(entry) if entry else r"\w+"
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{name}\b", source, re.MULTILINE) is not None


def _indented(before: str, body: str) -> str:
    """A function's body at the depth that the prompt's last line has.

    A body whose first line alone lacks it has lost leading blanks; else all of it is moved.
    """
    last = next((line for line in reversed(before.split("\n")) if line.strip()), "")
    depth = _depth(last) + (4 if last.rstrip().endswith(":") else 0)
    lines = body.split("\n")
    number = next(n for n, line in enumerate(lines) if line.strip())
    has = _depth(lines[number])
    if "\t" in lines[number][:has] or has == depth or not depth:
        return body
    rest = [_depth(line) for line in lines[number + 1 :] if line.strip()]
    if before.endswith((" ", "\t")):
        return body  # the prompt brings the first line's blanks
    if rest and min(rest) >= depth > has:
        lines[number] = " " * depth + lines[number].lstrip()
        return "\n".join(lines)
    return "\n".join(_moved(line, depth - has) for line in lines)


def _moved(line: str, by: int) -> str:
    if by > 0 and line.strip():
        return " " * by + line
    return line[-by:] if _depth(line) >= -by else line


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
