"""Temperature, top-p and the random streams, by brute force and by statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.tiny import sampling

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=12)


def probabilities(logits: list[float], temperature: float, top_p: float) -> np.ndarray:
    cumulated = sampling.cumulative(
        np.array([logits], np.float32), np.array([temperature]), np.array([top_p])
    )
    return np.diff(cumulated[0], prepend=0.0)


@given(LOGITS, st.floats(0.05, 2))
def test_temperature_divides_the_logits(logits: list[float], temperature: float) -> None:
    exact = np.exp((np.array(logits) - max(logits)) / temperature)
    np.testing.assert_allclose(
        probabilities(logits, temperature, 1.0), exact / exact.sum(), atol=1e-12
    )


@given(LOGITS, st.floats(0, 0.999))
def test_top_p_keeps_the_smallest_sufficient_set(logits: list[float], top_p: float) -> None:
    full = probabilities(logits, 1.0, 1.0)
    cut = probabilities(logits, 1.0, top_p)
    kept = cut > 0
    assert full[kept].sum() >= top_p - 1e-9
    assert full[kept].min() >= full[~kept].max(initial=0) - 1e-12
    # Without its least likely member the set would not suffice.
    assert kept.sum() == 1 or full[kept].sum() - full[kept].min() < top_p + 1e-9
    np.testing.assert_allclose(cut[kept], full[kept] / full[kept].sum(), atol=1e-9)


@given(LOGITS)
def test_temperature_zero_takes_the_likeliest(logits: list[float]) -> None:
    assert probabilities(logits, 0.0, 1.0).tolist() == [
        float(index == int(np.argmax(np.float32(logits)))) for index in range(len(logits))
    ]


def test_tiny_temperatures_neither_overflow_nor_divide_by_zero() -> None:
    assert probabilities([1.0, 3.0, 2.0], 5e-324, 1.0).tolist() == [0.0, 1.0, 0.0]


@given(LOGITS, st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_no_number_draws_a_token_of_no_probability(
    logits: list[float], top_p: float, number: float
) -> None:
    cumulated = sampling.cumulative(
        np.array([logits], np.float32), np.array([1.0]), np.array([top_p])
    )
    token = sampling.invert(cumulated, np.array([0]), np.array([number]))[0]
    chances = np.diff(cumulated[0], prepend=0.0)
    assert chances[token] > 0
    assert cumulated[0][token] - chances[token] <= number < cumulated[0][token] or np.isclose(
        number, cumulated[0][token]
    )


def test_log_probabilities_are_the_models_own() -> None:
    logits = np.array([[0.0, 1.0, -3.0]], np.float32)
    assert np.exp(sampling.log_probabilities(logits)).sum() == pytest.approx(1)
    np.testing.assert_allclose(np.diff(sampling.log_probabilities(logits)[0]), [1, -4])


def numbers(seeds: range, choices: int, steps: int) -> np.ndarray:
    """Uniform numbers, (seeds, choices, steps)."""
    rows = []
    for seed in seeds:
        states = sampling.streams(seed, choices)
        row = [sampling.uniform(states, np.full(choices, step)) for step in range(steps)]
        rows.append(np.array(row).T)
    return np.array(rows)


def test_streams_are_uniform_and_independent_of_seed_choice_and_step() -> None:
    drawn = numbers(range(40), 50, 50)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.unique(drawn).size == drawn.size
    counts = np.histogram(drawn, bins=100, range=(0, 1))[0]
    expected = drawn.size / 100
    # Chi-square with 99 degrees of freedom: mean 99, standard deviation 14.
    assert ((counts - expected) ** 2 / expected).sum() < 99 + 5 * 14.1
    centred = drawn - 0.5
    for axis in range(3):
        first = np.take(centred, range(drawn.shape[axis] - 1), axis)
        second = np.take(centred, range(1, drawn.shape[axis]), axis)
        correlation = (first * second).mean() * 12
        assert abs(correlation) < 5 / np.sqrt(first.size)


def test_a_stream_does_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(sampling.streams(7, 3), sampling.streams(7, 500)[:3])
    assert not np.array_equal(sampling.streams(7, 3), sampling.streams(8, 3))
    assert np.array_equal(sampling.streams(-1, 2), sampling.streams(2**64 - 1, 2))
