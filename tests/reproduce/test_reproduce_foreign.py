"""Files of other tools, as those tools write them, and what is wrong with them in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from budgets.money import picodollars
from orchestrator.reproduce.foreign import human_eval, jsonl, lm_eval, swebench
from orchestrator.reproduce.recorded import OutcomesError


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_plain_lines_with_dollars_and_arms(tmp_path):
    file = lines(tmp_path / "mine.jsonl", [
        {"problem": "a", "verdict": "passed", "usd": "0.10", "model": "m"},
        {"problem": "a", "verdict": "timeout", "usd": 0.2, "model": "m"},
        {"problem": "b", "verdict": None, "usd": "0.000000000001", "model": "m"},
        {"problem": "b", "passed": False, "model": "m"},
        {"problem": "a", "correct": True, "model": "other"},
    ])  # fmt: skip
    first, second = jsonl.read(file)
    assert (first.model, first.task, first.n, first.c) == ("m", "mine", (2, 1), (1, 0))
    assert first.spent == picodollars("0.300000000001")
    assert (second.model, second.n, second.c, second.spent) == ("other", (1,), (1,), None)


def test_human_eval_and_evalplus(tmp_path):
    file = lines(tmp_path / "s.jsonl_results.jsonl", [
        {"task_id": "HumanEval/0", "completion": "x", "result": "passed", "passed": True},
        {"task_id": "HumanEval/0", "completion": "y", "result": "failed", "passed": False},
    ])  # fmt: skip
    (one,) = human_eval.read(file)
    assert (one.problem_ids, one.n, one.c) == (("HumanEval/0",), (2,), (1,))
    plus = tmp_path / "s_eval_results.json"
    plus.write_text(json.dumps({"eval": {"HumanEval/1": [
        {"base_status": "pass", "plus_status": "fail"}, {"base_status": "pass",
        "plus_status": "pass"}]}}))  # fmt: skip
    (one,) = human_eval.read(plus)
    assert (one.n, one.c) == ((2,), (1,))


def test_swebench_needs_a_report_for_each_run(tmp_path):
    file = lines(tmp_path / "preds.jsonl", [
        {"instance_id": "i1", "model_name_or_path": "m", "model_patch": "-"},
        {"instance_id": "i2", "model_name_or_path": "m", "model_patch": "-"},
    ])  # fmt: skip
    report = tmp_path / "m.run.json"
    report.write_text(json.dumps({"resolved_ids": ["i2"]}))
    (one,) = swebench.read(file, [report])
    assert (one.problem_ids, one.n, one.c) == (("i1", "i2"), (1, 1), (0, 1))
    with pytest.raises(OutcomesError, match="--report"):
        swebench.read(file, [])


def test_swebench_reads_a_file_for_each_attempt_with_its_report_beside_it(tmp_path):
    for number, issues, resolved in ((1, "ab", ["a"]), (2, "b", []), (3, "ab", ["a", "b"])):
        lines(tmp_path / f"m.attempt-000{number}.jsonl", [
            {"instance_id": one, "model_name_or_path": "m", "model_patch": "-"} for one in issues
        ])  # fmt: skip
        report = tmp_path / f"m.attempt-000{number}.json"
        report.write_text(json.dumps({"resolved_ids": resolved}))
    (one,) = swebench.read(tmp_path, [])
    assert (one.problem_ids, one.n, one.c) == (("a", "b"), (2, 3), (2, 1))
    with pytest.raises(OutcomesError, match="3 files of predictions, and there are 1 reports"):
        swebench.read(tmp_path, [report])


@pytest.mark.parametrize("name", ["error_ids", "infra_failure_ids"])
def test_what_the_harness_could_not_judge_is_no_wrong_answer(tmp_path, name):
    file = lines(tmp_path / "preds.jsonl", [
        {"instance_id": one, "model_name_or_path": "m", "model_patch": "-"} for one in "abc"
    ])  # fmt: skip
    report = tmp_path / "m.run.json"
    report.write_text(json.dumps({"resolved_ids": ["a"], "unresolved_ids": ["b"], name: ["c"]}))
    (one,) = swebench.read(file, [report])
    assert (one.problem_ids, one.n, one.c) == (("a", "b", "c"), (1, 1, 0), (1, 0, 0))


def test_lm_eval_lines_by_filter(tmp_path):
    file = lines(tmp_path / "samples_gsm8k_2026-01-01T00-00-00.jsonl", [
        {"doc_id": 0, "filter": "strict", "exact_match": 1.0, "resps": [["x"]]},
        {"doc_id": 1, "filter": "strict", "exact_match": 0.0, "resps": [["x"]]},
        {"doc_id": 0, "filter": "flexible", "exact_match": 1.0, "resps": [["x"]]},
    ])  # fmt: skip
    strict, flexible = lm_eval.read(file)
    assert (strict.task, strict.n, strict.c) == ("gsm8k", (1, 1), (1, 0))
    assert flexible.name.endswith("flexible")
    several = lines(tmp_path / "several.jsonl", [
        {"doc_id": 0, "exact_match": 1.0, "resps": [["x", "y"]]}
    ])  # fmt: skip
    with pytest.raises(OutcomesError, match="2 responses have 1 value"):
        lm_eval.read(several)
    with pytest.raises(OutcomesError, match="--metric"):
        lm_eval.read(lines(tmp_path / "none.jsonl", [{"doc_id": 0, "metrics": ["bleu"]}]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "holds no object"),
        ('{"verdict": "passed"}', "has no 'problem'"),
        ('{"problem": "a", "text": "x"}', "orch judge"),
        ('{"problem": "a", "verdict": "maybe"}', "verdict is 'maybe'"),
        ('{"problem": "a", "verdict": "passed", "usd": "much"}', "usd"),
        ('{"problem": "a", "verdict": "passed", "usd": "-1"}', "must not be negative"),
        ("", "no judged sample"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, words):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(OutcomesError, match=words):
        jsonl.read(tmp_path / "x.jsonl")
