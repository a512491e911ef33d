"""How success rates spread over problems: the mixture that best explains the counts.

Each problem has its own success rate p; the spread of p over problems is estimated without
assuming its shape, as weights on a grid (Kiefer and Wolfowitz's nonparametric maximum
likelihood, found by expectation maximisation). A beta spread, the usual choice, was measured
to mislead badly where problems fall in two groups. numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.analysis.unbiased import Floats, Integers

ROUNDS = 200
"""Rounds of expectation maximisation: more change the fitted moments by less than their noise."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weights over success rates, and what they say of each kind of problem."""

    rates: Floats
    """Success rates p, shape [G]."""
    weights: Floats
    """Their share among problems, shape [G], summing to 1."""
    likelihood: Floats
    """Likelihood of each kind of problem at each rate, up to a factor per kind: [U, G]."""

    def failure_moment(self, power: int) -> Floats:
        """E[(1-p)^power] given each kind of problem's counts, shape [U]."""
        joint = self.likelihood * self.weights
        return np.asarray((joint @ (1.0 - self.rates) ** power) / joint.sum(axis=1))


def fit_mixture(
    n: Integers, c: Integers, alike: Floats, highest: float, rounds: int = ROUNDS
) -> Mixture:
    """The mixture for kinds of problems with c right among n attempts, `alike` of each: [U].

    Rates above `highest` are left out, where the caller knows that they do not matter.
    """
    rates = _grid(int(n.max()))
    rates = rates[rates <= highest]
    likelihood = _likelihood(n, c, rates)
    weights = np.ones(len(rates))
    share = alike / alike.sum()
    for _ in range(rounds):
        weights = weights * ((share / (likelihood @ weights)) @ likelihood)
    return Mixture(rates, weights, likelihood)


def _grid(n: int) -> Floats:
    """Rates spaced by one standard error of n attempts (even in arcsin sqrt p), denser at 0, 1."""
    steps = np.arange(1, int(np.pi * np.sqrt(n)) + 1) / (2.0 * np.sqrt(n))
    middle = np.sin(steps) ** 2
    edge = np.array([0.0, 0.05, 0.12, 0.5]) / n
    return np.unique(np.concatenate([edge, middle, 1.0 - edge]))


def _likelihood(n: Integers, c: Integers, rates: Floats) -> Floats:
    """Binomial likelihood of each (n, c) at each rate, scaled so that its largest is 1: [U, G]."""
    right, wrong = c[:, None].astype(np.float64), (n - c)[:, None].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(right > 0, right * np.log(rates), 0.0)
        logs += np.where(wrong > 0, wrong * np.log1p(-rates), 0.0)
    logs -= logs.max(axis=1, keepdims=True)
    return np.asarray(np.exp(logs, out=logs))
