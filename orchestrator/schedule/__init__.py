"""Which attempt next: one file a policy, found here by name or through the entry point group
"orch.policies" (a callable that takes an ArmPlan and returns a Policy)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from orchestrator.schedule.base import ArmPlan, Draw, Policy, Schedule

__all__ = ["ArmPlan", "Draw", "Policy", "Schedule", "make_policy", "policy_names"]

POLICIES = {
    "uniform": "orchestrator.schedule.uniform:Uniform",
    "until-solved": "orchestrator.schedule.until_solved:UntilSolved",
    "best-value": "orchestrator.schedule.best_value:BestValue",
}
GROUP = "orch.policies"


def policy_names() -> list[str]:
    """Every policy by name."""
    return [*POLICIES, *(point.name for point in entry_points(group=GROUP))]


def make_policy(name: str, plan: ArmPlan) -> Policy:
    """The policy of that name for one arm; raises KeyError for a name that is not known."""
    if name in POLICIES:
        module, _, attribute = POLICIES[name].partition(":")
        return cast(Callable[[ArmPlan], Policy], getattr(import_module(module), attribute))(plan)
    for point in entry_points(group=GROUP, name=name):
        return cast(Callable[[ArmPlan], Policy], point.load())(plan)
    raise KeyError(name)
