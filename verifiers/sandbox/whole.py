"""A test and its candidate in one process, for tests that look at what cannot cross between two.

Here a candidate that sets out to can reach the test and forge the claim; the parent says so with
the verdict. What costs little is done against it: the candidate's own code runs before the test is
read, the test has the builtins and modules as they were before that, an object that equals whatever
it is compared with equals nothing, and the claim carries a word that the candidate was not told.
"""

from __future__ import annotations

import builtins
import importlib
import json
import operator
import os
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from verifiers.sandbox import child, streams, testing
from verifiers.sandbox.confine import Confinement

if TYPE_CHECKING:
    import ast

_SOLUTION = "solution"
_ORDERS: dict[str, Any] = {
    "__lt__": operator.lt, "__le__": operator.le, "__gt__": operator.gt, "__ge__": operator.ge,
}  # fmt: skip
_OPPOSITES = {"__lt__": "__gt__", "__gt__": "__lt__", "__le__": "__gt__", "__ge__": "__lt__"}


class _Kept:
    """The functions and classes of modules as they were, to be put back and compared."""

    def __init__(self, names: list[str]) -> None:
        self.held: list[tuple[Any, dict[str, Any]]] = []
        self.modules: dict[str, Any] = {}
        for name in names:
            try:
                self.modules[name] = importlib.import_module(name)
            except ImportError:
                continue  # the test will say so
        if "unittest" in sys.modules:
            testing.leave_cases_to_us()
        for module in self.modules.values():
            self._keep(module)
        if "unittest" in sys.modules:
            self._keep(sys.modules["unittest"].TestCase)
        self._keep(builtins)

    def _keep(self, holder: Any) -> None:
        self.held.append((holder, {n: v for n, v in vars(holder).items() if callable(v)}))

    def changed(self) -> list[tuple[Any, str, Any]]:
        return [
            (holder, name, value)
            for holder, values in self.held
            for name, value in values.items()
            if vars(holder).get(name) is not value
        ]

    def put_back(self) -> None:
        for holder, name, value in self.changed():
            setattr(holder, name, value)
        sys.modules.update(self.modules)


def _whole(job: child.CellJob, claims: int, rest: list[int], plan: Confinement) -> None:
    owner = os.getpid()
    entry, word = job.header["entry"], job.header["word"]
    streams.put(rest[0], rest[1])
    child.prepare_for(job.blobs[0])
    kept = _Kept(job.header["modules"])
    pristine = dict(vars(builtins))
    solution = child.new_module(_SOLUTION)
    sys.argv = [child.FILE]
    status = child.execute(job.blobs[0], solution)
    if status or os.getpid() != owner:
        child.finish(status)
    kept.put_back()
    sys.settrace(None)
    sys.setprofile(None)
    source = os.pread(rest[2], os.fstat(rest[2]).st_size, 0)
    seen = _Seen(solution, entry)

    def run() -> None:
        test = testing.Test(source)
        module = child.new_module("__main__")
        module.__dict__.update(__builtins__=pristine, __file__=testing.FILE)
        module.__dict__.update(__same__=same, __minus__=minus, __before__=before)
        candidate = _resolve(solution, entry)
        taken = {n: vars(solution)[n] for n in testing.free_names(test.tree) if n in vars(solution)}
        module.__dict__.update({**taken, **kept.modules}, candidate=candidate)
        module.__dict__[entry] = candidate
        test.tree = _honest_equality(test.tree)
        if "unittest" in sys.modules:
            _honest_assert_equal(sys.modules["unittest"].TestCase, kept)
        seen.watch()
        test.run(module, entry, candidate)

    said = testing.said_of(run)
    seen.rest()
    if said["end"] == "passed":
        if kept.changed() or sys.gettrace() is not None:
            said = {"end": "failed", "detail": "the program changed what the test uses"}
        elif seen.failed:
            said = {"end": "failed", "detail": seen.failed}
        elif not seen.called:
            said = {"end": "nothing", "detail": f"the test never called {entry}"}
    elif not seen.called and said.get("detail", "").startswith("SystemExit"):
        said = {"end": "nothing", "detail": f"the test ended before it called {entry}"}
    child.write_all(claims, json.dumps({**said, "word": word}).encode() + b"\n")
    streams.flush()
    os._exit(0)


def _resolve(solution: Any, entry: str) -> Any:
    try:
        return child.resolve(solution, entry)
    except (KeyError, AttributeError):
        raise NameError(f"there is no {entry} in the source") from None


class _Seen:
    """Whether any function of the candidate's source has been called."""

    def __init__(self, solution: Any, entry: str) -> None:
        code = getattr(vars(solution).get(entry.split(".")[0]), "__code__", None)
        # What is no function of the source's own text (a class, a partial) is called unseen.
        self.called = code is None or code.co_filename != child.FILE
        self.failed = ""

    def watch(self) -> None:
        import threading

        self._hook, threading.excepthook = threading.excepthook, self._raised
        if not self.called:
            sys.setprofile(self._look)
            threading.setprofile(self._look)

    def rest(self) -> None:
        """Look no more, and leave all as it was found."""
        import threading

        sys.setprofile(None)
        threading.setprofile(None)
        if threading.excepthook == self._raised:
            threading.excepthook = self._hook

    def _raised(self, raised: Any) -> None:
        """A thread of the test's that failed fails the test, though nobody would hear of it."""
        trace = raised.exc_traceback
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == testing.FILE:
                self.failed = f"{raised.exc_type.__name__} in a thread of the test"
            trace = trace.tb_next

    def _look(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename == child.FILE:
            self.called = True
            sys.setprofile(None)


def _honest_equality(tree: ast.Module) -> ast.Module:
    """The test with `a == b` as `__same__(a, b)`, and so `a - b`, `a < b` and `a > b`."""
    import ast

    class Honest(ast.NodeTransformer):
        def visit_Compare(self, node: ast.Compare) -> ast.AST:
            self.generic_visit(node)
            if len(node.ops) != 1:
                return node
            left, right, sign = node.left, node.comparators[0], node.ops[0]
            if isinstance(sign, ast.Eq):
                return self._asked("__same__", node, [left, right])
            if isinstance(sign, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                name = ast.Constant(f"__{type(sign).__name__.lower().replace('te', 'e')}__")
                return self._asked("__before__", node, [name, left, right])
            return node

        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            if not isinstance(node.op, ast.Sub):
                return node
            return self._asked("__minus__", node, [node.left, node.right])

        def _asked(self, name: str, node: ast.AST, given: list[ast.expr]) -> ast.AST:
            return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), given, []), node)

    Honest().visit(tree)
    return ast.fix_missing_locations(tree)


def _honest_assert_equal(case: Any, kept: _Kept) -> None:
    real = case.assertEqual

    def assertEqual(self: Any, first: Any, second: Any, msg: Any = None) -> None:
        real(self, first, second, msg)
        if not same(first, second):
            raise self.failureException(msg or "equal to everything")

    case.assertEqual = assertEqual
    for holder, values in kept.held:
        if holder is case:
            values["assertEqual"] = assertEqual


def same(one: Any, other: Any) -> Any:
    """`one == other`, but not where that holds only since an object equals everything."""
    result = one == other
    return _honest(one, other, 3) if result is True else result


def minus(one: Any, other: Any) -> Any:
    """`one - other`; an object from which whatever is taken leaves the same raises instead."""
    result = one - other
    if _is_foreign(one) != _is_foreign(other):
        plain = other if _is_foreign(one) else one
        if isinstance(plain, int | float | complex):
            another = one - (other + 1) if plain is other else (one + 1) - other
            assert another != result, "the same difference to every number"
    return result


def before(name: str, one: Any, other: Any) -> Any:
    """`one < other` and its like, but not for an object that is before and behind everything."""
    result = _ORDERS[name](one, other)
    if result is True and _is_foreign(one) != _is_foreign(other):
        return _ORDERS[_OPPOSITES[name]](one, other) is not True
    return result


def _honest(one: Any, other: Any, depth: int) -> bool:
    foreign = _is_foreign(one), _is_foreign(other)
    if foreign[0] != foreign[1]:
        made, plain = (one, other) if foreign[0] else (other, one)
        return not any(made == decoy or decoy == made for decoy in _decoys(plain))
    if depth and isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return all(_honest(a, b, depth - 1) for a, b in zip(one, other, strict=False))
    if depth and isinstance(one, dict) and isinstance(other, dict):
        return all(_honest(one[k], other[k], depth - 1) for k in one if k in other)
    return True


def _is_foreign(value: Any) -> bool:
    """Whether a value's class was made by the candidate."""
    kind = type(value)
    known = sys.modules.get(kind.__module__)
    return kind.__module__ == _SOLUTION or getattr(known, kind.__name__, kind) is not kind


def _decoys(plain: Any) -> list[Any]:
    """Values that are not the one expected, of its kind and of others."""
    found: list[Any] = [object()]
    if isinstance(plain, bool):
        found.append(not plain)
    elif isinstance(plain, int | float | complex):
        found += [plain + 1, -plain - 1]
    elif isinstance(plain, str | bytes):
        found += [plain * 2, plain[:-1], "\0"] if plain else [b"\0", "\0"]
    elif isinstance(plain, list | tuple):
        found += [[*plain, found[0]], (*plain, found[0]), [], ()][: 4 if plain else 2]
    elif isinstance(plain, dict):
        found.append({**plain, found[0]: 0})
    elif isinstance(plain, set | frozenset):
        found.append(plain | {found[0]})
    else:
        found.append(0)
    return found


child.MODES.update(whole=_whole)
