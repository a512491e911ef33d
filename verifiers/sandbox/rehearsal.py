"""Whole jobs done before any sample, in the zygote, so that samples find everything warm.

What runs for the first time fills caches, binds symbols and rewrites its own instructions, all in
pages that a sample's process would have to copy. So the paths of a program and of calls are gone
over here as often as it takes the interpreter to have nothing left to write.
"""

from __future__ import annotations

import builtins
import os
import sys
from _sitebuiltins import Quitter

from verifiers.sandbox import child, streams

_ROUNDS = 12
"""CPython rewrites a function's instructions within its first dozen or so runs."""

_PROGRAM = b"""
import sys
from typing import List

def f(a: List[int]) -> int:
    return sum(x * x for x in sorted(a))

class C:
    def __init__(self):
        self.a = {1: [2]}

n = int(input())
for line in sys.stdin:
    print(*map(int, line.split()), sep=" ")
try:
    raise ValueError(f"{f([1, 2])} {C().a!r} %d" % 3)
except ValueError as e:
    print(e, n)
sys.stdout.write("3 4\\n")
"""
_SUM = b"print(sum(map(int, input().split())))"
_FAILING = b"def f(a, b):\n    raise ValueError(a)\nf(1, 2)"
_FUNCTION = b"def f(a, b):\n    return [a, b, {'k': (1, 2.5, {4}), 'x': 1 << 70}]"


def rehearse() -> None:
    """Go over a sample's paths, and leave no trace but warmth and fresh streams."""
    kept = [os.dup(handle) for handle in range(3)]
    modules = dict(sys.modules)
    # What the module `site` puts there, which cells do not load.
    builtins.exit, builtins.quit = Quitter("exit", "Ctrl-D"), Quitter("quit", "Ctrl-D")
    for _ in range(_ROUNDS):
        for source, given in ((_PROGRAM, b"3\n4 5\n"), (_SUM, b"3 4\n"), (_FAILING, b"")):
            _perform("run", {}, [source], given)
        _perform("call", {"entry": "f"}, [_FUNCTION, b'[1,"x"]', b"[2,[3]]"], b"")
    for handle, one in enumerate(kept):
        os.dup2(one, handle)
        os.close(one)
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    sys.modules.update(modules)
    child.preload_names()
    streams.prepare()


def _perform(mode: str, header: dict[str, str], blobs: list[bytes], given: bytes) -> None:
    """One job as a sample's process does it, but for its end."""
    job, stdin = _file(child.pack_job(mode, header, blobs)), _file(given)
    claims, stdout, errors = _file(b""), _file(b""), _file(b"")
    streams.prepare()
    os.dup2(errors, 2)
    os.close(errors)
    work = child.CellJob(job)
    if mode == "run":
        child.run_cases(work, claims, [stdin, stdout])
    else:
        child.answer_calls(work, claims, [stdin, stdout])
    streams.flush()
    os.close(job)
    os.close(claims)


def _file(content: bytes) -> int:
    handle = os.memfd_create("rehearsal", os.MFD_CLOEXEC)
    os.pwrite(handle, content, 0)
    return handle
