"""The less common jobs of a sample's process: serving a test, being the test, tools, programs.

    serve   the candidate's side of an assert-style test: answers calls over a pipe
    check   the test's side, in another cell: `candidate` is a stub that asks the first
    tool    a trusted function, by import name, on untrusted arguments
    exec    a program: an argument list, or an executable in a memory file

Frames between serve and check are lines of tagged JSON. The test's side believes only values.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from verifiers.sandbox import child, tagged
from verifiers.sandbox.confine import Plan
from verifiers.sandbox.kernel import Kernel

if TYPE_CHECKING:
    import ast


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


def _serve(job: child.Job, claims: int, rest: list[int], plan: Plan) -> None:
    owner = os.getpid()
    lines = _Lines(rest[2], rest[3])
    child.set_streams(rest[0], rest[1])
    module = child.new_module("solution")
    sys.argv = [child.FILE]
    status = child.execute(job.blobs[0], module)
    if status or os.getpid() != owner:
        child.finish(status)
    while True:
        try:
            request = json.loads(lines.receive())
        except EOFError:
            os._exit(0)
        answer = _answer(module, request)
        if os.getpid() != owner:
            os._exit(0)
        child.flush()
        lines.send(answer)


def _answer(module: Any, request: dict[str, Any]) -> str:
    if "names" in request:
        kinds = {}
        for name in request["names"]:
            if name in module.__dict__:
                kinds[name] = _describe_name(module.__dict__[name])
        return json.dumps(kinds)
    try:
        function = child.resolve(module, request["entry"])
    except (KeyError, AttributeError):
        return json.dumps({"x": [f"there is no {request['entry']} in the source", "NameError"]})
    arguments = tagged.from_json(request["a"])
    keywords = tagged.from_json(request["k"])
    claim = child.one_call(function, arguments, keywords)
    after = [a if isinstance(a, list | dict | set | bytearray) else None for a in arguments]
    try:
        return f'{{{claim},"after":{tagged.encode(after)}}}'
    except (tagged.NotPlain, ValueError, RecursionError):
        return f"{{{claim}}}"


def _describe_name(value: Any) -> Any:
    if callable(value):
        return {"call": isinstance(value, type) and issubclass(value, BaseException)}
    try:
        return {"value": tagged.to_json(value)}
    except (tagged.NotPlain, ValueError, RecursionError):
        return {}


class _Stub:
    """Stands for a function of the candidate's process."""

    def __init__(self, lines: _Lines, entry: str) -> None:
        self._lines, self._entry = lines, entry
        self.__name__ = entry

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            packed = tagged.encode(list(arguments)), tagged.encode(keywords)
        except tagged.NotPlain as fault:
            raise CannotCross(f"the test passes {self._entry} {fault}") from None
        entry = json.dumps(self._entry)
        try:
            self._lines.send(f'{{"entry":{entry},"a":{packed[0]},"k":{packed[1]}}}')
            answer = json.loads(self._lines.receive())
        except (EOFError, OSError, ValueError, RecursionError):
            raise CandidateGone from None
        if not isinstance(answer, dict) or ("v" in answer) == ("x" in answer):
            raise CandidateGone
        try:
            _copy_back(arguments, tagged.from_json(answer.get("after", [])))
            if "v" in answer:
                return tagged.from_json(answer["v"])
            raise _exception(answer["x"])
        except (TypeError, KeyError, IndexError, AttributeError, RecursionError) as fault:
            if "v" in answer:
                raise CandidateGone from fault
            raise


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


def _exception(names: list[str]) -> BaseException:
    message = str(names[0])
    for name in map(str, names[1:]):
        kind = getattr(builtins, name, None)
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

    lines = _Lines(rest[2], rest[3])
    child.set_streams(rest[0], rest[1])
    module = child.new_module("test")
    entry = job.header["entry"]
    said: dict[str, str]
    try:
        tree = ast.parse(job.blobs[0], child.FILE)
        candidate = _Stub(lines, entry)
        module.__dict__["candidate"] = candidate
        _borrow(module, lines, _free_names(tree), entry, candidate)
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


def _borrow(module: Any, lines: _Lines, names: list[str], entry: str, candidate: _Stub) -> None:
    """Give the test stubs or copies of the names that it takes from the candidate's source."""
    wanted = [n for n in names if n not in (entry, "candidate")]
    for name in [n for n in wanted if n in sys.stdlib_module_names]:
        # A test may count on the source's imports; a module is never taken from the candidate.
        module.__dict__[name] = importlib.import_module(name)
        wanted.remove(name)
    if entry in names:
        module.__dict__[entry] = candidate
    if not wanted:
        return
    try:
        lines.send(json.dumps({"names": wanted}))
        kinds = json.loads(lines.receive())
        for name in wanted:
            kind = kinds.get(name)
            if kind and "call" in kind:
                module.__dict__[name] = _Stub(lines, name)
            elif kind and "value" in kind:
                module.__dict__[name] = tagged.from_json(kind["value"])
    except (EOFError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CandidateGone from None


def _where(fault: BaseException) -> str:
    line = None
    trace = fault.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == child.FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
    return text[:1000] + (f" (line {line} of the test)" if line is not None else "")


def _tool(job: child.Job, claims: int, rest: list[int], plan: Plan) -> None:
    """Trusted functions on untrusted arguments; one claim line a call."""
    child.set_streams(rest[0], rest[1])
    module_name, _, entry = job.header["entry"].partition(":")
    if len(job.blobs) and job.header.get("source"):
        module: Any = child.new_module(module_name)
        exec(compile(job.blobs[0], module_name, "exec"), module.__dict__)
        calls = job.blobs[1:]
    else:
        module = importlib.import_module(module_name)
        calls = job.blobs
    function = child.resolve(module, entry)
    for number, line in enumerate(calls):
        answer = child.one_call(function, tagged.decode(line))
        child.write_all(claims, f'{{"n":{number},{answer}}}\n'.encode())
    child.finish(0)


def _exec(job: child.Job, claims: int, rest: list[int], plan: Plan) -> None:
    """Become a program: `argv`, or the executable in the fourth descriptor."""
    header = job.header
    for handle in (claims, *rest):
        os.set_inheritable(handle, False)
    os.dup2(rest[0], 0)
    os.dup2(rest[1], 1)
    environment = {**child.ENVIRONMENT, "HOME": plan.scratch, "TMPDIR": plan.scratch}
    environment.update(header.get("environment", {}))
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if header.get("directory"):
        os.chdir(header["directory"])
    try:
        if header.get("collect"):
            _collect(header, claims, environment)
        elif len(rest) > 2:
            variables = [f"{k}={v}" for k, v in environment.items()]
            Kernel().execute_descriptor(rest[2], header["argv"], variables)
        else:
            os.execvpe(header["argv"][0], header["argv"], environment)
    except OSError as fault:
        os.write(2, f"{header['argv'][0]}: {fault}\n".encode())
        os._exit(127)


def _collect(header: dict[str, Any], claims: int, environment: dict[str, str]) -> None:
    """Run `argv` as a child, then copy the file it made into the claims; ends the process."""
    pid = os.fork()
    if pid == 0:
        try:
            os.execvpe(header["argv"][0], header["argv"], environment)
        finally:
            os._exit(127)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        with open(header["collect"], "rb") as made:
            while block := made.read(1 << 20):
                child.write_all(claims, block)
    os._exit(status if status >= 0 else 128 - status)


child.MODES.update(serve=_serve, check=_check, tool=_tool, exec=_exec)
