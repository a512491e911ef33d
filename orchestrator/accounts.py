"""A ticket's money in the ledger, whether its reservation is still open or not.

An ordinary reservation is open until it is settled, released or held. One that an earlier session
left behind (a batch that went on at its provider) is already held as uncertain, so what it turns
out to cost resolves it. One that a person has resolved meanwhile from the provider's bill is
closed: the bill stands, and nothing is counted twice.
"""

from __future__ import annotations

from budgets.ledger import Ledger
from orchestrator.control import Ticket


def settle(ledger: Ledger, ticket: Ticket, actual: int) -> None:
    """The request was billed `actual` picodollars."""
    if ticket.account == "open":
        ledger.settle(ticket.reservation, actual)
    elif ticket.account == "held":
        ledger.resolve(ticket.reservation, actual, "answered in a batch after all")
    ticket.account = "closed"


def release(ledger: Ledger, ticket: Ticket, note: str) -> None:
    """The request certainly cost nothing."""
    if ticket.account == "open":
        ledger.release(ticket.reservation, note)
    elif ticket.account == "held":
        ledger.resolve(ticket.reservation, 0, note)
    ticket.account = "closed"


def hold(ledger: Ledger, ticket: Ticket, note: str) -> None:
    """The request may have been billed; what is uncertain already stays so."""
    if ticket.account == "open":
        ledger.hold(ticket.reservation, note)
        ticket.account = "held"
