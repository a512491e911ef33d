"""pass^k and G-Pass@k against exact arithmetic."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from math import ceil, comb

import numpy as np
import pytest

from orchestrator.analysis.reliability import fewest_right, g_pass_at_k, pass_hat_k
from orchestrator.analysis.unbiased import pass_at_k
from orchestrator.report.data import ArmReport
from orchestrator.report.describe import with_curve
from orchestrator.report.sections.reliability import rows


def exact(n: int, c: int, k: int, fewest: int) -> Fraction:
    ways = sum(comb(c, j) * comb(n - c, k - j) for j in range(fewest, k + 1))
    return Fraction(ways, comb(n, k))


def test_both_equal_exact_fractions() -> None:
    draw = random.Random(0)
    for _ in range(80):
        n = draw.choice([1, 2, 7, 40, 250, 900])
        c, k = draw.randint(0, n), draw.randint(1, n)
        tau = draw.choice([0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0])
        assert pass_hat_k(n, c, k) == pytest.approx(float(exact(n, c, k, k)), abs=1e-13)
        fewest = max(1, ceil(Fraction(str(tau)) * k))
        found = g_pass_at_k([n], [c], k, tau)[0]
        assert found == pytest.approx(float(exact(n, c, k, fewest)), abs=1e-10)


def test_a_threshold_is_rounded_up_as_it_is_written() -> None:
    # 0.3 x 10 is 3.0000000000000004 in binary, and must not become 4.
    assert [fewest_right(10, tau) for tau in (0.01, 0.3, 0.31, 0.7, 1.0)] == [1, 3, 4, 7, 10]
    assert fewest_right(1, 0.5) == 1


def test_the_ends_of_the_threshold_are_pass_at_k_and_pass_hat_k() -> None:
    n, c = np.array([20, 20, 30]), np.array([0, 7, 30])
    assert g_pass_at_k(n, c, 8, 0.01) == pytest.approx(pass_at_k(n, c, 8))
    assert g_pass_at_k(n, c, 8, 1.0) == pytest.approx(pass_hat_k(n, c, 8))
    assert pass_hat_k(n, c, 1) == pytest.approx(c / n)


def test_it_is_unbiased() -> None:
    # Every outcome of 6 attempts at a rate of 0.3, weighted by its chance.
    chances = [comb(6, c) * 0.3**c * 0.7 ** (6 - c) for c in range(7)]
    for k, fewest in ((2, 2), (4, 2), (5, 3)):
        tau = fewest / k
        found = g_pass_at_k([6] * 7, list(range(7)), k, tau) @ chances
        truth = sum(comb(k, j) * 0.3**j * 0.7 ** (k - j) for j in range(fewest, k + 1))
        assert found == pytest.approx(truth)


def test_a_report_holds_them_with_intervals() -> None:
    draw = np.random.default_rng(0)
    right = draw.binomial(40, draw.beta(3, 1, 50))
    arm = with_curve(ArmReport("p", "m", "t", n=(40,) * 50, c=tuple(right.tolist())))
    found = rows(arm)
    assert [row["k"] for row in found] == [point.k for point in arm.points]
    for row in found:
        assert row["pass_hat_k"] == pytest.approx(float(pass_hat_k(arm.n, arm.c, row["k"]).mean()))
        assert row["low_like"] <= row["low"] <= row["pass_hat_k"] <= row["high"]
        shares = list(row["g_pass_at_k"].values())
        assert shares == sorted(shares, reverse=True) and shares[-1] >= row["pass_hat_k"] - 1e-9
    assert rows(replace(arm, estimator="survival")) == []


@pytest.mark.parametrize(("k", "tau"), [(0, 0.5), (11, 0.5), (5, 0.0), (5, 1.1)])
def test_what_makes_no_sense_is_refused(k: int, tau: float) -> None:
    with pytest.raises(ValueError):
        g_pass_at_k([10], [3], k, tau)
    with pytest.raises(ValueError, match="more right answers"):
        pass_hat_k(3, 4, 1)
