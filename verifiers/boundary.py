"""Which assert-style tests can be judged across two processes: decided from the test's text alone.

Between a test and its candidate in cells of their own only values cross (sandbox/talk.py). A test
that looks at more (output, identity, classes, attributes of objects, state of the process) is run
in one cell with its candidate. The list is of what surely crosses; whatever is not on it counts as
more, since the price of a mistake is then only that the verdict is marked as forgeable.
"""

from __future__ import annotations

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import sys
from collections.abc import Iterator
from functools import lru_cache

from verifiers.sandbox.asking import STANDARD_NAMES
from verifiers.sandbox.testing import free_names

_MODULES = frozenset({
    "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools",
    "heapq", "itertools", "json", "math", "numbers", "operator", "random", "re", "statistics",
    "string", "textwrap", "typing", "unittest", "__future__",
})  # fmt: skip
"""Modules about values, of which two copies in two processes are as good as one."""
_VALUES = (
    str, bytes, bytearray, int, float, complex, bool, list, tuple, dict, set, frozenset, range,
    collections.deque, collections.Counter, collections.OrderedDict, collections.defaultdict,
    decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.datetime,
    datetime.timedelta,
)  # fmt: skip
_ATTRIBUTES = frozenset(
    {name for kind in _VALUES for name in dir(kind) if not name.startswith("__")} | {"args"}
)
_LOOKS_INSIDE = frozenset({
    "id", "vars", "dir", "getattr", "setattr", "hasattr", "delattr", "callable", "issubclass",
    "super", "globals", "locals", "eval", "exec", "compile", "__import__", "input", "open",
    "memoryview", "object", "breakpoint", "__builtins__",
})  # fmt: skip
_PLAIN_TYPES = frozenset(kind.__name__ for kind in _VALUES) | {"type"}


@lru_cache(maxsize=4096)
def looks_at_more(source: str, entry: str) -> str:
    """What a test looks at that cannot cross between two processes; "" where there is nothing."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ""  # the cell will say so
    return next(_Reader(tree, entry.split(".")[0].removesuffix("()")).reasons(), "")


@lru_cache(maxsize=4096)
def imports(source: str) -> tuple[str, ...]:
    """The modules that a test's text imports anywhere in it, or uses without importing them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    names = {name for node in ast.walk(tree) for name in _imported(node)}
    return tuple(sorted(names | {*free_names(tree)} & sys.stdlib_module_names))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


class _Reader:
    def __init__(self, tree: ast.Module, entry: str) -> None:
        self.tree, self.entry = tree, entry
        self.parents = {c: n for n in ast.walk(tree) for c in ast.iter_child_nodes(n)}
        self.bound = set(_bound(tree)) - {entry}
        self.modules = {name for node in ast.walk(tree) for name in _aliases(node)}
        # What a module makes (random.Random(7)) is looked at as the module is.
        self.modules |= {name for node in ast.walk(tree) for name in self._made_by_modules(node)}

    def reasons(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            reason = self._of_statement(node) or self._of_expression(node)
            if reason:
                yield f"{reason} (line {getattr(node, 'lineno', 1)})"

    def _of_statement(self, node: ast.AST) -> str:
        for name in _imported(node):
            if name.split(".")[0] not in _MODULES or name.startswith("unittest."):
                return f"it imports {name}"
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor):
            return "it is asynchronous"
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return "it has generators of its own"
        if isinstance(node, ast.With) and not all(map(_expects_exception, node.items)):
            return "it uses a context manager"
        if isinstance(node, ast.ClassDef) and not _is_test_class(node):
            return f"it defines the class {node.name}"
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.decorator_list:
            return "it uses a decorator"
        return ""

    def _of_expression(self, node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            return self._of_name(node)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(node)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops) and not any(
                map(self._is_single, sides)
            ):
                return "it asks whether two objects are one"
        if isinstance(node, ast.Call) and not self._asks_for_plain_types(node):
            return "it asks for a type that does not cross"
        return ""

    def _of_name(self, node: ast.Name) -> str:
        name = node.id
        if name in self.bound:
            return ""
        if name in _LOOKS_INSIDE:
            return f"it uses {name}"
        if name in sys.stdlib_module_names and name != self.entry:
            return "" if name in _MODULES else f"it uses the module {name}"
        if (
            isinstance(node.ctx, ast.Store)
            or name in STANDARD_NAMES
            or hasattr(builtins, name)
            or not name[0].isupper()
        ):
            return ""
        called = self._is_called(node)
        if name == self.entry and called and self._is_compared(node):
            return ""  # a function, whatever its name
        if (called or not name.isupper()) and not self._is_handed_over(node):
            return f"it uses the class {name} of the candidate"
        return ""

    def _of_attribute(self, node: ast.Attribute) -> str:
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            root = root.value
        name = root.id if isinstance(root, ast.Name) else ""
        if name in self.modules or (name in _MODULES and name not in self.bound):
            return "it seeds the random numbers" if node.attr == "seed" else ""
        if name in ("self", "cls"):
            return ""
        if isinstance(node.ctx, ast.Store | ast.Del):
            return f"it sets the attribute {node.attr}"
        if node.attr not in _ATTRIBUTES or name in (self.entry, "candidate"):
            return "" if node.attr == "exception" else f"it reads the attribute {node.attr}"
        return ""

    def _made_by_modules(self, node: ast.AST) -> list[str]:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            return []
        root: ast.AST = node.value.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if not (isinstance(root, ast.Name) and root.id in self.modules):
            return []
        return [target.id for target in node.targets if isinstance(target, ast.Name)]

    def _is_called(self, node: ast.Name) -> bool:
        parent = self.parents.get(node)
        return isinstance(parent, ast.Call) and parent.func is node

    def _is_compared(self, node: ast.Name) -> bool:
        """Whether what it returns is compared at once, with nothing of the candidate's."""
        call = self.parents[node]
        parent = self.parents.get(call)
        if not isinstance(parent, ast.Compare):
            return False
        others = [side for side in (parent.left, *parent.comparators) if side is not call]
        names = (n for side in others for n in ast.walk(side) if isinstance(n, ast.Name))
        return not any(n.id == self.entry or n.id == "candidate" for n in names)

    def _is_handed_over(self, node: ast.Name) -> bool:
        """Whether a class is only caught, or called to make an argument of the candidate's."""
        at: ast.AST = node
        while (parent := self.parents.get(at)) is not None:
            if isinstance(parent, ast.ExceptHandler):
                return at is parent.type
            if isinstance(parent, ast.Call) and at is not parent.func:
                if isinstance(parent.func, ast.Attribute) and "Raises" in parent.func.attr:
                    return True
                if isinstance(parent.func, ast.Name) and not parent.func.id[0].isupper():
                    own = parent.func.id in self.bound or hasattr(builtins, parent.func.id)
                    return self._is_called(node) and not own
            containers = ast.Call | ast.List | ast.Tuple | ast.Dict | ast.keyword
            if not isinstance(parent, containers):
                return False
            at = parent
        return False

    def _is_single(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Constant):
            return True
        return isinstance(node, ast.Name) and node.id in _PLAIN_TYPES

    def _asks_for_plain_types(self, node: ast.Call) -> bool:
        if not (isinstance(node.func, ast.Name) and node.func.id == "isinstance"):
            return True
        kinds = node.args[1:] or [node]
        if isinstance(kinds[0], ast.Tuple):
            kinds = kinds[0].elts
        return all(isinstance(k, ast.Name) and k.id in _PLAIN_TYPES for k in kinds)


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def _aliases(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return (
        [alias.asname or alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom)
        else []
    )


def _expects_exception(item: ast.withitem) -> bool:
    call = item.context_expr
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("assertRaises", "assertRaisesRegex", "subTest")
    )


def _is_test_class(node: ast.ClassDef) -> bool:
    bases = [ast.unparse(base) for base in node.bases]
    return bases in (["unittest.TestCase"], ["TestCase"]) or (
        not bases and node.name.startswith("Test")
    )
