"""A server that dies or hangs while a run goes on: it is waited for, and no slot is lost."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.run.conftest import environment
from tests.serving.batching import batching_server

PROBLEMS = 24


def start(folder: Path, url: str, *more: object, provider: str = "vllm") -> subprocess.Popen[str]:
    (folder / "task.jsonl").write_text(
        "".join(
            json.dumps({"id": f"p{i}", "prompt": f"{i} + {i}?", "answer": str(i)}) + "\n"
            for i in range(PROBLEMS)
        )
    )
    options = [
        f"--provider={provider}",
        f"--base-url={url}/v1",
        "--model=batching",
        "--task=task.jsonl",
        "--gpu-hour=1",
        "--budget=50",
        "--n-per-request=4",
        "--display=plain",
        "--name=r",
        *more,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", *map(str, options)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, said


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "runs" / "r" / "run.db")) as db:
        return db.execute(query).fetchall()


def assert_whole(folder: Path, samples: int) -> None:
    """Every slot once, filled by the very draw that its seed stands for."""
    assert rows(folder, "SELECT COUNT(*) FROM samples") == [(PROBLEMS * samples,)]
    stored = rows(
        folder,
        "SELECT samples.text, requests.seed, choice FROM samples JOIN requests"
        " ON samples.request = requests.request WHERE samples.kind = 'ok'",
    )
    for text, seed, choice in stored:
        assert text.startswith(f"seed {seed} choice {choice} ")


@pytest.mark.parametrize("moment", [0.9])
def test_a_killed_server_is_waited_for_and_the_run_completes_by_itself(
    moment: float, tmp_path: Path
) -> None:
    killed_and_restarted(moment, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_ten_moments_drawn_at_random(seed: int, tmp_path: Path) -> None:
    killed_and_restarted(random.Random(seed).uniform(0.0, 3.0), tmp_path)


def killed_and_restarted(moment: float, folder: Path) -> None:
    with batching_server(places=32, step_s=0.005) as server:
        process = start(folder, server.url, "--samples=100")
        try:
            server.wait_for("vllm:generation_tokens_total", 1)
            time.sleep(moment)
            server.kill()
            time.sleep(2.0)
            server.start()
        finally:
            code, said = ended(process)
    assert code == 0, said
    assert "no sample is given up until it is back" in said
    assert_whole(folder, 100)
    assert rows(folder, "SELECT COUNT(*) FROM samples WHERE kind = 'censored'") == [(0,)]
    # One look tells; what was in flight fails once, and nobody runs into the closed door.
    assert rows(folder, "SELECT COUNT(*) FROM failures")[0][0] < 200


@pytest.mark.slow
def test_what_a_death_cut_is_censored_where_no_seed_is_honoured(tmp_path: Path) -> None:
    with batching_server(places=32, step_s=0.005) as server:
        process = start(tmp_path, server.url, "--samples=40", provider="mistral")
        try:
            server.wait_for("vllm:generation_tokens_total", 2000)
            server.kill()
            time.sleep(1.0)
            server.start()
        finally:
            code, said = ended(process)
    assert code == 0, said
    assert rows(tmp_path, "SELECT COUNT(*) FROM samples") == [(PROBLEMS * 40,)]
    censored = rows(tmp_path, "SELECT COUNT(*) FROM samples WHERE kind = 'censored'")[0][0]
    assert 0 < censored < PROBLEMS * 40


def test_after_the_patience_the_run_ends_with_one_sentence_and_can_be_resumed(
    tmp_path: Path,
) -> None:
    with batching_server(places=32, step_s=0.005) as server:
        process = start(tmp_path, server.url, "--samples=60", "--server-patience=2")
        server.wait_for("vllm:generation_tokens_total", 1000)
        server.kill()
        code, said = ended(process)
        assert code == 4, said
        assert "has not been back for 2 s" in said
        assert "--server-patience SECONDS" in said
        assert "could not be filled" not in said
        server.start()
        again = subprocess.run(
            [sys.executable, "-m", "orchestrator", "run", "--resume=runs/r", "--display=none"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert again.returncode == 0, again.stderr
    assert_whole(tmp_path, 60)


@pytest.mark.slow
def test_errors_of_a_server_that_says_it_is_well_are_the_requests_own(tmp_path: Path) -> None:
    """A request that a server always answers with 500 is given up, and the run ends."""
    with batching_server() as server:
        server.control(fail=500)
        process = start(tmp_path, server.url, "--samples=1", "--max-retries=1", "--limit=5")
        code, said = ended(process)
    assert code in (1, 4), said
    assert "cannot be asked" not in said


@pytest.mark.slow
def test_one_arm_waits_and_the_other_goes_on(tmp_path: Path) -> None:
    with batching_server(step_s=0.005) as dying, batching_server(step_s=0.005) as other:
        (tmp_path / "study.toml").write_text(
            '[study]\nbudget = "50"\nname = "r"\nmax_concurrent = "4"\n'
            + "".join(
                f'[[arms]]\nprovider = "vllm"\nmodel = "batching"\ntask = "task.jsonl"\n'
                f'base_url = "{server.url}/v1"\ngpu_hour = "1"\nsamples = {samples}\n'
                for server, samples in ((dying, 40), (other, 40))
            )
        )
        (tmp_path / "task.jsonl").write_text(
            "".join(json.dumps({"id": f"p{i}", "prompt": "?", "answer": "1"}) + "\n"
                    for i in range(PROBLEMS))
        )  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", "study.toml", "--display=plain"],
            cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        try:
            dying.wait_for("vllm:generation_tokens_total", 100)
            dying.kill()
            made = other.metric("vllm:generation_tokens_total")
            other.wait_for("vllm:generation_tokens_total", made + 8000)
            dying.start()
        finally:
            code, said = ended(process)
    assert code == 0, said
    assert rows(tmp_path, "SELECT COUNT(*) FROM samples") == [(2 * PROBLEMS * 40,)]


async def test_a_hang_is_noticed_by_tokens_that_do_not_move(tmp_path: Path) -> None:
    from budgets.limiter import Limiter, Shut
    from orchestrator.engine.outage import Outages
    from providers.known import find
    from providers.registry import make_provider
    from providers.sample import SampleRequest

    class Arm:
        batch = False
        number = 0

    with batching_server(step_s=0.01) as server:
        assert find("vllm") is not None
        arm: Any = Arm()
        arm.provider = make_provider("vllm", base_url=f"{server.url}/v1", environ={})
        arm.limiter = Limiter(concurrency="auto")
        told: list[str] = []
        went: list[str] = []
        outages = Outages(
            [arm], 600.0, lambda _: went.append("aside"), lambda _: went.append("back"),
            lambda _: None, told.append, hangs_s=1.5,
        )  # fmt: skip
        watching = asyncio.create_task(outages.watch())
        await asyncio.to_thread(server.control, stopped=True)
        request = SampleRequest(model="batching", prompt="1", n=4, max_tokens=100, seed=3)
        asking = asyncio.create_task(arm.provider.sample(request))
        await within(lambda: went == ["aside"])
        assert "no token in" in told[0] and "no token in" in outages.sentence()
        with pytest.raises(Shut):
            await arm.limiter.admit(1, 1)
        await asyncio.to_thread(server.control, stopped=False)
        await within(lambda: went == ["aside", "back"])
        assert len((await asking).choices) == 4
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await arm.provider.aclose()


async def within(true: Any, timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


@pytest.mark.slow
def test_auto_does_not_send_its_requests_into_the_timeout(tmp_path: Path) -> None:
    """Without limits of ours, 485 requests of 13 would wait for 32 places until they are cut."""
    for silent in ({}, {"silent": True}):
        folder = tmp_path / str(len(silent))
        folder.mkdir()
        with batching_server(places=32, step_s=0.004, mean_tokens=30, **silent) as server:
            process = start(
                folder, server.url, "--samples=260", "--n-per-request=13", "--timeout-s=4"
            )
            code, said = ended(process)
        assert code == 0, said
        assert rows(folder, "SELECT kind, COUNT(*) FROM samples GROUP BY kind") == [
            ("ok", PROBLEMS * 260)
        ]
