"""What a sample's process does between the fork and its end: run a program, answer calls, or test.

Everything here runs beside untrusted code and can be undone by it, so nothing here is believed:
what it writes are claims, which the parent compares with what only the parent knows. The job is
one line with the mode and the sizes of the blobs, one line of JSON (often empty), then the blobs:
the source first, as a rule. Every page that a sample's process touches has to be copied, and that
is most of what judging a small program costs: hence streams made before the fork, a header that
needs no parser, and nothing tidied that ends with the process anyway.
"""

from __future__ import annotations

import _thread
import _weakref
import atexit
import builtins
import gc
import json
import os
import re
import resource
import sys
import traceback
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType
from typing import Any

from verifiers.sandbox import streams, tagged
from verifiers.sandbox.confine import Confinement

ENVIRONMENT = {
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
FILE = "/tmp/solution.py"
_MEMORY_EXIT = 97


class CellJob:
    """A parsed job: `mode`, `header` and the blobs, in order."""

    def __init__(self, handle: int) -> None:
        raw = os.pread(handle, os.fstat(handle).st_size, 0)
        sizes, extras, rest = raw.split(b"\n", 2)
        mode, *numbers = sizes.split()
        self.mode = mode.decode()
        self.header: dict[str, Any] = json.loads(extras) if extras else {}
        self.blobs: list[bytes] = []
        position = 0
        for size in map(int, numbers):
            self.blobs.append(rest[position : position + size])
            position += size


def pack_job(mode: str, header: dict[str, Any], blobs: Sequence[bytes]) -> bytes:
    """A job as `CellJob` reads it."""
    sizes = " ".join([mode, *(str(len(blob)) for blob in blobs)])
    extras = json.dumps(header) if header else ""
    return f"{sizes}\n{extras}\n".encode() + b"".join(blobs)


def main(handles: list[int], cpu_s: float, plan: Confinement) -> None:
    """Do the job behind `handles` (job, claims, errors, then more by mode) and end the process."""
    if cpu_s:
        seconds = int(cpu_s) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    job = CellJob(handles[0])
    os.close(handles[0])
    claims, errors, rest = handles[1], handles[2], handles[3:]
    os.dup2(errors, 2)
    os.close(errors)
    if job.mode == "run":
        finish(run_cases(job, claims, rest), job.blobs[0])
    elif job.mode == "call":
        answer_calls(job, claims, rest)
        os._exit(0)
    else:
        MODES[job.mode](job, claims, rest, plan)


MODES: dict[str, Callable[[CellJob, int, list[int], Confinement], None]] = {}
"""The less common modes, put here by `modes`."""


def new_module(name: str) -> ModuleType:
    """A fresh module for untrusted source, registered as classes and pickles expect it."""
    module = ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    module.__dict__["__file__"] = FILE
    sys.modules[name] = module
    return module


def compile_source(source: bytes) -> CodeType:
    """Untrusted source as code, under the name that tracebacks show. Raises SyntaxError."""
    if b"\0" in source:
        # Python before 3.11.4 calls this a ValueError.
        raise SyntaxError("source code string cannot contain null bytes")
    code: CodeType = compile(source, FILE, "exec", dont_inherit=True)
    return code


def execute(source: bytes | CodeType, module: ModuleType) -> int:
    """Run source as a program does; the exit status it asks for."""
    try:
        code = compile_source(source) if isinstance(source, bytes) else source
        exec(code, module.__dict__)
        return 0
    except SystemExit as end:
        return _status(end)
    except BaseException as fault:
        return report(fault)


def _status(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    try:
        sys.stderr.write(f"{end.code}\n")
    except Exception:
        pass  # its own __str__ failed; the status says enough
    return 1


def report(fault: BaseException) -> int:
    """Write the traceback as Python would; the exit status that goes with it."""
    if isinstance(fault, MemoryError):
        os.write(2, b"MemoryError\n")
        return _MEMORY_EXIT
    try:
        if isinstance(sys.stdout, streams.Text):
            sys.stdout.flush()
        trace = fault.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        lines = traceback.format_exception(type(fault), fault, trace, limit=-20)
        os.write(2, "".join(lines).encode("utf-8", "backslashreplace")[-20000:])
    except MemoryError:
        return _MEMORY_EXIT
    except BaseException:
        os.write(2, b"an exception that cannot be shown\n")
    return 1


def finish(status: int, source: bytes | None = None) -> None:
    """End as an interpreter does: wait for threads, run exit handlers, flush; never returns.

    With the `source` of a program its objects are destroyed too, where that could write something.
    """
    try:
        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        atexit = sys.modules.get("atexit")
        if atexit is not None:
            atexit._run_exitfuncs()
        if source is not None and WRITES_AT_ITS_END.search(source):
            streams.flush()
            _destroy("__main__")
    except BaseException as fault:
        status = status or report(fault)
    if not streams.flush():
        status = status or 1
    os._exit(status)


def _destroy(name: str) -> None:
    """Drop a module as the interpreter does at its end: files that it left open are flushed.

    Its objects go by themselves once nothing holds it, or else name by name.
    """
    module = _weakref.ref(sys.modules.pop(name))
    gc.collect()
    if (held := module()) is not None:
        for key in sorted(vars(held), key=lambda key: not (key[:1] == "_" and key[:2] != "__")):
            if key != "__builtins__":
                vars(held)[key] = None
        gc.collect()


def run_cases(job: CellJob, claims: int, rest: list[int]) -> int:
    """A program over one or more inputs; the exit status of the last that was begun.

    It is not begun on another input once it did not end well, or left something behind that would
    write or act later. One claim for every input before the last begun, then what was left behind.
    """
    owner = os.getpid()
    source: Any = job.blobs[0]
    cases = len(rest) // 2
    sys.argv = [FILE, *job.header.get("argv", [])]
    prepare_for(source)
    if cases > 1:
        handlers, names = atexit._ncallbacks(), dict(vars(builtins))
        try:
            source = compile_source(job.blobs[0])
        except BaseException as fault:
            return report(fault)
    for case in range(cases):
        streams.put(rest[2 * case], rest[2 * case + 1])
        status = execute(source, new_module("__main__"))
        if os.getpid() != owner or case == cases - 1 or status != 0:
            return status
        if left := _left_behind(job.blobs[0], handlers, names):
            os.write(claims, b'{"left":"%s"}\n' % left)
            return status
        if not streams.flush():
            return 1
        os.write(claims, b'{"case":%d}\n' % case)
    return 0


WRITES_AT_ITS_END = re.compile(
    rb"\bopen\((?!0\b)|\bfdopen\(|\bTextIOWrapper\b|\bBufferedWriter\b|\bFileIO\b|__del__|\bfinalize\b"
)
"""In a program's text: objects that may write when they are destroyed."""


def _left_behind(source: bytes, handlers: int, names: dict[str, Any]) -> bytes:
    """What a program left that its end would deal with, and the next input's run must not meet."""
    if _thread._count():
        return b"a live thread"
    if atexit._ncallbacks() != handlers:
        return b"an exit handler"
    if WRITES_AT_ITS_END.search(source):
        return b"an open file"
    if vars(builtins) != names:
        return b"changed builtins"
    sys.setrecursionlimit(_RECURSION)
    return b""


_RECURSION = sys.getrecursionlimit()


def prepare_for(source: bytes) -> None:
    """Offer what only some programs need, seen by their text."""
    if b"/dev/" in source or b"/proc/self/fd" in source:
        streams.open_by_path()
    if b"stack_size" in source:
        _bound_thread_stacks()


def _bound_thread_stacks() -> None:
    """Let programs ask for thread stacks larger than their address space, and get smaller ones.

    A stack is reserved whole; what a program touches of it counts as its memory in any case.
    """
    real = _thread.stack_size
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    most = space // 4 & ~0xFFFF if space != resource.RLIM_INFINITY else sys.maxsize

    def stack_size(size: int = 0, /) -> int:
        return real(min(size, most))

    _thread.stack_size = stack_size
    if "threading" in sys.modules:
        sys.modules["threading"].stack_size = stack_size  # type: ignore[attr-defined]


def resolve(module: ModuleType, entry: str) -> Any:
    """The callable that `entry` names: f, Class.method (on a new instance), or a dotted path."""
    target: Any = module.__dict__
    found: Any = None
    for position, name in enumerate(entry.replace("()", "").split(".")):
        found = target[name] if position == 0 else getattr(target, name)
        target = found() if isinstance(found, type) and "." in entry else found
    return found


def answer_calls(job: CellJob, claims: int, rest: list[int]) -> None:
    """A function over several argument lists; one claim line a call, in order.

    Ends the process where the source or a call leaves nothing to go on with.
    """
    owner = os.getpid()
    streams.put(rest[0], rest[1])
    prepare_for(job.blobs[0])
    module = new_module("solution")
    if PRELOADED:
        module.__dict__["__builtins__"] = PRELOADED
    sys.argv = [FILE]
    status = execute(job.blobs[0], module)
    if status or os.getpid() != owner:
        finish(status)
    for number, line in enumerate(job.blobs[1:]):
        function = _resolved(module, job.header["entry"])
        arguments = tagged.decode(line)
        answer = one_call(function, arguments)
        if os.getpid() != owner:
            finish(0)
        streams.flush()
        write_all(claims, f'{{"n":{number},{answer}}}\n'.encode())


def _resolved(module: ModuleType, entry: str) -> Any:
    """The callable of a call, of an instance of its own; ends the process where there is none."""
    try:
        return resolve(module, entry)
    except (KeyError, AttributeError):
        os.write(2, f"there is no {entry} in the source\n".encode())
        os._exit(1)
    except BaseException as fault:
        os._exit(report(fault))


PRELOADED: dict[str, Any] = {}
"""The builtins and what contest sites import beforehand; made by `preload_names`, in the zygote."""


def preload_names() -> None:
    """Fill PRELOADED: the usual modules, and the names of those that are imported whole."""
    for name in ("typing", "collections", "heapq", "bisect", "itertools", "functools", "math"):
        module = sys.modules[name]
        public = getattr(module, "__all__", None) or [n for n in vars(module) if n[0] != "_"]
        PRELOADED.update((n, getattr(module, n)) for n in public)
    for name in (*_SITE_MODULES, "sys", "os"):
        PRELOADED[name] = sys.modules[name]
    PRELOADED.update(vars(builtins))


_SITE_MODULES = (
    "typing", "collections", "heapq", "bisect", "itertools", "functools", "math", "re", "operator",
    "copy", "random", "string",
)  # fmt: skip


def one_call(
    function: Any,
    arguments: list[Any],
    keywords: dict[str, Any] | None = None,
    foreign: tagged.Foreign | None = None,
) -> str:
    """The claim of one call, as the inside of a JSON object: v a value, x an exception."""
    try:
        return f'"v":{tagged.encode(function(*arguments, **(keywords or {})), foreign)}'
    except MemoryError:
        return '"x":["","MemoryError"]'
    except (Exception, SystemExit, KeyboardInterrupt) as fault:
        return f'"x":{json.dumps(describe(fault))}'


def describe(fault: BaseException) -> list[str]:
    """The names of an exception's classes up to the first builtin one, then its message."""
    names = [c.__name__ for c in type(fault).__mro__ if c not in (object, BaseException)]
    try:
        message = str(fault)[:2000]
    except Exception:
        message = "(its message cannot be shown)"
    return [message, *names][:8] if names else [message, type(fault).__name__]


def write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def empty_directory(path: str) -> None:
    """Remove everything below `path`, however deep, following no link; OSError where it cannot.

    What a directory holds is moved up before the directory is removed, so that no path gets long.
    """
    moved = 0
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(100_000):
            names = os.listdir(top)
            if not names:
                return
            for name in names:
                moved = _remove(top, name, moved)
        raise OSError("a directory that does not become empty")
    finally:
        os.close(top)


def _remove(top: int, name: str, moved: int) -> int:
    try:
        os.unlink(name, dir_fd=top)
        return moved
    except (IsADirectoryError, PermissionError):
        pass
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        inner = os.open(name, flags, dir_fd=top)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=top)
        inner = os.open(name, flags, dir_fd=top)
    try:
        os.fchmod(inner, 0o700)
        for below in os.listdir(inner):
            try:
                os.unlink(below, dir_fd=inner)
            except (IsADirectoryError, PermissionError):
                moved += 1
                os.rename(below, f".moved-{moved}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
    return moved


def forget_ourselves() -> None:
    """Take our modules out of sight, so that imports of a sample or a tool find only their own."""
    for name in [n for n in sys.modules if n == "verifiers" or n.startswith("verifiers.")]:
        del sys.modules[name]
