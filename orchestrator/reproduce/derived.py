"""Figures 4 and 9 of arXiv 2407.21787 from released outcomes; what is derived is marked so.

Figure 4 sets coverage against operations. The paper prints no token counts: those below were
solved from the vector graphic of v1's figure 4, within about 10 %. Figure 9 sets SWE-bench Lite
with its 34 issues of flaky tests beside SWE-bench Lite without them. The outcomes that come with
orch do not say which issue is which, so without outcomes by issue only bounds follow from them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.analysis.coverage import mean_coverage
from orchestrator.analysis.flops import expected_flops
from orchestrator.report.compute import shape_for
from orchestrator.report.data import ArmReport
from orchestrator.reproduce.published import load_published
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes
from orchestrator.tasks.flaky import named_flaky

TOKENS: dict[tuple[str, str], tuple[int, int]] = {
    ("minif2f", "llama38binstruct"): (1360, 88),
    ("minif2f", "llama370binstruct"): (1360, 88),
    ("codecontests", "llama38binstruct"): (2190, 304),
    ("codecontests", "llama370binstruct"): (2190, 167),
    ("math", "llama38binstruct"): (680, 203),
    ("math", "llama370binstruct"): (680, 187),
    ("gsm8k", "llama38binstruct"): (860, 97),
    ("gsm8k", "llama370binstruct"): (860, 86),
}
"""Mean prompt and completion tokens of a sample, derived."""


def with_operations(arm: ArmReport) -> ArmReport:
    """`arm` with the operations of every k, where its tokens were derived; says so in a note."""
    task = re.sub(r"[^a-z0-9]", "", arm.task.lower()).removesuffix("math") or "math"
    model = re.sub(r"[^a-z0-9]", "", arm.model.lower().removeprefix("meta-"))
    shape = shape_for(arm.model.replace(" ", "-"), {})
    if (task, model) not in TOKENS or shape is None:
        return arm
    prompt, tokens = TOKENS[task, model]
    # Every completion is taken to be as long as the mean: only that is known.
    points = tuple(
        replace(
            point,
            flops=arm.problems * expected_flops(shape, prompt, tokens, tokens**2, point.k),
        )
        for point in arm.points
    )
    note = (
        f"operations are derived: {prompt:,} prompt and {tokens:,} completion tokens a sample, "
        "read off figure 4 of version 1 (within about 10 %)"
    )
    return replace(arm, points=points, notes=(*arm.notes, note))


@dataclass(frozen=True, slots=True)
class FlakyRow:
    """Coverage at one k with all issues, and without those whose tests are flaky."""

    k: int
    whole: float
    low: float
    """Without them; low and high differ where it is not known which issues they are."""
    high: float


def flaky_rows(outcomes: RecordedOutcomes | None, ks: Sequence[int]) -> list[FlakyRow]:
    """Figure 9, from outcomes by issue or, with None, from those that come with orch.

    Raises OutcomesError where the outcomes hold none of the flaky issues.
    """
    flaky = named_flaky()
    if outcomes is None:
        model = load_published().models[0]
        right = sorted(model.right())
        # Without 34 issues: at least what is left if they are the most solved, at most if the
        # least solved.
        sides = [right[: -len(flaky)], right[len(flaky) :]]
        counted = [([model.recorded] * len(side), side) for side in sides]
        every = ([model.recorded] * len(right), right)
    else:
        kept = [i for i, name in enumerate(outcomes.problem_ids) if name not in flaky]
        if len(kept) == len(outcomes.problem_ids) or not kept:
            raise OutcomesError(
                "None or all of these problems are SWE-bench issues with flaky tests; give "
                "outcomes on SWE-bench Lite, its issues named as there (django__django-13315)."
            )
        left = ([outcomes.n[i] for i in kept], [outcomes.c[i] for i in kept])
        counted = [left, left]
        every = (list(outcomes.n), list(outcomes.c))
    most = min(every[0])
    return [
        FlakyRow(k, *(float(mean_coverage(n, c, k)) for n, c in (every, *counted)))
        for k in ks
        if k <= most
    ]
