"""What holds for every test."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _interrupts_reach_what_is_started() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start would inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
