"""How many tokens a prompt can have at most, before anyone has counted them.

No tokenizer in use makes more tokens than the text it finally splits has UTF-8 bytes: byte-level
BPE starts from bytes, SentencePiece and WordPiece from characters, and byte fallback gives one
token a byte. What is split is not always what was sent: many tokenizers first normalise, and
normalising can make one character into many (U+FDFA: 3 bytes become 33). So every character is
counted at the longest it becomes under case folding, lower case and the Unicode normal forms,
including a space at each end for tokenizers that add one.

Assumed: where a tokenizer writes a space as its own mark, that mark is in its vocabulary (a
tokenizer trained on any text with spaces has it).

A chat adds its template: what a server writes around each message, and a system prompt that some
models' templates add by themselves (the longest known, of Mistral Small 3.1, has about 450
tokens). In repeated sampling the first answer of a problem replaces this bound by the exact
number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

TEMPLATE_TOKENS = 512
"""Allowance for what a chat template adds once: special tokens and a built-in system prompt."""
MESSAGE_TOKENS = 40
"""Allowance for the header and the end of one message, counted in bytes of the longest known."""
RAW_TOKENS = 8
"""Allowance for the special tokens around a raw prompt."""


def prompt_token_bound(texts: Sequence[str], messages: int = 0) -> int:
    """The most tokens that `texts` can be billed as.

    `texts`: the contents of the messages, or the raw prompt. `messages`: how many chat messages
    they make; 0 for a raw completion.
    """
    tokens = sum(text_token_bound(text) for text in texts)
    if messages:
        # One more header than messages: the answer's own begins in the prompt.
        return tokens + TEMPLATE_TOKENS + MESSAGE_TOKENS * (messages + 1)
    return tokens + RAW_TOKENS


def text_token_bound(text: str) -> int:
    """The most tokens that `text` alone can become: its bytes at their longest, plus two."""
    if text.isascii():
        return len(text) + 2
    return sum(map(_longest, text)) + 2


@lru_cache(maxsize=65_536)
def _longest(character: str) -> int:
    """The most UTF-8 bytes that one character becomes under any usual normalisation."""
    forms = {character}
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        forms.add(unicodedata.normalize(form, character))
    forms |= {form.lower() for form in forms} | {form.casefold() for form in forms}
    forms |= {unicodedata.normalize("NFKD", form) for form in forms}
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)
