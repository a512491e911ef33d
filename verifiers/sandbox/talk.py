"""An assert-style test and the candidate that it tests, each in a cell of its own.

    serve   the candidate's side: answers calls over a pipe
    check   the test's side: `candidate` is a stub that asks the first

Frames are lines of tagged JSON. Plain values cross as copies. What is not plain stays where it is
and crosses as a number: the candidate's objects (tag o), of which the test can read attributes,
call methods and hand them back; and the test's functions (tag u), which the candidate can call.
The test's side believes only values: an object of the candidate's is equal to nothing but itself.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from verifiers.sandbox import child, tagged
from verifiers.sandbox.confine import Plan

if TYPE_CHECKING:
    import ast

_BENT = (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError)


class CandidateGone(BaseException):
    """The candidate's process ended, or answered what is no answer."""


class CannotCross(BaseException):
    """The test passes the candidate something that only exists in its own process."""


class _Lines:
    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing, self.held = reading, writing, bytearray()

    def send(self, text: str) -> None:
        child.write_all(self.writing, text.encode() + b"\n")

    def receive(self) -> bytes:
        while True:
            line, found, rest = self.held.partition(b"\n")
            if found:
                self.held = rest
                return bytes(line)
            more = os.read(self.reading, 1 << 16)
            if not more:
                raise EOFError
            self.held += more


class _Server:
    """The candidate's side. Everything here can be undone by the candidate."""

    def __init__(self, lines: _Lines, module: Any) -> None:
        self.lines, self.module, self.owner = lines, module, os.getpid()
        self.objects: list[Any] = []

    def serve(self) -> None:
        try:
            while True:
                self._answer(json.loads(self.lines.receive()))
        except EOFError:
            os._exit(0)

    def _answer(self, request: dict[str, Any]) -> None:
        answer = self._look_up(request)
        if os.getpid() != self.owner:
            os._exit(0)
        child.flush()
        self.lines.send(answer)

    def _look_up(self, request: dict[str, Any]) -> str:
        if "names" in request:
            names = [n for n in request["names"] if n in self.module.__dict__]
            return json.dumps({n: _describe_name(self.module.__dict__[n]) for n in names})
        try:
            if "o" in request:
                function: Any = self.objects[request["o"]]
                if "get" in request:
                    read = child.one_call(getattr, [function, request["get"]], None, self._foreign)
                    return f"{{{read}}}"
            else:
                function = child.resolve(self.module, request["entry"])
        except (KeyError, AttributeError):
            return json.dumps({"x": [f"there is no {request['entry']} in the source", "NameError"]})
        arguments = tagged.from_json(request["a"], self._local)
        keywords = tagged.from_json(request["k"], self._local)
        claim = child.one_call(function, arguments, keywords, self._foreign)
        after = [a if isinstance(a, list | dict | set | bytearray) else None for a in arguments]
        try:
            return f'{{{claim},"after":{tagged.encode(after)}}}'
        except (tagged.NotPlain, ValueError, RecursionError):
            return f"{{{claim}}}"

    def _foreign(self, value: Any) -> Any:
        for number, held in enumerate(self.objects):
            if held is value:
                return {"o": number}
        self.objects.append(value)
        return {"o": len(self.objects) - 1}

    def _local(self, tag: str, body: Any) -> Any:
        if tag == "o":
            return self.objects[body]
        if tag != "u":
            raise ValueError(f"unknown tag {tag!r}")
        return lambda *arguments, **keywords: self._call_back(body, arguments, keywords)

    def _call_back(self, number: int, arguments: Any, keywords: Any) -> Any:
        """Call a function of the test's; what the test asks meanwhile is answered first."""
        packed = tagged.encode(list(arguments), self._foreign)
        named = tagged.encode(keywords, self._foreign)
        self.lines.send(f'{{"u":{number},"a":{packed},"k":{named}}}')
        while True:
            answer = json.loads(self.lines.receive())
            if "x" in answer:
                raise _exception(answer["x"], {})
            if "v" in answer:
                return tagged.from_json(answer["v"], self._local)
            self._answer(answer)


def _serve(job: child.Job, claims: int, rest: list[int], plan: Plan) -> None:
    owner = os.getpid()
    lines = _Lines(rest[2], rest[3])
    child.set_streams(rest[0], rest[1])
    child.prepare_for(job.blobs[0])
    module = child.new_module("solution")
    sys.argv = [child.FILE]
    status = child.execute(job.blobs[0], module)
    if status or os.getpid() != owner:
        child.finish(status)
    _Server(lines, module).serve()


def _describe_name(value: Any) -> Any:
    if isinstance(value, type) and issubclass(value, BaseException):
        return {"raises": [c.__name__ for c in value.__mro__ if c not in (object, BaseException)]}
    if callable(value):
        return {"call": True}
    try:
        return {"value": tagged.to_json(value)}
    except (tagged.NotPlain, ValueError, RecursionError):
        return {}


class _Client:
    """The test's side."""

    def __init__(self, lines: _Lines) -> None:
        self.lines = lines
        self.exceptions: dict[str, type[BaseException]] = {}
        self._functions: list[Callable[..., Any]] = []
        self._objects: dict[int, _Object] = {}

    def ask(self, what: dict[str, Any], arguments: Any = (), keywords: Any = None) -> Any:
        """The candidate's value, or its exception raised. CandidateGone for what is neither."""
        try:
            packed = tagged.encode(list(arguments), self._foreign)
            named = tagged.encode(keywords or {}, self._foreign)
        except tagged.NotPlain as fault:
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
            _copy_back(arguments, tagged.from_json(answer.get("after", [])))
            if "v" in answer:
                return tagged.from_json(answer["v"], self._local)
            raised = _exception(answer["x"], self.exceptions)
        except _BENT:
            raise CandidateGone from None
        raise raised

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
            return {"o": object.__getattribute__(value, "_number")}
        if not callable(value):
            raise tagged.NotPlain(f"a value of type {type(value).__name__}")
        self._functions.append(value)
        return {"u": len(self._functions) - 1}

    def _local(self, tag: str, body: Any) -> Any:
        if tag != "o" or type(body) is not int:
            raise ValueError(f"unknown tag {tag!r}")
        return self._objects.setdefault(body, _Object(self, body))

    def borrow(self, module: Any, names: list[str], entry: str, candidate: _Stub) -> None:
        """Give the test stubs or copies of the names that it takes from the candidate's source."""
        wanted = [n for n in names if n not in (entry, "candidate")]
        for name in [n for n in wanted if n in sys.stdlib_module_names]:
            # A test may count on the source's imports; a module is never the candidate's.
            module.__dict__[name] = importlib.import_module(name)
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
                    made = type(_exception(["", *kind["raises"]], self.exceptions))
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
        client, number = _parts(self)
        return client.ask({"o": number, "get": name})

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        client, number = _parts(self)
        return client.ask({"o": number}, arguments, keywords)


def _parts(held: _Object) -> tuple[_Client, int]:
    return object.__getattribute__(held, "_client"), object.__getattribute__(held, "_number")


def _copy_back(arguments: tuple[Any, ...], after: Any) -> None:
    """What the candidate changed in its arguments, changed in the test's own."""
    if not isinstance(after, list) or len(after) != len(arguments):
        return
    for mine, new in zip(arguments, after, strict=True):
        if new is None or type(mine) is not type(new) or mine == new:
            continue
        if isinstance(mine, list | bytearray):
            mine[:] = new
        else:
            mine.clear()
            mine.update(new)


def _exception(names: list[str], known: dict[str, type[BaseException]]) -> BaseException:
    """An exception of the named classes: message, its own class's name, then its bases' names."""
    message = str(names[0])
    if names[1] in known:
        return known[names[1]](message)
    for name in map(str, names[1:]):
        kind = known.get(name) or getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            first = str(names[1])
            if first != name:
                kind = type(first, (kind,), {"__init__": Exception.__init__})
            try:
                made: BaseException = kind(message)
                return made
            except TypeError:
                return RuntimeError(message)
    return Exception(message)


def _free_names(tree: ast.Module) -> list[str]:
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


def _check(job: child.Job, claims: int, rest: list[int], plan: Plan) -> None:
    """Run the test's code; the claim says how it ended. Only test code runs in this process."""
    import ast

    client = _Client(_Lines(rest[2], rest[3]))
    child.set_streams(rest[0], rest[1])
    module = child.new_module("test")
    entry = job.header["entry"]
    said: dict[str, str]
    try:
        tree = ast.parse(job.blobs[0], child.FILE)
        candidate = _Stub(client, entry)
        module.__dict__["candidate"] = candidate
        client.borrow(module, _free_names(tree), entry, candidate)
        exec(compile(tree, child.FILE, "exec"), module.__dict__)
        check = module.__dict__.get("check")
        if callable(check) and not job.header.get("script"):
            check(candidate)
        said = {"end": "passed"}
    except AssertionError as fault:
        said = {"end": "failed", "detail": _where(fault)}
    except CandidateGone:
        said = {"end": "gone"}
    except CannotCross as fault:
        said = {"end": "cannot", "detail": str(fault)}
    except BaseException as fault:
        said = {"end": "failed", "detail": _where(fault)}
    child.write_all(claims, json.dumps(said).encode() + b"\n")
    child.flush()
    os._exit(0)


def _where(fault: BaseException) -> str:
    line = None
    trace = fault.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == child.FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
    return text[:1000] + (f" (line {line} of the test)" if line is not None else "")


child.MODES.update(serve=_serve, check=_check)
