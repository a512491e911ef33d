"""Which estimator fits which policy; a wrong pair is refused by name.

An estimator is unbiased only for the way in which the attempts were chosen. Measured on
simulated runs that stop at a first success, c/n as pass@1 was 4.6 points too high at a truth of
4.3, and the pass@k formula with the n that stopping left 2.7 to 3.2.
"""

from __future__ import annotations

from typing import Literal

Estimator = Literal["unbiased", "survival", "model"]

NAMES: dict[Estimator, str] = {
    "unbiased": "unbiased pass@k",
    "survival": "first success (survival)",
    "model": "beta-binomial model",
}

_FITTING: dict[str, tuple[Estimator, ...]] = {
    "uniform": ("unbiased", "survival", "model"),
    "until-solved": ("survival", "model"),
    "best-value": ("model",),
}


class WrongEstimator(ValueError):
    """An estimator that is biased for the policy by which the attempts were chosen."""


def estimator_for(policy: str, *, contiguous: bool = True) -> Estimator:
    """The estimator to report for `policy`; raises WrongEstimator for an unknown policy.

    `contiguous`: whether every unsolved problem was attempted to the same depth, up to one
    round. Only then may `best-value` use the survival curve; its own order would bias it.
    """
    if policy == "best-value" and contiguous:
        return "survival"
    return _known(policy)[0]


def check_pair(policy: str, estimator: Estimator, *, contiguous: bool = False) -> None:
    """Raises WrongEstimator, with the right one, where `estimator` does not fit `policy`."""
    fitting = _known(policy)
    if estimator in fitting or (policy == "best-value" and contiguous and estimator == "survival"):
        return
    raise WrongEstimator(
        f"the {NAMES[estimator]} estimator is biased for attempts chosen by the policy {policy}; "
        f"use {' or '.join(NAMES[name] for name in fitting)}"
    )


def _known(policy: str) -> tuple[Estimator, ...]:
    if policy not in _FITTING:
        raise WrongEstimator(
            f"no estimator is known to fit the policy {policy!r}; the known policies are "
            f"{', '.join(_FITTING)}"
        )
    return _FITTING[policy]
