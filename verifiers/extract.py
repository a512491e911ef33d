"""Finds the program in a model's answer. Text work alone: nothing is parsed or run here.

1. Thoughts (`<think>`, also where only the end is there), what follows an end-of-text token, and
   terminal colours are left out first.
2. Blocks are what stands between fences (``` or ~~~ of three or more, indented as they like, with
   any info string, also at the end of a line of prose), closed by a fence at least as long or by
   the end of the text; fences inside a Python string of several lines do not count. Blocks labelled
   with the wanted language come before unlabelled ones, these before labels that name no language;
   blocks of other languages are ignored.
3. Without a block, what is left of the text once its prose is left out (extract_lines.py).
4. Of several, the last that defines `entry` if an entry is known; else the last that reads and
   writes as a whole program does, else the last that writes, else the last. A block that the end
   of the text cut off comes after those that are closed: answers reason first and conclude last.
5. Other blocks that define names which the chosen one uses and lacks go before it.
"""

from __future__ import annotations

import builtins
import html
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

from verifiers.chat_tokens import answering
from verifiers.extract_lines import Lexer, chunks_of_code, lines_of
from verifiers.extract_repair import at_the_margin, typed, without_torn_end

_LABELS = {
    "python": re.compile(r"\W*(?:python|pypy|py)[\d. ]*(?:$|[\s:{},;=\"'(\[/])", re.IGNORECASE),
    "cpp": re.compile(r"\W*(?:cpp|c\+\+|cc|cxx|c)[\d ]*(?:$|[\s:{},;=\"'(\[/])", re.IGNORECASE),
}
_OTHER_LANGUAGES = frozenset({
    "ada", "bash", "bat", "c", "c#", "c++", "clojure", "cmd", "console", "cpp", "cs", "csharp",
    "css", "csv", "dart", "diff", "dockerfile", "elixir", "erlang", "f#", "fish", "fortran",
    "fsharp", "go", "golang", "groovy", "haskell", "hs", "html", "http", "ini", "java",
    "javascript", "js", "json", "jsonl", "jsx", "julia", "kotlin", "latex", "lean", "lean4",
    "lisp", "log", "lua", "make", "makefile", "markdown", "matlab", "md", "mermaid", "nim", "objc",
    "ocaml", "output", "pascal", "perl", "php", "powershell", "pycon", "python-repl", "r",
    "racket", "regex", "rs", "rst", "ruby", "rust", "scala", "scheme", "sh", "shell", "sql",
    "swift", "tex", "toml", "ts", "tsx", "typescript", "vb", "xml", "yaml", "yml", "zig", "zsh",
})  # fmt: skip
_TYPED = re.compile(r"^>>> (?:async def|def|class|import|from|@|\w+ =)", re.MULTILINE)
_TYPED_IN_A_NOTEBOOK = re.compile(r"^In \[\d+\]: ", re.MULTILINE)
_WRITTEN = re.compile(r"^(?:async def|def|class)\b", re.MULTILINE)
_MARKDOWN = re.compile(r"markdown|md", re.IGNORECASE)
_SESSION = re.compile(r"pycon|python-repl|python-console", re.IGNORECASE)
_THOUGHTS = r"(?:think|thinking|thought|thoughts|reasoning)"
_THOUGHT = re.compile(rf"^.*</{_THOUGHTS}>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(rf"<{_THOUGHTS}>.*", re.DOTALL | re.IGNORECASE)
_END = re.compile(
    r"<[|｜](?:end(?!_header)|eot|im_end|eom|return|file_sep|repo_name|filename|fim|begin)[^\n|｜>]*[|｜]>|<(?:eos|end_of_turn)>"
    r"|</s>[ \t]*$|^\s*\[DONE\]\s*$",
    re.MULTILINE | re.IGNORECASE,
)
_TURN = re.compile(r"^(?:\#+ ?)?(?:human|user|instruction):(?=\s)", re.MULTILINE | re.IGNORECASE)
_HTML = re.compile(r"<pre\b[^<>]*>\s*(?:<code\b[^<>]*>)?\n?(.*?)(?:</code>\s*)?</pre>", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FENCE = re.compile(r"^([ \t>]*)(`{3,}|~{3,})[ \t]*([^\n`]*?)[ \t]*$")
_LATE_FENCE = re.compile(r"^[^\n`]*[^\s`>][^\n`]*?(`{3,})[ \t]*([\w+#.-]*)[ \t]*$")
_ONE_LINE = re.compile(r"`{3,}[ \t]*([^`\n]+?)[ \t]*`{3,}")
_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\(0|\bcin\b|\bscanf\b|\bgetline\b|\bgetchar\b")
_WRITES = re.compile(r"\bprint\s*\(|\bstdout\b|\bcout\b|\bprintf\b|\bputs\b|\bputchar\b|\bwrite\(")
_NAMES = re.compile(r"[A-Za-z_]\w*")
_DEFINED = re.compile(
    r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)|^(\w+)[ \t]*(?::[^=\n]+)?=(?!=)"
    r"|^import[ \t]+([^\n#]+)|^from[ \t]+\S+[ \t]+import[ \t]+([^\n#]+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class FencedBlock:
    """What stood between two fences; `label` is the info string, `closed` false where cut off."""

    label: str
    body: str
    closed: bool = True


def answer_only(text: str) -> str:
    """The text without thoughts, terminal colours, and whatever follows its end."""
    text = answering(_COLOUR.sub("", text.removeprefix("\ufeff")))
    text = _OPEN_THOUGHT.sub("", _THOUGHT.sub("", text))
    end = _END.search(text)
    return _first_turn(text[: end.start()] if end else text)


def _first_turn(text: str) -> str:
    """Up to where, after a block, the model goes on with another turn of the conversation."""
    for turn in _TURN.finditer(text):
        before = text[: turn.start()].count("```")
        if before and before % 2 == 0:
            return text[: turn.start()]
    return text


def fenced_blocks(text: str) -> list[FencedBlock]:
    """Every fenced block, in order."""
    lines = lines_of(text)
    blocks: list[FencedBlock] = []
    at = 0
    while at < len(lines):
        found = _FENCE.match(lines[at])
        late = None if found else _LATE_FENCE.match(lines[at])
        at += 1
        if not (found or late):
            continue
        indent, fence, label = found.groups() if found else ("", *late.groups())  # type: ignore[union-attr]
        end, closed = _end_of_block(lines, at, fence)
        body = [_without_indent(line, len(indent)) for line in lines[at:end]]
        if found or closed:
            blocks.append(FencedBlock(label.strip(), "".join(f"{line}\n" for line in body), closed))
            at = end + closed
    return blocks


def _end_of_block(lines: Sequence[str], start: int, fence: str) -> tuple[int, bool]:
    """The line that ends a block, and whether that is a closing fence.

    A fence with a label opens another block, so it ends this one without closing it.
    """
    lexer = Lexer()
    first: tuple[int, bool] | None = None
    for number in range(start, len(lines)):
        found = _FENCE.match(lines[number])
        if found and found[2][0] == fence[0] and len(found[2]) >= len(fence):
            end = number, not found[3]
            if not lexer.in_long_string:
                return end if end[1] or first is None else first
            first = first or end
        lexer.feed(lines[number])
    return first or (len(lines), False)


def _without_indent(line: str, width: int) -> str:
    start = 0
    while start < min(width, len(line)) and line[start] in " \t>":
        start += 1
    return line[start:]


def extract_code(text: str, language: str = "python", entry: str | None = None) -> str:
    """The program in `text`, by the rules above; "" where there is none."""
    text = answer_only(text)
    blocks = [block for block in fenced_blocks(text) if block.body.strip()]
    if not blocks:
        blocks = [FencedBlock("", f"{body}\n") for body in _ONE_LINE.findall(text)]
    if not blocks:
        blocks = [FencedBlock("", f"{html.unescape(body)}\n") for body in _HTML.findall(text)]
    if not blocks and language == "python" and _TYPED_IN_A_NOTEBOOK.match(text):
        blocks = [FencedBlock("", text)]
    if not blocks and language == "python" and _TYPED.search(text) and not _WRITTEN.search(text):
        blocks = [FencedBlock("", text[text.index(">>> ") :])]
    if not blocks:
        blocks = [FencedBlock("", chunk) for chunk in chunks_of_code(text, language)]
        if len(blocks) == 1:
            return blocks[0].body
    wanted = _of_language(blocks, language)
    if not wanted:
        inner = [block.body for block in blocks if _MARKDOWN.fullmatch(block.label)]
        return extract_code(inner[-1], language, entry) if inner else ""
    if language == "python":
        wanted = [_repaired(block, entry) for block in wanted]
    chosen = _choose(wanted, entry)
    whole = entry is not None or _READS.search(chosen.body) or _WRITES.search(chosen.body)
    return _with_helpers(chosen, wanted) if whole and language == "python" else chosen.body


def _of_language(blocks: Sequence[FencedBlock], language: str) -> list[FencedBlock]:
    pattern = _LABELS[language]
    named = [block for block in blocks if block.label and pattern.match(block.label)]
    if language == "python" and not named:
        named = [block for block in blocks if _SESSION.fullmatch(block.label)]
    plain = [block for block in blocks if not block.label]
    others = [block for block in blocks if block.label and not _names_a_language(block.label)]
    return named or plain or others


def _repaired(block: FencedBlock, entry: str | None) -> FencedBlock:
    body = at_the_margin(typed(block.body), entry)
    whole = body if block.closed else without_torn_end(body)
    return FencedBlock(block.label, whole if whole.strip() else body, block.closed)


def _names_a_language(label: str) -> bool:
    first = re.split(r"[\s:{},;=\"'(]", label.strip(" \t{.}").lower(), maxsplit=1)[0]
    return first in _OTHER_LANGUAGES


def _choose(blocks: Sequence[FencedBlock], entry: str | None) -> FencedBlock:
    closed = [block for block in blocks if block.closed]
    if entry is not None:
        name = entry.split(".")[0].removesuffix("()")
        defining = re.compile(
            rf"^\s*(?:async\s+def|def|class)\s+{re.escape(name)}\b"
            rf"|^{re.escape(name)}\s*(?::[^=\n]+)?=(?!=)",
            re.MULTILINE,
        )
        imported = re.compile(rf"^(?:from|import)\b.*\b{re.escape(name)}\s*$", re.MULTILINE)
        for named in (defining, imported):
            for group in (closed, blocks):
                holding = [block for block in group if named.search(block.body)]
                if holding:
                    return holding[-1]
        return (closed or blocks)[-1]
    for group in (closed, blocks):
        writing = [block for block in group if _WRITES.search(block.body)]
        whole = [block for block in writing if _READS.search(block.body)]
        if whole or writing:
            return (whole or writing)[-1]
    return (closed or blocks)[-1]


def _with_helpers(chosen: FencedBlock, blocks: Sequence[FencedBlock]) -> str:
    """The chosen block after those others that define what it uses and lacks."""
    others = {n: _defined(block.body) for n, block in enumerate(blocks) if block is not chosen}
    place = next(n for n, block in enumerate(blocks) if block is chosen)
    taken: set[int] = set()
    code = chosen.body
    while True:
        lacking = _used(code) - _defined(code)
        # The nearest before it comes first, then the nearest after it.
        order = sorted(others.keys() - taken, key=lambda n: (n > place, abs(n - place)))
        reads = _READS.search(code) is not None
        helping = (n for n in order if others[n] & lacking and _helps(blocks[n], reads))
        more = next(helping, None)
        if more is None:
            return code
        taken.add(more)
        code = "".join(blocks[n].body for n in sorted(taken)) + chosen.body


def _helps(block: FencedBlock, reads: bool) -> bool:
    """Whether a block can stand before one that `reads` the input or not: only one of them may."""
    return block.closed and not (reads and _READS.search(block.body))


def _used(code: str) -> set[str]:
    plain = Lexer.without_strings(code)
    names = {
        found[0]
        for found in _NAMES.finditer(plain)
        if plain[found.start() - 1 : found.start()] != "."
    }
    return names - set(keyword.kwlist) - set(dir(builtins))


def _defined(code: str) -> set[str]:
    names: set[str] = set()
    for function, assigned, imported, imported_from in _DEFINED.findall(code):
        names |= {function, assigned}
        for part in f"{imported},{imported_from}".split(","):
            names.add(part.strip(" ()").split(" as ")[-1].strip().split(".")[0])
    return names - {""}
