"""Agents in containers, and real ones: what needs podman, root, an image, or packages to be there.

`make test-agents` prepares them and runs this; elsewhere each test says what it lacks. ORCH_TEST_
AGENTS_IMAGE names an image with python3 and git; ORCH_TEST_MINI an environment with mini-swe-agent;
ORCH_TEST_HARBOR an interpreter with Harbor.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.engine.executors.container import label_of
from orchestrator.engine.executors.harbor import RUNNER
from tests.agents.book import AGENT, Book
from tests.agents.model_process import TASKS, bill, model_process
from tests.agents.test_agents_cell import even, judged_again

IMAGE = os.environ.get("ORCH_TEST_AGENTS_IMAGE", "")
HARBOR = os.environ.get("ORCH_TEST_HARBOR", "")
MINI = os.environ.get("ORCH_TEST_MINI", "")
KILLS = int(os.environ.get("ORCH_TEST_KILLS", "1"))
"""How many moments each kind of process is killed at."""
RESUMED = ("--resume=runs/run", "--prices=prices.toml", "--display=none")

pytestmark = pytest.mark.slow
in_containers = pytest.mark.skipif(
    not IMAGE or os.getuid() != 0 or not shutil.which("podman"),
    reason="needs root, podman and an image with python3 and git (ORCH_TEST_AGENTS_IMAGE)",
)
with_mini = pytest.mark.skipif(
    not MINI, reason="needs an environment with mini-swe-agent (ORCH_TEST_MINI)"
)


with_harbor = pytest.mark.skipif(
    not (HARBOR and MINI and IMAGE) or os.getuid() != 0,
    reason="needs root, podman, an image, mini-swe-agent and Harbor (ORCH_TEST_HARBOR)",
)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with model_process(tmp_path / "bill.jsonl") as url:
        yield Book(tmp_path, url)


def keys_never_mixed(book: Book) -> None:
    """Every call of an attempt asked about that attempt's own problem."""
    lines = {
        f"chatcmpl-{line['number']}": str(line["body"]) for line in bill(book.folder / "bill.jsonl")
    }
    problems = {0: "durations", 1: "quoting", 2: "ranges"}
    titles = {"durations": "reads durations", "quoting": "cuts a line", "ranges": "joins ranges"}
    for problem, provider_id in book.rows(
        "SELECT r.problem, c.provider_id FROM calls c JOIN attempts a USING (attempt)"
        " JOIN requests r ON r.request = a.request WHERE c.provider_id != ''"
    ):
        text = lines[provider_id]
        named = [name for name, title in titles.items() if title in text]
        assert named in ([problems[problem]], []), (problem, named)


@in_containers
def test_agents_in_containers_three_tasks_three_attempts(book: Book) -> None:
    code, said = book.run(*book.options(agent_image=IMAGE))
    assert code == 0, said
    even(book)
    keys_never_mixed(book)
    verdicts = dict(book.rows("SELECT kind, count(*) FROM verdicts GROUP BY kind"))
    assert sum(verdicts.values()) == 9 and verdicts["passed"] and verdicts["failed"]
    assert not made_for(book)


@in_containers
def test_agents_in_containers_reach_nothing_but_the_gateway(book: Book) -> None:
    code, said = book.run(*book.options("evil", samples=1, filter="ranges", agent_image=IMAGE))
    assert code == 0, said
    ((text,),) = book.rows("SELECT text FROM samples")
    told = dict(line.split(": ", 1) for line in text.splitlines())
    assert told["host"] == "OSError" and told["names"] == "gaierror"
    assert told["secret"] == "FileNotFoundError" and told["mount"] != "0"
    assert not made_for(book)


@in_containers
@pytest.mark.parametrize(
    ("way", "ending", "kinds"),
    [
        ("flood", "own_failure", {"no_answer", "failed"}),
        ("sparse", "done", {"no_answer", "passed", "failed"}),
        ("chatter", "done", {"no_answer", "passed", "failed"}),
        ("tamper", "done", {"failed"}),
    ],
)
def test_agents_in_containers_fill_no_disk_and_judge_nothing(
    book: Book, way: str, ending: str, kinds: set[str]
) -> None:
    free = shutil.disk_usage("/").free
    code, said = book.run(*book.options(way, samples=1, filter="ranges", agent_image=IMAGE))
    assert code == 0, said
    assert book.rows("SELECT ending FROM attempts") == [(ending,)]
    ((kind,),) = book.rows("SELECT kind FROM verdicts")
    assert kind in kinds
    kept = sum(p.stat().st_size for p in book.directory.rglob("*") if p.is_file())
    assert kept < 64 * 2**20
    assert shutil.disk_usage("/").free > free - 2**30
    assert not made_for(book)
    assert not list(
        Path(tempfile.gettempdir()).glob(f"orch-agent-{label_of(book.directory)[:12]}*")
    )


@in_containers
@pytest.mark.parametrize("victim", ["orch", "agent"])
def test_agents_in_containers_killed_again_and_again(book: Book, victim: str) -> None:
    options = book.options(agent_image=IMAGE, samples=4)
    killed_again_and_again(book, options, victim, (str(AGENT), ""), 6.0)
    assert not made_for(book)


def kill_a_process(
    words_of_it: tuple[str, str], orch: subprocess.Popen[str], within_s: float, after_s: float
) -> bool:
    """End the hard way a Python that runs a script, with a text somewhere in its words, so long
    after one was found; whether any was."""
    script, text = words_of_it[0].encode(), words_of_it[1].encode()
    until, seen = time.monotonic() + within_s, False
    while orch.poll() is None and time.monotonic() < until:
        for place in Path("/proc").glob("[0-9]*"):
            try:
                line = (place / "cmdline").read_bytes()
                words = line.split(b"\0")
            except OSError:
                continue
            if b"python" in words[0] and script in words[1:] and text in line:
                if not seen:
                    seen = True
                    time.sleep(after_s)
                    break
                os.kill(int(place.name), signal.SIGKILL)
                return True
        time.sleep(0.05)
    return False


def killed_again_and_again(
    book: Book, options: list[str], victim: str, script: tuple[str, str], longest_s: float
) -> None:
    """kill -9 at one random moment after another; the books hold each time, and at the end."""
    draw = random.Random(victim)
    process = book.start(*options)
    for number in range(KILLS):
        book.begun(process)
        if victim == "orch":
            time.sleep(draw.uniform(0.0, longest_s))
            process.kill()
            process.communicate()
            after, left = book.bill, made_for(book)
            time.sleep(3.0)
            assert book.bill == after, "a call passed after the gateway's death"
            within_its_cap(book)
            sittings = attempts_made(book)
            process = book.start(*RESUMED)
            while attempts_made(book) == sittings and process.poll() is None:
                time.sleep(0.1)
            assert not left & made_for(book), "a container of the dead outlived the next start"
        else:
            killed = kill_a_process(script, process, 600.0, after_s=draw.uniform(0, longest_s / 2))
            assert killed or (process.poll() is not None and number > 1)
    said, _ = process.communicate(timeout=2400)
    assert process.returncode == 0, said
    within_its_cap(book)
    slots = "SELECT count(*), count(DISTINCT problem || '/' || slot) FROM samples"
    ((there, different),) = book.rows(slots)
    assert there == different == 3 * int(options_of(options)["samples"])
    assert book.check() == 0


def within_its_cap(book: Book) -> None:
    totals = book.ledger().totals()
    assert totals.settled <= book.bill <= totals.committed <= (totals.cap or 0)


def attempts_made(book: Book) -> int:
    return int(book.rows("SELECT count(*) FROM attempts")[0][0])


def options_of(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words)


def made_for(book: Book) -> set[str]:
    """Containers of the run's agents, ended ones too."""
    mine = f"name=orch-{label_of(book.directory)[:12]}"
    asked = ["podman", "ps", "--all", "--quiet", "--no-trunc", "--filter", mine]
    return set(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())


def base_of(environment: str) -> str:
    """Where the interpreter of an environment lies."""
    return subprocess.run(
        [f"{environment}/bin/python", "-c", "import sys; print(sys.base_prefix)"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def mini(book: Book, **more: object) -> list[str]:
    """Options for mini-swe-agent as the command."""
    settings = (
        "MSWEA_CONFIGURED=true MSWEA_SILENT_STARTUP=1 MSWEA_COST_TRACKING=ignore_errors"
        " MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT=1 LITELLM_LOCAL_MODEL_COST_MAP=True"
    )
    asks = '-m openai/scripted -t "$(cat {problem})"'
    command = f"env {settings} sh -c '{MINI}/bin/mini -y --exit-immediately {asks}'"
    return [*book.options(agent=command, agent_path=MINI, **more), f"--agent-path={base_of(MINI)}"]


@with_mini
def test_agents_mini_swe_agent_as_the_command(book: Book) -> None:
    code, said = book.run(*mini(book, samples=1))
    assert code == 0, said
    even(book)
    keys_never_mixed(book)
    rows = book.rows(
        "SELECT s.text, v.kind FROM samples s JOIN verdicts v USING (arm, problem, slot)"
    )
    assert len(rows) == 3
    for text, kind in rows:
        wrong = "notes.txt" in text
        assert kind == ("no_answer" if not text else "failed" if wrong else "passed")


@with_mini
def test_agents_mini_swe_agent_stops_at_the_first_refusal(book: Book) -> None:
    code, said = book.run(*mini(book, samples=1, filter="ranges", attempt_calls=1))
    assert code == 0, said
    assert book.rows("SELECT kind, finish_reason FROM samples") == [("ok", "budget")]
    refused = book.rows("SELECT count(*) FROM calls WHERE outcome = 'refused: attempt'")
    assert refused == [(1,)] and book.billed_calls == 1


def in_harbor(book: Book, **more: object) -> list[str]:
    """Options for the bundled tasks in Harbor's containers, made from our image."""
    tasks = book.folder / "tasks"
    if not tasks.exists():
        shutil.copytree(TASKS, tasks)
        for task in tasks.iterdir():
            lines = f"FROM {IMAGE}\nCOPY repo /app\nWORKDIR /app\n"
            (task / "environment" / "Dockerfile").write_text(lines)
    settings = {
        "agent": "harbor:harbor_agent:Scripted", "harbor_python": HARBOR,
        "task": f"harbor:{tasks}", "agent_jobs": 3, **more,
    }  # fmt: skip
    return book.options(**settings)


def mini_in_harbor(book: Book, **more: object) -> list[str]:
    """The same with mini-swe-agent inside, from the environment that is here already."""
    settings = {
        "agent": "harbor:mini-swe-agent", "agent_path": MINI, "harbor_arg": "skip_install=true",
    }  # fmt: skip
    return [*in_harbor(book, **settings, **more), f"--agent-path={base_of(MINI)}"]


@with_harbor
def test_agents_of_harbors_three_tasks_three_attempts(book: Book) -> None:
    code, said = book.run(*mini_in_harbor(book, samples=3), patience_s=1500)
    assert code == 0, said
    even(book)
    keys_never_mixed(book)
    kinds = dict(book.rows("SELECT kind, count(*) FROM verdicts GROUP BY kind"))
    assert sum(kinds.values()) == 9 and kinds["passed"] and kinds["failed"]
    assert not made_for(book)


@with_harbor
def test_agents_of_harbors_cut_by_their_cap_are_budget(book: Book) -> None:
    code, said = book.run(*mini_in_harbor(book, samples=1, filter="ranges", attempt_calls=1))
    assert code == 0, said
    assert book.rows("SELECT kind, finish_reason FROM samples") == [("ok", "budget")]
    assert book.billed_calls == 1


@with_harbor
@pytest.mark.parametrize("calls", [None, 1])
def test_agents_of_harbors_that_run_beside_it_pay_and_stop_too(
    book: Book, calls: int | None
) -> None:
    """terminus-2 types into the container's terminal from outside."""
    options = in_harbor(
        book, agent="harbor:terminus-2", agent_path=None, samples=1, filter="ranges",
        attempt_calls=calls,
    )  # fmt: skip
    code, said = book.run(*options, patience_s=1200)
    assert code == 0, said
    even(book)
    refused = book.rows("SELECT count(*) FROM calls WHERE outcome = 'refused: attempt'")[0][0]
    if calls:
        assert 1 <= refused <= 3
        assert book.rows("SELECT kind, finish_reason FROM samples") == [("ok", "budget")]
    else:
        assert refused == 0 and book.billed_calls >= 2
        ((text, kind),) = book.rows("SELECT s.text, v.kind FROM samples s, verdicts v")
        wrong = "notes.txt" in text
        assert kind == ("no_answer" if not text else "failed" if wrong else "passed")


@with_harbor
def test_agents_of_peoples_own_run_in_harbor_too(book: Book) -> None:
    code, said = book.run(*in_harbor(book, samples=1, filter="ranges"))
    assert code == 0, said
    even(book)
    assert book.rows("SELECT kind, finish_reason FROM samples") == [("ok", "stop")]
    assert book.billed_calls == 2 and not made_for(book)


@with_harbor
def test_agents_of_tasks_with_a_container_alone_are_judged_in_it(book: Book) -> None:
    options = in_harbor(book, samples=3, filter="ranges")
    environment = book.folder / "tasks" / "ranges" / "environment"
    (environment / "repo").rename(environment / "files")
    (environment / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY files /app\nWORKDIR /app\n")
    code, said = book.run(*options)
    assert code == 0, said
    even(book)
    rows = book.rows("SELECT s.text, v.verifier, v.kind FROM samples s, verdicts v USING (slot)")
    for text, verifier, kind in rows:
        reward = json.loads(text)["rewards"]["reward"]
        assert verifier == "harbor" and kind == ("passed" if reward == 1 else "failed")
    # What the model says at its first ten calls is five times right: both kinds are among three.
    assert {kind for *_, kind in rows} == {"passed", "failed"} and len(rows) == 3
    shutil.rmtree(book.folder / "tasks")
    judged_again(book, "--verifier", "harbor")
    assert not made_for(book)


@with_harbor
@pytest.mark.parametrize("victim", ["orch", "runner", "agent"])
def test_agents_of_harbors_killed_again_and_again(book: Book, victim: str) -> None:
    """The agent is a short one: what is at stake is who ends what it started."""
    agent = (str(AGENT), f"orch-{label_of(book.directory)[:12]}")
    script = (str(RUNNER), "") if victim == "runner" else agent
    options = in_harbor(book, samples=1 if KILLS < 3 else 4, agent_jobs=2)
    killed_again_and_again(book, options, victim, script, 15.0)
    assert not made_for(book)
