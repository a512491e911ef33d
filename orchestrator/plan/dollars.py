"""Dollars as a person gives them, on a command line or in a study."""

from __future__ import annotations

from budgets.money import MoneyError, picodollars
from orchestrator.errors import ConfigError


def amount(text: str, setting: str, *, zero: bool = False) -> int:
    """An amount of dollars in picodollars; raises ConfigError, which names `setting`.

    `zero`: whether it may be 0.
    """
    try:
        pico = picodollars(text)
    except MoneyError as error:
        raise ConfigError(f"{setting}: {error}; give dollars, such as 0.50.") from None
    if pico < 0 or (pico == 0 and not zero):
        least = "0 dollars or more" if zero else "above 0 dollars"
        raise ConfigError(f"{setting} is {text}; it must be {least}.")
    return pico
