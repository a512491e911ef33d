"""`orch serve --launch`: a fleet held for several runs, found by its model."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

from providers.fleet import holds
from providers.fleet.offer import find_offer
from tests.fleet.test_fleet_runs import ORCH, PLAN, ROOT, asked, orch, samples, whole
from tests.forks import Forked

QUESTION = b"Use them instead of launching more?"


def on_a_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """orch on a terminal of its own, where its question gets an answer; what the screen showed."""
    ours, theirs = pty.openpty()
    process = Forked(
        [*ORCH, *arguments], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown, answered = b"", False
    # A terminal whose last writer is gone reads as an error.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            shown += piece
            if not answered and QUESTION in shown:
                answered = True
                os.write(ours, f"{answer}\n".encode())
    os.close(ours)
    return process.wait(120), shown.decode(errors="replace")


def test_runs_find_a_held_fleet_and_it_ends_with_its_holder(tmp_path: Path) -> None:
    holder = Forked(
        ["orchestrator", "serve", "--launch", "2"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        line = json.loads(holder.stdout.readline())
        assert line["event"] == "holding" and line["model"] == "orch-tiny"
        offer = find_offer("orch-tiny")
        assert offer is not None and oct(offer.path.stat().st_mode)[-3:] == "600"
        assert find_offer("another model") is None
        done = orch("run", "--provider", "local", "--model", "orch-tiny", *PLAN,
                    "--samples", "200", "--out", str(tmp_path), "--name", "run")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert sorted(samples(tmp_path / "run")) == whole(6, 200)
        assert len(holds.still_held()) == 2, "they go on for the next run"
        launching = ["run", "--provider", "local", "--model", "orch-tiny", *PLAN, "--launch", "1",
                     "--samples", "40", "--out", str(tmp_path), "--name", "other"]  # fmt: skip
        told = orch(*launching, "--dry-run")
        assert "--use-held uses them instead" in told.stderr
        done = orch(*launching, "--use-held")
        assert done.returncode == 0, done.stderr
        held = find_offer("orch-tiny")
        assert held is not None
        hosts = {f"{url.host}:{url.port}" for url in held.urls}
        assert set(asked(tmp_path / "other")) <= hosts
        for answer, uses in (("y", True), ("n", False)):
            launching[-1] = f"answered-{answer}"
            code, said = on_a_terminal(answer, *launching)
            assert code == 0, said
            assert said.count(QUESTION.decode()) == 1
            assert (set(asked(tmp_path / launching[-1])) <= hosts) is uses
        again = orch("serve", "--launch", "1")
        assert again.returncode == 2 and "holds orch-tiny already" in again.stderr
        holder.send_signal(signal.SIGINT)
        assert holder.wait(150) == 0
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    until = time.monotonic() + 150
    while holds.still_held():
        assert time.monotonic() < until
        time.sleep(0.1)
    assert find_offer("orch-tiny") is None
    key = "key"
    assert not [path for path in Path(os.environ["XDG_STATE_HOME"]).rglob("*.json")
                if f'"{key}"' in path.read_text()]  # fmt: skip
