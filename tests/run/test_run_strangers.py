"""Files of strangers: whatever they hold, reading them ends, with what they say or one sentence.

ORCH_FUZZ says how many mutated files each kind is tried with (docs/reliability.md).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets.price_file import PriceFileError, parse_gpu_hours, parse_prices, read_file
from budgets.profile import Profile, ProfileError
from orchestrator.audit.bill import read_export
from orchestrator.cli.environment import load_dotenv
from orchestrator.cli.run import build_study
from orchestrator.errors import ConfigError
from orchestrator.report.compute import read_shape
from orchestrator.reproduce.foreign import harbor, human_eval, jsonl, lm_eval, swebench
from orchestrator.reproduce.recorded import OutcomesError, read_counts, read_json
from orchestrator.tasks import TaskError, TaskOptions
from orchestrator.tasks.jsonl import JsonlTask
from providers.errors import ProviderConfigError
from providers.recording import Recording
from tests.mutated import mutated

ROUNDS = int(os.environ.get("ORCH_FUZZ", "60"))

STUDY = b"""[study]
budget = "1.5"
seed = 3
[[arms]]
provider = "local"
task = "arithmetic"
samples = 4
stop = ["a"]
temperature = 0.5
"""
PRICES = b"""[models."m"]
input = "3.00"
output = 15.0
valid_from = 2024-05-13
batch = { input = "1.50", output = "7.50" }
hours = [{ from = 00:30:00, until = 16:30:00, input = "6.00", output = "30.00" }]
[gpu_hours]
"g" = "2.5"
"""
LIMITS = b'provider = "p"\nmax_concurrent = 5\n[default]\nrequests_per_minute = 50\n'
TASK = b'{"id": "a", "prompt": "1+1=", "answer": 2}\n{"id": "b", "messages": [{"role": "user", "content": "x"}], "answer": "1"}\n'  # noqa: E501
BILL = b"id,cost_usd\nreq_1,0.25\nreq_2,0.5\n"
COUNTS = b"task,model,problem,n,c\nt,m,p,10,3\n"
CONFIG = b'{"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100, "intermediate_size": 9}'
RECORDING = b'{"id": "a", "prompt": "p", "outputs": ["x", "y"]}\n'
HUMAN_EVAL = (
    b'{"task_id": "HumanEval/0", "completion": "x", "passed": true, "result": "passed"}\n' * 2
)
OTHERS = b'{"problem": "p", "verdict": "passed", "arm": "a", "usd": "0.1"}\n{"problem": "p", "verdict": "failed"}\n'  # noqa: E501
LM_EVAL = (
    b'{"doc_id": 0, "doc": {"q": "x"}, "filter": "none", "exact_match": 1.0, "resps": [["a"]]}\n'
)
SWEBENCH = (
    b'{"instance_id": "a__b-1", "model_patch": "x", "model_name_or_path": "m", "resolved": true}\n'
)
TRIAL = b'{"task_name": "t", "trial_name": "t__1", "verifier_result": {"rewards": {"reward": 1.0}}}'
DOTENV = b"OPENAI_API_KEY=sk-0123456789\nORCH_OUT=x\nexport A_API_KEY='b'\n"


def read_study_file(path: Path) -> None:
    build_study({}, path)


def read_price_file(path: Path) -> None:
    content = read_file(path)
    parse_prices(content, str(path))
    parse_gpu_hours(content, str(path))


def read_task(path: Path) -> None:
    task = JsonlTask(path, TaskOptions())
    task.problems()
    assert task.version


def read_dotenv(path: Path) -> None:
    before = dict(os.environ)
    try:
        path.rename(path.with_name(".env"))
        load_dotenv(path.parent)
    finally:
        os.environ.clear()
        os.environ.update(before)


KINDS: dict[str, tuple[bytes, str, Callable[[Path], object], type[Exception]]] = {
    "study": (STUDY, "s.toml", read_study_file, ConfigError),
    "prices": (PRICES, "p.toml", read_price_file, PriceFileError),
    "limits": (LIMITS, "l.toml", lambda path: Profile.load(str(path)).limits("m"), ProfileError),
    "task": (TASK, "t.jsonl", read_task, TaskError),
    "compressed task": (TASK, "t.jsonl.gz", read_task, TaskError),
    "bill": (BILL, "b.csv", read_export, ConfigError),
    "counts": (COUNTS, "c.csv", read_counts, OutcomesError),
    "outcomes": (CONFIG, "o.json", read_json, OutcomesError),
    "model": (CONFIG, "config.json", read_shape, ConfigError),
    "recording": (RECORDING, "r.jsonl", Recording.load, ProviderConfigError),
    "samples of human-eval": (HUMAN_EVAL, "h.jsonl", human_eval.read, OutcomesError),
    "samples of others": (OTHERS, "o.jsonl", jsonl.read, OutcomesError),
    "samples of lm-eval": (LM_EVAL, "l.jsonl", lm_eval.read, OutcomesError),
    "samples of SWE-bench": (
        SWEBENCH,
        "s.jsonl",
        lambda path: swebench.read(path, ()),
        OutcomesError,
    ),
    "trial of Harbor": (TRIAL, "result.json", lambda path: harbor.read(path.parent), OutcomesError),
    "dotenv": (DOTENV, "env", read_dotenv, ConfigError),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_mutated_files_are_read_or_refused_in_a_sentence(kind, tmp_path, monkeypatch):
    seed, name, read, refusal = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    for number in range(ROUNDS):
        content = mutated(seed, random.Random(f"{kind} {number}"))
        path = tmp_path / name
        path.write_bytes(content)
        try:
            read(path)
        except refusal as error:
            assert "\n" not in str(error), (number, content)
        except Exception as error:
            pytest.fail(f"{kind} {number}: {error!r} from {content[:300]!r}")


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_problem_or_a_sentence(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    text = json.dumps({"id": value, "prompt": value, "answer": value})
    path.write_text(text + "\n" + json.dumps({"id": "a", "messages": value, "answer": "1"}))
    try:
        JsonlTask(path, TaskOptions()).problems()
    except TaskError as error:
        assert str(error)


@pytest.mark.parametrize(
    "args",
    [
        ["pipe.toml"],
        ["zero.toml"],
        ["digits.toml"],
        ["--provider", "local", "--prices", "digits.toml"],
        ["--provider", "local", "--task", "pipe.jsonl"],
        ["--provider", "local", "--task", "zero.jsonl"],
        ["--provider", "local", "--prices", "pipe.toml"],
        ["--provider", "local", "--prices", "zero.toml"],
        ["--provider", "local", "--limits", "pipe.toml"],
        ["--provider", "local", "--task", "t.jsonl", "--filter", "(a+)+$"],
        ["--provider", "local", "--task", "same.jsonl"],
        ["--provider", "local", "--task", "wide.jsonl", "--max-file-mb", "1"],
        ["--provider", "local", "--budget", "1e999999999"],
        ["--provider", "local", "--gpu-hour", "9" * 5000],
        ["--provider", "local", "--out", "x" * 5000],
        ["--provider", "local", "--task", "x" * 5000 + ".jsonl"],
        ["--resume", "x" * 5000],
        ["--provider", "local", "--samples", "9" * 30],
    ],
    ids=lambda args: " ".join(args)[:40],
)
def test_what_would_hang_or_overflow_is_a_sentence(args, orch, tmp_path):
    for name in ("pipe.toml", "pipe.jsonl"):
        os.mkfifo(tmp_path / name)
    for name in ("zero.toml", "zero.jsonl"):
        (tmp_path / name).symlink_to("/dev/zero")
    digits = f'[study]\nseed = {"9" * 5000}\n[models."m"]\ninput = {"9" * 5000}\noutput = 1\n'
    (tmp_path / "digits.toml").write_text(digits)
    problem = {"id": "a" * 40 + "!", "prompt": "p", "answer": "1"}
    (tmp_path / "t.jsonl").write_text(json.dumps(problem) + "\n")
    (tmp_path / "wide.jsonl").write_text(json.dumps({**problem, "prompt": "p" * 2**21}) + "\n")
    same = [{**problem, "id": name} for name in ("caf\u00e9", "cafe\u0301")]
    (tmp_path / "same.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, same)))
    ended = orch("run", *args, timeout=240)
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err and len(ended.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
