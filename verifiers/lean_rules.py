"""What of a model's output is a Lean proof, and what a proof may not hold. Text work alone.

The statement is always the reference's own, word for word; from an output only the proof is
taken, and theorems or lemmas that stand before it. Elaborating Lean can run any program, redefine
any notation and switch checks off, so everything that can is refused by its word before Lean sees
it, comments aside. This is the first of three guards: the cell holds what gets past
it, and the axioms of an accepted proof are asked for in a fresh process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT = re.compile(r"--[^\n]*|/-(?:[^-/]|-(?!/)|/(?!-))*-/", re.DOTALL)
_WORD = re.compile(r"#?[A-Za-z_][\w.!?']*")
_CUT = re.compile(r"```|Write a lean4")
_NAME = re.compile(r"\b(?:theorem|lemma)\s+([^\s(\[{:]+)")
_COMMAND = re.compile(r"(?:private\s+|protected\s+)?(?:theorem|lemma)\b")

UNPROVED = frozenset({"sorry", "admit", "axiom", "sorryAx", "constant", "opaque"})
RUNNING = frozenset(
    {
        *("run_cmd", "run_tac", "run_elab", "run_meta", "by_elab", "elab", "elab_rules", "eval"),
        *("initialize", "builtin_initialize", "unsafe", "implemented_by", "extern", "csimp"),
        *("include_str", "unsafeCast", "unsafeIO", "unsafeBaseIO", "dbg_trace", "IO", "simproc"),
    }
)
CHANGING = frozenset(
    {
        *("macro", "macro_rules", "syntax", "notation", "notation3", "declare_syntax_cat"),
        *("infix", "infixl", "infixr", "prefix", "postfix", "attribute", "instance", "import"),
        *("namespace", "section", "variable", "universe", "export", "deriving", "mutual"),
        *("local", "scoped", "def", "abbrev", "structure", "class", "inductive", "Lean"),
    }
)
NATIVE = frozenset({"native_decide", "native", "ofReduceBool", "ofReduceNat", "trustCompiler"})
HARMLESS_OPTIONS = frozenset({"maxHeartbeats", "maxRecDepth", "linter.all", "linter.unusedTactic"})
STANDARD_AXIOMS = frozenset({"propext", "Classical.choice", "Quot.sound"})
NATIVE_AXIOMS = frozenset({"Lean.ofReduceBool", "Lean.ofReduceNat", "Lean.trustCompiler"})


class Refused(Exception):
    """An output whose proof is not let near Lean; says why."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What goes to Lean after the header: one command, the name it proves."""

    name: str
    command: str


def bare(text: str) -> str:
    """The text with its comments made blank; nested ones stay, to be refused.

    A text with a quotation mark stays as it is: what looks like a comment may then be a string,
    and hide what follows.
    """
    return text if '"' in text else _COMMENT.sub(" ", text)


def check_words(text: str, *, native: bool = False) -> None:
    """Refused if the text holds a word that a proof may not use."""
    text = bare(text)
    if "/-" in text or "-/" in text:
        raise Refused("the proof has a nested or open comment")
    words = _WORD.findall(text)
    for word in words:
        parts = {word, *word.split(".")}
        if word.startswith("#"):
            raise Refused(f"the proof runs the command {word}")
        for kind, why in ((UNPROVED, "leaves something unproved"), (RUNNING, "runs programs")):
            if parts & kind:
                raise Refused(f"the proof {why}: {word}")
        if parts & CHANGING:
            raise Refused(f"the proof changes what it is to prove: {word}")
        if parts & NATIVE and not native:
            raise Refused(f"the proof trusts compiled code: {word}")
    for option in re.findall(r"\bset_option\s+(\S+)", text):
        if option not in HARMLESS_OPTIONS:
            raise Refused(f"the proof sets the option {option}")


def theorem_name(statement: str) -> str:
    """The name in a statement `theorem NAME ...`; ValueError if there is none."""
    found = _NAME.search(statement)
    if found is None:
        raise ValueError(f"the statement has no theorem: {statement[:80]!r}")
    return found.group(1)


def continued(text: str, statement: str, *, native: bool = False) -> Proof | None:
    """The proof of an output that continues `statement` and then `by (`; None if it is empty."""
    body = _CUT.split(text, maxsplit=1)[0].rstrip()
    while body.endswith(")") and _depth(body) < 0:
        body = body[:-1].rstrip()
    if not body.strip():
        return None
    if _depth(body) < 0:
        raise Refused("the proof closes more brackets than it opens")
    check_words(body, native=native)
    return Proof(theorem_name(statement), f"{statement.rstrip()}\nby (\n{body}\n)")


def whole(text: str, statement: str, header: str, *, native: bool = False) -> Proof | None:
    """The proof of an output that holds the theorem with its proof; None if there is none."""
    name = theorem_name(statement)
    words = statement.split()
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    code = next((block for block in _blocks(text) if name in block), None)
    if code is None:
        return None
    found = pattern.search(code)
    if found is None:
        raise Refused("the statement of the theorem was edited")
    before, after = code[: found.start()], code[found.end() :]
    if not after.strip():
        return None
    if not words[-1].endswith(":="):
        raise ValueError("a statement ends in :=")
    prelude = _prelude(before, statement, header)
    check_words(f"{prelude}\n{after}", native=native)
    return Proof(name, f"{prelude}\n{statement.rstrip()} {after.strip()}".strip())


def tactics(text: str) -> list[str]:
    """The paper's steps: lines, split at `;` that is not part of `<;>`, without the dot `·`."""
    steps = [
        step.replace("·", "").strip()
        for line in text.split("\n")
        for step in re.split(r"(?<!<);(?!>)", line)
    ]
    return [step for step in steps if step]


def _depth(text: str) -> int:
    text = bare(text)
    return text.count("(") - text.count(")")


def _blocks(text: str) -> list[str]:
    """Fenced blocks, the last first, or the whole text where nothing is fenced."""
    parts = text.split("```")
    blocks = [re.sub(r"\A(?:lean4|lean|tactics)?[ \t]*\n?", "", one) for one in parts[1::2]]
    return blocks[::-1] or [text]


def _prelude(before: str, statement: str, header: str) -> str:
    """The theorems and lemmas before the statement, without what the header says anyway."""
    known = {line.strip() for line in header.splitlines()}
    lines = [line for line in before.splitlines() if line.strip() not in known]
    lines = [line for line in lines if not line.startswith(("import ", "open "))]
    for line in bare("\n".join(lines)).splitlines():
        starts = line[:1]
        if starts.strip() and starts not in ")]}⟩|·" and not _COMMAND.match(line):
            raise Refused(f"before the theorem stands more than lemmas: {line[:60]}")
    prelude = "\n".join(lines).strip()
    used = set(re.findall(r"[\w']+", f"{statement}\n{header}"))
    for name in _NAME.findall(prelude):
        if name.rpartition(".")[2] in used:
            raise Refused(f"a lemma takes the name {name}, which the statement uses")
    return prelude
