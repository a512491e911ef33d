"""A person's own FILE.jsonl: what is read is whole, what cannot be read is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.tasks import Problem, TaskError, TaskOptions, load_task, task_names


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path, **options: object) -> list[Problem]:
    return load_task(str(path), TaskOptions(**options)).problems()  # type: ignore[arg-type]


def test_reads_prompts_and_messages_in_order(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
    path = write(
        tmp_path / "mine.jsonl",
        {"id": "a", "prompt": "1+1=", "answer": "2", "note": "left alone"},
        {"id": 7, "messages": chat, "answer": 4},
    )
    first, second = read(path)
    assert (first.id, first.prompt, first.messages, first.reference) == (
        "a",
        "1+1=",
        None,
        {"answer": "2"},
    )
    assert (second.id, second.prompt, second.reference) == ("7", None, {"answer": "4"})
    assert [dict(message) for message in second.messages or ()] == chat
    task = load_task(str(path))
    assert task.name == "mine"
    assert task.version == load_task(str(path)).version


def test_chat_form_wraps_a_prompt_and_completion_form_refuses_messages(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"id": 1, "prompt": "1+1=", "answer": 2})
    (problem,) = read(path, prompt_form="chat")
    assert problem.prompt is None
    assert problem.messages == ({"role": "user", "content": "1+1="},)
    chat = [{"role": "user", "content": "x"}]
    path = write(tmp_path / "u.jsonl", {"id": 1, "messages": chat, "answer": 2})
    with pytest.raises(TaskError, match="line 1 has 'messages', which cannot be sent as a raw"):
        read(path, prompt_form="completion")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it needs one JSON object per line"),
        (b"\n  \n", "is empty: it needs one JSON object per line"),
        (b'{"id": 1, "prompt": "x", "answer": 1}\n{"id": 2,', "line 2 is not JSON: .* column 10"),
        (b'{"id": 1, "prompt": "x", "answer": 1}\n\n[1]\n', "line 3 must be a JSON object, but"),
        (b'{"prompt": "x", "answer": 1}', "line 1 has no field 'id'"),
        (b'{"id": 1, "answer": 1}', r"line 1 has no field 'prompt' \(or 'messages'\)"),
        (b'{"id": 1, "prompt": "x"}', "line 1 has no field 'answer'"),
        (b'{"id": null, "prompt": "x", "answer": 1}', "'id' must be a string or a number, not nul"),
        (b'{"id": true, "prompt": "x", "answer": 1}', "'id' must be a string or a number, not a b"),
        (b'{"id": " ", "prompt": "x", "answer": 1}', "the field 'id' is empty"),
        (b'{"id": 1, "prompt": 5, "answer": 1}', "'prompt' must be a string, not a number"),
        (b'{"id": 1, "prompt": ["x"], "answer": 1}', "'prompt' must be a string, not a list"),
        (b'{"id": 1, "prompt": "", "answer": 1}', "the field 'prompt' is empty"),
        (b'{"id": 1, "prompt": "x", "answer": {}}', "'answer' must be a string or a number, not a"),
        (b'{"id": 1, "prompt": "x", "answer": ""}', "the field 'answer' is empty"),
        (b'{"id": 1, "prompt": "x", "messages": [], "answer": 1}', "both 'prompt' and 'messages'"),
        (b'{"id": 1, "messages": [], "answer": 1}', "not an empty list"),
        (b'{"id": 1, "messages": "hi", "answer": 1}', "'messages' must be a list .* not a string"),
        (
            b'{"id": 1, "messages": ["hi"], "answer": 1}',
            r"messages\[0\] must be an object, not",
        ),
        (
            b'{"id": 1, "messages": [{"role": "user"}], "answer": 1}',
            r"messages\[0\] has no fie",
        ),
        (b'{"id": 1, "messages": [{"role": "x", "content": ""}], "answer": 1}', "role 'x' is none"),
        (b'{"id": 1, "id": 2, "prompt": "x", "answer": 1}', "the field 'id' stands there twice"),
        (b'{"id": 1, "prompt": "x", "answer": NaN}', "NaN is not a JSON value"),
        (b'{"id": 1, "prompt": "\xff", "answer": 1}', r"line 1 is not UTF-8 text \(byte 22"),
        (b'{"id": 1, "prompt": "\\ud800", "answer": 1}', "half of a surrogate pair at character 1"),
        (b'{"id": 1, "prompt": "x\x00", "answer": 1}', "line 1 is not JSON: Invalid control"),
        (b'{"id": ' + b"[" * 200_000, "line 1 cannot be used: its values are nested too deeply"),
    ],
)
def test_a_broken_file_is_one_clear_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)
    with pytest.raises(TaskError, match=message) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and len(said) < 400 + len(str(path))


def test_equal_ids_name_both_lines(tmp_path: Path) -> None:
    lines = [{"id": identity, "prompt": "x", "answer": 1} for identity in ("a", "b", 3, "3")]
    path = write(tmp_path / "twice.jsonl", *lines)
    with pytest.raises(TaskError, match="lines 3 and 4 have the same id '3'"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    task = load_task(str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(TaskError, match=r"nowhere\.jsonl cannot be read: No such file"):
        task.problems()
    with pytest.raises(TaskError, match=r"nowhere\.jsonl cannot be read: No such file"):
        _ = task.version


def test_nothing_is_lost_of_strange_but_valid_input(tmp_path: Path) -> None:
    huge = "7" * 1_000_000
    right_to_left = "ما هو \u202eمجموع\u202c ٢ و ٣؟"
    long = "x" * 50_000_000
    path = tmp_path / "strange.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.write('\ufeff{"id": 1, "prompt": "digits", "answer": ' + huge + "}\n")
        file.write(json.dumps({"id": 2, "prompt": "a\x00b", "answer": "\x00"}) + "\n")
        line = {"id": 3, "prompt": right_to_left, "answer": "خمسة"}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.write(json.dumps({"id": 4, "prompt": long, "answer": "1"}) + "\n")
        file.write('{"id": 5, "prompt": "float", "answer": 1.10}\r\n')
    digits, nul, arabic, big, number = read(path)
    assert digits.reference["answer"] == huge
    assert (nul.prompt, nul.reference["answer"]) == ("a\x00b", "\x00")
    assert (arabic.prompt, arabic.reference["answer"]) == (right_to_left, "خمسة")
    assert big.prompt == long
    assert number.reference["answer"] == "1.10"
    assert len({problem.digest for problem in (digits, nul, arabic, big, number)}) == 5


def test_the_digest_covers_every_part_and_nothing_else() -> None:
    base = Problem("a", "p", None, {"answer": "1", "more": [1, 2]})
    assert base.digest == Problem("a", "p", None, {"more": [1, 2], "answer": "1"}).digest
    others = [
        Problem("b", "p", None, base.reference),
        Problem("a", "q", None, base.reference),
        Problem("a", None, ({"role": "user", "content": "p"},), base.reference),
        Problem("a", "p", None, {"answer": "1"}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 5


def test_an_unknown_task_or_verifier_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as caught:
        load_task("gsm9k")
    assert "'gsm9k'" in str(caught.value) and "FILE.jsonl" in str(caught.value)
    assert all(name in str(caught.value) for name in task_names())
    path = write(tmp_path / "t.jsonl", {"id": 1, "prompt": "x", "answer": 1})
    with pytest.raises(TaskError, match=r"no verifier named 'nope'; it has: .*exact"):
        load_task(str(path)).verifier("nope")


def test_a_task_of_another_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere_tasks.py").write_text(
        "from pathlib import Path\n"
        "from orchestrator.tasks.jsonl import JsonlTask\n"
        "def make(options):\n"
        "    return JsonlTask(Path(options.data), options)\n"
    )
    information = tmp_path / "elsewhere_tasks-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[orch.tasks]\nelsewhere = elsewhere_tasks:make\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path / "t.jsonl", {"id": 1, "prompt": "x", "answer": 1})
    assert "elsewhere" in task_names()
    assert [one.id for one in load_task("elsewhere", TaskOptions(data=path)).problems()] == ["1"]


def test_the_bundled_task_is_whole() -> None:
    task = load_task("arithmetic")
    problems = task.problems()
    assert len({problem.id for problem in problems}) == len(problems) > 0
    assert all(problem.prompt and problem.reference["answer"].isdigit() for problem in problems)
