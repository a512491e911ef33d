"""`budgets` used by itself: its examples run, its names load late, it knows no orch."""

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import budgets

MODULES = sorted(path.stem for path in Path(budgets.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_run(module: str) -> None:
    name = "budgets" if module == "__init__" else f"budgets.{module}"
    assert doctest.testmod(import_module(name)).failed == 0


def test_there_are_examples_of_what_people_use_first() -> None:
    finder = doctest.DocTestFinder()
    shown = "".join(
        example.source
        for module in ("ledger", "price_book", "sqlite_journal")
        for test in finder.find(import_module(f"budgets.{module}"))
        for example in test.examples
    )
    for name in ("Ledger", "SqliteJournal", "PriceBook"):
        assert f"{name}" in shown


def test_every_name_that_is_promised_loads() -> None:
    for name in budgets.__all__:
        assert getattr(budgets, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = budgets.Nothing


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return {name.partition(".")[0] for name in out.split()}


def test_importing_costs_nothing_and_nothing_of_ours() -> None:
    loaded = loaded_after("import budgets")
    assert not loaded & {"genai_prices", "asyncio", "sqlite3", "pydantic", "decimal"}
    loaded = loaded_after("from budgets import *")
    assert not loaded & {"genai_prices", "pydantic", "orchestrator", "providers", "verifiers"}
