"""The beta-binomial model of success rates: its posterior on a grid, and what follows from it.

Each problem's rate p is drawn from Beta(alpha, beta); counts then follow the beta-binomial
(Kazdan et al., arXiv 2510.05197), and pass@k = 1 - B(alpha, beta + k)/B(alpha, beta). The
posterior over alpha and beta, both in [0.01, 100] as there, is a grid of weights under a prior
flat in their logarithms; one best pair was seen to mislead from few successes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from orchestrator.analysis.unbiased import Floats, Integers, counts, whole

LOW, HIGH, POINTS = 0.01, 100.0, 40


@dataclass(frozen=True, slots=True)
class BetaPosterior:
    """Weights over (alpha, beta), all of shape [G]."""

    alpha: Floats
    beta: Floats
    weight: Floats

    @classmethod
    def from_counts(cls, n: ArrayLike, c: ArrayLike) -> BetaPosterior:
        """From c right among n attempts at each problem, both [P], n fixed beforehand."""
        attempts, right = counts(n, c), whole("c", c)
        kinds, alike = np.unique(np.stack([attempts, right]), axis=1, return_counts=True)
        return cls._from_kinds(kinds[1], kinds[0] - kinds[1], alike.astype(np.float64))

    @classmethod
    def from_first_successes(cls, failures: ArrayLike, solved: ArrayLike) -> BetaPosterior:
        """From attempts that stop at a first success: failures before it, or so far, both [P].

        The order of draws does not matter to the likelihood, so stopping does not either.
        """
        failed, found = whole("failures", failures), np.asarray(solved, dtype=np.int64)
        kinds, alike = np.unique(np.stack([failed, found]), axis=1, return_counts=True)
        return cls._from_kinds(kinds[1], kinds[0], alike.astype(np.float64))

    @classmethod
    def _from_kinds(cls, right: Integers, wrong: Integers, alike: Floats) -> BetaPosterior:
        line = np.geomspace(LOW, HIGH, POINTS)
        coarse = cls._on_grid(line, line, right, wrong, alike)
        # Many problems narrow the posterior below the grid's step: look closer where it lies.
        likely = coarse.weight > 1e-6
        step = line[1] / line[0]
        finer = [
            np.geomspace(
                max(part[likely].min() / step, LOW), min(part[likely].max() * step, HIGH), POINTS
            )
            for part in (coarse.alpha, coarse.beta)
        ]
        return cls._on_grid(finer[0], finer[1], right, wrong, alike)

    @classmethod
    def _on_grid(
        cls, alphas: Floats, betas: Floats, right: Integers, wrong: Integers, alike: Floats
    ) -> BetaPosterior:
        alpha, beta = (part.ravel() for part in np.meshgrid(alphas, betas, indexing="ij"))
        logs = alike @ (betaln(alpha + right[:, None], beta + wrong[:, None]) - betaln(alpha, beta))
        weight = np.exp(logs - logs.max())
        kept = weight > 1e-9
        return cls(alpha[kept], beta[kept], weight[kept] / weight[kept].sum())

    def coverage(self, k: ArrayLike) -> Floats:
        """pass@k of a problem yet to be seen; the result has k's shape."""
        ks = np.asarray(k, dtype=np.float64)[..., None]
        fails = np.exp(betaln(self.alpha, self.beta + ks) - betaln(self.alpha, self.beta))
        return np.asarray((1.0 - fails) @ self.weight)

    def hazard(self, failures: ArrayLike) -> Floats:
        """The chance that the next attempt at a problem, failed so often so far, succeeds.

        Given f failures, (alpha, beta) is reweighted by B(alpha, beta + f)/B(alpha, beta).
        """
        failed = np.asarray(failures, dtype=np.float64)[..., None]
        logs = betaln(self.alpha, self.beta + failed) - betaln(self.alpha, self.beta)
        lived = self.weight * np.exp(logs - logs.max(axis=-1, keepdims=True))
        chance = self.alpha / (self.alpha + self.beta + failed)
        return np.asarray((lived * chance).sum(axis=-1) / lived.sum(axis=-1))
