"""Patches: the change is applied to a fresh work tree, and hidden tests say whether it is right.

The reference holds the tree, the tests and their time, all as text, so that a stored patch can be
judged again without anything else. Judging happens in a jail of its own, which no agent ever
touched, without any network: the patch is applied by git, then `bash /tests/test.sh` runs in the
tree and leaves a reward (1: right) in /logs/verifier/reward.txt, as Harbor's tasks do.

A patch that does not apply is wrong; so is one after which the tests leave no reward, since a right
change never stops them. What a patch may do to its own tests' process (a conftest.py, an exit code)
is said in docs/agents.md: tests that must not be fooled look from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifiers.sandbox.errand import Errand, pack, run, works
from verifiers.sandbox.limits import SandboxFault
from verifiers.verdict import Verdict

REWARD = "/logs/verifier/reward.txt"
DOES_NOT_APPLY = 97
TIME_S = 300.0
_JUDGE = (
    "if [ -s /patch/patch.diff ]; then"
    f" git apply -p1 --whitespace=nowarn /patch/patch.diff || exit {DOES_NOT_APPLY}; fi;"
    " mkdir -p /logs/verifier; bash /tests/test.sh"
)


class PatchVerifier:
    """Judges patches by a task's hidden tests."""

    name = "patch"
    version = "1"
    deterministic = True

    async def start(self) -> None:
        """Raises NoSandbox where no jail works."""
        await works()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge a patch; `reference` has `tree` and `tests` ({path: text}) and perhaps `time_s`.

        One without a tree cannot be judged here.
        """
        if "tree" not in reference:
            return Verdict(
                "infra_error",
                "its work tree was in its container alone, where Harbor judged it: verifier harbor",
            )
        if not text.strip():
            return Verdict("no_answer", "no change was made")
        errand = Errand(
            command=["bash", "-c", _JUDGE],
            tree=pack(reference["tree"]),
            folders={
                "/tests": pack(reference["tests"]),
                "/patch": pack({"patch.diff": text}),
                "/logs": b"",
            },
            output=REWARD,
            time_s=float(reference.get("time_s", TIME_S)),
            slot=abs(hash(text)),
        )
        try:
            made = await run(errand)
        except SandboxFault as fault:
            return Verdict("infra_error", str(fault))
        if made.timed_out:
            return Verdict("timeout", "the tests were not done in time", wall_s=made.wall_s)
        if made.status == DOES_NOT_APPLY:
            return Verdict("failed", "the patch does not apply", wall_s=made.wall_s)
        reward = _reward(made.output)
        if reward is None:
            detail = f"the tests left no reward (they ended with {made.status})"
            return Verdict("failed", detail, wall_s=made.wall_s)
        detail = f"reward {reward:g}"
        return Verdict("passed" if reward >= 1 else "failed", detail, wall_s=made.wall_s)

    async def aclose(self) -> None:
        """Every jail ends with its verdict."""


def _reward(output: bytes | None) -> float | None:
    try:
        return float((output or b"").decode("ascii").strip())
    except (ValueError, UnicodeDecodeError):
        return None
