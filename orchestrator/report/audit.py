"""What of an arm's coverage rests on one rule alone.

A problem is fragile where every accepted sample of it is disputed (the audit's second rule does
not accept it) or forgeable (the candidate ran in one process with its test). The lower bound is
the coverage without those samples: it counts them as wrong.
"""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.report.data import Audit, Suspect
from orchestrator.report.text import percent
from orchestrator.store.audits import (
    AUDIT_KEY,
    AUDIT_NAME,
    accepted_slots,
    any_forgeable,
    text_of,
)
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, SlotCounts

SHOWN = 10
_TAIL = 160


def audit_of(
    reader: RunReader, arm: ArmRow, own: str, counts: SlotCounts, ks: list[int], *, uniform: bool
) -> Audit | None:
    """The audit of an arm; None where it was not audited and nothing of it is forgeable."""
    said = json.loads(reader.meta(f"{AUDIT_KEY}{arm.number}", "{}"))
    rule = str(said.get("rule", ""))
    second = {}
    if rule:
        second = {
            (problem, slot): kind
            for problem, slot, kind, _ in reader.verdicts(arm.number, f"{AUDIT_NAME}{rule}")
        }
    elif not any_forgeable(reader, arm.number, own):
        return None
    doubts: dict[int, dict[int, str]] = defaultdict(dict)
    accepted: dict[int, list[int]] = defaultdict(list)
    waiting = 0
    for problem, slot, forgeable in accepted_slots(reader, arm.number, own):
        accepted[problem].append(slot)
        kind = second.get((problem, slot))
        waiting += bool(rule) and kind is None
        if forgeable:
            doubts[problem][slot] = "it could have forged its verdict"
        if kind not in (None, "passed", "infra_error"):
            doubts[problem][slot] = f"{rule} does not accept it"
    fragile = [one for one in accepted if len(doubts[one]) == len(accepted[one])]
    without = counts.passed.copy()
    for problem, slots in doubts.items():
        without[problem] -= len(slots)
    within = [k for k in ks if k <= counts.judged.min()] if uniform else []
    bound = coverage_curve(counts.judged, without, np.array(within)).mean if within else ()
    return Audit(
        rule=rule,
        accepted=sum(map(len, accepted.values())),
        doubted=sum(map(len, doubts.values())),
        waiting=waiting,
        solved=len(accepted),
        fragile=len(fragile),
        single=sum(len(slots) == 1 for slots in accepted.values()),
        lower=tuple(zip(within, map(float, bound), strict=True)),
        suspects=_suspects(reader, arm, accepted, doubts),
    )


def said_of_audit(audit: Audit | None) -> list[str]:
    """Sentences on an arm's audit; none where there is nothing to say."""
    if audit is None:
        return []
    by = f"{audit.rule} does not accept" if audit.rule else "could have forged their verdict"
    said = (
        f"of {audit.solved} solved problems {audit.fragile} "
        f"{'rests' if audit.fragile == 1 else 'rest'} only on accepted samples that {by}, and "
        f"{audit.single} on a single one; that is {audit.doubted:,} of {audit.accepted:,} samples"
    )
    if audit.lower and audit.doubted:
        k, bound = audit.lower[-1]
        said += f"; without them coverage is {percent(bound)} at k = {k:,}"
    lines = [said]
    if audit.waiting:
        lines.append(
            f"{audit.waiting:,} accepted samples came after the audit: orch verify RUN --audit "
            "judges them too"
        )
    return lines


def _suspects(
    reader: RunReader,
    arm: ArmRow,
    accepted: dict[int, list[int]],
    doubts: dict[int, dict[int, str]],
) -> tuple[Suspect, ...]:
    """The accepted samples that deserve a look first: doubted ones, then the only ones.

    Of doubted ones first those on which a problem rests, of all first the rarest.
    """
    ranked = sorted(
        (slot not in doubts[problem], len(slots) - len(doubts[problem]), len(slots), problem, slot)
        for problem, slots in accepted.items()
        for slot in ([*doubts[problem]] or slots[:1])
        if doubts[problem] or len(slots) == 1
    )
    names = {one.number: one for one in reader.problems(arm.problem_set)}
    found: list[Suspect] = []
    seen: set[tuple[int, str]] = set()
    for _, _, number, problem, slot in ranked:
        text = " ".join(text_of(reader, arm.number, problem, slot).split())
        shown = text if len(text) <= _TAIL else f"… {text[-_TAIL:]}"
        if (problem, shown) in seen:
            continue
        seen.add((problem, shown))
        why = doubts[problem].get(slot, "it is the only accepted sample of its problem")
        reference = names[problem].content["reference"]
        expected = str(reference.get("answer", ""))[:_TAIL]
        found.append(Suspect(names[problem].id, slot, why, number, expected, shown))
        if len(found) == SHOWN:
            break
    return tuple(found)
