"""The house stays a house: arrows point down, no import runs in a circle, no room is too large."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("budgets", "verifiers", "providers", "orchestrator")
MOST_LINES = 450
MOST_FUNCTION_LINES = 60
MOST_ROOMS = 14

BELOW = {
    "budgets": set(),
    "verifiers": set(),
    "providers": {"budgets"},
    "orchestrator": {"budgets", "verifiers", "providers"},
}
"""What each package may import beside itself."""


def product() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            modules[name.removesuffix(".__init__")] = path
    return modules


MODULES = product()


def imported(path: Path) -> Iterator[str]:
    """The modules of the product that a file imports when it is run, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        else:
            continue
        yield from (name for name in names if name in MODULES)


def test_arrows_between_packages_point_down() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in imported(path)
        if (here := name.partition(".")[0]) != (there := other.partition(".")[0])
        and there not in BELOW[here]
    ]
    assert wrong == []


def test_no_import_runs_in_a_circle() -> None:
    arrows = {name: set(imported(path)) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


def test_no_wing_of_the_orchestrator_is_part_of_a_circle() -> None:
    def wing(name: str) -> str:
        return ".".join(name.split(".")[:2])

    arrows: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if name.startswith("orchestrator."):
            others = {wing(other) for other in imported(path) if other.startswith("orchestrator.")}
            arrows.setdefault(wing(name), set()).update(others - {wing(name)})
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


def test_the_orchestrator_is_seen_at_one_look() -> None:
    rooms = [
        path.name
        for path in (ROOT / "orchestrator").iterdir()
        if path.name not in ("__init__.py", "py.typed", "__pycache__")
    ]
    assert len(rooms) <= MOST_ROOMS, sorted(rooms)


def test_no_file_is_too_long() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{name}.{node.name}": node.end_lineno - node.lineno + 1
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
        if node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    }
    assert long == {}


def test_one_name_stands_for_one_thing() -> None:
    """Classes and aliases of types, all packages together.

    Names with an underscore may stand in several modules: nobody reads them from outside.
    """
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if re.fullmatch("[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*", name):
                    homes.setdefault(name, []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name
        for name, path in MODULES.items()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_the_list_of_where_things_are_is_true() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| `([^`]+)`: `([^`]+)` \|$", text, re.MULTILINE)
    assert len(rows) >= 30
    wrong = [
        f"{path}: {name}"
        for path, name in rows
        if not (ROOT / path).is_file() or name not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert wrong == []


def test_nothing_is_unused_without_a_reason() -> None:
    pytest.importorskip("vulture")
    found = subprocess.run(
        [sys.executable, "-m", "vulture", *PACKAGES, "scripts/unused.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""


FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*[a-z0-9]")
OTHER_PROGRAMS = ("swebench_writer", "lm_eval", "html", "tiny.serve")
"""Modules whose sentences hold flags of git and of other programs, or of a style sheet."""


def our_flags() -> set[str]:
    """Every flag of every command."""
    from orchestrator.cli import orch

    context, found, groups = click.Context(orch), {"--help"}, [orch]
    while groups:
        command = groups.pop()
        if isinstance(command, click.Group):
            names = command.list_commands(context)
            groups += [one for name in names if (one := command.get_command(context, name))]
        found |= {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    return {flag for flag in found if flag.startswith("--")}


def sentences(path: Path) -> Iterator[str]:
    """The texts with a blank in them, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield from [node.value] if " " in node.value else []


def test_sentences_name_flags_that_exist_and_lower_packages_none() -> None:
    """The packages below orchestrator name settings, which cli/flags.py turns into flags."""
    from orchestrator.cli.flags import SETTINGS

    ours = our_flags()
    assert {f"--{name.replace('_', '-')}" for name in SETTINGS} <= ours
    lower = [path for name, path in MODULES.items() if not name.startswith("orchestrator")]
    named = "".join(path.read_text(encoding="utf-8") for path in lower)
    assert [name for name in SETTINGS if f"`{name}`" not in named] == []
    wrong = [
        f"{name}: {flag}"
        for name, path in MODULES.items()
        if not name.endswith(OTHER_PROGRAMS)
        for text in sentences(path)
        for flag in FLAG.findall(text)
        if (flag in ours) != name.startswith("orchestrator")
    ]
    assert wrong == []


def test_docstrings_name_files_that_exist() -> None:
    named = re.compile(r"(?<![\w/.-])((?:[a-z_]+/)*[a-z_0-9]+\.py)\b")
    whole = {path.relative_to(ROOT).as_posix() for path in MODULES.values()}
    theirs = {"path.py", "prompts.py", "llmonk/generate/prompts.py", "tests/grade.py",
              "conftest.py"}  # fmt: skip
    wrong = [
        f"{module}: {name}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for name in named.findall(ast.get_docstring(node) or "")
        if name not in theirs and not any(f"/{one}".endswith(f"/{name}") for one in whole)
    ]
    assert wrong == []
