"""Equal texts are counted, and said."""

from __future__ import annotations

from orchestrator.repeats import Repeats


def test_nothing_is_said_where_nothing_repeats():
    repeats = Repeats()
    for slot in range(50):
        repeats.see(0, 0, [f"{slot} {choice}" for choice in range(3)])
    assert (repeats.within, repeats.across) == (0, 0)
    assert repeats.sentences() == []


def test_copies_within_a_request():
    repeats = Repeats()
    repeats.see(0, 0, ["a", "b", "a", "a"])
    repeats.see(0, 1, ["c"])
    assert (repeats.choices, repeats.within) == (3, 2)
    (said,) = repeats.sentences()
    assert said.startswith("2 of 3 further choices") and "ignores" not in said


def test_a_server_that_copies_one_choice_is_named():
    repeats = Repeats()
    for problem in range(10):
        repeats.see(0, problem, [f"long answer {problem}"] * 4)
    (said,) = repeats.sentences()
    assert "30 of 30" in said and "ignores n" in said


def test_a_server_that_ignores_seeds_is_named():
    repeats = Repeats()
    for _ in range(5):
        for problem in range(10):
            repeats.see(0, problem, [f"long answer {problem}"])
            repeats.see(1, problem, [f"another {problem}"])
    (said,) = repeats.sentences()
    assert "80 of 80" in said and "ignores seeds" in said
