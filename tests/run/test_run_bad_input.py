"""Bad input: one clear sentence, exit code 2, nothing sent, nothing written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

LITTLE = ["run", "--provider", "local", "--limit", "2", "--samples", "4", "--budget", "1"]
LINE = json.dumps({"id": "a", "prompt": "1+1=", "answer": "2"})

CASES: list[tuple[list[str], str]] = [
    (["--provider", "nobody", "--model", "m", "--task", "arithmetic"], "unknown provider 'nobody'"),
    (["--provider", "nobody"], "unknown provider 'nobody'"),
    (["--provider", "local", "--task", "nothing"], "nothing"),
    (["--provider", "local", "--policy", "greedy"], "greedy"),
    (["--provider", "local", "--colour", "red"], "--colour"),
    (["--provider", "local", "--budget", "0"], "above 0"),
    (["--provider", "local", "--budget", "-3"], "above 0"),
    (["--provider", "local", "--budget", "NaN"], "--budget"),
    (["--provider", "local", "--budget", "lots"], "lots"),
    (["--provider", "local", "--samples", "0"], "at least 1"),
    (["--provider", "local", "--samples", "-1"], "at least 1"),
    (["--provider", "local", "--samples", "many"], "many"),
    (["--provider", "local", "--temperature", "-1"], "temperature"),
    (["--provider", "local", "--max-tokens", "0"], "max_tokens"),
    (["--provider", "local", "--max-concurrent", "some"], "some"),
    (["--provider", "local", "--filter", "("], "regular expression"),
    (["--provider", "local", "--filter", "no such id"], "none of them is left"),
    (["--provider", "local", "--task", "missing.jsonl"], "missing.jsonl"),
    (["--provider", "local", "--task", "empty.jsonl"], "empty.jsonl"),
    (["--provider", "local", "--task", "broken.jsonl"], "line 2"),
    (["--provider", "local", "--task", "twice.jsonl"], "lines 1 and 2"),
    (["--provider", "local", "--task", "lacking.jsonl"], "answer"),
    (["--provider", "openai", "--model", "m", "--base-url", "http://127.0.0.1:9", "--task",
      "good.jsonl", "--gpu-hour", "0"], "127.0.0.1:9"),
    (["--provider", "openai", "--model", "gpt-4o", "--task", "good.jsonl"], "OPENAI_API_KEY"),
    (["--provider", "openai", "--model", "no-such-model", "--task", "good.jsonl"], "--prices"),
    (["--provider", "openai", "--task", "good.jsonl"], "--model"),
    (["--provider", "local", "--prices", "absent.toml"], "absent.toml"),
    (["--provider", "local", "--name", "used"], "not empty"),
    (["--provider", "local", "--name", "../up"], "../up"),
    (["absent.toml"], "absent.toml"),
    (["broken.toml"], "broken.toml"),
    (["odd.toml"], "smaples"),
    (["--resume", "absent"], "absent"),
    ([], "--provider"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "named"), CASES, ids=[" ".join(args) for args, _ in CASES])
def test_bad_input(args, named, orch, tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text(LINE + "\n{oops\n")
    (tmp_path / "twice.jsonl").write_text(LINE + "\n" + LINE + "\n")
    (tmp_path / "lacking.jsonl").write_text(json.dumps({"id": "a", "prompt": "p"}) + "\n")
    (tmp_path / "good.jsonl").write_text(LINE + "\n")
    (tmp_path / "broken.toml").write_text("[study\n")
    (tmp_path / "odd.toml").write_text(
        '[[arms]]\nprovider = "local"\ntask = "arithmetic"\nsmaples = 3\n'
    )
    (tmp_path / "runs/used").mkdir(parents=True)
    (tmp_path / "runs/used/notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    ended = orch("run", *args)
    assert ended.code == 2, ended.err
    assert named in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_the_server_lacks_is_named_with_those_it_has(orch, serve, tmp_path):
    server = serve()
    ended = orch(
        "run", "--provider", "openai", "--base-url", server.url, "--model", "gpt-9", "--task",
        "arithmetic", "--gpu-hour", "0",
    )  # fmt: skip
    assert ended.code == 2
    assert "gpt-9" in ended.err and "orch-tiny" in ended.err
    assert not (tmp_path / "runs").exists()
    assert server.bill() == []


def test_a_resume_under_a_changed_study_names_the_keys(orch, serve, tmp_path):
    args = ["--provider", "local", "--samples", "2", "--limit", "3", "--name", "r"]
    assert orch("run", *args).code == 0
    before = (tmp_path / "runs/r/study.toml").read_text()
    ended = orch("run", "--resume", "r", "--temperature", "0.5", "--seed", "9")
    assert ended.code == 2
    assert "temperature" in ended.err and "seed" in ended.err
    assert "max_tokens" not in ended.err
    assert (tmp_path / "runs/r/study.toml").read_text() == before


@pytest.mark.parametrize("host", ["../pipe", "x" * 70, "a..b", "\udcff\udcfe"])
@pytest.mark.parametrize("command", [["serve"], ["gateway", "--model", "m"]])
def test_a_host_that_is_none_is_refused(command, host, orch):
    ended = orch(*command, "--host", host)
    assert ended.code == 2 and "no name of a host" in ended.err, ended.err


def test_a_part_that_the_run_has_not_is_refused(orch):
    assert orch(*LITTLE, "--name", "r").code == 0
    for scope in ("arm:7", "", "\udcff\udcfe"):
        ended = orch("budget", "resolve", "r", "--usd", "0", "--scope", scope)
        assert ended.code == 2 and "it has run, arm:0" in ended.err, ended.err


def test_what_is_no_run_is_passed_over(orch, tmp_path: Path):
    assert orch(*LITTLE, "--name", "r").code == 0
    for name in ("pipe", "device", "bytes-\udcff"):
        (tmp_path / "runs" / name).mkdir()
    os.mkfifo(tmp_path / "runs/pipe/run.db")
    (tmp_path / "runs/device/run.db").symlink_to("/dev/zero")
    shutil.copy(tmp_path / "runs/r/run.db", tmp_path / "runs/bytes-\udcff/run.db")
    ended = orch(*LITTLE, "--dry-run")
    assert ended.code == 0 and "nothing is bought" in ended.err
    listed = orch("runs", "--json")
    assert listed.code == 0 and "pipe" not in listed.out and "device" not in listed.out
    shutil.rmtree(tmp_path / "runs" / "bytes-\udcff")
    assert orch("run", "--resume", "--samples", "6").code == 0
