"""Identical candidates judged once; how verifiers are checked against themselves and others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from verifiers.dedupe import Deduplicating
from verifiers.exact import ExactAnswer
from verifiers.trust import Agreement, Repeated, agreement, repeat, self_check
from verifiers.verdict import Verdict


class Counting:
    """A real verifier that counts how often each text was judged, taking its time."""

    name = "counting"
    version = "1"

    def __init__(self, *, deterministic: bool = True, kinds: list[str] | None = None) -> None:
        self.deterministic = deterministic
        self.calls: list[tuple[str, str]] = []
        self.kinds = kinds or []
        self.closed = False

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        self.calls.append((text, str(reference["answer"])))
        await asyncio.sleep(0)
        if self.kinds:
            return Verdict(self.kinds.pop(0))  # type: ignore[arg-type]
        return await ExactAnswer().verify(text, reference)

    async def aclose(self) -> None:
        self.closed = True


async def test_a_thousand_candidates_per_problem_cost_as_many_checks_as_are_distinct() -> None:
    inner = Counting()
    verifier = Deduplicating(inner)
    draw = random.Random(5)
    texts = {
        problem: [str(int(draw.gammavariate(2, distinct))) for _ in range(1000)]
        for problem, distinct in enumerate((1, 5, 40, 400))
    }
    texts[4] = [str(n) for n in range(1000)]
    texts[5] = ["7"] * 1000
    references = {problem: {"answer": str(problem)} for problem in texts}
    verdicts = await asyncio.gather(
        *(
            verifier.verify(text, references[problem])
            for problem, candidates in texts.items()
            for text in candidates
        )
    )
    distinct = sum(len(set(candidates)) for candidates in texts.values())
    assert len(inner.calls) == len(set(inner.calls)) == verifier.checked == distinct
    assert verifier.asked == 6000 and verifier.saved == 6000 - distinct
    right = [t == str(p) for p, candidates in texts.items() for t in candidates]
    assert [verdict.passed for verdict in verdicts] == right
    again = await verifier.verify("7", {"answer": "5"})
    assert again.kind == "failed" and len(inner.calls) == distinct
    await verifier.aclose()
    assert inner.closed


async def test_verifiers_that_may_change_their_mind_are_asked_each_time() -> None:
    inner = Counting(deterministic=False)
    verifier = Deduplicating(inner)
    for _ in range(3):
        await verifier.verify("1", {"answer": "1"})
    assert (verifier.asked, verifier.checked, verifier.saved) == (3, 3, 0)
    shared = Deduplicating(inner, always=True)
    for _ in range(3):
        await shared.verify("1", {"answer": "1"})
    assert (shared.asked, shared.checked, shared.saved) == (3, 1, 2)
    assert not shared.deterministic


async def test_a_failure_of_ours_is_judged_again() -> None:
    verifier = Deduplicating(Counting(kinds=["infra_error", "infra_error", "passed"]))
    kinds = [(await verifier.verify("1", {"answer": "1"})).kind for _ in range(4)]
    assert kinds == ["infra_error", "infra_error", "passed", "passed"]
    assert verifier.checked == 3


async def test_known_right_outputs_that_fail_are_named() -> None:
    known = [
        ("a", {"answer": "1"}, ["1", " 1 "]),
        ("b", {"answer": "2"}, ["2", "3", ""]),
        ("c", {"answer": "3"}, []),
        *((f"n{n}", {"answer": str(n)}, [str(n)]) for n in range(30)),
    ]
    found = {one.problem: one async for one in self_check(ExactAnswer(), known, jobs=2)}
    assert len(found) == len(known)
    assert found["a"].sound is True and found["c"].sound is None
    assert found["b"].sound is False
    assert [(n, verdict.kind) for n, verdict in found["b"].failed] == [
        (1, "failed"),
        (2, "no_answer"),
    ]
    broken = Counting(kinds=["infra_error"])
    (unknown,) = [one async for one in self_check(broken, [known[3]])]
    assert unknown.sound is None


@pytest.mark.parametrize(
    ("kinds", "flaky", "majority"),
    [
        (["passed"] * 11, False, "passed"),
        (["failed"] * 11, False, "failed"),
        (["passed"] * 6 + ["failed"] * 5, True, "passed"),
        (["passed"] * 5 + ["failed"] * 5, True, "failed"),
        (["passed", "timeout", "failed", "timeout"], True, "timeout"),
        (["failed", "timeout"], False, "failed"),
        (["infra_error", "passed"], False, "passed"),
        (["infra_error"], False, None),
    ],
)
async def test_repeated_verdicts(kinds: list[str], flaky: bool, majority: str | None) -> None:
    repeated = await repeat(Counting(kinds=list(kinds)), "1", {"answer": "1"}, len(kinds))
    assert isinstance(repeated, Repeated) and len(repeated.verdicts) == len(kinds)
    assert repeated.flaky is flaky
    assert (repeated.majority.kind if repeated.majority else None) == majority


async def test_a_text_is_judged_at_least_once() -> None:
    with pytest.raises(ValueError, match="not 0 times"):
        await repeat(ExactAnswer(), "1", {"answer": "1"}, 0)


def test_a_search_verifier_against_a_gold_one() -> None:
    passed, failed, fault = (Verdict(kind) for kind in ("passed", "timeout", "infra_error"))
    pairs = [(passed, passed)] * 6 + [(passed, failed)] * 2 + [(failed, passed)] * 3
    pairs += [(failed, failed)] * 5 + [(fault, passed), (passed, fault)]
    counts = agreement(pairs)  # type: ignore[arg-type]
    assert counts == Agreement(both=6, search_only=2, gold_only=3, neither=5, left_out=2)
    assert counts.precision == 0.75 and counts.recall == 6 / 9
    assert agreement([]).precision is None and agreement([]).recall is None
