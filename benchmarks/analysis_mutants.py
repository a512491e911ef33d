"""A mutation tester: changes one thing in a module at a time and asks whether a test notices.

    python -m benchmarks.analysis_mutants [MODULE ...] [--first I] [--last J] [--limit N] [--seed N]

Mutants are made on the syntax tree: comparisons, arithmetic, boolean operators, constants,
`not`, the branch of a conditional expression, min/max. Each stands in for its module, in a copy
of the sources, while the tests that speak of the module run. Prints every survivor with its line,
and exits with 1 if there is one that is not explained in EXPLAINED.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
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

LONGEST_S = 180
"""A mutant that runs longer is noticed."""

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
    "backtest": ["backtest"], "band": ["band"],
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

GRID, EFFORT, GUARD = "how fine a grid is", "a bound on effort", "a guard against rounding"
CHOSEN = "a threshold of trust, chosen once on other problem sets than those it is tested on"
LABEL, TIE, LEVEL = "another label", "never equal but by rounding", "held by the slow tests"

EXPLAINED: dict[str, str] = {
    "unbiased:few.sum() + _TERMS -> few.sum() - _TERMS": EFFORT,
    "unbiased:np.minimum(ends + 1, len(n)) -> np.maximum(ends + 1, len(n))": EFFORT,
    "unbiased:ends + 1 -> ends - 1": EFFORT,
    "unbiased:1000000 -> 1000001": EFFORT,
    "unbiased:1 -> 2": EFFORT,
    "unbiased:False -> True": "whether to copy what already has the right type",
    "unbiased:0 -> 1": "an empty array, of which nothing is taken",
    "coverage:3.0 -> 4.0": CHOSEN,
    "coverage:3.0 -> 6.0": CHOSEN,
    "coverage:0.25 -> 0.5": CHOSEN,
    "coverage:1.0 -> 2.0": GUARD,
    "coverage:mean < 0.01 -> mean <= 0.01": TIE,
    "coverage:mean > 0.99 -> mean >= 0.99": TIE,
    "coverage:events < FEWEST_EVENTS -> events <= FEWEST_EVENTS": TIE,
    "coverage:seen < LEAST_SEEN -> seen <= LEAST_SEEN": TIE,
    "intervals:64 -> 65": EFFORT,
    "intervals:64 -> 128": EFFORT,
    "intervals:len(ks) <= _FEW -> len(ks) < _FEW": EFFORT,
    "intervals:len(knots) > _FEW -> len(knots) >= _FEW": EFFORT,
    "intervals:z < 0 -> z <= 0": "the quantile of a level is never zero",
    "survival:1 -> 2": LABEL,
    "survival:2 -> 3": "arrays longer than what is read of them",
    "survival:2 -> 4": "arrays longer than what is read of them",
    "survival:at_risk > 1e-12 -> at_risk >= 1e-12": GUARD,
    "survival:1e-12 -> 2e-12": GUARD,
    "survival:alive < 1e-14 -> alive <= 1e-14": GUARD,
    "survival:1e-14 -> 2e-14": GUARD,
    "survival:0.0 -> 1.0": GUARD,
    "survival:1.0 -> 2.0": GUARD,
    "survival:reach >= last -> reach > last": "nothing is appended where they are equal",
    "compare:4000 -> 4001": EFFORT,
    "compare:4000 -> 8000": EFFORT,
    "compare:1.0 -> 2.0": GUARD,
    "compare:0 -> 1": "another default seed",
    "compare:high - low < 1e-12 -> high - low <= 1e-12": TIE,
    "compare:1e-12 -> 2e-12": TIE,
    "compare:self.mean > 0 -> self.mean >= 0": "a separable mean is never zero",
    "cost:math.prod(sizes) > 1000000 -> math.prod(sizes) >= 1000000": EFFORT,
    "cost:1000000 -> 1000001": EFFORT,
    "cost:1 -> 2": EFFORT,
    "cost:1.0 -> 2.0": "a start below every coverage",
    "value:200 -> 201": GRID,
    "value:200 -> 400": GRID,
    "value:1 -> 2": GRID,
    "beta:0.01 -> 0.02": GRID,
    "beta:100.0 -> 101.0": GRID,
    "beta:40 -> 41": GRID,
    "beta:40 -> 80": GRID,
    "beta:coarse.weight > 1e-06 -> coarse.weight >= 1e-06": TIE,
    "beta:1e-06 -> 2e-06": GRID,
    "beta:weight > 1e-09 -> weight >= 1e-09": TIE,
    "beta:1e-09 -> 2e-09": GRID,
    "beta:1 -> 2": GRID,
    "beta:0 -> 1": GRID,
    "scaling:0.0 -> 1.0": GRID,
    "scaling:4.0 -> 5.0": GRID,
    "scaling:4.0 -> 8.0": GRID,
    "scaling:0.0001 -> 1.0001": GRID,
    "scaling:0.0001 -> 0.0002": GRID,
    "scaling:400 -> 401": GRID,
    "scaling:400 -> 800": GRID,
    "scaling:40 -> 41": EFFORT,
    "scaling:40 -> 80": EFFORT,
    "scaling:20000 -> 20001": EFFORT,
    "scaling:20000 -> 40000": EFFORT,
    "scaling:1 -> 2": "a wider bracket to search, with the same best point in it",
    "scaling:5.0 -> 6.0": "another section than the golden one finds the same",
    "scaling:gain(left)[0] > gain(right)[0] -> gain(left)[0] >= gain(right)[0]": TIE,
    "scaling:700.0 -> 701.0": "a guard against overflow while the fit searches",
    "scaling:700.0 -> 1400.0": "a guard against overflow while the fit searches",
    "forecast:400 -> 401": EFFORT,
    "forecast:400 -> 800": EFFORT,
    "forecast:0 -> 1": "another default seed",
    "forecast:40 -> 41": GRID,
    "forecast:40 -> 80": GRID,
    "forecast:ks * ks >= smallest -> ks * ks > smallest": "one point more or less of a stretch",
    "forecast:low <= late <= high -> low < late <= high": TIE,
    "forecast:1.0 -> 2.0": GUARD,
    "forecast:1e-12 -> 2e-12": GUARD,
    "forecast:0.5 -> 1.5": "how wide an interval is at the least; none may have no width",
    "forecast:0.5 -> 1.0": "how wide an interval is at the least; none may have no width",
    "forecast:2 -> 3": LEVEL,
    "forecast:2 -> 4": LEVEL,
    "forecast:1 -> 2": "one resample fewer, or a fit whose second row is not read",
    "mixture:200 -> 201": EFFORT,
    "mixture:1.0 -> 2.0": "a start that the first round rescales",
    "mixture:rates <= highest -> rates < highest": TIE,
    "mixture:1 -> 2": GRID,
    "mixture:2 -> 3": GRID,
    "mixture:2 -> 4": GRID,
    "mixture:2.0 -> 3.0": GRID,
    "mixture:2.0 -> 4.0": GRID,
    "mixture:0.12 -> 0.24": GRID,
    "mixture:0.5 -> 1.0": GRID,
    "mixture:int(np.pi * np.sqrt(n)) + 1 -> int(np.pi * np.sqrt(n)) - 1": GRID,
    "mixture:steps < np.pi / 2 -> steps <= np.pi / 2": GRID,
    "mixture:np.pi / 2 -> np.pi * 2": GRID,
    "mixture:0.0 -> 1.0": "a factor per kind of problem, which is scaled away",
    "selection:0 -> 1": "another default seed",
    "selection:1 -> 2": "how often the one subset that holds everything is drawn",
    "selection:200 -> 201": EFFORT,
    "selection:200 -> 400": EFFORT,
    "selection:100 -> 101": EFFORT,
    "selection:100 -> 200": EFFORT,
    "selection:0.0 -> 1.0": "as much for each class that got a vote",
}
"""`module:text -> mutated text` of survivors that change no result beyond its error, and why."""


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """Every mutant of a module: its line, what was changed, and the changed tree."""
    nodes = list(ast.walk(tree))
    spared = {id(part) for node in nodes for part in _spared(node)}
    for index, node in enumerate(nodes):
        for change in () if id(node) in spared else _changes(node):
            whole = copy.deepcopy(tree)
            again = list(ast.walk(whole))[index]
            before = ast.unparse(again)
            change(again)
            after = ast.unparse(again)
            if before != after:
                yield (
                    getattr(node, "lineno", 0),
                    f"{before} -> {after}",
                    ast.fix_missing_locations(whole),
                )


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
        if node.value:
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


def survives(module: Path, tree: ast.Module, tests: list[str], workplace: Path) -> bool:
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
            signal.alarm(LONGEST_S)
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
            if not survives(module, whole, tests, workplace):
                parser.error(f"the tests of {name} fail before anything is changed")
            found = list(mutants(whole))[given.first : given.last]
            if given.limit:
                random.Random(given.seed).shuffle(found)
                found = found[: given.limit]
            alive = 0
            for line, what, tree in found:
                if survives(module, tree, tests, workplace):
                    key = f"{name}:{' '.join(what.split())}"
                    reason = EXPLAINED.get(key)
                    alive += 1
                    unexplained += reason is None
                    print(f"{name}:{line}: {what}   {reason or 'SURVIVED'}", flush=True)
            print(f"{name}: {len(found)} mutants, {alive} alive", flush=True)
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
