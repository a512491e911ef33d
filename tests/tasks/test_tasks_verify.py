"""`orch verify` over real run databases, and the self-check over real references."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.audit.rejudge import judge_again
from orchestrator.cli.report import report as report_command
from orchestrator.cli.verify import verify
from orchestrator.errors import ConfigError
from orchestrator.plan.study import make_study, read_study
from orchestrator.store.store import RunStore
from orchestrator.tasks import TaskOptions, load_task
from providers.sample import Choice
from verifiers.exact import ExactAnswer
from verifiers.verdict import Verdict

STUDIES = Path(__file__).parents[2] / "studies" / "large_language_monkeys"
TEXTS = {0: ["1", " 1", "2", "1", "", "1"], 1: ["so\n2", "2", "3", "2"]}


def make_run(folder: Path, *, verdicts: bool = True) -> Path:
    """A run of a person's own task, as the engine stores it."""
    task = folder / "mine.jsonl"
    rows = [{"id": f"p{n}", "prompt": f"{n}?", "answer": str(n + 1)} for n in range(2)]
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = folder / "run"
    run.mkdir()

    async def fill() -> None:
        store = RunStore(run / "run.db", create=True)
        spec = {
            "provider": "local", "task": str(task), "verifier": "exact", "n_per_request": 1,
        }  # fmt: skip
        store.put_arm(0, "local/m/mine", "local", "m", str(task), "uniform", 6, spec)
        for number, problem in enumerate(load_task(str(task)).problems()):
            content = {"prompt": problem.prompt, "reference": dict(problem.reference)}
            store.put_problem(str(task), number, problem.id, problem.digest, content)
            for slot, text in enumerate(TEXTS[number]):
                request = store.plan(0, number, slot, 1, slot)
                store.put_sample(0, number, slot, request, Choice(0, text, "stop"))
                if verdicts:
                    verdict = await ExactAnswer().verify(text, problem.reference)
                    if (number, slot) == (1, 2):
                        verdict = Verdict("infra_error", "lost")
                    store.put_verdict(0, number, slot, "exact", verdict)
        store.put_censored(0, 1, 4, store.plan(0, 1, 4, 1, 4), 0)
        await store.close()

    asyncio.run(fill())
    return run


def command(*arguments: object) -> Result:
    return CliRunner().invoke(verify, [str(one) for one in arguments])


def stored(run: Path, name: str) -> dict[tuple[int, int], str]:
    connection = sqlite3.connect(run / "run.db")
    rows = connection.execute(
        "SELECT problem, slot, kind FROM verdicts WHERE verifier = ?", (name,)
    ).fetchall()
    connection.close()
    return {(problem, slot): kind for problem, slot, kind in rows}


def test_judging_again_fills_gaps_and_replaces_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = stored(run, "exact")
    result = command(run, "--json")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.output)
    assert (report["samples"], report["distinct"]) == (10, 7)
    assert (report["changed"], report["filled"], report["flaky"]) == (0, 1, 0)
    assert stored(run, "exact") == {**before, (1, 2): "failed"}
    assert json.loads(command(run, "--json").output)[0]["filled"] == 0


def test_a_run_without_verdicts_gets_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, verdicts=False)
    assert json.loads(command(run, "--json").output)[0]["filled"] == 10
    kinds = stored(run, "exact")
    assert len(kinds) == 10 and sum(kind == "passed" for kind in kinds.values()) == 6


def test_another_verifier_stands_beside_the_runs_own(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = stored(run, "exact")
    result = command(run, "--verifier", "exact-last-line")
    assert result.exit_code == 0, result.output
    assert "1 differ from the run's verdict" in result.output
    assert "Of what the run accepted, 100.0% pass here as well" in result.output
    other = stored(run, "exact-last-line")
    assert len(other) == 10 and other[(1, 0)] == "passed" and before[(1, 0)] == "failed"
    assert stored(run, "exact") == before


def test_repeated_verdicts_take_the_majority_and_name_the_flaky(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    asked: dict[str, int] = {}
    honest = ExactAnswer.verify

    async def moody(self: ExactAnswer, text: str, reference: Mapping[str, Any]) -> Verdict:
        asked[text] = asked.get(text, 0) + 1
        if text == "3" and asked[text] % 5 == 0:
            return Verdict("passed")
        if text == "so\n2" and asked[text] % 5:
            return Verdict("passed")
        return await honest(self, text, reference)

    monkeypatch.setattr(ExactAnswer, "verify", moody)
    (report,) = json.loads(command(run, "--repeat", 11, "--json").output)
    assert report["stored_as"] == "exact-majority-of-11" and report["flaky"] == 2
    assert report["problems"] == report["solved"] == 2
    flaky = report["flaky_problems"]
    assert len(flaky) == 1 and report["problems_without_flaky"] == 1
    majority = stored(run, "exact-majority-of-11")
    assert majority[(1, 2)] == "failed" and majority[(1, 0)] == "passed"
    assert asked["3"] == 11 and asked["2"] == 22 and asked["1"] == 11
    said = command(run, "--repeat", 11).output
    assert f"Flaky here: {flaky[0]}." in said and "1 of 1 without the flaky ones" in said
    # A report says so of the run from now on.
    monkeypatch.undo()
    told = CliRunner().invoke(report_command, [str(run), "--json"])
    (section,) = json.loads(told.output)["flaky"]
    assert (section["changed"], section["named"], section["problems"]) == (flaky, [], 1)
    shown = CliRunner().invoke(report_command, [str(run)], env={"COLUMNS": "200"}).output
    assert f"1 changed a verdict here ({flaky[0]})" in shown


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    assert command().exit_code == 2
    assert command("x", "--self-check", "humaneval").exit_code == 2
    run = make_run(tmp_path)
    with pytest.raises(ConfigError, match=r"no verifier named 'nope'; it has: .*exact"):
        raise command(run, "--verifier", "nope").exception or AssertionError
    options: Callable[[Any], TaskOptions] = lambda arm: TaskOptions()  # noqa: E731
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute("UPDATE arms SET task = 'unheard-of'")
    with pytest.raises(ConfigError, match="There is no task named 'unheard-of'"):
        asyncio.run(judge_again(run, options))


def test_unsound_references_are_listed_and_can_be_left_out(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": f"T/{number}",
            "prompt": f"def f{number}(x):\n    '''Double x.'''\n",
            "entry_point": f"f{number}",
            "canonical_solution": "    return 2 * x\n",
            "test": f"def check(candidate):\n    assert candidate(2) == {4 if number else 5}\n",
        }
        for number in range(3)
    ]
    data = tmp_path / "test.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = command("--self-check", "humaneval", "--data", data, "--exclude-unsound")
    assert result.exit_code == 0, result.output
    assert "3 problems; the reference solutions of 2 pass, of 1 fail" in result.output
    assert 'exclude = ["T/0"]' in result.output and "T/0: solution 0: failed" in result.output
    document = json.loads(command("--self-check", "humaneval", "--data", data, "--json").output)
    assert [one["problem"] for one in document["unsound"]] == ["T/0"] and document["sound"] == 2
    with pytest.raises(ConfigError, match="knows no right outputs"):
        raise command("--self-check", "arithmetic").exception or AssertionError


def test_every_study_of_the_paper_is_one_that_orch_reads() -> None:
    files = sorted(STUDIES.glob("*.toml"))
    assert len(files) == 11
    # Table 1, whose attempts are agents, is priced in test_tasks_swebench.py.
    files.remove(STUDIES / "swebench_lite_cost_table.toml")
    models: dict[str, set[str]] = {}
    for path in files:
        study = make_study(read_study(path), str(path))
        for arm in study.arms:
            assert path.stem.startswith(arm.task) and arm.samples == 10_000
            assert study.seed == 0 and arm.policy == "uniform"
            models.setdefault(arm.task, set()).add(arm.model)
            task = load_task(arm.task)
            asked = (arm.temperature, arm.max_tokens, tuple(arm.stop or ()))
            defaults = task.defaults
            assert asked == (defaults.temperature, defaults.max_tokens, defaults.stop)
            assert arm.top_p == (defaults.top_p or 1.0)
    counts = {task: len(names) for task, names in models.items()}
    assert counts == {"gsm8k": 2, "math": 13, "minif2f": 2, "code_contests": 13}
