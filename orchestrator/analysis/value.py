"""What the next attempt is worth: the chance of a first success per dollar expected.

With equal costs and nothing else known, breadth-first `until-solved` is already optimal; an index
helps where costs differ by problem or arm. Index: hazard over expected cost, the hazard from
the beta-binomial posterior given the failures so far (a problem that keeps failing looks
harder), the cost from the arm's own attempts, shrunk to the arm's mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.unbiased import Floats


def expected_cost(
    spent: ArrayLike, attempts: ArrayLike, *, prior_cost: float, prior_attempts: float = 2.0
) -> Floats:
    """Expected cost of one more attempt at each problem, shape [P], in the unit of `spent`.

    The mean so far, shrunk towards `prior_cost` (the arm's mean, or the quoted price before
    anything was bought) as if that had been seen in `prior_attempts` attempts.
    """
    total = np.asarray(spent, dtype=np.float64) + prior_attempts * prior_cost
    return np.asarray(total / (np.asarray(attempts, dtype=np.float64) + prior_attempts))


def value_index(hazard: ArrayLike, cost: ArrayLike) -> Floats:
    """First successes expected per unit of cost from one more attempt at each problem: [P].

    `hazard`: the chance that it succeeds, as `hazard_table` looks it up. Raises ValueError where
    a cost is not positive: without a price there is nothing to weigh.
    """
    price = np.asarray(cost, dtype=np.float64)
    if np.any(price <= 0.0):
        raise ValueError("an attempt's expected cost must be positive to weigh its value")
    return np.asarray(np.asarray(hazard, dtype=np.float64) / price)


def hazard_table(posterior: BetaPosterior, most: int) -> Floats:
    """The hazard after 0..most failures, shape [most + 1]: what a schedule looks up.

    Worked out at about 200 counts and interpolated between: it is smooth in the logarithm.
    """
    knots = np.unique(np.concatenate([[0], np.round(np.geomspace(1, max(most, 1), 200))]))
    values = np.log(posterior.hazard(knots))
    return np.asarray(np.exp(np.interp(np.log1p(np.arange(most + 1)), np.log1p(knots), values)))
