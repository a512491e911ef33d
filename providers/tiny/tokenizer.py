"""The character vocabulary: every character is one token.

The same table is published as `model/tokenizer.json`; a test compares the two. There is no
begin token, so that a raw prompt and a chat message of the same text are the same tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from providers.tiny.weights import ModelFileError

UNKNOWN, PAD, EOS = "<unk>", "<pad>", "<eos>"
SPECIAL = (UNKNOWN, PAD, EOS)
CHARACTERS = "0123456789+*=-/().,:<>?!%^x \n"

TOKENS = (*SPECIAL, *CHARACTERS)
"""The text of every token, by id."""
VOCABULARY = {token: index for index, token in enumerate(TOKENS)}
UNKNOWN_ID, PAD_ID, EOS_ID = range(3)


def encode(text: str) -> list[int]:
    """Token ids of `text`; a character outside the vocabulary is one unknown token."""
    return [VOCABULARY.get(character, UNKNOWN_ID) for character in text]


def decode(token_ids: Iterable[int]) -> str:
    """The text of `token_ids`; special tokens have none."""
    return "".join(TOKENS[token] for token in token_ids if token >= len(SPECIAL))


def check(directory: Path) -> None:
    """Raise ModelFileError unless the model in `directory` has this vocabulary."""
    path = directory / "tokenizer.json"
    try:
        published = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path} is not a tokenizer file with a vocabulary") from None
    if published != VOCABULARY:
        raise ModelFileError(
            f"{path} has another vocabulary than the bundled model; serve that model with vLLM"
        )
