"""The exponentiated power law of coverage, c = exp(a k^b), and the shift that aligns a family.

Source: Brown et al., Large Language Monkeys (arXiv 2407.21787), section 3 and appendix C: 40
log-spaced points with repeats removed; the error is the mean and standard deviation of
|curve - fit| over 100 log-spaced points. In *coverage* space (least squares on c) the law
describes a curve better; in *log* space (least squares on log c) it extrapolates better, and
the parameters printed in the paper are of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.unbiased import Floats

Space = Literal["coverage", "log"]

_EXPONENTS = np.concatenate([-np.geomspace(4.0, 1e-4, 400), [0.0]])


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """c = exp(a k^b), natural logarithm, with its error on the curve it was fitted to."""

    a: float
    b: float
    space: Space
    error_mean: float
    error_sd: float
    """Mean and standard deviation of |curve - fit| over 100 log-spaced k."""

    def __call__(self, k: ArrayLike) -> Floats:
        return np.asarray(np.exp(self.a * np.asarray(k, dtype=np.float64) ** self.b))


def log_spaced(last: int, points: int) -> NDArray[np.int64]:
    """About `points` whole numbers from 1 to `last`, evenly spaced in log k, without repeats."""
    return np.unique(np.round(np.geomspace(1, last, points)).astype(np.int64))


def fit_power_law(coverage: ArrayLike, space: Space, points: int = 40) -> PowerLaw:
    """Fit a whole curve, `coverage` at k = 1..K, by the paper's procedure.

    Raises ValueError where the curve is too short or lies at 0 or 1 throughout, since no law of
    this form passes there.
    """
    curve = np.asarray(coverage, dtype=np.float64)
    ks = log_spaced(len(curve), points)
    values = curve[ks - 1]
    usable = values > 0.0
    if usable.sum() < 3 or np.all(values[usable] >= 1.0):
        raise ValueError(
            "no power law can be fitted: coverage must lie between 0 and 1 at three or more k"
        )
    ks, values = ks[usable], values[usable]
    a, b = (float(part[0]) for part in fit_log(ks, np.log(values)[None, :]))
    if space == "coverage":
        from scipy.optimize import curve_fit

        (a, b), _ = curve_fit(_law, ks.astype(np.float64), values, p0=(a, b), maxfev=20_000)
    checks = log_spaced(len(curve), 100)
    error = np.abs(curve[checks - 1] - _law(checks.astype(np.float64), a, b))
    return PowerLaw(float(a), float(b), space, float(error.mean()), float(error.std()))


def fit_log(ks: NDArray[np.int64], log_coverage: Floats) -> tuple[Floats, Floats]:
    """Least squares of log c = a k^b for many curves at once: [R, K] to a and b, [R] each.

    For a given b the best a is linear, so only b is searched: on a grid, then by golden section.
    """
    logs = np.log(ks.astype(np.float64))

    def gain(b: Floats) -> tuple[Floats, Floats]:
        """What each curve's b explains, and its best a: shapes [R]."""
        base = np.exp(b[:, None] * logs)
        dot, norm = (log_coverage * base).sum(axis=1), (base * base).sum(axis=1)
        return dot * dot / norm, dot / norm

    bases = np.exp(_EXPONENTS[:, None] * logs)
    explained = (log_coverage @ bases.T) ** 2 / (bases * bases).sum(axis=1)
    best = np.clip(explained.argmax(axis=1), 1, len(_EXPONENTS) - 2)
    low, high = _EXPONENTS[best - 1], _EXPONENTS[best + 1]
    golden = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        keep_left = gain(left)[0] > gain(right)[0]
        low, high = np.where(keep_left, low, left), np.where(keep_left, right, high)
    b = (low + high) / 2.0
    return np.minimum(gain(b)[1], 0.0), b


def horizontal_shift(curves: dict[str, Floats]) -> tuple[float, dict[str, int]]:
    """The paper's alignment of a family: the anchor, and the k at which each model reaches it.

    `curves`: coverage at k = 1..K by model. The anchor is the largest pass@1; each model's k is
    the natural number whose coverage is closest to it. Plot k over that number.
    """
    if not curves:
        raise ValueError("there are no curves to align")
    anchor = max(float(curve[0]) for curve in curves.values())
    return anchor, {
        model: int(np.argmin(np.abs(np.asarray(curve) - anchor))) + 1
        for model, curve in curves.items()
    }


def _law(k: Floats, a: float, b: float) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(np.clip(a * k**b, -700.0, 700.0)))
