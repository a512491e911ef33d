"""Censored slots by themselves: counting them need not read every sample with its text."""

from __future__ import annotations

STEPS = ("CREATE INDEX samples_censored ON samples (arm, problem) WHERE kind = 'censored'",)
