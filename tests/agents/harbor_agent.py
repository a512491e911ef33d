"""The scripted agent as one of Harbor's: run inside the container that Harbor made.

Named `harbor:harbor_agent:Scripted`, with this folder on the path of Harbor's interpreter.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from harbor.agents.base import BaseAgent

AGENT = Path(__file__).with_name("scripted_agent.py")


class Scripted(BaseAgent):
    """Costs a container and nothing else: no library is loaded in it."""

    @staticmethod
    def name():
        return "scripted"

    def version(self):
        return "1"

    async def setup(self, environment):
        return None

    async def run(self, instruction, environment, context):
        problem = "/tmp/problem.md"
        # The last word is read by nobody but `ps`: it names the trial.
        words = ["python3", AGENT, "plain", problem, "/app", "/tmp/out", "scripted", self.logs_dir]
        done = await environment.exec(
            f"cat > {problem} <<'END'\n{instruction}\nEND\n{shlex.join(map(str, words))}",
            env=self.extra_env,
        )
        if done.return_code:
            raise RuntimeError(f"the scripted agent ended with {done.return_code}: {done.stdout}")
