"""Seeds by slot, so that no regrouping or resume ever repeats a draw."""

from __future__ import annotations

import hashlib


def request_seed(study_seed: int, arm: str, problem: str, first_slot: int, n: int) -> int:
    """A 63-bit seed: a hash of everything that tells one request of a study from another."""
    key = "\x1f".join((str(study_seed), arm, problem, str(first_slot), str(n)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
