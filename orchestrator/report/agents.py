"""What the agents of an arm did: attempts, calls, tokens, time, and what cut them short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from orchestrator.report.data import AgentWork, Spread
from orchestrator.store.attempts import made_attempts
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow


def agent_work(reader: RunReader, arm: ArmRow) -> AgentWork | None:
    """The work of the arm's agents; None for an arm of plain requests, or before the first."""
    command = str(arm.spec.get("agent") or "")
    made = made_attempts(reader, arm.number) if command else []
    if not made:
        return None
    kept = [one for one in made if one.ending != "again"]
    return AgentWork(
        command=command,
        image=str(arm.spec.get("agent_image") or ""),
        attempts=len(kept),
        begun_anew=len(made) - len(kept),
        calls=_spread([one.calls for one in kept]),
        input_tokens=_spread([one.input_tokens for one in kept]),
        output_tokens=_spread([one.output_tokens for one in kept]),
        seconds=_spread([one.seconds for one in kept]),
        cut=dict(Counter(one.cut for one in kept if one.cut).most_common()),
        timed_out=sum(one.ending == "timeout" for one in kept),
        own_failures=sum(one.ending == "own_failure" for one in kept),
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), max(values), sum(values)) if values else Spread(0, 0, 0)
