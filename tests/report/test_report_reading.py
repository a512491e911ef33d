"""Samples to read on the page: which are chosen, that they stay few, and that none is obeyed."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_browser import Browser, browser, chromium_is_here
from report_samples import arm, hostile, to_read

from orchestrator.report import reading_page
from orchestrator.report.collect import collect_run, together
from orchestrator.report.data import ReadProblem, ReportData
from orchestrator.report.html import to_html
from orchestrator.report.reading import KEPT, cut
from orchestrator.store.reader import RunReader
from tests.forks import run_forked
from tests.run.serving import serving

PROBLEMS, SAMPLES = 4, 12
SENT: dict[str, int] = defaultdict(int)


def answer(body: dict[str, object]) -> tuple[int, dict[str, str], dict[str, object]]:
    """Problem i is answered rightly from its i-th answer on, one in two; else mostly with 70."""
    asked = str(body["messages"][-1]["content"])  # type: ignore[index]
    number, at = int(asked[0]), SENT[asked]
    SENT[asked] += 1
    right = number > 0 and at >= number and (at - number) % 2 == 0
    said = f"<b>so\x1b[31m\n{number + 1}" if right else ("70" if at % 3 else f"{80 + at}")
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": said}}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return 200, {}, {"id": "x", "model": "hostile", "choices": [choice], "usage": usage}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("reading")
    lines = [
        {
            "id": f"p{i}", "answer": str(i + 1), "group": i // 2,
            "messages": [{"role": "user", "content": f"{i}+1="}],
        }
        for i in range(PROBLEMS)
    ]  # fmt: skip
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with serving(answer) as url:
        words = (
            f"run --provider compatible --base-url {url}/v1 --model hostile --task t.jsonl "
            f"--samples {SAMPLES} --n-per-request 1 --max-concurrent 1 --gpu-hour 0 --name r -y"
        )
        run_forked(
            ["orchestrator", *words.split()],
            cwd=folder, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    yield folder / "runs" / "r"


def read(run: Path) -> ReportData:
    with closing(RunReader(run)) as reader:
        return together(collect_run(reader, reading=True))


def test_the_first_passed_the_first_failed_and_the_commonest_wrong_one_are_chosen(run: Path):
    found = {problem.id: problem for problem in read(run).arms[0].reading}
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        stored = db.execute(
            "SELECT p.id, v.slot, v.kind, v.answer FROM verdicts v JOIN problems p"
            " USING (problem) ORDER BY v.problem, v.slot"
        ).fetchall()
    assert set(found) == {f"p{i}" for i in range(PROBLEMS)}
    for name, problem in found.items():
        rows = [(slot, kind, answer) for who, slot, kind, answer in stored if who == name]
        passed = [slot for slot, kind, _ in rows if kind == "passed"]
        wrong = [(slot, answer) for slot, kind, answer in rows if kind != "passed"]
        commonest, times = Counter(answer for _, answer in wrong).most_common(1)[0]
        first = next(slot for slot, answer in wrong if answer == commonest)
        assert times > 1
        shown = {sample.slot: sample for sample in problem.samples}
        assert set(shown) == {*passed[:1], wrong[0][0], first}
        assert f"the commonest wrong one, {times} of {len(wrong)}" in shown[first].why
        assert problem.asked == f"{name[1:]}+1=" and problem.expected == str(int(name[1:]) + 1)
    assert not any(sample.verdict == "passed" for sample in found["p0"].samples)


class Words(HTMLParser):
    """The words of every opened problem."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.texts: list[str] = []
        self._in: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._in.append(tag)
        if tag == "details":
            self.problems.append("")
        if tag == "pre":
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if "details" in self._in:
            self.problems[-1] += data
            if self._in[-1] == "pre":
                self.texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in self._in:
            del self._in[len(self._in) - 1 - self._in[::-1].index(tag) :]


def test_the_page_holds_their_texts_as_words(run: Path):
    page = to_html(read(run))
    words = Words(page)
    assert len(words.problems) == PROBLEMS
    assert "<b>so\\x1b[31m\n2" in words.texts and "\x1b" not in page
    assert "The first that passed · sample" in words.problems[1]
    assert "hostile: 0 of 12 right" in words.problems[0]


def test_the_command_writes_them_and_a_report_without_a_page_reads_none(run: Path):
    page = run.parent / "page.html"
    run_forked(
        ["orchestrator", "report", str(run), "--html", str(page)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert len(Words(page.read_text()).problems) == PROBLEMS
    with closing(RunReader(run)) as reader:
        assert collect_run(reader)[0].reading == ()


def test_the_groups_of_the_task_reach_the_report(run: Path):
    arm = read(run).arms[0]
    assert arm.groups == ("group 0", "group 0", "group 1", "group 1")
    assert any("fall into 2 groups" in note for note in arm.notes)


def test_what_is_too_much_is_cut_and_said():
    assert cut("x" * KEPT) == "x" * KEPT
    told = cut("a" * 9000 + "z" * 1000, 400)
    assert told.startswith("a" * 300) and told.endswith("z" * 100) and len(told) < 460
    assert "9,600 characters left out" in told


@pytest.mark.parametrize("problems", [3, 1000])
def test_a_page_stays_small_whatever_it_is_of(problems: int):
    sample = replace(to_read("p").samples[0], text="x" * KEPT)
    reading = tuple(
        ReadProblem(f"p{i}", "y" * KEPT, "z" * KEPT, (sample,) * 3) for i in range(problems)
    )
    names = tuple(f"p{i}" for i in range(problems))
    one = replace(
        arm("big", 1), reading=reading, problem_ids=names, n=(9,) * problems, c=(1,) * problems
    )
    shown = reading_page.page_reading(ReportData("Big", (one, replace(one, name="other"))))
    whole = Words(shown)
    assert len(shown) < 2.5 * reading_page.MOST
    assert all(len(text) >= reading_page.LEAST for text in whole.texts)
    assert ("orch samples RUN --problem ID" in shown) == (len(whole.problems) < problems)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not chromium_is_here():
        pytest.skip("Chromium and chromedriver are not installed")
    with browser() as opened:
        yield opened


def test_a_row_or_a_name_opens_its_problem(chromium: Browser, tmp_path: Path):
    page = tmp_path / "report.html"
    page.write_text(to_html(hostile()))
    chromium.open(page, 1000)
    opened = "return [...document.querySelectorAll('#reading details[open]')].map((one) => one.id)"
    assert chromium.run(opened) == []
    chromium.run("document.querySelectorAll('#each tbody tr')[7].click()")
    assert chromium.run(opened) == ["read-7"]
    shown = chromium.run(
        "const find = document.getElementById('find'); find.value = '%#^~11';"
        "find.dispatchEvent(new Event('input'));"
        "return [...document.querySelectorAll('#reading details')].filter((one) => "
        "one.offsetParent).map((one) => one.id)"
    )
    assert shown == ["read-11"]
    assert chromium.run("return document.title") != "owned"
    assert chromium.console() == []
