"""The concurrency that was found is kept with the run and begun with by its resume."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing


def test_a_resume_begins_with_the_concurrency_that_was_found(orch, tmp_path):
    first = orch("run", "--provider=local", "--budget=5", "--limit=4", "--samples=16",
                 "--max-concurrent=2-64", "--n-per-request=1", "--name=r")  # fmt: skip
    assert first.code == 0, first.err
    with closing(sqlite3.connect(tmp_path / "runs" / "r" / "run.db")) as db:
        db.execute("PRAGMA busy_timeout = 5000")
        key = db.execute("SELECT key FROM arms").fetchone()[0]
        db.execute(
            "INSERT OR REPLACE INTO meta VALUES ('concurrency found', ?)", (json.dumps({key: 37}),)
        )
        db.commit()
    again = orch("run", "--resume=runs/r", "--samples=17")
    assert again.code == 0, again.err
    with closing(sqlite3.connect(tmp_path / "runs" / "r" / "run.db")) as db:
        sessions = db.execute("SELECT value FROM meta WHERE key LIKE 'speed %' ORDER BY key")
        found = [json.loads(text)["limiters"][0]["concurrency"] for (text,) in sessions]
    assert found[1] == 37
