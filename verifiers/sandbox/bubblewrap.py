"""The command line that makes bubblewrap build a cell's jail; the cell confines itself inside.

As root bubblewrap keeps the right to change uid, so that the cell can become its slot's uid; as a
plain user it makes a user namespace. The cell's keeper is PID 1 of the jail.
"""

from __future__ import annotations

import os
from pathlib import Path

from verifiers.sandbox.confine import MEBIBYTE, READABLE_DEVICES, Confinement
from verifiers.sandbox.jail import inside

CODE = Path(__file__).resolve().parents[1]


def command(plan: Confinement, python: str) -> list[str]:
    """bwrap and its options, to be followed by the interpreter's command line."""
    words = ["bwrap", "--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "cell"]
    words += ["--unshare-uts", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    words += ["--unshare-cgroup-try", "--clearenv", "--setenv", "PYTHONHASHSEED", "0"]
    words += ["--setenv", "LANG", "C.UTF-8", "--cap-drop", "ALL"]
    if plan.uid is None:
        words += ["--unshare-user"]
    else:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    words += ["--perms", "0777", "--size", str(plan.disk_mb * MEBIBYTE), "--tmpfs", "/tmp"]
    words += ["--proc", "/proc", "--dir", "/dev", "--symlink", "/tmp", "/dev/shm"]
    for device in ("/dev/null", *READABLE_DEVICES):
        words += ["--dev-bind-try", device, device]
    executable = os.path.realpath(python)
    links = dict.fromkeys(p for p in plan.bind if Path(p).is_symlink())
    shown = [*plan.bind, *plan.execute, *plan.extra, str(CODE), executable]
    parents = {str(parent) for path in shown for parent in Path(inside(path)).parents}
    for parent in sorted(parents - {"/", *links}):
        if not any(parent == p or parent.startswith(p + "/") for p in (*links, *plan.bind)):
            words += ["--perms", "0755", "--dir", parent]
    for link in links:
        words += ["--symlink", str(Path(link).readlink()), link]
    for path in dict.fromkeys((*plan.bind, *plan.execute)):
        if path not in links:
            words += ["--ro-bind-try", path, inside(path)]
    for path in plan.hide:
        words += ["--tmpfs", inside(path)]
    for path in (*plan.extra, str(CODE), executable):
        words += ["--ro-bind-try", path, inside(path)]
    return [*words, "--remount-ro", "/", "--chdir", "/", "--"]


def seen_from_inside(plan: Confinement) -> Confinement:
    """The plan with every path as it is in the jail."""
    return plan._replace(
        read=tuple(map(inside, plan.read)),
        names=tuple(map(inside, plan.names)),
        execute=tuple(map(inside, plan.execute)),
        python_path=tuple(map(inside, plan.python_path)),
    )
