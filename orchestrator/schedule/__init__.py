"""Which attempt next: one file a policy.

A policy is found by its name: that of a file here but base.py (`until_solved.py` is
`until-solved`), whose POLICY it is, or of an entry point in the group "orch.policies". It is a
callable that takes an ArmPlan and returns a Policy, and its `estimators` name what estimates
coverage from the draws it chooses (analysis/pairing.py): a policy without one is refused before
anything is bought, since what it buys could not be reported.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any

from orchestrator.analysis.pairing import Estimator, WrongEstimator, named
from orchestrator.errors import ConfigError
from orchestrator.schedule.base import ArmPlan, Draw, Policy, Schedule

__all__ = [
    "ArmPlan",
    "Draw",
    "Policy",
    "Schedule",
    "estimators_of",
    "make_policy",
    "policy_names",
]

GROUP = "orch.policies"


def policy_names() -> list[str]:
    """Every policy by name: those of orch, then those of other packages."""
    return [*_ours(), *(point.name for point in entry_points(group=GROUP))]


def estimators_of(name: str) -> tuple[Estimator, ...]:
    """What estimates coverage from the draws of a policy, the preferred first.

    Raises ConfigError for a policy that is not known, cannot be loaded, or names no estimator.
    """
    try:
        return named(getattr(_factory(name), "estimators", ()))
    except WrongEstimator as error:
        raise ConfigError(
            f"the policy {name!r} cannot be used: {error}. Whoever wrote it adds "
            '`estimators = ("survival",)`, or what fits it, to its class.'
        ) from None


def make_policy(name: str, plan: ArmPlan) -> Policy:
    """The policy of that name for one arm; raises ConfigError as `estimators_of` does."""
    policy: Policy = _factory(name)(plan)
    return policy


def _ours() -> list[str]:
    return sorted(
        part.name.replace("_", "-") for part in iter_modules(__path__) if part.name != "base"
    )


def _factory(name: str) -> Any:
    try:
        if name in _ours():
            return import_module(f"{__name__}.{name.replace('-', '_')}").POLICY
        # Entry points are read from every installed package's metadata: asked last.
        for point in entry_points(group=GROUP, name=name):
            return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the policy {name!r} cannot be loaded: {error}.") from None
    raise ConfigError(f"unknown policy {name!r}; the known ones are {', '.join(policy_names())}.")
