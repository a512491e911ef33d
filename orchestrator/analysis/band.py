"""How sure the beta-binomial model is of its coverage: quantiles over its posterior.

At each (alpha, beta) of the posterior pass@k = 1 - B(alpha, beta + k)/B(alpha, beta); the band
is the central interval of those values under the posterior's weights: for problems like these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.unbiased import Floats


def posterior_band(
    posterior: BetaPosterior, ks: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Lower and upper bound of coverage at each of `ks`, shape [K]."""
    k = np.asarray(ks, dtype=np.float64)[:, None]
    alpha, beta = posterior.alpha, posterior.beta
    values = -np.expm1(betaln(alpha, beta + k) - betaln(alpha, beta))
    order = np.argsort(values, axis=1)
    mass = np.cumsum(posterior.weight[order], axis=1)
    ranked = np.take_along_axis(values, order, axis=1)
    tail = (1.0 - level) / 2.0
    last = ranked.shape[1] - 1
    low = np.minimum((mass < tail).sum(axis=1), last)
    high = np.minimum((mass < 1.0 - tail).sum(axis=1), last)
    rows = np.arange(len(ranked))
    return ranked[rows, low], ranked[rows, high]
