"""Tells code from prose, line by line, in an answer without fences. Nothing is parsed.

A line is prose if it cannot be Python: two words beside each other of which neither is a keyword,
characters that no program has outside its strings, a word and a colon alone, a mark-up tag. Only
lines that begin a statement at the margin are looked at: what is indented, or inside brackets or a
string of several lines, belongs to what is above it.
"""

from __future__ import annotations

import keyword
import re

_TWO_WORDS = re.compile(r"(?<![\w.])([^\W\d]\w*)[ \t]+([^\W\d]\w*)")
_SOFT = {"match", "case", "type", "_"}
_KEYWORDS = frozenset(keyword.kwlist) | _SOFT
_NEVER_CODE = re.compile(
    r"[?`$’“”…]|![^=]|!$|^\s*(?:</?[A-Za-z][^<>]*>\s*)+$|^\s*\\(?:begin|end)\b|[、-〿！-～]|^\[/?[A-Z]{3,}\]\s*$"
)
_ALONE = re.compile(r"^[A-Z]\w*(?:[ \t]\w+)*:[ \t]*$")
_BULLET = re.compile(r"^(?:[-*+•]|\d+[.)])[ \t]+\D")
_SENTENCE = re.compile(r"^[A-Z][^\n=(]*[a-z)]\.[ \t]*$")


class Lexer:
    """Follows Python's strings and brackets from line to line."""

    def __init__(self) -> None:
        self.long_quote = ""
        self.depth = 0

    @property
    def in_long_string(self) -> bool:
        """Whether the next line begins inside a string of several lines."""
        return bool(self.long_quote)

    def feed(self, line: str) -> str:
        """Take a line; what of it is neither string nor comment."""
        kept: list[str] = []
        at = 0
        while at < len(line):
            if self.long_quote:
                end = line.find(self.long_quote, at)
                if end < 0:
                    break
                at, self.long_quote = end + 3, ""
                continue
            character = line[at]
            if character == "#":
                break
            if character in "\"'":
                if line.startswith(character * 3, at):
                    self.long_quote = character * 3
                    at += 3
                    continue
                at = _end_of_string(line, at)
                kept.append('""')
                continue
            if character in "([{":
                self.depth += 1
            elif character in ")]}":
                self.depth = max(0, self.depth - 1)
            kept.append(character)
            at += 1
        return "".join(kept)

    @staticmethod
    def without_strings(code: str) -> str:
        """A program's text without its strings and comments; formatted strings keep their names."""
        lexer = Lexer()
        formatted = (
            " ".join(re.findall(r"\{([^{}\n]*)\}", code)) if re.search(r"\bf[\"']", code) else ""
        )
        return "\n".join(map(lexer.feed, code.splitlines())) + "\n" + formatted


def _end_of_string(line: str, start: int) -> int:
    at = start + 1
    while at < len(line) and line[at] != line[start]:
        at += 2 if line[at] == "\\" else 1
    return at + 1


def is_prose(line: str, plain: str) -> bool:
    """Whether a line at the margin cannot be code; `plain` is it without strings and comments."""
    if not line.strip():
        return False
    if line.lstrip().startswith("#"):
        return line.startswith("##")  # a heading; else a comment, which harms nothing
    if _NEVER_CODE.search(plain) or _BULLET.match(line) or _SENTENCE.match(line):
        return True
    if _ALONE.match(line):
        return True
    return any(
        first not in _KEYWORDS and second not in _KEYWORDS and first != "print"
        for first, second in _TWO_WORDS.findall(plain)
    )


def lines_of(text: str) -> list[str]:
    """The lines of a text by line feeds alone: a program's strings may hold other separators."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def chunks_of_code(text: str, language: str = "python") -> list[str]:
    """The stretches of code in a text without fences, with the prose between them left out."""
    if language != "python":
        return _from_include_to_brace(text)
    chunks: list[list[str]] = [[]]
    lexer = Lexer()
    for line in lines_of(text):
        inside = lexer.in_long_string or lexer.depth > 0
        before = lexer.long_quote, lexer.depth
        plain = lexer.feed(line)
        is_fence = line.strip().startswith(("```", "~~~"))
        at_margin = not inside and line[:1] not in (" ", "\t")
        if is_fence or (at_margin and is_prose(line, plain)):
            lexer.long_quote, lexer.depth = before
            chunks.append([])
        else:
            chunks[-1].append(line)
    if len(chunks) == 1:
        return [text] if text.strip() else []
    found = ["".join(f"{line}\n" for line in lines) for lines in chunks]
    return [chunk for chunk in found if chunk.strip()]


def _from_include_to_brace(text: str) -> list[str]:
    start = re.search(r"^[ \t]*#[ \t]*(?:include|define|pragma)\b", text, re.MULTILINE)
    if start is None:
        return [text] if text.strip() else []
    end = text.rfind("}")
    return [text[start.start() : end + 1 if end > start.start() else len(text)] + "\n"]
