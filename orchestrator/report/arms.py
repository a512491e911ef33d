"""From a stored run to what its report says of each arm: counts, coverage, money.

Dollars of a point on the curve are two numbers. `as_bought`: what this run had committed
(settled and uncertain) through round k. `at_k`: what buying k attempts afresh costs at the run's
mean usage, with the prompt paid once per request of the run's batch size, the first of them
without a prompt cache. With a Repricing both, and all totals, are by other prices than those of
the run. What needs more than counts (laws, forecasts, selection) is added by `collect`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from budgets.ledger import Ledger
from orchestrator.analysis.clusters import agreeing
from orchestrator.analysis.flops import ModelShape
from orchestrator.report.agents import agent_work
from orchestrator.report.audit import audit_of, said_of_audit
from orchestrator.report.compute import gpu_hours, operations, shape_for
from orchestrator.report.data import ArmReport, CoveragePoint
from orchestrator.report.estimate import Curve, estimate
from orchestrator.report.others import other_verdicts, said_of, said_of_excluded
from orchestrator.report.paid import ArmCosts
from orchestrator.report.reprice import Repriced, Repricing, reprice, unrepriced
from orchestrator.report.text import percent
from orchestrator.store.accounts import ArmMoney, money_of_arms, read_accounts
from orchestrator.store.audits import CHANGED_KEY
from orchestrator.store.columns import bought
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, Bought, ProblemRow
from orchestrator.store.schema import NOTE_KEY

LOOKED_AT = 100_000
"""Samples from which it is told whether choices of one request agree."""

SETTINGS = ("temperature", "top_p", "max_tokens", "n_per_request", "prompt_style", "samples",
            "few_shot_count", "verifier_version", "batch", "gpu_hour", "gpus")  # fmt: skip
"""What a report tells of how an arm was asked."""


def read_arms(
    reader: RunReader,
    shapes: Mapping[str, ModelShape] | None = None,
    by: Repricing | None = None,
) -> list[ArmReport]:
    """Every arm of a run, in order; raises ConfigError.

    `shapes` of models that orch does not know, by name. `by`: other prices than the run's own.
    """
    ledger = read_accounts(reader)
    paid = money_of_arms(reader, ledger)
    return [_arm(reader, arm, ledger, paid[arm.number], shapes or {}, by) for arm in reader.arms()]


def _arm(
    reader: RunReader, arm: ArmRow, ledger: Ledger, paid: ArmMoney,
    shapes: Mapping[str, ModelShape], by: Repricing | None,
) -> ArmReport:  # fmt: skip
    verifier = str(arm.spec["verifier"])
    problems = reader.problems(arm.problem_set)
    counts = reader.slot_counts(arm.number, len(problems), verifier)
    # What a dead process left open may have been billed.
    settled, uncertain = paid.settled, paid.uncertain + paid.reserved
    bought_of = bought(reader, arm.number)
    repriced, notes = _repriced(reader, arm, ledger, bought_of, by, settled + uncertain)
    if repriced is not None:
        settled, uncertain = repriced.settled, repriced.uncertain
    money = ArmCosts(reader, arm, ledger, settled + uncertain, bought_of, paid, repriced)
    groups = _groups(problems)
    curve = estimate(reader, arm, counts, verifier, groups)
    others = other_verdicts(reader, arm, verifier, curve.ks, uniform=curve.uniform)
    said = [said_of(one, verifier, len(problems)) for one in others]
    audit = audit_of(reader, arm, verifier, counts, curve.ks, uniform=curve.uniform)
    said += said_of_audit(audit)
    shape = shape_for(arm.model, shapes) if curve.uniform else None
    work = operations(reader, arm, len(problems), shape, curve.ks)
    return ArmReport(
        provider=arm.provider,
        model=arm.model,
        task=_named(arm.task),
        policy=arm.policy,
        estimator=curve.estimator,
        verifier=verifier,
        problem_ids=tuple(problem.id for problem in problems),
        n=tuple(counts.judged.tolist()),
        c=tuple(counts.passed.tolist()),
        groups=groups,
        censored=int(counts.censored.sum()),
        infra_errors=int(counts.infra.sum()),
        spent=settled,
        uncertain=uncertain,
        fresh=money.fresh() if curve.uniform else None,
        gpu_hours=gpu_hours(reader, arm, settled + uncertain),
        points=_points(curve, work, money),
        others=tuple(others),
        audit=audit,
        agents=agent_work(reader, arm),
        changed=tuple(json.loads(reader.meta(f"{CHANGED_KEY}{arm.number}", "[]"))),
        refusals=tuple(reader.refusals(arm.number)),
        notes=(
            *notes,
            *said_of_answers(arm, bought_of.served),
            *curve.notes,
            *said_of_requests(reader, arm, verifier),
            *said_of_excluded(arm),
            *said,
            *reader.metas(NOTE_KEY),
        ),
        name=str(arm.spec.get("name", "")),
        settings=_settings(reader, arm, bought_of.served),
        repriced_on=by.day if by is not None and repriced is not None else "",
    )


def _repriced(
    reader: RunReader,
    arm: ArmRow,
    ledger: Ledger,
    bought: Bought,
    by: Repricing | None,
    paid: int,
) -> tuple[Repriced | None, list[str]]:
    """The arm by the prices of another day, where it has prices per token; and notes on that."""
    if by is None:
        return None, []
    if arm.spec.get("price") is None:
        return None, [unrepriced(arm, by)] if paid else []
    repriced = reprice(reader, arm, ledger, bought, by)
    return repriced, repriced.notes


def said_of_answers(arm: ArmRow, served: Mapping[str, int]) -> list[str]:
    """Which models answered, where another name than the one asked for did."""
    if set(served) <= {arm.model}:
        return []
    told = ", ".join(f"{model} ({count:,} requests)" for model, count in served.items())
    return [f"asked for {arm.model}, answered by {told}"]


def _groups(problems: Sequence[ProblemRow]) -> tuple[str, ...]:
    """Every problem's group; one without is its own. Empty where none has one."""
    if not any("group" in problem.content for problem in problems):
        return ()
    return tuple(
        f"group {problem.content['group']}" if "group" in problem.content else f"id {problem.id}"
        for problem in problems
    )


def said_of_requests(reader: RunReader, arm: ArmRow, verifier: str) -> list[str]:
    """Whether choices of one request agree more than chance has it, and what that leaves."""
    if arm.spec.get("n_per_request") == 1:
        return []
    rows = list(reader.judged_requests(arm.number, verifier, LOOKED_AT))
    found = agreeing(*zip(*rows, strict=True)) if rows else None
    if found is None or not found.certain or found.worth > 0.9:
        return []
    return [
        f"choices of one request agree more than those of different ones: the attempts are worth "
        f"about {percent(found.worth)} as many independent ones, and intervals for these problems "
        "are too narrow; --n-per-request 1 buys independent attempts"
    ]


def _settings(reader: RunReader, arm: ArmRow, served: Mapping[str, int]) -> dict[str, Any]:
    """How an arm was asked, who answered, when, and what failed."""
    created = float(reader.meta("created", "0") or 0)
    day = datetime.fromtimestamp(created, UTC) if created else None
    price = arm.spec.get("price") or {}
    hour = arm.spec.get("gpu_hour")
    failures = reader.rows(
        "SELECT f.kind, count(*) FROM failures f JOIN requests r USING (request) WHERE r.arm = ?"
        " GROUP BY 1 ORDER BY 2 DESC",
        (arm.number,),
    )
    return {
        **{name: arm.spec.get(name) for name in SETTINGS},
        "seed": json.loads(reader.meta("identity", "{}")).get("seed"),
        "run": reader.directory.name,
        "bought": f"{day:%Y-%m-%d %H:%M} UTC" if day else "",
        "answered_as": sorted(model for model in served if model),
        "failures": {str(kind): int(number) for kind, number in failures},
        "price_source": f"${hour} an hour" if hour else str(price.get("source", "")),
        "budget_usd": arm.spec.get("budget_usd"),
        "orch": reader.meta("orch"),
    }


def _points(curve: Curve, work: list[float | None], money: ArmCosts) -> tuple[CoveragePoint, ...]:
    bought = money.as_bought(curve.ks)
    fresh = money.fresh() if curve.uniform else None
    return tuple(
        CoveragePoint(k, *shares, spent, fresh.usd_at_k(k) if fresh else spent, flops)
        for k, shares, spent, flops in zip(curve.ks, curve.shares, bought, work, strict=True)
    )


def _named(task: str) -> str:
    """A task's name; of a person's own file, the file's."""
    return Path(task).name if task.endswith(".jsonl") else task
