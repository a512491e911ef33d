"""Runs trials of Harbor for orch, in an interpreter that has Harbor: JSON lines in and out.

    in    {"op": "run", "id": 1, "task": PATH, "name": ..., "agent": ..., "model": ...,
           "base_url": ..., "key": ..., "time_s": ..., "trials": DIR, "workdir": "/app",
           or "" for a task that collects its own patch.diff, "verify": whether Harbor judges,
           "environment": "podman", "kwargs": {...}, "mounts": [...], "programs": PATH or "",
           "env": {...}, "usual": the environment of an agent that takes no base URL}
          {"op": "cancel", "id": 1}
    out   {"ready": VERSION} once Harbor is loaded, then {"beat": N} every few seconds
          {"id": 1, "ended": true, "trial": NAME, "exception": TYPE or "", "message": ...,
           "phase": "agent" or "verifier" where it came in one of them, "rewards": {...} or null,
           "fresh": whether they come from a container that the agent never touched,
           "tree": PATH or "", "patch": PATH or ""}

Nothing of orch is imported here, and Harbor only here. Its retries, costs and scores are not used:
one line is one trial, the agent's key is the one given, and the verifier is off where orch judges
the work tree that comes back. On SIGTERM and at the end of the input every trial is cancelled,
through Harbor's own way, which removes its containers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEY = "ORCH_GATEWAY_KEY"
OVERLAY = Path(__file__).with_name("harbor_overlay.yaml")
PHASES = {"agent": "_run_agent_phase", "verifier": "_run_verifier"}
"""The functions of Harbor's in which agents and tests run: their exceptions have names of every
kind."""
BEAT_S = 5.0
STUCK_S = 600.0
"""A loop that does nothing for so long is taken for hung: no beat is sent any more."""
CLEANING_S = 60.0
OUT = 100
"""The descriptor of the lines to orch."""
SAYING = threading.Lock()


def say(**words: Any) -> None:
    """One line to orch."""
    with SAYING:
        os.write(OUT, json.dumps(words).encode() + b"\n")


async def run_trial(asked: dict[str, Any]) -> None:
    """One trial from its start to its end."""
    from harbor.models.task.config import ArtifactConfig
    from harbor.models.task.verifier_mode import VerifierEnvironmentMode, resolve_task_verifier_mode
    from harbor.models.trial.config import (
        EnvironmentConfig,
        TaskConfig,
        TrialConfig,
        VerifierConfig,
    )
    from harbor.trial.hooks import TrialEvent
    from harbor.trial.trial import Trial

    exception = message = phase = ""
    rewards, fresh = None, False
    try:
        config = TrialConfig(
            task=TaskConfig(path=Path(asked["task"])),
            trial_name=asked["name"],
            trials_dir=Path(asked["trials"]),
            agent=agent_of(asked),
            environment=EnvironmentConfig(
                type=asked["environment"],
                mounts=asked.get("mounts") or None,
                delete=True,
                extra_docker_compose=[OVERLAY],
            ),
            verifier=VerifierConfig(disable=not asked["verify"]),
            artifacts=[
                ArtifactConfig(source=place, destination="tree", exclude=[".git"])
                for place in [asked["workdir"]]
                if place
            ],
        )
        trial = await Trial.create(config)
        if asked.get("programs"):
            trial.add_hook(TrialEvent.AGENT_START, lambda _: put_before_path(trial, asked))
        mode = resolve_task_verifier_mode(trial.task.config)
        fresh = mode == VerifierEnvironmentMode.SEPARATE
        result = await trial.run()
        if result.exception_info is not None:
            exception = result.exception_info.exception_type
            message = result.exception_info.exception_message[:2000]
            trace = result.exception_info.exception_traceback
            phase = next((name for name, where in PHASES.items() if where in trace), "")
        if result.verifier_result is not None:
            rewards = result.verifier_result.rewards
    except asyncio.CancelledError:
        exception, message = "Cancelled", "the trial was cancelled"
    except Exception as error:
        exception, message = type(error).__name__, str(error)[:2000]
    left = Path(asked["trials"]) / asked["name"] / "artifacts"
    tree, patch = left / "tree", left / "patch.diff"
    say(id=asked["id"], ended=True, trial=asked["name"], exception=exception, message=message,
        phase=phase, rewards=rewards, fresh=fresh, tree=str(tree) if tree.is_dir() else "",
        patch=str(patch) if patch.is_file() else "")  # fmt: skip


def agent_of(asked: dict[str, Any]) -> Any:
    """The agent, told where the gateway is: in Harbor's own way, or by the usual variables where
    it takes no address, as agents of people's own may not."""
    from harbor.agents.factory import AgentFactory
    from harbor.models.trial.config import AgentConfig

    given = {
        "name": asked["agent"],
        "model_name": asked["model"],
        "override_timeout_sec": asked["time_s"],
        "kwargs": asked.get("kwargs", {}),
    }
    own = asked.get("env", {})
    if AgentFactory.get_agent_class_from_config(AgentConfig(**given)).MODEL_CONNECTION is None:
        # Without an address nothing rests on what the model's name means, which takes seconds to
        # find out.
        return AgentConfig(**given, skip_model_parsing=True, env={**asked["usual"], **own})
    address = {"base_url": asked["base_url"], "model_api_key_name": KEY}
    return AgentConfig(**given, **address, env={KEY: asked["key"], **own})


async def put_before_path(trial: Any, asked: dict[str, Any]) -> None:
    """Where the agent's programs lie comes before the image's own path, not in its place."""
    done = await trial.agent_environment.exec("printenv PATH")
    trial.agent._extra_env["PATH"] = f"{asked['programs']}:{(done.stdout or '').strip()}"


async def main() -> None:
    os.environ.setdefault("HARBOR_TELEMETRY", "0")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    loop = asyncio.get_running_loop()
    trials: dict[int, asyncio.Task[None]] = {}
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    reader = asyncio.StreamReader(limit=2**22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def listen() -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["op"] == "run":
                trials[asked["id"]] = asyncio.create_task(run_trial(asked))
            elif asked["id"] in trials:
                trials[asked["id"]].cancel()
        stop.set()

    ticked = [time.monotonic()]

    async def tick() -> None:
        while True:
            ticked[0] = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def beat() -> None:
        """From a thread: what Harbor loads with its first trial holds the loop for a minute."""
        number = 0
        while time.monotonic() - ticked[0] < STUCK_S:
            say(beat=number)
            number += 1
            time.sleep(BEAT_S)

    # Loaded before the first beat: it takes seconds in which nothing else runs.
    import harbor.trial.trial  # noqa: F401

    say(ready=version("harbor"))
    threading.Thread(target=beat, daemon=True).start()
    tasks = [asyncio.create_task(listen()), asyncio.create_task(tick())]
    await stop.wait()
    for trial in trials.values():
        trial.cancel()
    await asyncio.wait([*trials.values(), asyncio.create_task(asyncio.sleep(0))],
                       timeout=CLEANING_S)  # fmt: skip
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    # Harbor prints, and so does what it starts: the lines of this conversation must stay alone.
    os.dup2(1, OUT, inheritable=False)
    os.dup2(2, 1)
    asyncio.run(main())
