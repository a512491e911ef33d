"""An assert-style test and the candidate that it tests, each in a cell of its own.

    serve   the candidate's side, here: answers over a pipe
    check   the test's side, in `asking`: `candidate` is a stub that asks the first

Frames are lines of tagged JSON. Plain values cross as copies; what a call changed in them is
changed on the test's side too. What is not plain stays where it is and crosses as a number: the
candidate's objects (tag o, iterators g) and the test's functions (tag u), which the candidate can
call. Of an object the test can read and set attributes, call methods, take length, text, truth and
items: all of them values that the test compares itself. What would let the candidate judge (an
object's own equality, order or arithmetic) does not cross.
"""

from __future__ import annotations

import json
import operator
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from verifiers.sandbox import child, streams, tagged
from verifiers.sandbox.confine import Confinement

MUTABLE = (list, dict, set, bytearray, deque)


class Lines:
    """Lines over two descriptors. EOFError once the other side has ended."""

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


def containers(value: Any) -> list[Any]:
    """The containers in a value that a call could change, outermost first; both sides agree."""
    found: list[Any] = []
    wanted = [value]
    while wanted:
        one = wanted.pop()
        if isinstance(one, MUTABLE):
            found.append(one)
        if isinstance(one, list | tuple | deque):
            wanted += reversed(one)
        elif isinstance(one, dict):
            wanted += reversed(one.values())
    return found


def _several(iterator: Iterator[Any], most: int) -> list[Any]:
    """Up to so many items: each in a list of its own, so that fewer say that there are no more."""
    items: list[Any] = []
    for item in iterator:
        items.append(item)
        if len(items) == most:
            break
    return items


OPERATIONS: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "set": setattr,
    "len": len,
    "str": str,
    "repr": repr,
    "bool": bool,
    "iter": iter,
    "next": _several,
    "item": operator.getitem,
    "put": operator.setitem,
    "del": operator.delitem,
}
"""What a test may do with an object beside calling it."""


class _Server:
    """The candidate's side. Everything here can be undone by the candidate."""

    def __init__(self, lines: Lines, module: Any) -> None:
        self.lines, self.module, self.owner = lines, module, os.getpid()
        self.objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def serve(self) -> None:
        try:
            while True:
                self._answer(json.loads(self.lines.receive()))
        except (EOFError, BrokenPipeError):
            os._exit(0)  # the test has ended

    def _answer(self, request: dict[str, Any]) -> None:
        answer = self._look_up(request)
        if os.getpid() != self.owner:
            os._exit(0)
        streams.flush()
        self.lines.send(answer)

    def _look_up(self, request: dict[str, Any]) -> str:
        if "names" in request:
            names = [n for n in request["names"] if n in self.module.__dict__]
            return json.dumps({n: _describe_name(self.module.__dict__[n]) for n in names})
        arguments = tagged.from_json(request["a"], self._local)
        keywords = tagged.from_json(request["k"], self._local)
        held = containers([arguments, keywords])
        before = [list(c.items()) if isinstance(c, dict) else list(c) for c in held]
        try:
            if "op" in request:
                function: Any = OPERATIONS[request["op"]]
                arguments = [self.objects[request["o"]], *arguments]
            elif "o" in request:
                function = self.objects[request["o"]]
            else:
                function = child.resolve(self.module, request["entry"])
        except (KeyError, AttributeError):
            there = request.get("entry", "such object")
            return json.dumps({"x": [f"there is no {there} in the source", "NameError"]})
        except Exception as fault:
            return f'{{"x":{json.dumps(child.describe(fault))}}}'
        claim = self._call(function, arguments, keywords)
        try:
            changed = [self._change(held, n, before[n]) for n in range(len(held))]
        except (tagged.NotPlain, ValueError, RecursionError):
            return f"{{{claim}}}"
        told = ",".join(one for one in changed if one)
        return f'{{{claim},"after":[{told}]}}' if told else f"{{{claim}}}"

    def _call(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> str:
        """The claim of a call; an exception comes with its arguments where they are plain."""
        try:
            return f'"v":{tagged.encode(function(*arguments, **keywords), self._foreign)}'
        except MemoryError:
            return '"x":["","MemoryError"]'
        except (Exception, SystemExit, KeyboardInterrupt) as fault:
            claim = f'"x":{json.dumps(child.describe(fault))}'
            try:
                return f'{claim},"args":{tagged.encode(list(fault.args))}'
            except (tagged.NotPlain, ValueError, RecursionError, AttributeError, TypeError):
                return claim

    def _change(self, held: list[Any], number: int, before: list[Any]) -> str:
        """What became of one container, containers of the arguments by their number; "" if same."""
        now = held[number]
        items = list(now.items()) if isinstance(now, dict) else list(now)
        if isinstance(now, dict):
            same = [(id(k), id(v)) for k, v in items] == [(id(k), id(v)) for k, v in before]
        else:
            same = list(map(id, items)) == list(map(id, before))
        if same:
            return ""
        by_id = {id(one): n for n, one in enumerate(held)}

        def form(value: Any) -> Any:
            if id(value) in by_id:
                return {"m": by_id[id(value)]}
            if type(value) is tuple:
                return {"t": [form(item) for item in value]}
            return tagged.to_json(value, self._foreign)

        if isinstance(now, dict):
            return json.dumps([number, [[tagged.to_json(k), form(v)] for k, v in items]])
        return json.dumps([number, [form(item) for item in items]])

    def _foreign(self, value: Any) -> Any:
        number = self._numbers.setdefault(id(value), len(self.objects))
        if number == len(self.objects):
            self.objects.append(value)  # which also keeps its id its own
        return {"g" if isinstance(value, Iterator) else "o": number}

    def _local(self, tag: str, body: Any) -> Any:
        if tag in ("o", "g"):
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
                raise exception(answer["x"], {}, answer.get("args"))
            if "v" in answer:
                return tagged.from_json(answer["v"], self._local)
            self._answer(answer)


def _serve(job: child.CellJob, claims: int, rest: list[int], plan: Confinement) -> None:
    owner = os.getpid()
    lines = Lines(rest[2], rest[3])
    streams.put(rest[0], rest[1])
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


def exception(
    names: list[str], known: dict[str, type[BaseException]], arguments: Any = None
) -> BaseException:
    """An exception of the named classes: message, its own class's name, then its bases' names.

    With the arguments that it was made with where the other side told them.
    """
    import builtins

    message, first = str(names[0]), str(names[1])
    made_with = tagged.from_json(arguments) if arguments is not None else [message]
    for name in map(str, names[1:]):
        kind = known.get(name) or getattr(builtins, name, None)
        if kind is SystemExit or (isinstance(kind, type) and issubclass(kind, Exception)):
            if first != name:
                kind = type(first, (kind,), {"__init__": Exception.__init__})
            try:
                made: BaseException = kind(*made_with)
            except TypeError:
                return RuntimeError(message)
            if str(made) != message and message != "(its message cannot be shown)":
                kind = type(first, (kind,), {"__str__": lambda self: message})
                made = kind(*made_with)
            return made
    return Exception(message)


child.MODES.update(serve=_serve)
