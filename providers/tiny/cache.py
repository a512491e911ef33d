"""Where keys and values live: a pool with a slot per row, and the prompts seen lately.

A slot belongs to one row of the batch, which is one distinct text so far; choices that have
sampled the same tokens share it. Positions beyond a row's own hold stale numbers, always
finite, which attention hides.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from providers.tiny.weights import Config, Float32, Int64


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of a token sequence, each (layers, shared heads, length, head size)."""

    keys: Float32
    values: Float32


class Pool:
    """Keys and values of `capacity` rows, each (layers, slots, shared heads, context, size)."""

    def __init__(self, config: Config, capacity: int) -> None:
        shape = (
            config.layers,
            capacity,
            config.shared_heads,
            config.context_tokens,
            config.head_size,
        )
        self.keys: Float32 = np.zeros(shape, np.float32)
        self.values: Float32 = np.zeros(shape, np.float32)
        # Used as a stack, so that the slots in use stay few and warm.
        self._free = list(range(capacity - 1, -1, -1))

    def take(self, count: int) -> Int64:
        """`count` free slots; the caller never asks for more than there are."""
        taken = [self._free.pop() for _ in range(count)]
        return np.array(taken, np.int64)

    def give_back(self, slots: Int64) -> None:
        self._free.extend(reversed(slots.tolist()))

    def write(self, slot: int, prefix: Prefix) -> None:
        """Begin the row in `slot` with `prefix`."""
        length = prefix.keys.shape[2]
        self.keys[:, slot, :, :length] = prefix.keys
        self.values[:, slot, :, :length] = prefix.values

    def copy(self, sources: Int64, targets: Int64, length: int) -> None:
        """Copy the first `length` positions of each source slot to its target."""
        for layer in range(len(self.keys)):
            self.keys[layer][targets, :, :length] = self.keys[layer][sources, :, :length]
            self.values[layer][targets, :, :length] = self.values[layer][sources, :, :length]


class PromptCache:
    """The prefixes of the prompts asked last."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def get(self, tokens: tuple[int, ...], compute: Callable[[Int64], Prefix]) -> Prefix:
        """The prefix of `tokens`, computed if it is not here."""
        prefix = self._prefixes.get(tokens)
        if prefix is None:
            prefix = compute(np.array(tokens, np.int64))
            if len(self._prefixes) >= self._capacity:
                self._prefixes.popitem(last=False)
            self._prefixes[tokens] = prefix
        else:
            self._prefixes.move_to_end(tokens)
        return prefix
