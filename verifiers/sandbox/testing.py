"""Runs a test's code as the frameworks that tests are written for would, in whatever process.

In this order: the code itself, `check` (called with the candidate unless it takes nothing), every
unittest.TestCase, every function `test*` and every method `test*` of a class `Test*` that takes
nothing (or the candidate, by that name or by its own). What needs pytest's fixtures cannot be run
here, and is told. The outcome is a claim {"end": passed | failed | cannot | ..., "detail"}.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast

FILE = "/tmp/test.py"


class CannotRun(Exception):
    """The test is not one that can be run here; says why."""


class Test:
    """A test's source. CannotRun where it is no Python."""

    def __init__(self, source: bytes) -> None:
        import ast

        try:
            self.tree: ast.Module = ast.parse(source, FILE)
        except (SyntaxError, ValueError, RecursionError) as fault:
            raise CannotRun(f"the test is not Python: {fault}") from None
        self.uses_unittest = b"unittest" in source

    def run(self, module: Any, entry: str, candidate: Any) -> None:
        """Run it in `module`, which holds the names that it borrows. Raises what fails."""
        if self.uses_unittest:
            leave_cases_to_us()
        self._import(lambda: exec(compile(self.tree, FILE, "exec"), module.__dict__))
        own = [(name, module.__dict__[name]) for name in self._defined() if name in module.__dict__]
        for name, one in own:
            if name == "check" and callable(one):
                _call(one, [candidate] if _wanted(one) != [] else [])
            elif isinstance(one, type):
                _run_class(one, candidate, entry)
            elif name.startswith("test") and callable(one):
                wanted = _wanted(one)
                if wanted is not None and {*wanted} <= {"candidate", entry}:
                    _call(one, [candidate] * len(wanted))
                elif not self._uses(name):
                    raise CannotRun(
                        f"{name} takes {', '.join(wanted or ['?'])}: only pytest can run it"
                    )

    def _uses(self, name: str) -> bool:
        """Whether the test itself calls what looks like a test."""
        import ast

        found = (n for n in ast.walk(self.tree) if isinstance(n, ast.Name))
        return any(n.id == name and isinstance(n.ctx, ast.Load) for n in found)

    def _import(self, run: Callable[[], None]) -> None:
        try:
            run()
        except ModuleNotFoundError as fault:
            trace = fault.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None and trace.tb_frame.f_code.co_filename == FILE:
                raise CannotRun(f"the test needs {fault.name}, which is not there") from None
            raise

    def _defined(self) -> Iterator[str]:
        import ast

        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Assign):
                yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def leave_cases_to_us() -> None:
    """Let unittest.main do nothing: cases are run here, and nothing ends the process."""
    import unittest

    unittest.main = _do_nothing  # type: ignore[assignment]


def _do_nothing(*_: Any, **__: Any) -> None:
    pass


def _wanted(function: Any) -> list[str] | None:
    """The names of the parameters that a function needs; None where that cannot be told."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    needed = code.co_argcount - len(function.__defaults__ or ())
    return list(code.co_varnames[:needed])


def _call(function: Any, arguments: list[Any]) -> None:
    result = function(*arguments)
    if hasattr(result, "cr_frame"):
        import asyncio

        asyncio.run(result)


def _run_class(kind: type, candidate: Any, entry: str) -> None:
    unittest = sys.modules.get("unittest")
    if unittest is not None and issubclass(kind, unittest.TestCase):
        result = unittest.TestResult()
        result.failfast = True
        unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
        for _, trace in (*result.failures, *result.errors):
            raise AssertionError(trace.strip().rsplit("\n", 1)[-1])
        if result.unexpectedSuccesses:
            raise AssertionError("a test that was expected to fail passed")
    elif kind.__name__.startswith("Test"):
        for name in [n for n in vars(kind) if n.startswith("test")]:
            one = kind()
            for step in ("setup_method", name, "teardown_method"):
                method = getattr(one, step, None)
                if method is not None:
                    _call(method, [candidate] * max(0, len(_wanted(method) or ["self"]) - 1))


def free_names(tree: ast.Module) -> list[str]:
    """Names that a test reads, never binds, and no builtin has: the candidate may have them."""
    import ast

    read: set[str] = set()
    bound: set[str] = set(dir(builtins)) | {"__name__", "__file__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return sorted(read - bound)


def said_of(run: Callable[[], None]) -> dict[str, str]:
    """How a test ended, as a claim; an exception of no known kind by its own name."""
    try:
        run()
        return {"end": "passed"}
    except CannotRun as fault:
        return {"end": "cannot", "detail": str(fault)}
    except (Exception, SystemExit, KeyboardInterrupt) as fault:
        return {"end": "failed", "detail": _where(fault)}
    except BaseException as fault:
        return {"end": type(fault).__name__, "detail": str(fault)}


def _where(fault: BaseException) -> str:
    line = None
    trace = fault.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
    return text[:1000] + (f" (line {line} of the test)" if line is not None else "")
