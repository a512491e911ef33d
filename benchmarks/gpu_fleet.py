"""The parts of benchmarks/gpu_fleet.sh: a model without weights, and the comparison.

    python -m benchmarks.gpu_fleet model --shape 1b --to DIR
    python -m benchmarks.gpu_fleet compare --shape 1b --model DIR --work DIR

The plain loop asks the very same requests (prompts, n, seeds) with a fixed number in flight, which
it is given beforehand: the most that is any good. They take turns, orch first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.plan.fleet import own_provider
from providers.fleet.offer import find_offer
from providers.sample import SampleRequest, Sending
from providers.tiny.weights import BUNDLED

ROOT = Path(__file__).resolve().parents[1]
TURNS = 2
LEAST = 0.97

SHAPES: dict[str, dict[str, int]] = {
    # hidden, layers, heads, key-value heads, intermediate; as Llama 3.2 1B and 3.1 8B have them.
    "1b": {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "intermediate_size": 8192},
    "8b": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "intermediate_size": 14336},
}  # fmt: skip
CPU = "--enforce-eager --dtype float32 --block-size 32 --max-num-seqs 64"
PLANS = {
    "bundled": (20, 1600, 16, 24),
    "tiny": (20, 128, 16, 24),
    "1b": (60, 128, 32, 256),
    "8b": (40, 128, 32, 256),
}
"""Problems, samples, n per request, max_tokens."""
IN_FLIGHT = {"bundled": 8, "tiny": 8, "1b": 16, "8b": 16}
"""Requests that the plain loop has in flight for each server."""


def write_model(shape: str, to: Path) -> None:
    """The bundled model, or a configuration of another shape with its tokenizer."""
    shutil.copytree(BUNDLED, to)
    if shape == "tiny":
        return
    (to / "model.safetensors").unlink()
    config = json.loads((to / "config.json").read_text())
    config |= SHAPES[shape] | {"max_position_embeddings": 4096, "torch_dtype": "bfloat16"}
    config["head_dim"] = config["hidden_size"] // config["num_attention_heads"]
    (to / "config.json").write_text(json.dumps(config))


def plain_requests(model: str, shape: str) -> Iterator[SampleRequest]:
    problems, samples, n, tokens = PLANS[shape]
    for slot in range(0, samples, n):
        for problem in range(problems):
            yield SampleRequest(
                model, prompt=f"{problem}+{problem}=", n=n, max_tokens=tokens, temperature=1.0,
                seed=problem * 1000 + slot, sending=Sending(),
            )  # fmt: skip


async def plainly(model: str, shape: str) -> float:
    """Tokens a second of a plain loop."""
    offer = find_offer(model)
    assert offer is not None, "nobody holds the servers"
    providers = [own_provider(url, key, model, 600.0) for url, key in offer.urls.items()]
    room = asyncio.Semaphore(IN_FLIGHT[shape] * len(providers))
    tokens = 0

    async def ask(request: SampleRequest, number: int) -> None:
        nonlocal tokens
        response = await providers[number % len(providers)].sample(request)
        tokens += 0 if response.usage is None else response.usage.output_tokens
        room.release()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(plain_requests(model, shape)):
            await room.acquire()
            group.create_task(ask(request, number))
    took_s = time.perf_counter() - began
    for provider in providers:
        await provider.aclose()
    return tokens / took_s


def by_orch(model: str, shape: str, work: Path, turn: int) -> float:
    """Tokens a second of a whole run, from its first request to its last answer."""
    problems, samples, n, tokens = PLANS[shape]
    task = work / "task.jsonl"
    rows = [{"id": str(i), "prompt": f"{i}+{i}=", "answer": "1"} for i in range(problems)]
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", "--provider", "local", "--model", model,
         "--task", str(task), "--samples", str(samples), "--n-per-request", str(n),
         "--max-tokens", str(tokens), "--temperature", "1", "--gpu-hour", "0", "--display", "none",
         "--prompt-style", "completion", "--out", str(work), "--name", f"run{turn}"],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with closing(sqlite3.connect(work / f"run{turn}" / "run.db")) as database:
        made, began, end = database.execute(
            "SELECT sum(output_tokens), min(sent_at), max(sent_at + latency_s) FROM answers"
        ).fetchone()
    return float(made / (end - began))


@contextmanager
def watched() -> Iterator[list[float]]:
    """The GPUs' use in percent, twice a second, where there are any."""
    seen: list[float] = []
    stop = threading.Event()

    def look() -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while shutil.which("nvidia-smi") and not stop.wait(0.5):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            seen.extend(float(word) for word in done.stdout.split() if word.isdecimal())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def compare(model: str, shape: str, work: Path) -> int:
    ratios = []
    for turn in range(TURNS):
        with watched() as use:
            ours = by_orch(model, shape, work, turn)
        with watched() as theirs_use:
            plain = asyncio.run(plainly(model, shape))
        ratios.append(ours / plain)
        used = [f", GPUs {statistics.mean(one):.0f} %" if one else "" for one in (use, theirs_use)]
        print(f"orch {ours:,.0f} tokens/s{used[0]}; plain loop {plain:,.0f}{used[1]}; "
              f"ratio {ratios[-1]:.3f}", flush=True)  # fmt: skip
    best = statistics.median(ratios)
    print(f"median ratio {best:.3f} (at least {LEAST} is asked)")
    return 0 if best >= LEAST else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["model", "arguments", "compare"])
    parser.add_argument("--shape", choices=list(PLANS), default="1b")
    parser.add_argument("--to", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if given.what == "model":
        write_model(given.shape, given.to)
    elif given.what == "arguments":
        print(CPU if given.shape == "tiny" else "--load-format dummy --max-model-len 2048")
    else:
        sys.exit(compare(given.model, given.shape, given.work))


if __name__ == "__main__":
    main()
