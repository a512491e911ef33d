"""The less common jobs of a sample's process: tools and programs. `talk` has those of tests.

tool    a trusted function, by import name, on untrusted arguments
exec    a program: an argument list, or an executable in a memory file
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
from typing import Any

from verifiers.sandbox import child, jail, streams, tagged
from verifiers.sandbox.confine import MEBIBYTE, Confinement
from verifiers.sandbox.kernel import Kernel


def _tool(job: child.CellJob, claims: int, rest: list[int], plan: Confinement) -> None:
    """Trusted functions on untrusted arguments; one claim line a call."""
    streams.put(rest[0], rest[1])
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


def _exec(job: child.CellJob, claims: int, rest: list[int], plan: Confinement) -> None:
    """Become a program: `argv`, or the executable in the fourth descriptor."""
    header = {**job.header, "argv": [_seen(word, plan) for word in job.header["argv"]]}
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
            _, most = resource.getrlimit(resource.RLIMIT_STACK)
            resource.setrlimit(resource.RLIMIT_STACK, (_stack(most, plan), most))
            variables = [f"{k}={v}" for k, v in environment.items()]
            Kernel().execute_descriptor(rest[2], header["argv"], variables)
        else:
            os.execvpe(header["argv"][0], header["argv"], environment)
    except OSError as fault:
        os.write(2, f"{header['argv'][0]}: {fault}\n".encode())
        os._exit(127)


def _seen(word: str, plan: Confinement) -> str:
    """A word of a command, with a file of the host's where the jail shows it."""
    moved = jail.inside(word) if plan.own_files() and word.startswith("/") else word
    return moved if os.path.exists(moved) else word


def _stack(most: int, plan: Confinement) -> int:
    """As large as the memory of a sample, which bounds it anyway."""
    wanted = plan.memory_mb * MEBIBYTE
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)


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


child.MODES.update(tool=_tool, exec=_exec)
