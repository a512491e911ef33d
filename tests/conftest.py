"""What holds for every test."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("orch", deadline=None)
settings.load_profile("orch")


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_what_is_started() -> None:
    """A background job or nohup ignores signals, and what the tests start would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
