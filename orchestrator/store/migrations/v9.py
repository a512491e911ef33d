"""What a reservation is for, in fields: its request, its server's time; before, notes said so."""

from __future__ import annotations

from budgets.stored import add_fields

STEPS = (add_fields,)
