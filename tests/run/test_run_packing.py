"""Long texts are stored small, and everything that reads a run gives them back as they were."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import string
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.storage_bytes import make
from benchmarks.storage_texts import KINDS, chain_of_thought
from orchestrator.audit.check import check_run
from orchestrator.errors import StoreError
from orchestrator.report.collect import collect_run
from orchestrator.store import migrations, schema
from orchestrator.store.packing import SHORT, STAGES, FoundAnswer, Packer, Unpacker, vote
from orchestrator.store.reader import RunReader
from orchestrator.store.sampled import Filter, stored_samples
from orchestrator.store.store import RunStore
from orchestrator.tasks import Problem
from providers.sample import Choice
from verifiers.exact import ExactAnswer, bounded
from verifiers.verdict import Verdict


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.create(connection)
    return connection


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def texts_of_all_kinds() -> list[str]:
    draw = random.Random(5)
    found = [write(number % 7, draw, 1500) for write in KINDS.values() for number in range(150)]
    noise = "".join(draw.choices(string.printable, k=3000))
    odd = ["", " ", "é" * SHORT, "x" * (SHORT - 1), "x" * SHORT, "\0" * 900, "\U0001f412" * 700]
    return [*found, noise, *odd, "long " * 200_000]


async def stored(run: Path, texts: list[str], answers: list[str | None]) -> None:
    """A run of one problem, each text in a commit of its own."""
    store = RunStore(run / "run.db", create=True)
    problem = Problem(id="p", prompt="?", messages=None, reference={})
    content = {"prompt": "?", "messages": None, "reference": {}}
    store.put_problem("t", 0, "p", problem.digest, content)
    spec = {
        "n_per_request": 1, "verifier": "rule", "problem_set": "t", "estimators": ["unbiased"],
    }  # fmt: skip
    store.put_arm(0, "k", "p", "m", "t", "uniform", len(texts), spec)
    for slot, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        request = store.plan(0, 0, slot, 1, slot)
        store.put_sample(0, 0, slot, request, Choice(0, text, "stop", None))
        verdict = Verdict("failed", detail=f"not {text[:1500]}", answer=answer)
        store.put_verdict(0, 0, slot, "rule", verdict, text)
        await store.durable()
    await store.close()


def answers_in(texts: list[str]) -> list[str | None]:
    """Whole texts, parts of them, what is only begun in them, what is not in them, and none."""
    draw = random.Random(6)
    ways = (
        lambda text: text.strip() or None,
        lambda text: bounded(text.strip()) or None,
        lambda text: text[len(text) // 3 :][:400] or None,
        lambda text: text[:200] + " and so on",
        lambda text: "".join(draw.choices(string.ascii_letters, k=300)),
        lambda text: None,
        lambda text: "42",
    )
    return [ways[place % len(ways)](text) for place, text in enumerate(texts)]


async def test_texts_answers_and_details_come_back_as_they_were(tmp_path: Path) -> None:
    texts = texts_of_all_kinds()
    answers = answers_in(texts)
    await stored(new(tmp_path / "r"), texts, answers)
    assert check_run(tmp_path / "r").findings == []
    with closing(RunReader(tmp_path / "r")) as reader:
        (arm,) = reader.arms()
        found = list(stored_samples(reader, arm, "a"))
        assert [one.text for one in found] == texts
        assert [one.answer for one in found] == answers
        assert [one.detail for one in found] == [f"not {text[:1500]}" for text in texts]
        assert [row[2] for row in reader.samples(0)] == texts
        assert [row[2] for row in reader.unjudged(0, "another")] == texts
        votes = [row[3] for row in reader.verdicts(0, "rule")]
        assert votes == [vote(answer) for answer in answers]
        wanted = Filter(text="JONAS")
        expected = [text for text in texts if "jonas" in text.casefold()]
        assert [one.text for one in stored_samples(reader, arm, "a", wanted)] == expected
        dictionaries = list(reader.rows("SELECT count(*) FROM dictionaries"))
        packed = list(reader.rows("SELECT count(*) FROM samples WHERE typeof(text) = 'blob'"))
    assert 2 <= dictionaries[0][0] <= len(STAGES)
    assert packed[0][0] > 250


async def test_a_resume_goes_on_with_what_was_learnt(tmp_path: Path) -> None:
    draw = random.Random(8)
    texts = [chain_of_thought(number % 9, draw) for number in range(120)]
    await stored(new(tmp_path / "r"), texts[:60], [None] * 60)
    store = RunStore(tmp_path / "r" / "run.db")
    for slot, text in enumerate(texts[60:], start=60):
        store.put_sample(0, 0, slot, store.plan(0, 0, slot, 1, slot), Choice(0, text, "stop", None))
    await store.close()
    with closing(RunReader(tmp_path / "r")) as reader:
        assert [row[2] for row in reader.samples(0)] == texts
        first = "SELECT min(hex(substr(text, 1, 1))) FROM samples WHERE slot >= 60"
        assert list(reader.rows(first)) == [("01",)]
    assert check_run(tmp_path / "r").findings == []


async def test_the_samples_of_one_problem_are_what_they_are_among_all(tmp_path: Path) -> None:
    await make(new(tmp_path / "r"), "thoughts", 300, 2, 40, 5)
    with closing(RunReader(tmp_path / "r")) as reader:
        (arm,) = reader.arms()
        whole = list(stored_samples(reader, arm, "a"))
        each = [list(stored_samples(reader, arm, "a", Filter(problem=f"p{i}"))) for i in range(5)]
        assert list(stored_samples(reader, arm, "a", Filter(problem="none"))) == []
    assert [len(one) for one in each] == [8] * 5
    assert [sample for one in each for sample in one] == whole


@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_is_smaller_than_its_texts(kind: str, tmp_path: Path) -> None:
    run = new(tmp_path / kind)
    size = await make(run, kind, 1500, 5, 1500, 30)
    assert (run / "run.db").stat().st_size < 0.6 * size


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_also_where_a_request_buys_one_short_text(kind: str, tmp_path: Path) -> None:
    run = new(tmp_path / kind)
    size = await make(run, kind, 1000, 1, 4000, 100)
    assert (run / "run.db").stat().st_size < 0.6 * size


REPORTS = [
    '{"prompt_tokens":114,"completion_tokens":250,"details":{"cached_tokens":0}}',
    '{"prompt_tokens":7,"completion_tokens":0,"details":{"cached_tokens":0}}',
    '{"a":0.5,"b":00,"c":"x:12,","d":-3,"e":1e999,"f":123456789012345678901,"g":[5,6]}',
    '{"a":"\\u0000:7,","b":{}}', "null", "5", '{"x":":5,:6}"}', '{"a": 5, "b": 6}', '{"a":\0:5}',
]  # fmt: skip
IDS = [
    "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "msg_01XFDUDYJgAACzvnptvVoYEL", "", "chatcmpl-",
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "gen-1764322000-" + "x" * 40, "cmpl-" + "é" * 20,
]  # fmt: skip


def test_what_is_stored_once_comes_back_to_the_last_character() -> None:
    connection, draw = database(), random.Random(3)
    letters = string.ascii_letters + string.digits + "-_"
    ids = [*IDS, *("cmpl_" + "".join(draw.choices(letters, k=8 + i % 60)) for i in range(600))]
    reports = [*REPORTS, *(f'{{"id{i}":{i}}}' for i in range(600))]
    rows = [
        (number, number, f"model {number % 3}", identifier, report, *(None,) * 7, 0.0, 0.0, "", "")
        for number, (identifier, report) in enumerate(zip(ids, reports, strict=False))
    ]
    packer = Packer(connection)
    for start in range(0, len(rows), 100):
        groups = packer.group({schema.PUT_ANSWER: rows[start : start + 100]})
        for statement, group in groups.items():
            connection.executemany(statement, group)
    packer = Packer(connection)  # As a resume does.
    (again,) = packer.group({schema.PUT_ANSWER: [(-1, *rows[0][1:])]})[schema.PUT_ANSWER]
    connection.execute(schema.PUT_ANSWER, again)
    unpack = Unpacker(connection, "r").text
    stored = connection.execute(
        "SELECT content, provider_id, usage FROM answers JOIN repeated ON number = model"
        " ORDER BY request"
    ).fetchall()
    found = [(model, unpack(identifier), unpack(usage)) for model, identifier, usage in stored]
    assert found == [row[2:5] for row in (rows[0], *rows)]
    assert sum(isinstance(row[1], bytes) for row in stored) > 400
    (kept,) = connection.execute("SELECT count(*) FROM repeated").fetchone()
    assert kept < 270


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE samples SET text = substr(text, 1, 60) WHERE slot = 70",
        "UPDATE samples SET text = CAST(x'09' || substr(text, 2) AS BLOB) WHERE slot = 70",
        "UPDATE samples SET text = x'' WHERE slot = 70",
        "UPDATE samples SET text = CAST(substr(text, 1, 90) || x'00' || substr(text, 92) AS BLOB)"
        " WHERE slot = 9",
        "UPDATE verdicts SET answer = x'00' WHERE slot = 70",
        "UPDATE verdicts SET answer = CAST(x'0011223344556677' || substr(answer, 9) AS BLOB)"
        " WHERE slot = 70",
        "DELETE FROM dictionaries",
        "UPDATE dictionaries SET content = x'00'",
    ],
)
async def test_damage_is_found_and_told_in_a_sentence(damage: str, tmp_path: Path) -> None:
    draw = random.Random(9)
    texts = [chain_of_thought(number % 9, draw) for number in range(80)]
    await stored(new(tmp_path / "r"), texts, [text.strip() for text in texts])
    with closing(sqlite3.connect(tmp_path / "r" / "run.db")) as db, db:
        db.execute(damage)
    assert check_run(tmp_path / "r").findings
    with closing(RunReader(tmp_path / "r")) as reader:
        (arm,) = reader.arms()
        with pytest.raises(StoreError, match=r"damaged.*orch check"):
            list(stored_samples(reader, arm, "a"))


async def test_the_page_counts_equal_answers_together(tmp_path: Path) -> None:
    draw = random.Random(10)
    wrong = chain_of_thought(0, draw)
    texts = [f"{chain_of_thought(number % 9, draw)}\n{wrong}" for number in range(60)]
    await stored(new(tmp_path / "r"), texts, [wrong] * 59 + [texts[59]])
    with closing(RunReader(tmp_path / "r")) as reader:
        (arm,) = collect_run(reader, reading=True)
        shown = arm.reading[0].samples[0]
    assert "the commonest wrong one, 59 of 60" in shown.why
    assert shown.answer == wrong and shown.text == texts[0]
    assert shown.detail == f"not {texts[0][:1500]}"


def test_equal_answers_vote_together_however_they_are_stored() -> None:
    connection = database()
    packer, unpack = Packer(connection), Unpacker(connection, "r")
    answer = "the same " * 20
    row = (0, 0, 0, "rule", "passed", "", None, "", 0.0, 0.0)
    rows = [
        (*row[:6], FoundAnswer(answer, text), *row[7:])
        for text in (answer, f"so: {answer}", "elsewhere", answer[:100])
    ]
    packed = packer.group({schema.PUT_VERDICT: rows})[schema.PUT_VERDICT]
    assert {vote(one[6]) for one in packed} == {vote(answer)}
    read = [unpack.answer(one[6], given[6].text) for one, given in zip(packed, rows, strict=True)]
    assert read == [answer] * 4
    assert vote("42") == "42" and vote(None) is None and vote(answer + "!") != vote(answer)


def test_a_long_answer_of_exact_takes_no_room() -> None:
    packer = Packer(database())
    text = chain_of_thought(1, random.Random(3), 3000)
    verdict = asyncio.run(ExactAnswer().verify(text, {"answer": "7"}))
    row = (0, 0, 0, "exact", "failed", "", FoundAnswer(str(verdict.answer), text), "", 0.0, 0.0)
    (packed,) = packer.group({schema.PUT_VERDICT: [row]})[schema.PUT_VERDICT]
    assert len(packed[6]) < 16
