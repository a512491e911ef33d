"""Runs the real pipeline over recorded outcomes: a server per model, and a study that buys there.

Everything between the schedule and the report is what a live run uses: the engine, HTTP over
loopback, the ledger, the judge, the store. Only the models are replays (providers/replay.py), in
processes of their own. A recorded attempt stands for a whole agent's trajectory, so one request
buys one attempt, and its prompt is as long as the trajectory's prompt tokens: what is billed
stays within what the ledger reserved for that text.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from rich.console import Console

from budgets.price import Price
from orchestrator.errors import RunFault

RIGHT, WRONG = "resolved", "not resolved"
START_S = 30.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """One model to replay: its outcomes by problem, and its bill per attempt."""

    name: str
    right: Sequence[int]
    """Successes of each problem out of `recorded`."""
    recorded: int
    attempts: int
    prompt_tokens: int
    output_tokens: int
    price: Price


def write_inputs(models: Sequence[Replayed], folder: Path, seed: int) -> list[Path]:
    """The recording, the task and the prices of each model in `folder`; the recordings' paths.

    Problems are shuffled (seeded): which problem has which outcomes was not published, so
    nothing may follow from their order, nor from pairing one model's with another's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, model in enumerate(models):
        right = list(model.right)
        random.Random(f"{seed}/{model.name}").shuffle(right)
        path = folder / f"recording-{number}.jsonl"
        with path.open("w") as recording, (folder / f"model-{number}.jsonl").open("w") as task:
            for problem, c in enumerate(right):
                asked = {"id": f"model-{number}-{problem:03d}", "prompt": _prompt(model, problem)}
                bill = {"prompt_tokens": model.prompt_tokens, "output_tokens": model.output_tokens}
                counts = {"n": model.recorded, "c": c, "right": RIGHT, "wrong": WRONG}
                recording.write(json.dumps({**asked, **counts, **bill}) + "\n")
                task.write(json.dumps({**asked, "answer": RIGHT}) + "\n")
        paths.append(path)
    (folder / "prices.toml").write_text(_prices(models))
    return paths


def _prompt(model: Replayed, problem: int) -> str:
    """A text whose longest tokenisation holds the trajectory's prompt tokens."""
    return f"{model.name}, problem {problem:03d}: ".ljust(model.prompt_tokens, ".")


def _prices(models: Sequence[Replayed]) -> str:
    tables = {}
    for model in models:
        rates = model.price.to_dict()["bands"][0]["rates"]
        tables[model.name] = {
            "provider": "compatible",
            "input": rates["input"],
            "output": rates["output"],
            "source": model.price.source,
        }
    return tomli_w.dumps({"models": tables})


@contextlib.contextmanager
def serving(
    models: Sequence[Replayed], recordings: Sequence[Path], seed: int
) -> Iterator[list[str]]:
    """The base URL of a replay server for each model, for as long as they are needed."""
    servers: list[subprocess.Popen[str]] = []
    try:
        for model, recording in zip(models, recordings, strict=True):
            command = [sys.executable, "-m", "providers.replay", str(recording)]
            command += ["--model", model.name, "--seed", str(seed)]
            servers.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
                )
            )
        yield [_address(server) for server in servers]
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.communicate()


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    ready, _, _ = select.select([server.stdout], [], [], START_S)
    line = server.stdout.readline().strip() if ready else ""
    if not line:
        raise RunFault("A replay server did not start; its own message stands above.")
    return line


async def run_replay(
    models: Sequence[Replayed], urls: Sequence[str], folder: Path, directory: Path, seed: int
) -> None:
    """Buy, judge and store every attempt of a study over the replayed models in `directory`.

    Raises OrchError where the run does not come to its end.
    """
    from orchestrator.plan.prepare import prepare
    from orchestrator.plan.study import make_study
    from orchestrator.plan.typed import Typed
    from orchestrator.session.opening import refuse_used
    from orchestrator.session.session import RunOptions, run_session

    refuse_used(directory)
    arms = [
        {
            "provider": "compatible", "model": model.name, "base_url": url,
            "task": str(folder / f"model-{number}.jsonl"), "samples": model.attempts,
            "n_per_request": 1, "prompt_style": "completion",
            "max_tokens": model.output_tokens, "verifier": "exact",
        }
        for number, (model, url) in enumerate(zip(models, urls, strict=True))
    ]  # fmt: skip
    study = make_study(
        {
            "study": {
                "name": directory.name, "seed": seed, "prices": str(folder / "prices.toml"),
                "max_concurrent": "32",
            },
            "arms": arms,
        },
        "the reproduction's study",
    )  # fmt: skip
    prepared = await prepare(study, Typed(prices=study.prices))
    quiet = Console(file=io.StringIO())
    ending = await run_session(prepared, RunOptions(directory, False, "none", quiet))
    if ending.exit_code:
        raise RunFault("The replay did not come to its end: " + " ".join(ending.reasons))
