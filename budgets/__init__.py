"""What an attempt may cost: prices, the ledger, limits. Imports nothing else of orch.

Usable on its own; names are loaded when first used, so that importing `budgets` costs nothing.

>>> from budgets import Ledger, MemoryJournal, picodollars, usd
>>> ledger = Ledger.open(MemoryJournal(), caps={"run": picodollars("2.00")})
>>> usd(ledger.totals().free)
'2.00'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from budgets.bounds import prompt_token_bound as prompt_token_bound
    from budgets.journal import Event as Event
    from budgets.journal import Journal as Journal
    from budgets.journal import MemoryJournal as MemoryJournal
    from budgets.ledger import DoesNotFit as DoesNotFit
    from budgets.ledger import Ledger as Ledger
    from budgets.ledger import LedgerError as LedgerError
    from budgets.ledger import LedgerFault as LedgerFault
    from budgets.limiter import Limiter as Limiter
    from budgets.meter import TimeMeter as TimeMeter
    from budgets.money import MoneyError as MoneyError
    from budgets.money import picodollars as picodollars
    from budgets.money import usd as usd
    from budgets.price import Price as Price
    from budgets.price_book import PriceBook as PriceBook
    from budgets.price_book import Unpriced as Unpriced
    from budgets.sqlite_journal import JournalError as JournalError
    from budgets.sqlite_journal import SqliteJournal as SqliteJournal
    from budgets.totals import Totals as Totals
    from budgets.totals import Uncertain as Uncertain
    from budgets.usage import Usage as Usage

_HOMES = {
    "prompt_token_bound": "bounds",
    "Event": "journal",
    "Journal": "journal",
    "MemoryJournal": "journal",
    "DoesNotFit": "ledger",
    "Ledger": "ledger",
    "LedgerError": "ledger",
    "LedgerFault": "ledger",
    "Limiter": "limiter",
    "TimeMeter": "meter",
    "MoneyError": "money",
    "picodollars": "money",
    "usd": "money",
    "Price": "price",
    "PriceBook": "price_book",
    "Unpriced": "price_book",
    "JournalError": "sqlite_journal",
    "SqliteJournal": "sqlite_journal",
    "Totals": "totals",
    "Uncertain": "totals",
    "Usage": "usage",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"budgets.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'budgets' has no attribute {name!r}")
