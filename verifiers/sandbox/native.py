"""C++ samples: compiled inside a cell, kept by the hash of their source, run in another cell.

The compiler reads untrusted text (`#include "/etc/..."`, `.incbin`), so it sees only its own
files. <bits/stdc++.h> is compiled once per compiler into the user's cache, inside a cell as well,
and shown read-only to later compilations: that is most of a small program's compile time.

As contest sites do: optimised, ONLINE_JUDGE defined, and a stack as large as the memory. They let
people choose the language's level, which a text does not tell: a source that does not compile by
one is tried by the others.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from verifiers.sandbox.limits import Limits, Outcome, SandboxFault

FLAGS = ("-O2", "-DONLINE_JUDGE", "-w", "-fmax-errors=5")
LEVELS = ("gnu++17", "gnu++20", "gnu++14")
_COMPILING = Limits(wall_s=30, cpu_s=30, memory_mb=1024, output_mb=128, processes=32, disk_mb=256)
_KEPT = 64
_HEADER = "bits/stdc++.h"


@dataclass(frozen=True, slots=True)
class Executable:
    """An executable, or why there is none (`failure`: what the compiler said)."""

    binary: bytes = b""
    failure: Outcome | None = None


class Collects(Protocol):
    """A sandbox, as far as a compiler needs it."""

    async def collect(
        self, argv: Sequence[str], made: str, stdin: bytes, shown: Sequence[str], limits: Limits
    ) -> Outcome:
        """Run a program in a cell; the file that it made comes back as the outcome's claims."""
        ...


class Compiler:
    """Compiles for one sandbox; equal sources are compiled once."""

    def __init__(self, box: Collects) -> None:
        self._box = box
        self._programs: OrderedDict[str, asyncio.Task[Executable]] = OrderedDict()
        self._headers: dict[str, asyncio.Task[str | None]] = {}

    async def compile(self, source: str) -> Executable:
        """The program of a source. SandboxFault where there is no compiler, or it found no end."""
        key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self._programs:
            self._programs[key] = asyncio.create_task(self._compile(source))
            while len(self._programs) > _KEPT:
                self._programs.popitem(last=False)
        try:
            return await asyncio.shield(self._programs[key])
        except SandboxFault:
            self._programs.pop(key, None)  # to be tried again when it is next asked for
            raise

    async def aclose(self) -> None:
        tasks = [*self._programs.values(), *self._headers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._programs.clear()
        self._headers.clear()

    async def _compile(self, source: str) -> Executable:
        compiler = find_compiler()
        first: Outcome | None = None
        for level in LEVELS:
            outcome = await self._compile_by(compiler, level, source)
            if outcome.status == "ok" and outcome.claims:
                return Executable(outcome.claims)
            if outcome.status not in ("ok", "error"):
                raise SandboxFault(f"the compiler did not come to an end: {outcome.detail}")
            first = first or outcome
        return Executable(failure=first)

    async def _compile_by(self, compiler: str, level: str, source: str) -> Outcome:
        if level not in self._headers:
            self._headers[level] = asyncio.create_task(self._precompiled(compiler, level))
        headers = await asyncio.shield(self._headers[level])
        argv = [compiler, *FLAGS, f"-std={level}", *([f"-I{headers}"] if headers else [])]
        argv += ["-x", "c++", "-", "-o", "a.out"]
        data = source.encode("utf-8", "surrogatepass")
        shown = (headers,) if headers else ()
        return await self._box.collect(argv, "a.out", data, shown, _COMPILING)

    async def _precompiled(self, compiler: str, level: str) -> str | None:
        """The directory of the precompiled header, made if need be; None where it cannot be."""
        held = Path(compiler).resolve().stat()
        mark = f"{compiler} {held.st_mtime_ns} {held.st_size} {' '.join(FLAGS)} {level}"
        name = "headers-" + hashlib.sha256(mark.encode()).hexdigest()[:20]
        cache = _cache_directory() / name
        made = cache / f"{_HEADER}.gch"
        if made.exists():
            return str(cache)
        argv = [compiler, *FLAGS, f"-std={level}", "-x", "c++-header", "-", "-o", "header.gch"]
        outcome = await self._box.collect(
            argv, "header.gch", f"#include <{_HEADER}>\n".encode(), (), _COMPILING
        )
        if outcome.status != "ok" or not outcome.claims:
            return None
        made.parent.mkdir(parents=True, exist_ok=True)
        cache.chmod(0o755)
        made.parent.chmod(0o755)
        with tempfile.NamedTemporaryFile(dir=made.parent, delete=False) as work:
            work.write(outcome.claims)
        Path(work.name).chmod(0o644)
        Path(work.name).rename(made)
        return str(cache)


def find_compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        raise SandboxFault("C++ samples need g++: install it (apt-get install g++)")
    return found


def compiler_paths(compiler: str) -> tuple[str, ...]:
    """What the compiler may read and execute."""
    real = str(Path(compiler).resolve())
    tops = ["/usr"] if real.startswith("/usr/") else ["/usr", str(Path(real).parents[1])]
    return tuple(p for p in (*tops, "/lib", "/lib64", "/bin") if Path(p).exists())


def loader_paths() -> tuple[str, ...]:
    """The dynamic loader: the one file that a compiled sample executes beside itself."""
    names = (
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux-aarch64.so.1",
        "/lib/ld-musl-x86_64.so.1",
    )
    return tuple(str(Path(name).resolve()) for name in names if Path(name).exists())


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    for place in (
        Path(base) if base else None,
        Path.home() / ".cache",
        Path(tempfile.gettempdir()),
    ):
        if place is not None and os.access(place if place.exists() else place.parent, os.W_OK):
            return place / f"orch-{os.getuid()}"
    return Path(tempfile.gettempdir()) / f"orch-{os.getuid()}"
