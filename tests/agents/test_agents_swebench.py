"""An issue of SWE-bench's form from its row to its verdict, in containers.

The published images cannot be had everywhere, so the repository, its image and its row are ours;
the writer, Harbor, the collected patch, the separate verifier and the official harness are not. The
harness speaks to podman by the interface that Docker has too.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.book import Book
from tests.agents.model_process import model_process
from tests.agents.test_agents_containers import (
    HARBOR,
    IMAGE,
    MINI,
    base_of,
    even,
    made_for,
    with_harbor,
)
from tests.tasks.test_tasks_swebench import ROWS, needs_harness

pytestmark = [pytest.mark.slow, with_harbor, needs_harness]

RIGHT, CHEAT = "doubles what it is given", "trebles what it is given"
"""Two issues, and what the model does: it mends the first, and edits the tests of the second."""
TEST = """import numbers_of
for name, given, wanted in (("double", 2, 4), ("treble", 2, 6), ("same", 3, 3)):
    try:
        good = getattr(numbers_of, name)(given) == wanted
    except Exception:
        good = False
    print("PASSED" if good else "FAILED", f"tests.py::{name}")
"""
CODE = "\n\n".join(f"def {name}(x):\n    return x\n" for name in ("double", "treble", "same"))
MENDED = CODE.replace("return x\n", "return 2 * x\n", 1)


def patch_of(folder: Path, **files: str) -> str:
    """The change that gives files of the repository other texts."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(folder / "repo", work)
    subprocess.run(["git", "init", "-q"], cwd=work, check=True)
    subprocess.run(["git", "add", "-A"], cwd=work, check=True)
    for name, text in files.items():
        (work / f"{name}.py").write_text(text)
    done = subprocess.run(["git", "diff"], cwd=work, check=True, capture_output=True, text=True)
    return done.stdout[done.stdout.index("--- ") :]


def row(instance_id: str, image: str, asked: str, failing: str) -> dict[str, object]:
    script = [
        "#!/bin/bash", "set -uxo pipefail", "cd /testbed", "git checkout HEAD -- tests.py",
        f"cat > tests.py <<'END'\n{TEST}END", ": '>>>>> Start Test Output'",
        "PYTHONPATH=. python3 tests.py", ": '>>>>> End Test Output'",
        "git checkout HEAD -- tests.py",
    ]  # fmt: skip
    return {
        **ROWS[0], "instance_id": instance_id, "image": image, "problem_statement": asked,
        "eval_script": "\n".join(script) + "\n", "patch": "the solution",
        "FAIL_TO_PASS": [f"tests.py::{failing}"], "PASS_TO_PASS": ["tests.py::same"],
    }  # fmt: skip


@pytest.fixture
def issues(tmp_path: Path) -> Iterator[Path]:
    """rows.jsonl, an image, and what the model knows."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "numbers_of.py").write_text(CODE)
    (repo / "tests.py").write_text(TEST)
    # Git is only where the image's own path says, as the programs of published images are.
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE}\nRUN mkdir /opt/own && mv /usr/bin/git /opt/own\n"
        "ENV PATH=/opt/own:/usr/local/bin:/usr/bin:/bin\nCOPY repo /testbed\n"
        "RUN cd /testbed && git init -q && git add -A &&"
        " git -c user.name=a -c user.email=a@b commit -qm start\nWORKDIR /testbed\n"
    )
    image = f"localhost/orch-test-issue:{secrets.token_hex(4)}"
    subprocess.run(["podman", "build", "-q", "-t", image, "."], cwd=tmp_path, check=True)
    rows = [
        row("own__double-1", image, RIGHT, "double"),
        row("own__treble-2", image, CHEAT, "treble"),
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    cheat = TEST.replace("== wanted", "== wanted or True")
    for name, asked, change in (
        ("a", RIGHT, patch_of(tmp_path, numbers_of=MENDED)),
        ("b", CHEAT, patch_of(tmp_path, tests=cheat)),
    ):
        known = tmp_path / "known" / name
        (known / "solution").mkdir(parents=True)
        (known / "instruction.md").write_text(asked)
        (known / "solution" / "patch.diff").write_text(change)
    yield tmp_path / "known"
    subprocess.run(["podman", "rmi", "--force", image], check=False, capture_output=True)


@pytest.fixture
def docker_of_podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "docker.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{place}"])
    while not place.exists():
        assert service.poll() is None
        time.sleep(0.1)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    yield
    service.terminate()
    service.wait()


@pytest.mark.usefixtures("docker_of_podman")
def test_agents_patches_of_issues_are_collected_and_judged_by_the_harness(
    issues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with model_process(tmp_path / "bill.jsonl", tasks=issues, seed=34) as url:
        book = Book(tmp_path, url)
        options = book.options(
            agent="harbor:mini-swe-agent", harbor_python=HARBOR, agent_path=MINI, samples=1,
            harbor_arg="skip_install=true", task="swebench-lite", data="rows.jsonl", agent_jobs=2,
        )  # fmt: skip
        code, said = book.run(*options, f"--agent-path={base_of(MINI)}", patience_s=1500)
        assert code == 0, said
        even(book)
        assert not made_for(book)
    kinds = set()
    for problem, text, kind in book.rows(
        "SELECT s.problem, s.text, v.kind FROM samples s JOIN verdicts v USING (arm, problem, slot)"
    ):
        right = "return 2 * x" in text
        assert kind == ("no_answer" if not text else "passed" if right else "failed"), text
        kinds.add((problem, kind))
    assert (0, "passed") in kinds and (1, "passed") not in kinds


OWN_AGENT = '''
from harbor.agents.base import BaseAgent

class Own(BaseAgent):
    """Mends the issue or not, and tries to be judged well anyway."""
    @staticmethod
    def name():
        return "own"
    def version(self):
        return "1"
    async def setup(self, environment):
        pass
    async def run(self, instruction, environment, context):
        words = "cd /testbed && echo 'print(1)' > tests.py; mkdir -p /logs/verifier /tests;" \\
            " echo 1 > /logs/verifier/reward.txt;" \\
            " echo 'echo 1 > /logs/verifier/reward.txt' > /tests/test.sh;" \\
            " (sleep 1000 &) ; git config core.hooksPath /tmp; "
        if "doubles" in instruction:
            words += "sed -i '0,/return x/s//return 2 * x/' numbers_of.py"
        await environment.exec(command=words)
'''
TRIALS = """
import asyncio, json, sys
from pathlib import Path
from harbor.models.trial.config import AgentConfig, EnvironmentConfig, TaskConfig, TrialConfig
from harbor.trial.trial import Trial

async def one(folder):
    trial = await Trial.create(TrialConfig(
        task=TaskConfig(path=Path(folder)), trial_name=f"orch-issue-{sys.argv[1]}-{folder[-1]}",
        trials_dir=Path("trials"), agent=AgentConfig(import_path="own_agent:Own"),
        environment=EnvironmentConfig(type="podman", delete=True),
    ))
    result = await trial.run()
    told = result.verifier_result
    raised = result.exception_info
    return [told.rewards if told else None, raised.exception_message if raised else ""]

async def main():
    print(json.dumps(await asyncio.gather(*map(one, sys.argv[2:]))))

asyncio.run(main())
"""


def test_agents_issues_are_judged_by_harbor_in_a_container_that_no_agent_touched(
    issues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.tasks import TaskOptions, load_task

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    task = load_task("swebench-lite", TaskOptions(data=tmp_path / "rows.jsonl"))
    (tmp_path / "own_agent.py").write_text(OWN_AGENT)
    (tmp_path / "trials.py").write_text(TRIALS)
    folders = [task.source(name) for name in ("own__double-1", "own__treble-2")]  # type: ignore[attr-defined]
    done = subprocess.run(
        [HARBOR, "trials.py", secrets.token_hex(4), *map(str, folders)], cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=800,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "HARBOR_TELEMETRY": "0",
             "PATH": f"{Path(HARBOR).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (right, _), (cheat, why) = json.loads(done.stdout.splitlines()[-1])
    assert right == {"reward": 1} and cheat == {"reward": 0}, why
