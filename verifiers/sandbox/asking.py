"""The test's side of a conversation with a candidate in another cell: see `talk`.

Only the test's code runs in this process, and it believes nothing but values: what stands for an
object of the candidate's is equal to nothing but itself.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from verifiers.sandbox import child, streams, tagged, testing
from verifiers.sandbox.confine import Confinement
from verifiers.sandbox.talk import Lines, containers, exception

_BENT = (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError)
_ONE_BY_ONE, _AT_ONCE = 32, 256
_Kind = TypeVar("_Kind")
STANDARD_NAMES: dict[str, str] = {
    "Counter": "collections", "OrderedDict": "collections", "defaultdict": "collections",
    "deque": "collections", "Decimal": "decimal", "Fraction": "fractions",
    **dict.fromkeys(("Any", "Dict", "List", "Optional", "Set", "Tuple", "Union"), "typing"),
}  # fmt: skip
"""Names that a test may use without importing them, and which are never the candidate's."""


class CandidateGone(BaseException):
    """The candidate's process ended, or answered what is no answer."""


class CannotCross(BaseException):
    """The test passes the candidate something that only exists in its own process."""


class _Client:
    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.exceptions: dict[str, type[BaseException]] = {}
        self.calls = 0
        self.ended: BaseException | None = None
        """What ended the conversation; a test that catches everything must not go on as passed."""
        self._functions: list[Callable[..., Any]] = []
        self._objects: dict[int, _Object] = {}

    def ask(self, what: dict[str, Any], arguments: Any = (), keywords: Any = None) -> Any:
        """The candidate's value, or its exception raised. CandidateGone for what is neither."""
        self.calls += 1
        try:
            return self._ask(what, list(arguments), keywords or {})
        except (CandidateGone, CannotCross) as end:
            self.ended = self.ended or end
            raise

    def _ask(self, what: dict[str, Any], arguments: list[Any], keywords: dict[str, Any]) -> Any:
        try:
            packed = tagged.encode(arguments, self._foreign)
            named = tagged.encode(keywords, self._foreign)
        except (tagged.NotPlain, ValueError, RecursionError) as fault:
            raise CannotCross(f"the test passes the candidate {fault}") from None
        try:
            self.lines.send(f'{{"a":{packed},"k":{named},{json.dumps(what)[1:]}')
            answer = json.loads(self.lines.receive())
            while isinstance(answer, dict) and "u" in answer:
                self.lines.send(self._called(answer))
                answer = json.loads(self.lines.receive())
        except (EOFError, OSError, ValueError, RecursionError):
            raise CandidateGone from None
        if not isinstance(answer, dict) or ("v" in answer) == ("x" in answer):
            raise CandidateGone
        try:
            if "after" in answer:
                self._copy_back(containers([arguments, keywords]), answer["after"])
            if "v" in answer:
                return tagged.from_json(answer["v"], self._local)
            raised = exception(answer["x"], self.exceptions, answer.get("args"))
        except _BENT:
            raise CandidateGone from None
        raise raised

    def _copy_back(self, mine: list[Any], changes: Any) -> None:
        """What the candidate changed in its arguments, changed in the test's own."""

        def value(form: Any) -> Any:
            if isinstance(form, dict) and len(form) == 1:
                ((tag, body),) = form.items()
                if tag == "m":
                    return mine[body]
                if tag == "t":
                    return tuple(map(value, body))
            return tagged.from_json(form, self._local)

        for number, items in changes:
            held = mine[number]
            if isinstance(held, dict):
                made = [(tagged.from_json(key), value(item)) for key, item in items]
                held.clear()
                held.update(made)
            elif isinstance(held, list | bytearray):
                held[:] = [value(item) for item in items]
            else:
                made = [value(item) for item in items]
                held.clear()
                (held.update if isinstance(held, set) else held.extend)(made)

    def _called(self, request: dict[str, Any]) -> str:
        """Run a function of the test's for the candidate."""
        try:
            function = self._functions[request["u"]]
            arguments = tagged.from_json(request["a"], self._local)
            keywords = tagged.from_json(request["k"], self._local)
        except _BENT:
            raise CandidateGone from None
        return f"{{{child.one_call(function, arguments, keywords, self._foreign)}}}"

    def _foreign(self, value: Any) -> Any:
        if isinstance(value, _Object):
            return {"o": _parts(value)[1]}
        if not callable(value):
            return None
        self._functions.append(value)
        return {"u": len(self._functions) - 1}

    def _local(self, tag: str, body: Any) -> Any:
        if tag not in ("o", "g") or type(body) is not int:
            raise ValueError(f"unknown tag {tag!r}")
        return self._objects.setdefault(body, (_Object if tag == "o" else _Iterator)(self, body))

    def borrow(self, module: Any, names: list[str], entry: str, candidate: _Stub) -> None:
        """Give the test stubs or copies of the names that it takes from the candidate's source."""
        wanted = [n for n in names if n not in (entry, "candidate")]
        for name in [n for n in wanted if n in sys.stdlib_module_names]:
            # A test may count on the source's imports; a module is never the candidate's.
            module.__dict__[name] = importlib.import_module(name)
            wanted.remove(name)
        for name in [n for n in wanted if n in STANDARD_NAMES]:
            module.__dict__[name] = getattr(importlib.import_module(STANDARD_NAMES[name]), name)
            wanted.remove(name)
        if entry in names:
            module.__dict__[entry] = candidate
        if not wanted:
            return
        try:
            self.lines.send(json.dumps({"names": wanted}))
            kinds = json.loads(self.lines.receive())
            for name in wanted:
                kind = kinds.get(name) or {}
                if "raises" in kind:
                    made = type(exception(["", *kind["raises"]], self.exceptions))
                    module.__dict__[name] = self.exceptions[name] = made
                elif "call" in kind:
                    module.__dict__[name] = _Stub(self, name)
                elif "value" in kind:
                    module.__dict__[name] = tagged.from_json(kind["value"])
        except (EOFError, OSError, *_BENT):
            raise CandidateGone from None


class _Stub:
    """Stands for a function of the candidate's process."""

    def __init__(self, client: _Client, entry: str) -> None:
        self._client, self._entry = client, entry
        self.__name__ = entry

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._client.ask({"entry": self._entry}, arguments, keywords)


class _Object:
    """Stands for an object of the candidate's that is not plain: equal to itself alone."""

    def __init__(self, client: _Client, number: int) -> None:
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _do(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _do(self, "set", name, value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        client, number = _parts(self)
        return client.ask({"o": number}, arguments, keywords)

    def __len__(self) -> int:
        return _plain(_do(self, "len"), int)

    def __str__(self) -> str:
        return _plain(_do(self, "str"), str)

    def __repr__(self) -> str:
        return _plain(_do(self, "repr"), str)

    def __bool__(self) -> bool:
        return _plain(_do(self, "bool"), bool)

    def __iter__(self) -> Any:
        return iter(_do(self, "iter"))

    def __getitem__(self, key: Any) -> Any:
        return _do(self, "item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _do(self, "put", key, value)

    def __delitem__(self, key: Any) -> None:
        _do(self, "del", key)


class _Iterator(_Object):
    """Stands for an iterator of the candidate's, which may never end."""

    def __init__(self, client: _Client, number: int) -> None:
        super().__init__(client, number)
        object.__setattr__(self, "_items", [])
        object.__setattr__(self, "_read", 0)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        items, read = (object.__getattribute__(self, name) for name in ("_items", "_read"))
        if not items:
            found = _do(self, "next", 1 if read < _ONE_BY_ONE else _AT_ONCE)
            items += reversed(_plain(found, list))
            if not items:
                raise StopIteration
        object.__setattr__(self, "_read", read + 1)
        return items.pop()


def _do(held: _Object, operation: str, *arguments: Any) -> Any:
    client, number = _parts(held)
    return client.ask({"o": number, "op": operation}, arguments)


def _plain(value: Any, kind: type[_Kind]) -> _Kind:
    if type(value) is not kind:
        raise TypeError(f"the candidate's object gave {type(value).__name__} for {kind.__name__}")
    return value


def _parts(held: _Object) -> tuple[_Client, int]:
    return object.__getattribute__(held, "_client"), object.__getattribute__(held, "_number")


def _check(job: child.CellJob, claims: int, rest: list[int], plan: Confinement) -> None:
    """Run the test's code; the claim says how it ended. Only test code runs in this process."""
    client = _Client(Lines(rest[2], rest[3]))
    streams.put(rest[0], rest[1])
    module = child.new_module("__main__")
    module.__dict__["__file__"] = testing.FILE
    entry = job.header["entry"]
    candidate = _Stub(client, entry)
    module.__dict__["candidate"] = candidate

    def run() -> None:
        test = testing.Test(job.blobs[0])
        client.borrow(module, testing.free_names(test.tree), entry, candidate)
        test.run(module, entry, candidate)

    said = testing.said_of(run)
    if isinstance(client.ended, CannotCross):
        said = {"end": "cannot", "detail": str(client.ended)}
    elif client.ended is not None or said["end"] == "CandidateGone":
        said = {"end": "gone"}
    elif said["end"] == "passed" and not client.calls:
        said = {"end": "nothing", "detail": f"the test never called {entry}"}
    child.write_all(claims, json.dumps(said).encode() + b"\n")
    streams.flush()
    os._exit(0)


child.MODES.update(check=_check)
