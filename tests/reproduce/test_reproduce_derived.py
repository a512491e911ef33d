"""Figures 4 and 9 from released outcomes, with what is derived marked so."""

from __future__ import annotations

import tomllib

import pytest

from orchestrator.analysis.coverage import mean_coverage
from orchestrator.report.data import ArmReport
from orchestrator.report.describe import with_curve
from orchestrator.reproduce.derived import flaky_rows, with_operations
from orchestrator.reproduce.published import load_published
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes
from orchestrator.tasks.flaky import FILE

ISSUES = tomllib.loads(FILE.read_text())["issues"]


def arm(task: str, model: str) -> ArmReport:
    return with_curve(ArmReport("imported", model, task, n=(100,) * 4, c=(0, 3, 10, 50)))


def test_the_larger_model_takes_more_operations_and_the_tokens_are_marked_derived() -> None:
    small = with_operations(arm("MATH", "Llama 3 8B Instruct"))
    large = with_operations(arm("MATH", "Meta-Llama-3-70B-Instruct"))
    assert any("derived" in note for note in small.notes)
    for one, other in zip(small.points, large.points, strict=True):
        assert one.flops and other.flops and 7 < other.flops / one.flops < 10
    # 8 billion weights, twice, for 680 tokens of prompt and 203 of one answer, four problems.
    assert small.points[0].flops == pytest.approx(4 * 2 * 8.03e9 * 883, rel=0.05)
    assert with_operations(arm("CodeContests", "Llama 3 70B Instruct")).points[0].flops


def test_nothing_is_derived_of_what_figure_4_does_not_show() -> None:
    for one in (arm("MATH", "Pythia 160M"), arm("CodeContests", "Llama 3 8B"), arm("x", "y")):
        assert with_operations(one) == one


def test_without_issues_figure_9_has_bounds_around_what_is_left() -> None:
    model = load_published().models[0]
    for row in flaky_rows(None, (1, 5, 250)):
        every = mean_coverage([model.recorded] * 300, model.right(), row.k)
        assert row.whole == pytest.approx(float(every))
        assert row.low < row.whole < row.high
    assert flaky_rows(None, (5,))[0].whole == pytest.approx(0.2962, abs=1e-4)


def test_with_issues_the_flaky_ones_are_left_out() -> None:
    names = (*ISSUES, "a__a-1", "b__b-2")
    counts = ((10,) * len(names), (10,) * len(ISSUES) + (1, 5))
    (row,) = flaky_rows(RecordedOutcomes("swe", "m", names, *counts), (1, 20))
    assert row.low == row.high == pytest.approx(0.3)
    assert row.whole == pytest.approx((len(ISSUES) + 0.6) / len(names))
    with pytest.raises(OutcomesError, match="flaky tests"):
        flaky_rows(RecordedOutcomes("swe", "m", ("x",), (1,), (1,)), (1,))
