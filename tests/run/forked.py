"""Many commands in little time: one interpreter that has imported orch, and a fork for each.

    python -m tests.run.forked < CASES > ENDS

A line of CASES is {"words", "env", "folder"}: a command line, more environment, an empty folder to
run in. Arguments and values may hold lone surrogates, which stand for bytes that are no UTF-8. A
line of ENDS is {"code", "said"}: the exit code (None: still there after PATIENCE_S) and what it
wrote to standard output and error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback

import click

from orchestrator.cli import Commands, main, orch

PATIENCE_S = float(os.environ.get("ORCH_PATIENCE_S", "60"))
"""Of the wall; what runs on is asked for what it said, and ended."""


def all_commands() -> dict[str, click.Command]:
    """Every command by its words, `budget show` too."""
    found: dict[str, click.Command] = {}

    def look(words: list[str], command: click.Command) -> None:
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                one = command.get_command(click.Context(command), name)
                assert one is not None
                look([*words, name], one)
        else:
            found[" ".join(words)] = command

    assert isinstance(orch, Commands)
    look([], orch)
    return found


def _run(case: dict[str, object]) -> dict[str, object]:
    words, env, folder = case["words"], case["env"], case["folder"]
    assert isinstance(words, list) and isinstance(env, dict) and isinstance(folder, str)
    out = os.memfd_create("said")
    pid = os.fork()
    if pid == 0:
        os.setsid()
        code = 98
        try:
            code = _child(words, env, folder, out)
        finally:
            os._exit(code)
    until, status = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        status = None
        time.sleep(0.005)
        if any(mark in os.pread(out, 65536, 0) for mark in (b"http://127.0.0.1",)):
            break  # It serves.
    if status is None:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    text = os.pread(out, 65536, 0).decode("utf-8", "replace")
    os.close(out)
    return {"code": None if status is None else os.waitstatus_to_exitcode(status), "said": text}


def _child(words: list[str], env: dict[str, str], folder: str, out: int) -> int:
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, handle in ((0, null), (1, out), (2, out)):
        os.dup2(handle, number)
    os.environ.update(env)
    sys.argv = ["orch", *words]
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 99
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    all_commands()
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)
