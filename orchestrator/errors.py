"""Every way in which a run can end other than by completing, and the exit code of each.

    OrchError
    ├── ConfigError    2   what was asked cannot be done as asked; nothing was sent or written
    ├── StoreError     4   the run directory cannot be read or written
    ├── RunFault       4   the run had to stop: key refused, no credit, bill above its bound
    └── BudgetTooSmall 3   the budget does not even pay for the start of a server

A message is one clear sentence that names what is wrong, where, and what to do next.
"""

from __future__ import annotations

COMPLETE = 0
UNFILLED = 1
USAGE = 2
BUDGET_REACHED = 3
FAULT = 4
INTERRUPTED = 130


class OrchError(Exception):
    """A failure that a person can act on."""

    exit_code = FAULT


class ConfigError(OrchError):
    """What was asked cannot be done as asked."""

    exit_code = USAGE


class StoreError(OrchError):
    """The run directory cannot be read or written."""


class RunFault(OrchError):
    """The run had to stop; what was bought is kept."""


class BudgetTooSmall(OrchError):
    """The budget does not even pay for the start of a server."""

    exit_code = BUDGET_REACHED
