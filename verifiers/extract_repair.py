"""What a program loses or gains on its way through an answer, and how it is undone.

A block that is indented as a whole is moved to the margin; a session of the interpreter (`>>>`)
becomes the code that was typed; the last statement of a text that was cut off goes where it cannot
be whole. Text work alone: nothing is parsed or run.
"""

from __future__ import annotations

import re
import textwrap

from verifiers.extract_lines import Lexer, is_prose

_TYPED = re.compile(r"^\s*(?:>>>|\.\.\.)(?: |$)")
_NOTEBOOK = re.compile(r"^In \[\d+\]:", re.MULTILINE)
_NOTEBOOK_GOES_ON = re.compile(r"^[ \t]+\.\.\.:", re.MULTILINE)
_RAISED = re.compile(r"\s*(?:Traceback \(most recent call last\)|File \"<stdin>\")")
_UNFINISHED = re.compile(r"(?:async\s+def|def|class|if|for|while|with)\b[^:]*")
_BEGINS = re.compile(r"(?:async\s+def|def|class|import|from|for|while|if|try|with|print|\w+\s*=|@)")


def typed(code: str) -> str:
    """The code of an interpreter's session, without its prompts and answers."""
    if _NOTEBOOK.match(code.lstrip()):
        code = _NOTEBOOK_GOES_ON.sub("...", _NOTEBOOK.sub(">>>", code))
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if not first.lstrip().startswith(">>>"):
        return code
    inputs: list[list[str]] = []
    answered = True
    for line in lines:
        if _TYPED.match(line):
            if answered or line.lstrip().startswith(">>>"):
                inputs.append([])
            inputs[-1].append(_TYPED.sub("", line))
            answered = False
        elif not answered:
            answered = True
            if _RAISED.match(line):
                # What was typed and refused is no part of the program.
                inputs.pop()
    return "\n".join(line for typed_in in inputs for line in typed_in) + "\n"


def at_the_margin(code: str, entry: str | None) -> str:
    """A program that is indented as a whole, at the margin; the body of a function stays."""
    if code.lstrip("\n")[:1] not in (" ", "\t"):
        return code
    moved = textwrap.dedent(code)
    if entry is None:
        return moved if _BEGINS.match(moved.lstrip()) else code
    name = re.escape(entry.split(".")[0])
    defined = re.search(rf"^(?:async\s+def|def|class)\s+{name}\b", moved, re.MULTILINE)
    return moved if defined else code


def without_torn_end(code: str) -> str:
    """The program without a last statement that stops in the middle, or prose that follows it."""
    lexer = Lexer()
    begins = 0
    lines = code.split("\n")
    for number, line in enumerate(lines):
        inside = lexer.in_long_string or lexer.depth > 0
        plain = lexer.feed(line)
        if inside or not line.strip() or line[0] in " \t#)]}":
            continue
        if number and is_prose(line, plain):
            return "\n".join(lines[:number]) + "\n"
        begins = number
    last = next((line for line in reversed(lines) if line.strip()), "")
    torn = lexer.in_long_string or lexer.depth > 0 or last.rstrip().endswith((":", "\\", "="))
    torn = torn or (last == lines[begins] and _UNFINISHED.fullmatch(last) is not None)
    return "\n".join(lines[:begins]) + "\n" if torn and begins else code
