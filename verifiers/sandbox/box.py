"""Sandbox: the asyncio face of the cells, and what can be done in one: run, call, check, tool."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from verifiers.sandbox import attacks, native, tagged
from verifiers.sandbox.cell import bounded, memory_file, read_file
from verifiers.sandbox.cells import Cells
from verifiers.sandbox.child import pack_job
from verifiers.sandbox.claims import cases_before_the_last, read_claims
from verifiers.sandbox.conversation import converse
from verifiers.sandbox.flavour import Flavour, for_source
from verifiers.sandbox.limits import (
    SHARED,
    CallOutcome,
    Limits,
    Outcome,
    default_jobs,
)
from verifiers.sandbox.native import Compiler, Executable

_GRACE_S = 0.5


class Sandbox(Cells):
    """A pool of cells; use it as an async context manager, or call `aclose`.

    `tier` names one (None: the strongest that works here); `jobs` is the number of samples at
    once (default: one per core and one more). `preload` names modules to import beforehand, `warm`
    trusted functions ("module:function", no arguments) to call beforehand, `paths` the directories
    and packages that they need (see `package_paths`), all for samples as for tools.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        tier: str | None = None,
        *,
        jobs: int | None = None,
        preload: Sequence[str] = (),
        warm: Sequence[str] = (),
        paths: Sequence[Path | str] = (),
        python: str | None = None,
        trust: bool = False,
        _without: Sequence[str] = (),
        _landlock_at_most: int = 99,
    ) -> None:
        where = tuple(str(Path(path).resolve()) for path in paths)
        super().__init__(
            limits or Limits(), tier, jobs or default_jobs(),
            Flavour("sample", tuple(preload), tuple(warm), where),
            python, trust, _without, _landlock_at_most,
        )  # fmt: skip
        self._compiler = Compiler(self)

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def leaks(self) -> str:
        """What the attacks that every tier must withstand got through; "" where nothing did."""
        return "; ".join((await attacks.core(self)).leaks)

    async def aclose(self) -> None:
        """End every cell and remove every directory. Safe to call again."""
        await self._compiler.aclose()
        await super().aclose()

    async def program(self, source: str, language: str = "python") -> str | Executable:
        """What `run_many` runs: Python source as it is, C++ compiled. ValueError otherwise."""
        if language == "python":
            return source
        if language != "cpp":
            raise ValueError(f"no samples in {language!r} can be run: use python or cpp")
        await self.start()
        return await self._compiler.compile(source)

    async def collect(
        self, argv: Sequence[str], made: str, stdin: bytes, shown: Sequence[str], limits: Limits
    ) -> Outcome:
        """Run a compiler in a cell; the file that it made comes back as the outcome's claims."""
        execute = native.compiler_paths(argv[0])
        flavour = Flavour("compiler", paths=tuple(shown), execute=execute, limits=limits)
        job = pack_job("exec", {"argv": list(argv), "collect": made}, [])
        return await self._with_streams(flavour, job, stdin, limits)

    async def _run_native(
        self, program: Executable, stdin: bytes, argv: Sequence[str], limits: Limits
    ) -> Outcome:
        if program.failure is not None:
            return replace(program.failure, claims=b"")
        flavour = Flavour("native", execute=native.loader_paths(), limits=self._flavour.limits)
        job = pack_job("exec", {"argv": ["solution", *argv]}, [])
        return await self._with_streams(flavour, job, stdin, limits, program.binary)

    async def run(
        self,
        source: str | bytes,
        *,
        stdin: bytes = b"",
        argv: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> Outcome:
        """Run a Python program once; the outcome holds what it wrote."""
        (outcome,) = await self.run_many(source, [stdin], argv=argv, limits=limits)
        return outcome

    async def run_many(
        self,
        source: str | bytes | Executable,
        inputs: Sequence[bytes],
        *,
        argv: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> list[Outcome]:
        """Run a program over several inputs in ONE process, as far as that is as good as many.

        Returns outcomes of the first one or more inputs. Those that are missing need processes of
        their own: the limits, which all inputs share here, were reached; the program left
        something behind that acts at its end (a thread, an exit handler, an open file); or it
        ended the process.
        """
        limits = limits or self.limits
        if isinstance(source, Executable):
            return [await self._run_native(source, data, argv, limits) for data in inputs]
        if not inputs:
            return []
        job = pack_job("run", {"argv": list(argv)} if argv else {}, [_as_bytes(source)])
        handles = [memory_file(data) if n % 2 == 0 else memory_file()
                   for data in inputs for n in range(2)]  # fmt: skip
        try:
            flavour = self._for_source(source)
            whole = await self._do(flavour, job, handles, limits, handles[1::2])
            if len(inputs) == 1:
                return [whole]
            before, left = cases_before_the_last(whole.claims, len(inputs))
            shared = before > 0 and (left or whole.status in SHARED)
            outcomes = []
            for number in range(before if shared else before + 1):
                stdout = read_file(handles[2 * number + 1], limits.output_mb)
                one = replace(whole, status="ok", detail="") if number < before else whole
                status, detail = bounded(one.status, one.detail, stdout, limits)
                outcomes.append(replace(one, stdout=stdout, status=status, detail=detail))
            return outcomes
        finally:
            for handle in handles:
                os.close(handle)

    async def call(
        self,
        source: str | bytes,
        *,
        entry: str,
        args: Sequence[Sequence[Any]],
        limits: Limits | None = None,
    ) -> list[CallOutcome]:
        """Call a function of the source with each argument list, in one process.

        Values come back as claims, made of exact builtin types. TypeError if an argument is not.
        """
        limits = limits or self.limits
        blobs = [_as_bytes(source), *(tagged.encode(list(a)).encode() for a in args)]
        job = pack_job("call", {"entry": entry}, blobs)
        whole = await self._with_streams(self._for_source(source), job, b"", limits)
        return read_claims(whole, len(args))

    async def check(
        self,
        source: str | bytes,
        *,
        entry: str,
        test: str | bytes,
        limits: Limits | None = None,
    ) -> tuple[Outcome, Outcome]:
        """Run an assert-style test in a cell of its own, against the source in another.

        The test sees `candidate`, a stub that calls `entry` in the other cell, and calls
        `check(candidate)` if it defines `check`. Returns the test's outcome, whose claims are
        one JSON line {"end": passed | failed | gone | cannot, "detail"}, and the source's.
        """
        limits = limits or self.limits
        # A test waits for its candidate, and ends soon after it.
        longer = replace(limits, wall_s=limits.wall_s + _GRACE_S, cpu_s=limits.cpu_s + _GRACE_S)
        serve = pack_job("serve", {"entry": entry}, [_as_bytes(source)])
        check = pack_job("check", {"entry": entry}, [_as_bytes(test)])
        plain = Flavour("test", ("ast",), paths=self._flavour.paths, limits=self._flavour.limits)
        judge = for_source(plain, _as_bytes(test))
        for attempt in range(2):
            async with self._seat() as seat:
                candidate_cell = await self._cell(seat, self._for_source(source))
                test_cell = await self._cell(seat, judge)
                outcomes = await converse(test_cell, check, longer, candidate_cell, serve, limits)
            if attempt or not any(map(_by_others, outcomes)):
                break
        return outcomes

    async def check_inside(
        self,
        source: str | bytes,
        *,
        entry: str,
        test: str | bytes,
        modules: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> Outcome:
        """Run an assert-style test in the same process as the source that it tests.

        For tests that look at what cannot cross between two processes; a source that sets out to
        can forge the outcome. Its claims are those of `check`; `modules` are what the test imports.
        """
        word = secrets.token_hex(16)
        header = {"entry": entry, "word": word, "modules": list(modules)}
        job = pack_job("whole", header, [_as_bytes(source)])
        flavour = self._for_source(_as_bytes(source) + b"\n" + _as_bytes(test))
        if "ast" not in flavour.preload:
            flavour = replace(flavour, preload=(*flavour.preload, "ast"))
        handles = [memory_file(), memory_file(), memory_file(_as_bytes(test))]
        try:
            outcome = await self._do(flavour, job, handles, limits or self.limits)
        finally:
            for handle in handles:
                os.close(handle)
        told = f', "word": "{word}"}}\n'.encode()
        said = outcome.claims.removesuffix(told) + b"}" if outcome.claims.endswith(told) else b""
        return replace(outcome, claims=said)

    async def tool(
        self,
        command: Sequence[str] | None = None,
        *,
        entry: str | None = None,
        source: str | None = None,
        args: Sequence[Sequence[Any]] = ((),),
        project: Path | str | None = None,
        stdin: bytes = b"",
        programs: Sequence[Path | str] = (),
        environment: dict[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Any:
        """Run a trusted helper on untrusted text, as confined as a sample.

        Either `entry="module:function"`, a function found on `paths` (or defined by `source`),
        called with each list of `args`: returns a list of CallOutcome. Or `command`, an argument
        list: returns an Outcome; `programs` are the directories and files it may execute.
        `project` is a directory that it may read, and in which a command starts.
        """
        limits = limits or self.limits
        shown = (os.path.realpath(project),) if project is not None else ()
        if entry is not None:
            flavour = replace(self._flavour, role="tool", paths=(*self._flavour.paths, *shown))
            blobs = [tagged.encode(list(a)).encode() for a in args]
            if source is not None:
                blobs.insert(0, source.encode())
            job = pack_job("tool", {"entry": entry, "source": source is not None}, blobs)
            whole = await self._with_streams(flavour, job, stdin, limits)
            return read_claims(whole, len(args))
        if not command:
            raise ValueError("a tool needs a command or an entry")
        flavour = Flavour("program", (), (), shown, tuple(map(str, programs)), limits)
        header: dict[str, Any] = {"argv": list(command), "environment": environment or {}}
        header["directory"] = shown[0] if shown else None
        return await self._with_streams(flavour, pack_job("exec", header, []), stdin, limits)

    def _for_source(self, source: str | bytes) -> Flavour:
        if self._python is not None:
            return self._flavour  # our own environment's packages may not fit it
        return for_source(self._flavour, _as_bytes(source))

    async def _with_streams(
        self, flavour: Flavour, job: bytes, stdin: bytes, limits: Limits, binary: bytes = b""
    ) -> Outcome:
        handles = [memory_file(stdin), memory_file(), *([memory_file(binary)] if binary else [])]
        try:
            return await self._do(flavour, job, handles, limits)
        finally:
            for handle in handles:
                os.close(handle)

    async def _do(
        self, flavour: Flavour, job: bytes, handles: Sequence[int], limits: Limits,
        written: Sequence[int] = (),
    ) -> Outcome:  # fmt: skip
        """Run a job in a cell of this flavour; what others ended is run once more."""
        if limits != self.limits and _sizes(limits) != _sizes(self.limits):
            flavour = replace(flavour, limits=limits)
        outcome = Outcome("fault")
        async with self._seat() as seat:
            for _ in range(2):
                cell = await self._cell(seat, flavour)
                outcome = await cell.run(job, handles, limits, written)
                if not _by_others(outcome):
                    break
                _rewind(handles, written or handles[1:2])
        return outcome


def _by_others(outcome: Outcome) -> bool:
    """Whether something outside may have ended a sample, or its cell.

    A SIGKILL that the cell did not send comes from the kernel, short of memory, or from a person;
    or else from the sample itself, which then does it again.
    """
    killed = outcome.status == "crashed" and outcome.signal == signal.SIGKILL
    return killed or outcome.status == "fault"


def _rewind(handles: Sequence[int], written: Sequence[int]) -> None:
    """Files of a run as they were before it: it may have read and written some of them."""
    for handle in handles:
        os.lseek(handle, 0, os.SEEK_SET)
    for handle in written:
        os.ftruncate(handle, 0)


def _sizes(limits: Limits) -> tuple[int, ...]:
    return limits.memory_mb, limits.output_mb, limits.processes, limits.disk_mb


def _as_bytes(source: str | bytes) -> bytes:
    return source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
