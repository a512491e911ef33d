"""Judges by equality of texts: cheap enough to be called in the loop, holds nothing.

The rule: the output (rule `whole`) or its last line that is not blank (rule `last-line`), freed
of outer white space and brought to Unicode's composed form (NFC), equals the reference's
`answer` treated in the same way. Nothing else is made equal: not case, not `1.0` and `1`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

from verifiers.verdict import Verdict

ANSWER_CHARACTERS = 1000
"""Longer answers are kept in a verdict as their start and their digest."""


def plain(text: str) -> str:
    """The text without outer white space, in composed form."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def bounded(answer: str) -> str:
    """An answer fit for storing: still equal exactly where the answers are equal.

    Stores keep such answers by their texts alone, so that it gives the same for ever.
    """
    if len(answer) <= ANSWER_CHARACTERS:
        return answer
    digest = hashlib.sha256(answer.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{answer[:100]}… ({len(answer)} characters, sha256 {digest})"


class ExactAnswer:
    """Passes a text whose final answer is the reference's `answer`, a string."""

    version = "1"
    deterministic = True

    def __init__(self, rule: Literal["whole", "last-line"] = "whole") -> None:
        self._last_line = rule == "last-line"
        self.name = "exact-last-line" if self._last_line else "exact"

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """`no_answer` for a blank text, else `passed` or `failed`; never raises on any text."""
        found = plain(text)
        if self._last_line and found:
            found = plain(found.splitlines()[-1])
        if not found:
            return Verdict("no_answer", "the output is blank")
        wanted = plain(str(reference["answer"]))
        if found == wanted:
            return Verdict("passed", answer=bounded(found))
        return Verdict("failed", f"expected {bounded(wanted)}", answer=bounded(found))

    async def aclose(self) -> None:
        """Nothing is held."""
