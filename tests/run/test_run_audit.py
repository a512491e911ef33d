"""An audit of what was accepted finds what one rule alone lets through."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.audit.at_end import START_S, audit_within
from orchestrator.report.collect import load
from orchestrator.store.store import RunStore
from orchestrator.tasks import TaskOptions
from providers.sample import Choice
from verifiers.exact import ExactAnswer
from verifiers.rules import RuleOptions
from verifiers.second import second_opinion
from verifiers.stated import StatedAnswer
from verifiers.verdict import Verdict

TEXTS = {
    "42": ["\\boxed{42}", "\\boxed{41}", "The answer is 42.", "\\boxed{7}"],
    "\\frac{1}{2}": ["\\boxed{0.51}", "\\boxed{\\frac{1}{3}}", "\\boxed{3}", "\\boxed{1/20}"],
    "9": ["\\boxed{3}", "\\boxed{9}", "no", "\\boxed{8}"],
    "B": ["\\boxed{A}", "\\boxed{C}", "\\boxed{D}", "The answer is E."],
}
PLANTED = {(1, 0), (3, 1), (0, 1)}
"""Wrong samples that a rule made lax on purpose accepts: (problem, slot)."""


class Lax(StatedAnswer):
    """The rule of the base install, but for a few numbers that it is fooled by."""

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        fooled = {"\\boxed{0.51}": "\\frac{1}{2}", "\\boxed{C}": "B", "\\boxed{41}": "42"}
        if fooled.get(text) == reference["answer"]:
            return Verdict("passed", answer=str(reference["answer"]))
        return await super().verify(text, reference)


def make_run(folder: Path, problems: Mapping[str, list[str]] = TEXTS) -> Path:
    """A run as the engine stores it, judged by the lax rule."""
    run = folder / "run"
    run.mkdir()

    async def fill() -> None:
        store, rule = RunStore(run / "run.db", create=True), Lax()
        spec = {
            "provider": "local", "task": "mine.jsonl", "verifier": "stated", "n_per_request": 1,
            "verifier_version": rule.version, "estimators": ["unbiased"], "samples": 4,
        }  # fmt: skip
        store.put_arm(0, "local/m/mine", "local", "m", "mine.jsonl", "uniform", 4, spec)
        for number, (gold, texts) in enumerate(problems.items()):
            content = {"prompt": "?", "messages": None, "reference": {"answer": gold}}
            store.put_problem("mine.jsonl", number, f"p{number}", "0", content)
            for slot, text in enumerate(texts):
                request = store.plan(0, number, slot, 1, slot)
                store.put_sample(0, number, slot, request, Choice(0, text, "stop"))
                verdict = await rule.verify(text, {"answer": gold})
                store.put_verdict(0, number, slot, "stated", verdict)
        await store.close()

    asyncio.run(fill())
    return run


def audited(run: Path) -> dict[tuple[int, int], str]:
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        rows = connection.execute(
            "SELECT problem, slot, kind FROM verdicts WHERE verifier LIKE 'audit:%'"
        ).fetchall()
    connection.close()
    return {(problem, slot): kind for problem, slot, kind in rows}


def test_planted_wrong_accepts_are_found_and_what_rests_on_them_is_told(
    orch: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run(tmp_path)
    before = load(run).arms[0]
    assert before.solved == 4 and before.audit is None
    document = orch("verify", run, "--audit", "--json", timeout=280).json
    assert document["arms"][0]["rule"] == "math-verify-package"
    assert (document["arms"][0]["accepted"], document["arms"][0]["disputed"]) == (6, 3)
    kinds = audited(run)
    assert {place for place, kind in kinds.items() if kind != "passed"} == PLANTED
    # Two problems rest on planted samples alone; of the third only one of three is planted.
    (said,) = document["audit"]
    assert (said["solved"], said["fragile"], said["single"], said["doubted"]) == (4, 2, 3, 3)
    assert said["lower_bound"][-1] == {"k": 4, "coverage": 0.5}
    suspects = [(one["problem"], one["slot"]) for one in said["suspects"]]
    assert suspects == [("p1", 0), ("p3", 1), ("p0", 1), ("p2", 1)]
    shown = re.sub(r"\s+", " ", orch("report", run).out)
    assert "of 4 solved problems 2 rest only on accepted samples" in shown
    assert "without them coverage is 50.0 % at k = 4" in shown
    assert "p1 #0: math-verify-package does not accept it (expected \\frac{1}{2})" in shown
    page = tmp_path / "page.html"
    assert orch("report", run, "--html", page).code == 0
    assert "Accepted samples to look at first" in page.read_text()
    assert load(run).arms[0].points[-1].mean == 1.0  # the run's own verdicts are untouched
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute("UPDATE verdicts SET kind = 'passed' WHERE problem = 3 AND slot = 0")
    connection.close()
    shown = re.sub(r"\s+", " ", orch("report", run).out)
    assert "1 accepted samples came after the audit: orch verify RUN --audit judges them" in shown


def test_forgeable_verdicts_are_in_doubt_without_any_audit(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute("UPDATE verdicts SET forgeable = 1 WHERE problem = 2 AND slot = 1")
    connection.close()
    audit = load(run).arms[0].audit
    assert audit is not None and (audit.rule, audit.doubted, audit.fragile) == ("", 1, 1)
    assert audit.suspects[0].why == "it could have forged its verdict"
    assert audit.lower[-1] == (4, 0.75)


def test_a_run_is_audited_at_its_end_where_that_costs_little(tmp_path: Path) -> None:
    run = make_run(tmp_path, {gold: TEXTS[gold] for gold in ("42", "9")})

    async def end(left_s: float) -> None:
        store = RunStore(run / "run.db")
        await audit_within(run, store, lambda _: TaskOptions(), 2, left_s)
        await store.close()

    asyncio.run(end(START_S))
    assert audited(run) == {}
    asyncio.run(end(2 * START_S))
    assert sorted(audited(run).values()) == ["failed", "passed", "passed", "passed"]


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("math-verify", "math-verify-package"), ("stated", "math-verify-package"),
        ("choice", "math-verify-package"), ("paper", "math-verify"), ("exact", "alike"),
        ("regex:a", "math-verify"),
    ],
)  # fmt: skip
def test_every_rule_of_answers_has_a_second_one_that_is_another(name: str, second: str) -> None:
    rule = second_opinion(name, {"answer": "1"}, RuleOptions(jobs=1))
    assert rule is not None and rule.name == second


async def test_exact_equality_is_checked_by_other_means() -> None:
    rule = second_opinion("exact", {"answer": "1"}, RuleOptions())
    assert rule is not None
    for text in ("4 2", "so\n4 2", " 4   2\n"):
        assert (await rule.verify(text, {"answer": "4 2"})).passed
    assert not (await rule.verify("42", {"answer": "4 2"})).passed
    assert (await ExactAnswer().verify("4 2", {"answer": "4 2"})).passed


async def test_programs_are_judged_again_case_by_case() -> None:
    tests = {"kind": "calls", "entry": "f", "cases": [{"args": [n], "expected": n} for n in (1, 2)]}
    reference = {"tests": tests, "code": {"rule": "block", "entry": "f"}}
    rule = second_opinion("program", reference, RuleOptions(jobs=1))
    assert rule is not None and rule.name == "program-again"
    honest = "```python\ndef f(x):\n    return x\n```"
    # Right only where an earlier case left something behind.
    led = "```python\nseen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)\n```"
    try:
        assert (await rule.verify(honest, reference)).passed
        assert not (await rule.verify(led, reference)).passed
    finally:
        await rule.aclose()


def test_an_audit_is_given_alone_and_needs_a_run(orch: Callable[..., Any], tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ended = orch("verify", run, "--audit", "--verifier", "stated")
    assert ended.code == 2 and "--audit chooses its own rule" in ended.err


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        (
            {"tests": {"kind": "stdio", "cases": [{"input": "3\n", "output": "6\n"},
                                                  {"input": "8\n", "output": "16\n"}]}},
            "```python\nprint(int(input()) * 2)\n```", "```python\nprint(6)\n```",
        ),
        (
            {"tests": {"kind": "calls", "entry": "f", "cases": [{"args": [1], "expected": 2}]},
             "language": "python", "extract": "block"},
            "```python\ndef f(n): return n + 1\n```", "```python\ndef f(n): return n\n```",
        ),
        ({"tests": {"kind": "answer", "expected": "Paris", "rule": "exact"}}, "paris", "London"),
        ({"answer": "7"}, "The answer is 7.", "The answer is 8."),
    ],
    ids=["stdio", "calls", "an answer by tests", "an answer"],
)  # fmt: skip
async def test_lines_of_a_persons_own_file_are_judged_once_more(reference, right, wrong):
    rule = second_opinion("tests", {"tests": {"kind": "stdio"}}, RuleOptions(jobs=1))
    assert rule is not None
    try:
        assert (await rule.verify(right, reference)).kind == "passed"
        assert not (await rule.verify(wrong, reference)).passed
    finally:
        await rule.aclose()
