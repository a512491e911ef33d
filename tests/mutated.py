"""Content after some changes of the kinds that strangers, cut lines and broken disks make."""

from __future__ import annotations

import random

PIECES = [
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"9" * 5000, b"1e999999999", b"-0", b"[" * 3000,
    b"{" * 3000,
    b"nan", b"1979-05-27T07:32:00Z", b'"', b"'''", b"\r", b"\x1b[2J", "é".encode(), b"true",
    b'{"id": "a"}', b"[[arms]]", b"= =", b"\\ud800", b"../" * 50, b"~nobody/x", b",,,,",
    b"x" * 70000,
]  # fmt: skip


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """The seed after some changes: bits, cuts, doubled spans, and pieces known to be awkward."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(5)
        if how == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif how == 1:
            del data[at : at + rng.randrange(1, 20)]
        elif how == 2:
            data[at:at] = data[at : at + rng.randrange(1, 60)]
        elif how == 3:
            data[at:at] = rng.choice(PIECES)
        else:
            end = at + rng.randrange(1, 12)
            data[at:end] = rng.choice(PIECES)
    return bytes(data)
