"""What arms are called, wherever several stand side by side: in a plan, a view or a report.

An arm is called by the name that the study gives it, else by its model. Arms that would be called
alike are told apart by the first setting that differs among them, and at last by a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.plan.prepare import Prepared
    from orchestrator.store.rows import ArmRow

TELLING = ("task", "policy", "temperature", "provider", "max_tokens", "top_p", "prompt_style",
           "samples", "few_shot_count", "verifier", "seed", "run")  # fmt: skip
"""Settings that tell arms of one model apart, the most telling first."""
BARE = ("task", "policy", "provider", "run")
"""Those whose value speaks for itself, without the setting's name."""


def told_apart(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each arm, all different; each maps `name`, `model` and settings of TELLING."""
    labels = [str(arm.get("name") or arm.get("model", "")) for arm in arms]
    for setting in TELLING:
        alike = Counter(labels)
        for label in [label for label, number in alike.items() if number > 1]:
            group = [i for i, one in enumerate(labels) if one == label]
            values = [arms[i].get(setting) for i in group]
            if len(set(map(str, values))) > 1:
                for i, value in zip(group, values, strict=True):
                    labels[i] += f", {_said(setting, value)}"
    seen: Counter[str] = Counter()
    named = []
    alike = Counter(labels)
    for label in labels:
        seen[label] += 1
        named.append(f"{label} ({seen[label]})" if alike[label] > 1 else label)
    return named


def arm_names(prepared: Prepared) -> list[str]:
    """The names of a plan's arms, as its view and its quote show them."""
    known = []
    for arm in prepared.arms:
        fields = {name: getattr(arm.spec, name, None) for name in TELLING}
        settings = {
            "model": arm.endpoint.model,
            "name": arm.spec.name,
            "task": Path(arm.spec.task).name,
            "temperature": arm.base.temperature,
            "max_tokens": arm.base.max_tokens,
        }
        known.append({**fields, **settings})
    return told_apart(known)


def stored_names(arms: Sequence[ArmRow]) -> list[str]:
    """The names of a stored run's arms, as its report calls them."""
    return told_apart(
        [
            {**arm.spec, "model": arm.model, "provider": arm.provider, "policy": arm.policy,
             "task": Path(arm.task).name}
            for arm in arms
        ]
    )  # fmt: skip


def _said(setting: str, value: Any) -> str:
    said = "default" if value in (None, "") else str(value)
    return said if setting in BARE else f"{setting.replace('_', ' ')} {said}"
