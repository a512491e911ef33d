"""An arm whose first requests are all refused for one reason stops at once.

What is refused so (a max_tokens above the model's context, a field that the server does not take)
is refused for the whole plan: sending the rest would only delay the sentence that says why.
"""

from __future__ import annotations

from orchestrator.engine.parts import SessionParts
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from orchestrator.store.refusals import pattern_of, what_to_do
from providers.errors import ProviderError

REQUESTS = 8
PROBLEMS = 4
"""So many refusals on so many problems, or on all there are, speak for the whole plan."""


class Refusing:
    """Counts, per arm, the refusals before its first answer."""

    def __init__(self, shared: SessionParts) -> None:
        self._shared = shared
        self._seen: dict[tuple[int, str], list[int]] = {}
        """By arm and words: the problem of each refusal."""

    def see(self, ticket: Ticket, error: ProviderError) -> None:
        """A request was given up; stop its arm if that is all that ever happens there."""
        arm = ticket.arm
        # What may pass by itself says nothing of the plan, and a batch is refused as one.
        if arm.answers or arm.closed or arm.batch or error.retryable:
            return
        if error.sent == "not_sent" and ticket.problem in arm.too_long:
            # Known beforehand: the other problems may well fit.
            return
        kind = type(error).__name__
        problems = self._seen.setdefault((arm.number, pattern_of(f"{kind} {error}")), [])
        problems.append(ticket.problem)
        enough = min(PROBLEMS, len(arm.problems))
        if len(problems) < REQUESTS or len(set(problems)) < enough:
            return
        hint = what_to_do(kind, str(error))
        fault = RunFault(
            f"Each of the first {len(problems)} requests of {arm.model} on {arm.spec.task} was "
            f"refused: {str(error).rstrip('.')}" + (f" -> {hint}" if hint else "")
        )
        shared = self._shared
        shared.close_arm(arm)
        if all(other.closed for other in shared.arms):
            shared.control.stop(fault)
        else:
            # The others go on; the run ends with this fault all the same.
            shared.control.fault = shared.control.fault or fault
            shared.control.changed.set()
