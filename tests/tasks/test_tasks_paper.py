"""The paper's subsets, examples and prompts, from records of the same shape written here."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterable, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orchestrator.tasks import Problem, TaskError, TaskOptions, load_task
from orchestrator.tasks.math import EXAMPLES, PROMPT_DIGEST, _with_slips
from orchestrator.tasks.paper import SUBSET, draw, fixed_prompt, published_prompts

MATH_SUBSET = "773a0e77d5f279bca1f7e92dd0fe299a0c79fadea7de909e0d1f17a61336e3f3"
GSM8K_SUBSET = "ee59a353604707971b464ad0c1bc490482a68e3a2eddf43a92b5329272776dbc"


def digest(indices: Iterable[int]) -> str:
    return hashlib.sha256(",".join(map(str, indices)).encode()).hexdigest()


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def problems(task: str, **options: Any) -> list[Problem]:
    return load_task(task, TaskOptions(**options)).problems()


# --- subsets ---------------------------------------------------------------------------------


def test_the_subsets_are_those_of_the_published_samples() -> None:
    math = draw(7500, 5000, 5).order[:SUBSET]
    gsm8k = draw(7473, 1319, 5).order[:SUBSET]
    assert (len(set(math)), len(set(gsm8k))) == (128, 128)
    assert 1042 in gsm8k
    assert digest(math) == MATH_SUBSET
    assert digest(gsm8k) == GSM8K_SUBSET
    assert digest(draw(7500, 5000, 4).order[:SUBSET]) != MATH_SUBSET
    assert digest(draw(7500, 5000, 5, seed=1).order[:SUBSET]) != MATH_SUBSET


def test_the_subsets_agree_with_the_list_where_it_is_at_hand() -> None:
    folder = Path(os.environ.get("ORCH_RELEASED", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "subset_indices.txt"
    if not path.exists():
        pytest.skip("no subset_indices.txt; the digests above stand for it")
    lines = path.read_text().splitlines()
    math, gsm8k = ([int(one) for one in lines[at].split(",")] for at in (1, 3))
    assert list(draw(7500, 5000, 5).order[:SUBSET]) == math
    assert list(draw(7473, 1319, 5).order[:SUBSET]) == gsm8k


def test_the_draws_leave_the_shared_random_state_alone() -> None:
    random.seed(7)
    before = random.getstate()
    draw(10, 10, 2)
    assert random.getstate() == before


# --- GSM8K -----------------------------------------------------------------------------------


def gsm8k_rows(count: int, word: str) -> list[dict[str, Any]]:
    return [
        {"question": f"{word} {n}: how many?", "answer": f"It is <<{n}*1={n}>>{n}.\n#### {n:,}"}
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def gsm8k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gsm8k")
    write_parquet(folder / "main" / "train-00000-of-00001.parquet", gsm8k_rows(7473, "Train"))
    write_parquet(folder / "main" / "test-00000-of-00002.parquet", gsm8k_rows(1319, "Test")[:700])
    write_parquet(folder / "main" / "test-00001-of-00002.parquet", gsm8k_rows(1319, "Test")[700:])
    return folder


def test_gsm8k_has_the_papers_problems_and_prompt(gsm8k: Path) -> None:
    found = problems("gsm8k", data=gsm8k)
    assert digest(int(one.id.removeprefix("gsm8k/")) for one in found) == GSM8K_SUBSET
    first = found[0]
    assert first.id == "gsm8k/91" and first.reference == {"answer": "91"}
    examples = draw(7473, 1319, 5).examples[91]
    blocks = [
        f"Question: Train {n}: how many?\nAnswer: It is <<{n}*1={n}>>{n}.\n#### {n:,}\n\n"
        for n in examples
    ]
    assert first.prompt == "".join(blocks) + "Question: Test 91: how many?\nAnswer:"
    by_id = {one.id: one for one in found}
    assert by_id["gsm8k/1042"].reference == {"answer": "1042"}


def test_gsm8k_other_subsets_forms_and_counts(gsm8k: Path) -> None:
    assert len(problems("gsm8k", data=gsm8k, subset="released")) == 127
    everything = problems("gsm8k", data=gsm8k, subset="all", few_shot_count=0)
    assert [one.id for one in everything] == [f"gsm8k/{n}" for n in range(1319)]
    assert everything[5].prompt == "Question: Test 5: how many?\nAnswer:"
    chat = problems("gsm8k", data=gsm8k, prompt_form="chat")[0]
    assert chat.prompt is None and chat.messages is not None
    roles = [message["role"] for message in chat.messages]
    assert roles == ["system", *["user", "assistant"] * 5, "user"]
    assert chat.messages[-1]["content"] == "Test 91: how many?"


def test_gsm8k_defaults_are_the_papers() -> None:
    defaults = load_task("gsm8k").defaults
    assert (defaults.temperature, defaults.top_p, defaults.max_tokens) == (0.6, None, 512)
    assert defaults.stop == ("Q:", "Question:") and not defaults.keep_stop


# --- MATH ------------------------------------------------------------------------------------


def math_rows(count: int, word: str) -> list[dict[str, Any]]:
    return [
        {"problem": f"{word} {n}?", "solution": f"So \\fbox{{no}} and $\\boxed{{{n}}}$."}
        for n in range(count)
    ]


def test_math_takes_the_subset_from_the_mirrors_one_split(tmp_path: Path) -> None:
    rows = math_rows(7500, "Train") + math_rows(5000, "Test")
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    found = problems("math", data=tmp_path, prompt_form="chat")
    assert digest(int(one.id.removeprefix("math/")) for one in found) == MATH_SUBSET
    assert found[0].id == "math/3319" and found[0].reference == {"answer": "3319"}
    assert found[0].messages is not None
    assert found[0].messages[0]["content"].endswith("\n\nTest 3319?")


def test_math_examples_come_from_train_or_from_a_file(tmp_path: Path) -> None:
    write(tmp_path / "d" / "train.jsonl", math_rows(10, "Train"))
    write(tmp_path / "d" / "test.jsonl", math_rows(5, "Test"))
    with pytest.raises(TaskError, match="lacks the problem that starts 'Find the domain"):
        problems("math", data=tmp_path / "d")
    shots = tmp_path / "mine.txt"
    shots.write_text("Problem:\n1?\n\nSolution:\n1\n")
    prompt = problems("math", data=tmp_path / "d", few_shot=shots)[0].prompt
    assert prompt is not None
    assert prompt.startswith("Problem:\n1?\n\nSolution:\n1\n\nProblem:\nTest ")
    assert prompt.endswith("?\n\nSolution:")
    bare = problems("math", data=tmp_path / "d", few_shot_count=0)[0].prompt
    assert bare is not None and bare.startswith("Problem:\nTest ")
    stand_ins = [
        {"problem": f"{start} {part}", "solution": "It is $\\boxed{1}$."}
        for start, part in EXAMPLES
    ]
    write(tmp_path / "d" / "train.jsonl", [*math_rows(10, "Train"), *stand_ins])
    with pytest.raises(TaskError, match=r"do not give the paper's prompt; download .*prompts\.py"):
        problems("math", data=tmp_path / "d")


def test_the_published_prompts_slips_are_kept() -> None:
    ours = "Problem:\nFind the expression $x$.\n\nSolution:\n\\begin{a}\n1&=2\\\\\n3\n\\end{a}"
    theirs = "Problem:\nFind the expression  $x$.}\n\nSolution:\n\\begin{a}\n1&=2\\\n3\n\\end{a}"
    assert _with_slips(ours) == theirs
    assert _with_slips(theirs) == theirs


def test_the_papers_prompts_file_is_read_not_run_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "prompts.py"
    path.write_text("import os\nMATH_COT_PROMPT = 'x'\nraise SystemExit('was run')\n")
    with pytest.raises(TaskError, match="is not the text that the paper used"):
        fixed_prompt(path, "MATH_COT_PROMPT", PROMPT_DIGEST)
    good = hashlib.sha256(b"x").hexdigest()
    assert fixed_prompt(path, "MATH_COT_PROMPT", good) == "x"
    with pytest.raises(TaskError, match="has no text named OTHER"):
        fixed_prompt(path, "OTHER", good)
    path.write_text("(" * 5000)
    with pytest.raises(TaskError, match="is not readable as Python"):
        fixed_prompt(path, "MATH_COT_PROMPT", good)
    with pytest.raises(TaskError, match=r"nowhere\.txt cannot be read"):
        fixed_prompt(tmp_path / "nowhere.txt", "X", good)


# --- MiniF2F ---------------------------------------------------------------------------------


def minif2f_rows() -> list[dict[str, Any]]:
    header = "import Mathlib\n\nopen Real"
    return [
        {
            "id": name,
            "header": header,
            "formal_statement": f"theorem {name}\n  (x : ℝ)\n  (h₀ : x = 1) :\n  x = 1 := sorry",
        }
        for name in ("mathd_algebra_1", "amc12a_2002_p6", "mathd_numbertheory_2")
    ]


def test_the_papers_prompts_are_found_fetched_once_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    published = tmp_path / "published"
    published.mkdir()
    (published / "prompts.py").write_text("MATH_COT_PROMPT = 'x'\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(published))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/prompts.py"
        assert published_prompts(None, f"{address}.absent") is None
        fetched = published_prompts(None, address)
        server.shutdown()
        thread.join()
    assert fetched is not None and tmp_path / "cache" / "orch" == fetched.parent
    assert fixed_prompt(fetched, "MATH_COT_PROMPT", hashlib.sha256(b"x").hexdigest()) == "x"
    # The server is gone: from the cache; and what lies beside the data comes first.
    assert published_prompts(tmp_path, address) == fetched
    assert published_prompts(published, address) == published / "prompts.py"
    fetched.unlink()
    assert published_prompts(None, address) is None


def test_minif2f_asks_for_the_papers_examples_and_hides_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write(tmp_path / "test.jsonl", minif2f_rows())
    with pytest.raises(TaskError, match=r"could not be fetched: download https.*--few-shot-file"):
        problems("minif2f", data=tmp_path)
    (tmp_path / "prompts.py").write_text("MINIF2F_FEW_SHOT_PROMPT = 'x'\n")
    with pytest.raises(TaskError, match="is not the text that the paper used"):
        problems("minif2f", data=tmp_path)
    (tmp_path / "prompts.py").unlink()
    shots = tmp_path / "shots.txt"
    shots.write_text("SHOTS\n\n")
    found = problems("minif2f", data=tmp_path, few_shot=shots)
    assert [one.id for one in found] == ["mathd_algebra_1", "mathd_numbertheory_2"]
    assert found[0].prompt == (
        "SHOTS\n\nWrite a lean4 proof to the provided formal statement. You have access to the "
        "standard mathlib4 library.\n```import Mathlib\n\nopen Real\ntheorem6\n  (x : ℝ)\n"
        "  (h₀ : x = 1) :\n  x = 1 :=\nby (\n"
    )
    assert found[0].reference["statement"].startswith("theorem mathd_algebra_1\n")
    assert "sorry" not in found[0].reference["statement"]
    assert len(problems("minif2f", data=tmp_path / "test.jsonl", few_shot_count=0)) == 2
    assert len(problems("minif2f", data=tmp_path, few_shot_count=0, subset="all")) == 3
    (chat, _) = problems("minif2f", data=tmp_path, prompt_form="chat")
    assert chat.messages is not None and "x = 1 := by\n  sorry" in chat.messages[0]["content"]
    defaults = load_task("minif2f").defaults
    assert (defaults.temperature, defaults.max_tokens, defaults.keep_stop) == (0.5, 200, True)
    assert defaults.stop == ("Write a lean4",)


# --- CodeContests ----------------------------------------------------------------------------


def contest(name: str, description: str, *codes: tuple[int, str], nanos: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "time_limit": {"seconds": 2, "nanos": nanos},
        "solutions": {"language": [c[0] for c in codes], "solution": [c[1] for c in codes]},
        "public_tests": {"input": ["1\n"], "output": ["1\n"]},
        "private_tests": {"input": [], "output": []},
        "generated_tests": {"input": ["2\n", "3\n"], "output": ["2\n", "3\n"]},
    }


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_code_contests_filters_draws_and_prompts_like_the_paper(tmp_path: Path, form: str) -> None:
    train = [
        contest("t0", "Sum.", (2, "int main(){}"), (3, " print(0) ")),
        contest("t1", "See <image>.", (3, "print(1)")),
        contest("t2", "Only C++.", (2, "int main(){}")),
        contest("t3", "No ASCII.", (3, "print('é')")),
        contest("t4", "Product.", (3, "print('é')"), (3, "print(4)"), (3, "print(44)")),
        contest("t5", "Old.", (1, "print 5")),
        contest("t6", "Third.", (3, "print(6)")),
    ]
    test = [
        contest("a", "First.", (3, "print(input())"), nanos=500_000_000),
        contest("b", "A picture: [Image]"),
        contest("c", "Second."),
        contest("d", "Fourth."),
    ]
    test[2]["time_limit"] = None
    for split, rows in (("train", train), ("test", test)):
        if form == "jsonl":
            write(tmp_path / f"{split}.jsonl", rows)
        else:
            write_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows)
    task = load_task("code_contests", TaskOptions(data=tmp_path))
    found = task.problems()
    stream = random.Random(0)
    pool = [train[0], train[4], train[6]]
    usable = [test[0], test[2], test[3]]
    shots = [stream.sample(pool, 2) for _ in usable]
    order = list(range(3))
    stream.shuffle(order)
    assert [one.id for one in found] == [usable[n]["name"] for n in order]
    instruction = (
        "Q: Write python code to solve the following coding problem that obeys the constraints "
        "and passes the example test cases. The output code needs to read from and write to "
        "standard IO. Please wrap your code answer using ```:"
    )
    first_ascii = {"t0": "print(0)", "t4": "print(4)", "t6": "print(6)"}
    for problem, n in zip(found, order, strict=True):
        parts = [
            f"{instruction}\n{shot['description']}\nA: ```{first_ascii[shot['name']]}```"
            for shot in shots[n]
        ]
        parts.append(f"{instruction}\n{usable[n]['description']}\nA:")
        assert problem.prompt == "\n".join(parts)
    by_id = {one.id: one.reference for one in found}
    assert by_id["a"]["time_limit_s"] == 12.5 and by_id["c"]["time_limit_s"] == 20
    assert [case["input"] for case in by_id["a"]["tests"]["cases"]] == ["1\n", "2\n", "3\n"]
    assert len(problems("code_contests", data=tmp_path, subset="all", prompt_form="chat")) == 4
    defaults = task.defaults
    assert (defaults.temperature, defaults.top_p, defaults.max_tokens) == (0.6, 0.95, 1024)
    assert defaults.stop == ("Q:", "Question:") and defaults.keep_stop


# --- what cannot be read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "x"}, "test.jsonl, line 2 has no field 'answer'; it has: question"),
        ({"question": 5, "answer": "#### 1"}, "row 1: the field 'question' must be a string, not"),
        ({"question": "x", "answer": None}, "row 1: the field 'answer' must be a string, not null"),
        ({"question": "x", "answer": "1"}, "row 1: the field 'answer' has no '#### NUMBER'"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    write(tmp_path / "train.jsonl", gsm8k_rows(6, "Train"))
    write(tmp_path / "test.jsonl", [gsm8k_rows(1, "Test")[0], row])
    with pytest.raises(TaskError, match=message):
        problems("gsm8k", data=tmp_path, subset="all")


def test_missing_data_names_the_download_and_the_flag(tmp_path: Path) -> None:
    where = r"download https://huggingface\.co/datasets/openai/gsm8k/tree/e53f0488\w+ .*--data PATH"
    with pytest.raises(TaskError, match=f"does not exist; {where}"):
        problems("gsm8k", data=tmp_path / "nowhere")
    with pytest.raises(TaskError, match=rf"no file of the split train .*{where}"):
        problems("gsm8k", data=tmp_path)
    write(tmp_path / "one.jsonl", gsm8k_rows(3, "Test"))
    with pytest.raises(TaskError, match="needs the splits train and test"):
        problems("gsm8k", data=tmp_path / "one.jsonl")
    (tmp_path / "train.jsonl").write_text("")
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(TaskError, match="is empty"):
        problems("gsm8k", data=tmp_path)
    (tmp_path / "p" / "main").mkdir(parents=True)
    for split in ("train", "test"):
        (tmp_path / "p" / "main" / f"{split}-0.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TaskError, match="cannot be read as Parquet"):
        problems("gsm8k", data=tmp_path / "p")


def test_strange_but_valid_rows_come_through_whole(tmp_path: Path) -> None:
    long = "x" * 50_000_000
    digits = "9" * 1_000_000
    rows = [
        {"question": long, "answer": "#### 1"},
        {"question": "a\x00b", "answer": "#### 2"},
        {"question": "كم \u202eعدد\u202c التفاح؟", "answer": f"#### {digits}"},
    ]
    write(tmp_path / "train.jsonl", gsm8k_rows(2, "Train"))
    write(tmp_path / "test.jsonl", rows)
    found = problems("gsm8k", data=tmp_path, subset="all", few_shot_count=0)
    assert [one.prompt for one in found] == [
        f"Question: {row['question']}\nAnswer:" for row in rows
    ]
    assert found[2].reference["answer"] == digits
