"""A mutation tester: changes one thing in a module at a time and asks whether a test notices.

    python -m benchmarks.analysis_mutants [MODULE ...] [--first I] [--last J] [--limit N] [--seed N]

Mutants are made on the syntax tree: comparisons, arithmetic, boolean operators, constants,
`not`, the branch of a conditional expression, min/max. Each stands in for its module, in a copy
of the sources, while the tests that speak of the module run. Prints every survivor with its line,
and exits with 1 if there is one that analysis_mutants.toml does not explain.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import resource
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy
import pytest
import pytest_asyncio.plugin
import scipy.optimize
import scipy.special

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "orchestrator" / "analysis"

PATIENCE, LEAST_S = 6, 15
"""A mutant is noticed that takes so many times longer than the module as it is, and at least so
long, in seconds of processor time."""

PRELOADED = (numpy, scipy.optimize, scipy.special, hypothesis, pytest_asyncio.plugin)

OPTIONS = (
    "-x", "-m", "not slow", "-p", "no:cacheprovider",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
"""Of each run of tests; plugins were imported before, hence the warning."""

TESTS = {
    "unbiased": ["unbiased"], "coverage": ["bounds", "unbiased", "intervals"],
    "intervals": ["bounds", "unbiased", "cost", "intervals"], "mixture": ["bounds", "intervals"],
    "survival": ["survival"], "scaling": ["scaling"], "forecast": ["forecast"],
    "beta": ["forecast", "backtest"], "value": ["backtest"], "selection": ["selection"],
    "cost": ["cost"], "flops": ["flops"], "compare": ["compare"], "pairing": ["compare"],
    "band": ["band"],
}  # fmt: skip
"""The test files that speak of each module: test_analysis_NAME.py."""

COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip

EXPLAINED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
"""Survivors that change no result beyond its error: where, as what, and why."""


@dataclass(frozen=True)
class Mutant:
    """One change: of which function, the statement's head as it was and as it is now."""

    place: str
    line: int
    before: str
    after: str
    tree: ast.Module

    @property
    def reason(self) -> str | None:
        found: str | None = EXPLAINED.get(self.place, {}).get(self.after)
        return found


def mutants(name: str, tree: ast.Module) -> Iterator[Mutant]:
    """Every mutant of a module."""
    nodes = list(ast.walk(tree))
    spared = {id(part) for node in nodes for part in _spared(node)}
    for index, node in enumerate(nodes):
        for change in () if id(node) in spared else _changes(node):
            whole = copy.deepcopy(tree)
            again = list(ast.walk(whole))[index]
            function, statement = _place(whole, again)
            before = _head(statement)
            change(again)
            after = _head(statement)
            if before != after:
                line = getattr(node, "lineno", 0)
                place = ".".join([name, *function])
                yield Mutant(place, line, before, after, ast.fix_missing_locations(whole))


def _place(tree: ast.Module, wanted: ast.AST) -> tuple[list[str], ast.stmt]:
    """The names around a node, and the innermost statement that it is part of."""
    around = {id(part): whole for whole in ast.walk(tree) for part in ast.iter_child_nodes(whole)}
    names: list[str] = []
    statement: ast.stmt | None = None
    node: ast.AST | None = wanted
    while node is not None:
        if statement is None and isinstance(node, ast.stmt):
            statement = node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.insert(0, node.name)
        node = around.get(id(node))
    assert statement is not None
    return names, statement


def _head(statement: ast.stmt) -> str:
    """A statement's text; of one that holds others, the line that opens it."""
    lines = [line for line in ast.unparse(statement).splitlines() if not line.startswith("@")]
    return " ".join(lines) if not hasattr(statement, "body") else lines[0]


def _spared(node: ast.AST) -> Iterator[ast.AST]:
    """Parts that guard against mistakes of our own, and change no result."""
    for decorator in getattr(node, "decorator_list", []):
        yield from ast.walk(decorator)
    if isinstance(node, ast.keyword) and node.arg == "strict":
        yield node.value
    for name in ("annotation", "returns"):
        part = getattr(node, name, None)
        if part is not None:
            yield from ast.walk(part)


def _changes(node: ast.AST) -> Iterator[Callable[[Any], object]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        yield lambda one: one.ops.__setitem__(0, COMPARE[type(one.ops[0])]())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield lambda one: setattr(one, "op", ARITHMETIC[type(one.op)]())
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield lambda one: setattr(one, "op", other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda one: setattr(one, "operand", ast.UnaryOp(ast.Not(), one.operand))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda one: setattr(one, "op", ast.UAdd())
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield lambda one: setattr(one, "value", one.value + 1)
        if node.value not in (0, 1):
            yield lambda one: setattr(one, "value", one.value * 2)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda one: setattr(one, "value", not one.value)
    elif isinstance(node, ast.IfExp):
        yield lambda one: _swap(one)
    elif isinstance(node, ast.Call) and _called(node) in ("min", "max", "minimum", "maximum"):
        yield lambda one: _exchange(one)


def _swap(node: ast.IfExp) -> None:
    node.body, node.orelse = node.orelse, node.body


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _exchange(node: ast.Call) -> None:
    name = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}
    if isinstance(node.func, ast.Name):
        node.func.id = name[node.func.id]
    elif isinstance(node.func, ast.Attribute):
        node.func.attr = name[node.func.attr]


def survives(
    module: Path, tree: ast.Module, tests: list[str], workplace: Path, longest_s: int
) -> bool:
    """Whether every test passes with the module replaced by `tree`.

    A fork of this process runs them: what is heavy to import was imported once, and of orch's
    own packages nothing was.
    """
    target = workplace / "orchestrator" / "analysis" / module.name
    target.write_text(ast.unparse(tree))
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (longest_s, longest_s))
            os.chdir(workplace)
            sys.path.insert(0, str(workplace))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            code = int(pytest.main([*OPTIONS, *tests]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    shutil.copy(module, target)
    return status == 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analysis_mutants")
    parser.add_argument("modules", nargs="*", help="names such as unbiased (default: all)")
    parser.add_argument("--limit", type=int, default=0, help="at most so many of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="leave out mutants before this one")
    parser.add_argument("--last", type=int, default=None, help="and from this one on")
    given = parser.parse_args()
    names = given.modules or sorted(name for name in TESTS if (PACKAGE / f"{name}.py").is_file())
    unexplained = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        workplace = Path(folder)
        for part in ("orchestrator", "budgets", "providers", "verifiers", "tests", "benchmarks"):
            shutil.copytree(ROOT / part, workplace / part, ignore=shutil.ignore_patterns("*.pyc"))
        shutil.copy(ROOT / "pyproject.toml", workplace)
        for name in names:
            tests = [f"tests/analysis/test_analysis_{one}.py" for one in TESTS[name]]
            module = PACKAGE / f"{name}.py"
            whole = ast.parse(module.read_text())
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if not survives(module, whole, tests, workplace, longest_s=600):
                parser.error(f"the tests of {name} fail before anything is changed")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            longest_s = max(LEAST_S, int(PATIENCE * (after.ru_utime - before.ru_utime)))
            found = list(mutants(name, whole))[given.first : given.last]
            if given.limit:
                random.Random(given.seed).shuffle(found)
                found = found[: given.limit]
            alive = 0
            for one in found:
                if survives(module, one.tree, tests, workplace, longest_s):
                    alive += 1
                    unexplained += one.reason is None
                    print(f"{one.place}:{one.line}: {one.before}   ->   {one.after}")
                    print(f"    {one.reason or 'SURVIVED'}", flush=True)
                elif one.reason:
                    print(f"{one.place}:{one.line}: {one.after}\n    explained, but noticed now")
            print(f"{name}: {len(found)} mutants, {alive} alive", flush=True)
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
