"""The Llama computation in numpy, float32.

`Model.prefill` gives the keys and values of a prompt; `Model.decode` takes one token for each of
many rows and gives the logits of the next. Both are batch-invariant: what a row computes does
not depend, to the last bit, on how many rows are beside it, because every matrix product runs in
blocks of exactly TILE rows and every attention over a width that depends on the row alone. That
is what makes a seed mean the same text under any load.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from providers.tiny.cache import Pool, Prefix
from providers.tiny.weights import Config, Float32, Int64, Layer, Weights, load

TILE = 8
"""Rows of one matrix product. At eight, OpenBLAS's kernels (Haswell and Zen, Sandybridge and
Nehalem were tried) sum every row in one order wherever in the block it stands; at sixteen and
more, Haswell's does not."""

BLOCK = 16
"""A row attends over the smallest multiple of this that holds its own position."""

HIDDEN = np.float32(-1e30)
"""Added to the score of a position that a row must not see."""


class Model:
    """A loaded model. Holds no state of any sequence; not safe for use by several threads."""

    def __init__(self, directory: Path) -> None:
        self.weights: Weights = load(directory)
        self.config: Config = self.weights.config
        config = self.config
        frequency = config.rope_theta ** (
            -np.arange(0, config.head_size, 2, dtype=np.float32) / np.float32(config.head_size)
        )
        angle = np.outer(np.arange(config.context_tokens, dtype=np.float32), frequency)
        self._cosine: Float32 = np.tile(np.cos(angle), 2).astype(np.float32)
        # The first half of a rotated head takes minus the second half: the sign lives here.
        sine = np.sin(angle)
        self._sine: Float32 = np.concatenate([-sine, sine], axis=1).astype(np.float32)
        self._scale = np.float32(1 / math.sqrt(config.head_size))

    def prefill(self, tokens: Int64) -> Prefix:
        """Keys and values of one sequence of at least one token."""
        return self._sequence(tokens)[0]

    def logits(self, tokens: Int64) -> Float32:
        """Logits (length, vocabulary) after each token of one sequence."""
        return self._logits(self._sequence(tokens)[1], len(tokens))

    def _sequence(self, tokens: Int64) -> tuple[Prefix, Float32]:
        """Keys and values of one sequence, and its last hidden states in whole tiles."""
        config, length = self.config, len(tokens)
        positions = np.arange(length)
        bias = np.where(positions[None, :] > positions[:, None], HIDDEN, np.float32(0))
        shape = (config.layers, config.shared_heads, length, config.head_size)
        keys, values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        hidden = self._embed(tokens)
        for index, layer in enumerate(self.weights.layers):
            query, key, value = self._query_key_value(layer, hidden, positions)
            keys[index] = key.transpose(1, 0, 2)
            values[index] = value.transpose(1, 0, 2)
            grouped = query.transpose(1, 2, 0, 3)
            scores = grouped @ keys[index][:, None].transpose(0, 1, 3, 2)
            mixed = softmax(scores + bias) @ values[index][:, None]
            self._finish_layer(layer, hidden, mixed.transpose(2, 0, 1, 3).reshape(length, -1))
        return Prefix(keys, values), hidden

    def decode(self, tokens: Int64, positions: Int64, slots: Int64, pool: Pool) -> Float32:
        """Logits (rows, vocabulary) after `tokens` (rows) at `positions` (rows).

        `slots` says where in `pool` each row keeps its keys and values; this token's are
        written there.
        """
        logits = np.empty((len(tokens), self.config.vocabulary), np.float32)
        blocks = positions // BLOCK
        for block in np.unique(blocks):
            chosen = np.nonzero(blocks == block)[0]
            width = (int(block) + 1) * BLOCK
            logits[chosen] = self._decode(
                tokens[chosen], positions[chosen], slots[chosen], pool, width
            )
        return logits

    def _decode(
        self, tokens: Int64, positions: Int64, slots: Int64, pool: Pool, width: int
    ) -> Float32:
        """`decode` for rows that all attend over `width` positions."""
        rows = len(tokens)
        beyond = np.arange(width)[None, :] > positions[:, None]
        bias = np.where(beyond, HIDDEN, np.float32(0))[:, None, None, :]
        hidden = self._embed(tokens)
        for index, layer in enumerate(self.weights.layers):
            query, key, value = self._query_key_value(layer, hidden, positions)
            keys, values = pool.keys[index], pool.values[index]
            keys[slots, :, positions] = key
            values[slots, :, positions] = value
            scores = query @ keys[slots, :, :width].transpose(0, 1, 3, 2)
            scores += bias
            mixed = softmax(scores) @ values[slots, :, :width]
            self._finish_layer(layer, hidden, mixed.reshape(rows, -1))
        return self._logits(hidden, rows)

    def _embed(self, tokens: Int64) -> Float32:
        """Embeddings, padded with zero rows to whole tiles: (tiles * TILE, width)."""
        rows = len(tokens)
        hidden = np.zeros((-(-rows // TILE) * TILE, self.config.width), np.float32)
        hidden[:rows] = self.weights.embedding[tokens]
        return hidden

    def _query_key_value(
        self, layer: Layer, hidden: Float32, positions: Int64
    ) -> tuple[Float32, Float32, Float32]:
        """Rotated, scaled queries (rows, shared, heads per shared, size), keys, values."""
        config, rows = self.config, len(positions)
        size, heads, shared = config.head_size, config.heads, config.shared_heads
        normed = rms_norm(hidden, layer.attention_norm, config.epsilon)
        joined = tiled(normed, layer.query_key_value)[:rows].reshape(rows, -1, size)
        cosine = self._cosine[positions][:, None, :]
        sine = self._sine[positions][:, None, :]
        rotated = rotate(joined[:, : heads + shared], cosine, sine)
        query = (rotated[:, :heads] * self._scale).reshape(rows, shared, heads // shared, size)
        return query, rotated[:, heads:], joined[:, heads + shared :]

    def _finish_layer(self, layer: Layer, hidden: Float32, mixed: Float32) -> None:
        """Add attention's output and the feed-forward layer to `hidden`, in place."""
        padded = np.zeros((len(hidden), mixed.shape[1]), np.float32)
        padded[: len(mixed)] = mixed
        hidden += tiled(padded, layer.attention_out)
        normed = rms_norm(hidden, layer.feed_forward_norm, self.config.epsilon)
        gate_up = tiled(normed, layer.gate_up)
        inner = gate_up.shape[1] // 2
        gate, up = gate_up[:, :inner], gate_up[:, inner:]
        # Where exp overflows, infinity is the right divisor.
        with np.errstate(over="ignore"):
            activated = np.exp(-gate)
        activated += 1
        np.divide(gate, activated, out=activated)
        activated *= up
        hidden += tiled(activated, layer.down)

    def _logits(self, hidden: Float32, rows: int) -> Float32:
        normed = rms_norm(hidden, self.weights.norm, self.config.epsilon)
        return tiled(normed, self.weights.output)[:rows]


def tiled(rows: Float32, weight: Float32) -> Float32:
    """`rows @ weight` in products of TILE rows each; the number of rows is a multiple of it."""
    product: Float32 = np.matmul(rows.reshape(-1, TILE, rows.shape[1]), weight)
    return product.reshape(len(rows), weight.shape[1])


def rms_norm(hidden: Float32, weight: Float32, epsilon: float) -> Float32:
    """Root-mean-square normalisation of each row (arXiv 1910.07467)."""
    mean_square = np.mean(hidden * hidden, axis=1, keepdims=True)
    scaled: Float32 = (hidden / np.sqrt(mean_square + np.float32(epsilon))).astype(
        np.float32, copy=False
    )
    scaled *= weight
    return scaled


def rotate(heads: Float32, cosine: Float32, sine: Float32) -> Float32:
    """Rotary positions, halves as pairs (arXiv 2104.09864); `sine` carries the sign."""
    half = heads.shape[-1] // 2
    swapped = np.concatenate([heads[..., half:], heads[..., :half]], axis=-1)
    rotated: Float32 = heads * cosine
    rotated += swapped * sine
    return rotated


def softmax(scores: Float32) -> Float32:
    """Softmax over the last axis, which must have the same length whatever the batch."""
    weights: Float32 = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights
