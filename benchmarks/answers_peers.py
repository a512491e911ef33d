"""Math-Verify's and NeMo-Skills' own test pairs, judged by the rules here; every disagreement
is listed.

    python benchmarks/answers_peers.py [--rule math-verify] [--nemo test_math_equal.py]

The source distribution of math-verify is fetched from the package index. Its tests are parsed,
never run: every parametrized case with a gold, a prediction and whether they should be equal is
taken. NeMo-Skills is no package of the index: `--nemo` names its tests/test_math_equal.py, whose
pairs are asked in both directions, each as the content of a box. A prediction
without a statement of its own is put into the sentence "The answer is ...". Where they disagree,
the kind says who is right (REASONS): most often math-verify takes a number out of prose, rounds, or
overlooks what it cannot read, which is what this rule must not do.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verifiers.rules import RuleOptions, make_rule
from verifiers.stated.clauses import NotStated
from verifiers.stated.find import stated
from verifiers.verdict import Verdict

PACKAGE = "math-verify==0.9.0"
NEMO = "NeMo-Skills"
REASONS = {
    "accepted here": "to be looked at: the suite says that they differ",
    "escaped twice": "neither is right: the suite's backslashes are doubled, so it is no LaTeX",
    "decimal comma": "here: a comma groups thousands or parts a list, in doubt it is no point",
    "an approximation": "here: what is about an integer is not that integer",
    "contradicts itself": "here: a chain of equations that are not all true states nothing",
    "nothing is stated": "here: a number somewhere in prose is no answer",
    "is no answer as a whole": "here: something is left over, or it can be read in two ways",
    "rounded": "here: a rounded decimal is another number",
    "the reference's left side": "the suite: what the reference names may be left out",
    "another answer": "the suite: other notation, refused here",
}
_CHAIN = re.compile(r"=[^=]*\d[^=]*=")
_TWICE = re.compile(r"\\\\[A-Za-z{(]")
_COMMA = re.compile(r"\d,\d{2}(?!\d)|\b0,\d|\d{4},\d|\d,\d{3}\b")


@dataclass(frozen=True)
class Pair:
    file: str
    gold: str
    text: str
    equal: bool
    suite: str = "Math-Verify"


def pairs(folder: Path) -> Iterator[Pair]:
    """Every parametrized case of the suite."""
    for path in sorted(folder.rglob("tests/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize"):
                continue
            try:
                names, rows = (ast.literal_eval(argument) for argument in node.args[:2])
            except ValueError:
                continue
            names = [one.strip() for one in names.split(",")] if isinstance(names, str) else names
            for row in rows if len(names) > 2 else ():
                case = dict(zip(names, row, strict=False))
                text, expected = case.get("pred", case.get("prediction")), case.get("expected")
                texts = isinstance(case.get("gold"), str) and isinstance(text, str)
                if texts and expected is not None:
                    yield Pair(path.name, case["gold"], text, bool(expected))


def nemo_pairs(path: Path) -> Iterator[Pair]:
    """Every pair of NeMo-Skills' test of equality, in both directions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        tree = ast.parse(path.read_text("utf-8"))
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        lists = [one for one in ast.walk(function) if isinstance(one, ast.List)]
        rows = lists[0].elts if lists else []
        for row in rows:
            one, other = (_constant(part) for part in row.elts)  # type: ignore[attr-defined]
            alike = "incorrect" not in function.name
            for gold, text in ((one, other), (other, one)):
                # A backslash at the end would take the box's brace with it.
                sentence = f"The answer is {text}"
                boxed = f"$\\boxed{{{text}}}$"
                yield Pair(path.name, gold, sentence if text.endswith("\\") else boxed, alike, NEMO)


def _constant(node: ast.expr) -> str:
    """A constant of the suite as an answer's text; `5 / 2` is worked out."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return str(float(_constant(node.left)) / float(_constant(node.right)))
    value = ast.literal_eval(node)
    return "" if value is None else str(value)


def as_output(text: str) -> str:
    """A prediction as an output that states it."""
    if "boxed" in text or "nswer" in text:
        return text
    return f"The answer is {text}" if "$" in text or "\\" in text else f"The answer is ${text}$"


def as_reference(gold: str) -> str:
    """A gold without the wrapping that the suite's parser wants."""
    try:
        return stated(gold) if "boxed" in gold else gold.strip().strip("$")
    except NotStated:
        return gold


def kind_of(pair: Pair, verdict: Verdict) -> str:
    """Of which kind a disagreement is: a key of REASONS."""
    if verdict.passed:
        return "accepted here"
    if _TWICE.search(pair.gold + pair.text.replace("\\\\ ", "")):
        return "escaped twice"
    if "approx" in pair.text:
        return "an approximation"
    if len(pair.text) < 60 and _CHAIN.search(pair.text):
        return "contradicts itself"
    if verdict.kind == "no_answer":
        whole = "is no answer as a whole"
        return whole if whole in verdict.detail else "nothing is stated"
    if _COMMA.search(pair.gold + pair.text) and len(pair.text) < 20:
        return "decimal comma"
    if "=" in pair.gold and "=" not in pair.text:
        return "the reference's left side"
    decimal = "." in pair.text and any(map(str.isdigit, pair.text))
    return "rounded" if decimal and "frac" in pair.gold else "another answer"


def fetch(folder: Path) -> None:
    """The suite's source, unpacked into a folder."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), PACKAGE], check=True)
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")


async def judged(rule: str, found: list[Pair]) -> list[Verdict]:
    verifier = make_rule(rule, RuleOptions())
    try:
        return await asyncio.gather(
            *(verifier.verify(as_output(p.text), {"answer": as_reference(p.gold)}) for p in found)
        )
    finally:
        await verifier.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", default="math-verify")
    parser.add_argument("--source", type=Path, help="the unpacked source, in place of the index")
    parser.add_argument("--nemo", type=Path, help="NeMo-Skills' tests/test_math_equal.py")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.source or Path(scratch)
        if given.source is None:
            fetch(folder)
        found = list(pairs(folder))
    if given.nemo is not None:
        found += nemo_pairs(given.nemo)
    verdicts = asyncio.run(judged(given.rule, found))
    differing = [
        (kind_of(pair, verdict), pair, verdict)
        for pair, verdict in zip(found, verdicts, strict=True)
        if verdict.passed != pair.equal
    ]
    for suite in dict.fromkeys(pair.suite for pair in found):
        of = [pair for pair in found if pair.suite == suite]
        off = sum(pair.suite == suite for _, pair, _ in differing)
        print(f"{suite}: {given.rule} agrees on {len(of) - off} of {len(of)} pairs")
    print(f"in all: {len(found) - len(differing)} of {len(found)}")
    for kind, count in Counter(kind for kind, _, _ in differing).most_common():
        print(f"\n{kind} ({count}); {REASONS[kind]}")
        for other, pair, verdict in differing:
            if other == kind:
                said = verdict.detail[:80]
                print(f"  {pair.file}: {pair.gold[:60]!r} / {pair.text[-60:]!r}: {said}")


if __name__ == "__main__":
    main()
