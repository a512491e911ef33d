"""The standard streams of a sample's process: made before the fork, put in place for each input."""

from __future__ import annotations

import builtins
import io
import os
import sys
from typing import Any

Text = io.TextIOWrapper


def put(stdin: int, stdout: int) -> None:
    """Put two descriptors in the place of standard input and output, and make Python's streams."""
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.close(stdin)
    os.close(stdout)
    if _FRESH:
        _FRESH.clear()
        return
    make()


_FRESH: list[bool] = []
"""Not empty while the streams on descriptors 0 to 2 have not been used yet."""


def prepare() -> None:
    """Make the streams beforehand that the next `put` would have to make."""
    make()
    _FRESH[:] = [True]


def make() -> None:
    """Make Python's three streams anew."""
    module: Any = sys
    module.stdin = module.__stdin__ = _text(0, "r")
    module.stdout = module.__stdout__ = _text(1, "w")
    module.stderr = module.__stderr__ = _text(2, "w", "backslashreplace", True)


def _text(handle: int, mode: str, errors: str = "surrogateescape", lines: bool = False) -> Any:
    """A stream as the interpreter makes it at its start, its name and its mode included."""
    raw: Any = io.FileIO(handle, mode, closefd=False)
    raw.name = ("<stdin>", "<stdout>", "<stderr>")[handle]
    buffered: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    made: Any = io.TextIOWrapper(buffered, encoding="utf-8", errors=errors, line_buffering=lines)
    made.mode = mode
    return made


def flush() -> bool:
    """Flush the program's streams; False where its output could not be written."""
    try:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__):
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        return True
    except BaseException:
        return False


def open_by_path() -> None:
    """Let programs open /dev/stdin and its like: a cell shows no such files."""
    real = io.open
    handles = {f"/dev/{name}": n for n, name in enumerate(("stdin", "stdout", "stderr"))}
    handles |= {f"/dev/fd/{n}": n for n in range(3)} | {f"/proc/self/fd/{n}": n for n in range(3)}

    def open(file: Any, *arguments: Any, **keywords: Any) -> Any:
        handle = handles.get(os.fspath(file)) if not isinstance(file, int) else None
        if handle is None:
            return real(file, *arguments, **keywords)
        return real(os.dup(handle), *arguments, **keywords)

    builtins.open = io.open = open
