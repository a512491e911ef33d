"""From logits to tokens: temperature, top-p, and random numbers that belong to a choice.

Every choice has its own stream of uniform numbers, a pure function of (seed, choice index,
step), and a token is found by inverting the cumulative distribution at that number. Nothing here
depends on what else is in the batch. Probabilities are float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from providers.tiny.weights import Float32, Int64

Float64 = NDArray[np.float64]
UInt64 = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: UInt64) -> UInt64:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def streams(seed: int, choices: int) -> UInt64:
    """The starting state of each choice's stream, (choices,); any integer is a seed."""
    origin = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) + _GOLDEN)
    index = np.arange(1, choices + 1, dtype=np.uint64)
    return _mix(_mix(origin + index * _GOLDEN) ^ origin)


def uniform(states: UInt64, steps: Int64) -> Float64:
    """Numbers in [0, 1) for each stream at its step, 53 bits each."""
    bits = _mix(states + (steps.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def cumulative(logits: Float32, temperature: Float64, top_p: Float64) -> Float64:
    """Cumulative probabilities (rows, vocabulary) that sampling inverts.

    `temperature` and `top_p` are (rows,). Temperature 0 puts everything on the likeliest token
    (the lowest id where several are). Top-p keeps the smallest set of likeliest tokens whose
    probabilities reach top_p (arXiv 1904.09751).
    """
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    greedy = temperature == 0
    # Logits below the greatest become minus infinity at tiny temperatures: probability 0.
    with np.errstate(over="ignore"):
        exact /= np.where(greedy, 1.0, temperature)[:, None]
    weights = np.exp(exact)
    if greedy.any():
        likeliest = logits[greedy].argmax(axis=1)
        weights[greedy] = np.arange(logits.shape[1])[None, :] == likeliest[:, None]
    cut = top_p < 1
    if cut.any():
        weights[cut] = _nucleus(weights[cut], top_p[cut])
    total: Float64 = np.cumsum(weights, axis=1)
    total /= total[:, -1:].copy()
    return total


def _nucleus(weights: Float64, top_p: Float64) -> Float64:
    """`weights` with all outside the smallest sufficient set at zero."""
    order = np.argsort(-weights, axis=1, kind="stable")
    descending = np.take_along_axis(weights, order, axis=1)
    before = np.cumsum(descending, axis=1) - descending
    kept = before < top_p[:, None] * descending.sum(axis=1, keepdims=True)
    kept[:, 0] = True
    result = np.zeros_like(weights)
    np.put_along_axis(result, order, np.where(kept, descending, 0.0), axis=1)
    return result


def invert(cumulated: Float64, rows: Int64, numbers: Float64) -> Int64:
    """The token of each number, (members,): the first whose cumulative probability exceeds it.

    `rows` says which distribution each number belongs to.
    """
    tokens: Int64 = (cumulated[rows] <= numbers[:, None]).sum(axis=1)
    return tokens


def log_probabilities(logits: Float32) -> Float64:
    """Natural logarithms of the model's own probabilities, before temperature and top-p."""
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    result: Float64 = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    return result
