"""What Harbor's trials leave on a machine, found by name and taken away.

A runner and all that it starts carry a mark in their environment; a trial's containers, networks
and images carry the trial's name, which begins with the arm's prefix. So whatever died, the next
start finds all of it. Processes go first: one of them may be about to start a container.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable

from providers.fleet import processes

_ASKING_S = 120.0


def sweep(engine: str, prefix: str, mark: str) -> None:
    """End and remove everything under the mark and the prefix."""
    processes.end(lambda: _without_monitors(processes.marked(mark)), 0.0)
    for container in _asked(engine, "ps", "--all", "--quiet", "--filter", f"name={prefix}"):
        # Podman's `rm --force` alone gives a container ten seconds to heed a signal.
        _asked(engine, "kill", container)
        _asked(engine, "rm", "--force", "--volumes", container)
    for network in _asked(engine, "network", "ls", "--quiet", "--filter", f"name={prefix}"):
        _asked(engine, "network", "rm", network)
    for image in _asked(engine, "images", "--format", "{{.Repository}}:{{.Tag}}"):
        if prefix in image:
            _asked(engine, "rmi", image)


def containers(engine: str, *filters: str) -> list[str]:
    """The running containers that every filter selects."""
    words = [word for one in filters for word in ("--filter", one)]
    return _asked(engine, "ps", "--quiet", *words)


def end_marked(mark: str) -> None:
    """End every process under the mark at once."""
    processes.tell(_without_monitors(processes.marked(mark)), signal.SIGKILL)


def _without_monitors(found: Iterable[processes.Process]) -> list[processes.Process]:
    """Without the engine's own monitor of each container, which ends when that is removed."""
    return [one for one in found if _name(one) != "conmon"]


def _name(process: processes.Process) -> str:
    try:
        return (processes.PROC / str(process.pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _asked(engine: str, *words: str) -> list[str]:
    """The words of an engine's answer; none where it gives none."""
    try:
        done = subprocess.run(
            [engine, *words], capture_output=True, text=True, check=False, timeout=_ASKING_S
        )
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.split()
