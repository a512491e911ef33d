"""A verifier's name and version belong to a run; and no wrong answer is counted in one."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from serving import Reply, serving

WRONG = {
    "3": (
        "The answer is not 3.", "The answer is -$3$.", "So $\\boxed{3k}$.", "\\boxed{2} or 3",
        "Final Answer: The final answer is $3 +", "#### Step 3", "The answer is x >= 3", "So 3.",
    ),
    "10": (
        "The answer is 9 out of 10.", "#### 1 or 10", "\\boxed{10 \\text{ million}}", "1\n2\n10",
        "\\boxed{9} \\quad\\text{or}\\quad \\boxed{10}", "The answer is 10 if n is odd.",
        "\\boxed{> 10}", "\\boxed{5 + \\boxed{10}}",
    ),
    "\\frac{1}{52!}": (
        "\\boxed{\\frac{51}{52!}}", "\\boxed{0}", "\\boxed{\\frac{1}{52}!}",
        "\\boxed{\\frac{1}{51!}}",
        "The answer is 1/52", "\\boxed{x^2 = \\frac{1}{52!}}", "", "\\boxed{\\frac{1}{52!}",
    ),
}  # fmt: skip


def task(folder: Path) -> Path:
    path = folder / "mine.jsonl"
    rows = [{"id": f"p{n}", "prompt": gold, "answer": gold} for n, gold in enumerate(WRONG)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(body: dict[str, Any]) -> Reply:
    texts = WRONG[body["messages"][-1]["content"]]
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(texts[: body.get("n", 1)])
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}
    return 200, {}, {"id": "x", "model": "hostile", "choices": choices, "usage": usage}


def asked(url: str, path: Path) -> tuple[object, ...]:
    return (
        "--provider", "openai", "--base-url", f"{url}/v1", "--model", "hostile",
        "--api-key-env", f"KEY@{url}", "--task", path, "--gpu-hour", "0",
        "--prompt-style", "chat", "--samples", "8", "--n-per-request", "8", "--name", "r",
        "--budget", "1",
    )  # fmt: skip


def test_three_problems_without_a_right_sample_are_none_solved(
    orch: Callable[..., Any], tmp_path: Path
) -> None:
    with serving(answers) as url:
        for rule in ("math-verify", "stated"):
            given = (*asked(url, task(tmp_path)), "--verifier", rule)
            ended = orch("run", *given, "--name", rule, "--json", KEY="k")
            assert ended.code == 0, ended.err
            (arm,) = ended.json["rows"]
            assert (arm["problems"], arm["solved"], arm["samples"]) == (3, 0, 24), ended.out


def test_another_version_judges_anew_and_keeps_the_old_verdicts(
    orch: Callable[..., Any], tmp_path: Path
) -> None:
    with serving(answers) as url:
        given = (*asked(url, task(tmp_path)), "--verifier", "stated")
        assert orch("run", *given, KEY="k").code == 0
        database = tmp_path / "runs" / "r" / "run.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            # As a laxer version left it.
            connection.execute("UPDATE verdicts SET kind = 'passed'")
            spec = json.loads(connection.execute("SELECT spec FROM arms").fetchone()[0])
            now, spec["verifier_version"] = spec["verifier_version"], "0"
            connection.execute("UPDATE arms SET spec = ?", (json.dumps(spec),))
        connection.close()
        again = orch("run", "--resume", "runs/r", "--json", KEY="k")
        assert again.code == 0, again.err
        assert again.json["rows"][0]["solved"] == 0
        assert f"stated is version {now} now, and this run was judged by version 0" in re.sub(
            r"\s+", " ", again.err
        )
        with closing(sqlite3.connect(database)) as connection, connection:
            counts = dict(
                connection.execute(
                    "SELECT verifier || ' ' || (kind = 'passed'), count(*) FROM verdicts GROUP BY 1"
                )
            )
        connection.close()
        assert counts == {"stated 0": 24, "stated@0 1": 24}
        last = orch("run", "--resume", "runs/r", KEY="k")
        assert last.code == 0 and "judged anew" not in last.err
        report = orch("report", "runs/r")
        assert "stated@0 accepts 24 of 24 samples" in re.sub(r"\s+", " ", report.out)


def test_judging_with_another_version_fills_no_gap_of_the_run(
    orch: Callable[..., Any], tmp_path: Path
) -> None:
    with serving(answers) as url:
        given = (*asked(url, task(tmp_path)), "--verifier", "stated")
        assert orch("run", *given, KEY="k").code == 0
    database = tmp_path / "runs" / "r" / "run.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        spec = json.loads(connection.execute("SELECT spec FROM arms").fetchone()[0])
        now, spec["verifier_version"] = spec["verifier_version"], "0"
        connection.execute("UPDATE arms SET spec = ?", (json.dumps(spec),))
        connection.execute("DELETE FROM verdicts WHERE slot = 0")
    connection.close()
    (report,) = orch("verify", "runs/r", "--json").json
    assert report["stored_as"] == f"stated@{now}" and report["samples"] == 24
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute("SELECT verifier, count(*) FROM verdicts GROUP BY 1").fetchall()
    connection.close()
    assert dict(rows) == {"stated": 21, f"stated@{now}": 24}


def test_a_default_that_changed_since_is_not_the_runs(
    orch: Callable[..., Any], tmp_path: Path
) -> None:
    with serving(answers) as url:
        given = (*asked(url, task(tmp_path)), "--verifier", "exact-last-line")
        assert orch("run", *given, KEY="k").code == 0
        study = tmp_path / "runs" / "r" / "study.toml"
        text = study.read_text()
        # As if it had been this task's default when the run was begun.
        study.write_text(text.replace('verifier = "exact-last-line"\n', ""))
        assert study.read_text() != text
        again = orch("run", "--resume", "runs/r", "--json", KEY="k")
        assert again.code == 0, again.err
        assert again.json["rows"][0]["verifier"] == "exact-last-line"
