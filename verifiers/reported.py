"""Attempts that only their own container can judge: Harbor's verifier did, and this reads its word.

The text is what the engine of agents reported, one JSON object: `trial` (its name), `rewards` (by
name, as the task's tests left them), `fresh` (whether the tests ran in a container that no agent
touched) and, where they left none, `failure` (the exception's type). So a stored attempt is judged
again without its container, and always alike: nothing is run. A reward from the container that the
agent worked in is marked as one that it could have forged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from verifiers.verdict import Verdict

RIGHT = 1.0
_OVER_TIME = "VerifierTimeoutError"
_NO_REWARD = re.compile(r"RewardFile|VerifierOutputParse")
"""The tests ran and left nothing that is a reward: a right attempt never stops them."""


def is_right(rewards: Mapping[str, Any]) -> bool:
    """Whether rewards say that an attempt is right: the one named `reward`, else all of them."""
    told = [rewards["reward"]] if "reward" in rewards else list(rewards.values())
    return bool(told) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and one >= RIGHT for one in told
    )


class ReportedVerifier:
    """Reads what Harbor's own verifier said of an attempt."""

    name = "harbor"
    version = "1"
    deterministic = True

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge by the report in `text`; the reference says nothing more."""
        if not text:
            return Verdict("no_answer", "the agent failed, and Harbor judged nothing")
        report = json.loads(text)
        rewards, failure = report.get("rewards"), str(report.get("failure") or "")
        if rewards:
            told = ", ".join(f"{name} {reward}" for name, reward in sorted(rewards.items()))
            return Verdict(
                "passed" if is_right(rewards) else "failed", told[:500], tier="container",
                forgeable=report.get("fresh") is not True,
            )  # fmt: skip
        if failure == _OVER_TIME:
            return Verdict("timeout", "the tests were not done in time")
        if _NO_REWARD.search(failure):
            return Verdict("failed", f"the tests left no reward ({failure})")
        return Verdict("infra_error", f"Harbor could not judge: {failure or 'no reward came'}")

    async def aclose(self) -> None:
        """Nothing is held."""
