"""The scripted model's server as a process, with its bill in a file.

    python tests/agents/model_process.py --bill bill.jsonl --seed 1

It knows a folder of tasks, the bundled ones if not told: to a call that holds an instruction of
theirs it answers with their solution, or, as the seed says, with a wrong patch or none. Every
request is a line on the bill before anything is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tests.gateway.model_server import Line, ModelServer  # noqa: E402

TASKS = ROOT / "examples" / "agent_tasks"
WRONG = "--- a/notes.txt\n+++ b/notes.txt\n@@ -0,0 +1 @@\n+I looked at it.\n"


class BilledServer(ModelServer):
    """Keeps its bill on disk as well."""

    path: Path

    def billed(self, line: Line) -> None:
        row = {
            "number": line.number, "prompt": line.prompt_tokens, "output": line.output_tokens,
            "pico": line.pico if line.billed else 0, "body": line.body,
        }  # fmt: skip
        with self.path.open("ab") as file:
            os.write(file.fileno(), json.dumps(row).encode() + b"\n")


class Player:
    """A model that knows half of everything: of ten attempts five are right, three are wrong and
    two give up, in an order that the seed says."""

    def __init__(self, seed: int, tasks: Path = TASKS) -> None:
        self._seed = seed
        self._begun = 0
        self._known = [
            ((folder / "instruction.md").read_text().splitlines()[0],
             (folder / "solution" / "patch.diff").read_text())
            for folder in sorted(tasks.iterdir())
        ]  # fmt: skip

    def __call__(self, body: dict[str, Any]) -> dict[str, Any] | None:
        text = json.dumps(body, ensure_ascii=False)
        for title, right in self._known:
            if json.dumps(title, ensure_ascii=False)[1:-1] not in text:
                continue
            turn = [one for one in body.get("messages", ()) if one.get("role") == "tool"]
            if turn:
                return with_tool("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", len(turn))
            said = self._drawn(right)
            if body.get("tools"):
                return with_tool(applying(said))
            return {"content": typed(said) if "task_complete" in text else said}
        return None

    def _drawn(self, right: str) -> str:
        ten = [right] * 5 + [WRONG] * 3 + ["I do not know."] * 2
        random.Random(f"{self._seed} {self._begun // 10}").shuffle(ten)
        self._begun += 1
        return ten[(self._begun - 1) % 10]


def applying(said: str) -> str:
    """What does in a shell what was said: a patch is applied."""
    return f"git apply -p1 <<'END'\n{said}END\n" if said.startswith("---") else "ls\n"


def typed(said: str) -> str:
    """The same as what is typed into a terminal, in the words of Harbor's terminus-2."""
    commands = [{"keystrokes": applying(said), "duration": 0.5}]
    return json.dumps(
        {"analysis": "I see.", "plan": "Do it.", "commands": commands, "task_complete": True}
    )


def with_tool(command: str, turn: int = 0) -> dict[str, Any]:
    """A call of the agent's `bash`; in the turn after it the agent is told to submit."""
    call = {"name": "bash", "arguments": json.dumps({"command": command})}
    return {
        "content": "Let me see.",
        "tool_calls": [{"id": f"call_{turn}", "type": "function", "function": call}],
    }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bill", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", default="")
    parser.add_argument("--tasks", type=Path, default=TASKS)
    given = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    play = Player(given.seed, given.tasks)
    server = BilledServer(seed=given.seed, say=lambda body, _: play(body))
    server.path = given.bill
    server.faults = [fault for fault in given.faults.split(",") if fault]
    given.bill.touch()
    async with server:
        print(server.url, flush=True)
        await stop.wait()


def bill(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextlib.contextmanager
def model_process(
    path: Path, *, seed: int = 0, faults: str = "", tasks: Path = TASKS
) -> Iterator[str]:
    """The server in a process of its own; yields its address without /v1."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--bill", str(path), "--seed", str(seed), "--faults", faults,
         "--tasks", str(tasks)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=120)
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    asyncio.run(main())
