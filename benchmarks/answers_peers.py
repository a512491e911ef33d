"""Math-Verify's own test pairs, judged by the rules here; every disagreement is listed.

    python benchmarks/answers_peers.py [--rule math-verify]

The source distribution of math-verify is fetched from the package index. Its tests are parsed,
never run: every parametrized case with a gold, a prediction and whether they should be equal is
taken. A prediction without a statement of its own is put into the sentence "The answer is ...".
Where they disagree, the kind says who is right (REASONS): most often math-verify takes a number
out of prose, rounds, or overlooks what it cannot read, which is what this rule must not do.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verifiers.rules import RuleOptions, make_rule
from verifiers.stated.clauses import NotStated
from verifiers.stated.find import stated
from verifiers.verdict import Verdict

PACKAGE = "math-verify==0.9.0"
REASONS = {
    "accepted here": "to be looked at: the suite says that they differ",
    "nothing is stated": "here: a number somewhere in prose is no answer",
    "is no answer as a whole": "here: something is left over, or it can be read in two ways",
    "rounded": "here: a rounded decimal is another number",
    "another answer": "open: other notation, or an equation's side that is no name",
}


@dataclass(frozen=True)
class Pair:
    file: str
    gold: str
    text: str
    equal: bool


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
    if verdict.kind == "no_answer":
        whole = "is no answer as a whole"
        return whole if whole in verdict.detail else "nothing is stated"
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
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.source or Path(scratch)
        if given.source is None:
            fetch(folder)
        found = list(pairs(folder))
    verdicts = asyncio.run(judged(given.rule, found))
    differing = [
        (kind_of(pair, verdict), pair, verdict)
        for pair, verdict in zip(found, verdicts, strict=True)
        if verdict.passed != pair.equal
    ]
    print(f"{given.rule} agrees on {len(found) - len(differing)} of {len(found)} pairs")
    for kind, count in Counter(kind for kind, _, _ in differing).most_common():
        print(f"\n{kind} ({count}); {REASONS[kind]}")
        for other, pair, verdict in differing:
            if other == kind:
                said = verdict.detail[:80]
                print(f"  {pair.file}: {pair.gold[:60]!r} / {pair.text[-60:]!r}: {said}")


if __name__ == "__main__":
    main()
