"""What a cell shows beside the interpreter, and the plan by which it confines itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from verifiers.sandbox import layout
from verifiers.sandbox.confine import CONTAINERS, Confinement
from verifiers.sandbox.kernel import machine
from verifiers.sandbox.limits import Limits
from verifiers.sandbox.policy import CellForm, compile_filter
from verifiers.sandbox.staging import staged

_SCIENTIFIC = re.compile(rb"\b(numpy|scipy|pandas|sympy)\b")
_PRELOAD = (
    "typing", "collections", "re", "math", "heapq", "bisect", "itertools", "functools",
    "operator", "copy", "random", "string", "atexit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flavour:
    """What a cell shows beside the interpreter. Equal flavours share warm cells."""

    role: str = "sample"
    """Cells of different roles never share a process: the test's and the sample's, for one."""
    preload: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    limits: Limits | None = None


def for_source(own: Flavour, source: bytes) -> Flavour:
    """The flavour that a Python source needs: with numpy and its kin where it names them."""
    names = {m.decode() for m in _SCIENTIFIC.findall(source)}
    if not names:
        return own
    paths, preload = layout.scientific(tuple(sorted(names)))
    return replace(
        own,
        preload=tuple(dict.fromkeys((*own.preload, *preload))),
        paths=tuple(dict.fromkeys((*own.paths, *paths))),
    )


def shows_a_jail(tier: str, layers: tuple[str, ...]) -> bool:
    """Whether the cell has a file tree of its own, with its scratch directory on /tmp."""
    return tier in ("bubblewrap", *CONTAINERS) or (tier == "namespaces" and "mounts" in layers)


def make_plan(
    flavour: Flavour,
    tier: str,
    layers: tuple[str, ...],
    python: layout.Layout,
    limits: Limits,
    uid: int | None,
    scratch: str,
    landlock_at_most: int = 99,
) -> Confinement:
    """The plan of a new cell. SandboxFault where a library cannot be put within its reach."""
    paths = flavour.paths
    moved: tuple[str, ...] = ()
    if uid is not None and not shows_a_jail(tier, layers):
        python, moved = python.moved()
        paths = tuple(staged(path, library=False) for path in paths)
    limits = flavour.limits or limits
    roots = layout.import_roots(paths)
    plan = Confinement(
        tier=tier,
        layers=layers,
        uid=uid,
        bind=python.bind,
        hide=python.hide,
        extra=paths,
        read=(*python.read, *paths),
        names=(*python.names, *roots),
        execute=flavour.execute,
        scratch=scratch,
        moved=moved,
        python_path=roots,
        preload=(*_PRELOAD, *flavour.preload),
        warm=flavour.warm,
        memory_mb=limits.memory_mb,
        output_mb=limits.output_mb,
        disk_mb=limits.disk_mb,
        processes=limits.processes,
        landlock_at_most=landlock_at_most,
        process_allowance=_allowance(tier, uid),
        filter="",
    )
    form = CellForm(
        host_files=not plan.own_files(),
        programs=bool(flavour.execute),
        nests=tier != "namespaces",
    )
    return plan._replace(filter=compile_filter(machine(), form).hex())


def _allowance(tier: str, uid: int | None) -> int:
    """Tasks of the cell's uid, as the kernel counts them, that are not the sample's."""
    if uid is not None or tier == "namespaces":
        return 2  # keeper and zygote
    if tier == "bubblewrap":
        return 4  # and bubblewrap's own
    if tier in CONTAINERS:
        return 100_000  # all of them share one uid; the engine's own limit counts exactly
    return _tasks_of_this_user() + 1024  # the parent's watch counts exactly; this only bounds it


def _tasks_of_this_user() -> int:
    me, count = os.getuid(), 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == me:
                    count += len(list((entry / "task").iterdir()))
            except OSError:
                continue  # it ended meanwhile
    return count
