"""How a session ended: its exit code, and why in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from budgets.ledger import Ledger
from orchestrator import errors
from orchestrator.engine.counters import RunState
from orchestrator.engine.engine import Engine
from orchestrator.errors import RunFault
from orchestrator.report.fleet import fleet_sentence
from orchestrator.session.usage import fleet_documents
from orchestrator.store.refusals import Refusal
from orchestrator.store.store import RunStore
from verifiers.dedupe import Deduplicating


@dataclass(slots=True)
class Ending:
    """How a session ended."""

    exit_code: int
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)
    """Plain facts that a person need not read: for summary.json."""
    refusals: list[Refusal] = field(default_factory=list)
    """What servers refused or broke off in this session, the commonest first."""
    cause: BaseException | None = None
    """What escaped every rule, where a fault of orch itself ended the session."""


def ending_of(
    engine: Engine, ledger: Ledger, state: RunState, store: RunStore, *, interrupted: bool
) -> Ending:
    """Where several hold, an interrupt goes first, then a fault, the budget, what is unfilled."""
    fault = (
        engine.control.fault or store.fault or (RunFault(ledger.fault) if ledger.fault else None)
    )
    ending = Ending(
        errors.COMPLETE,
        notes=[*state.notes, *state.repeats.warnings()],
        asides=state.repeats.sentences(),
        refusals=state.refusals.most_common(),
    )
    if state.unfilled:
        ending.exit_code = errors.UNFILLED
        after = ", after retries" if state.retried else ""
        ending.reasons.append(f"{state.unfilled} slots could not be filled{after}")
    if broken := state.verdicts["infra_error"]:
        ending.exit_code = errors.UNFILLED
        ending.reasons.append(f"the judge failed on {broken} samples")
    if engine.control.budget_reached:
        ending.exit_code = errors.BUDGET_REACHED
        ending.reasons.insert(0, "the budget is reached")
    for fleet in fleet_documents(engine.arms, state.started):
        ending.notes.append(f"{', '.join(fleet['models'])}: {fleet_sentence(fleet)}")
    for verifier in {arm.verifier.name: arm.verifier for arm in engine.arms}.values():
        if isinstance(verifier, Deduplicating) and verifier.saved:
            ending.asides.append(
                f"{verifier.name}: {verifier.saved:,} of {verifier.asked:,} samples were identical "
                "to one judged before, and were not judged again"
            )
    if fault is not None:
        ending.exit_code, ending.cause = fault.exit_code, fault.__cause__
        ending.reasons.insert(0, str(fault))
    if interrupted:
        ending.exit_code = errors.INTERRUPTED
        ending.reasons.insert(0, "interrupted")
    return ending
