"""Selection against brute force over every subset, with ties and unparsed answers."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from orchestrator.analysis.selection import (
    Judged,
    Method,
    _votes_in_prefixes,
    _votes_of_classes,
    best_of_n,
    majority,
    over_problems,
    paper_subsets,
    weighted_vote,
)

ANSWERS = np.array([0, 0, 1, 1, 2, -1, 0])
CORRECT = np.array([True, True, False, False, False, False, True])
REWARDS = np.array([0.2, 0.5, 0.9, 0.1, 0.5, 0.9, 0.1])
SAMPLES = Judged(ANSWERS, CORRECT, REWARDS)


def chosen(subset: tuple[int, ...], method: Method) -> float:
    """Expected correctness of the choice within one subset, by the stated rules."""
    if method == "best-of-n":
        best = max(REWARDS[i] for i in subset)
        tied = [i for i in subset if REWARDS[i] == best]
        return float(np.mean([CORRECT[i] for i in tied]))
    votes: Counter[int] = Counter()
    for i in subset:
        if ANSWERS[i] >= 0:
            votes[int(ANSWERS[i])] += 1 if method == "majority" else float(REWARDS[i])
    if not votes:
        return 0.0
    top = max(votes.values())
    return float(np.mean([answer == 0 for answer, vote in votes.items() if vote > top - 1e-12]))


def brute(method: Method, k: int) -> float:
    return float(np.mean([chosen(subset, method) for subset in combinations(range(7), k)]))


@pytest.mark.parametrize("k", range(1, 8))
def test_majority_equals_brute_force(k: int) -> None:
    assert majority(SAMPLES, [k], draws=20_000)[0] == pytest.approx(brute("majority", k), abs=0.012)


@pytest.mark.parametrize("k", range(1, 8))
def test_best_of_n_is_exact(k: int) -> None:
    assert best_of_n(SAMPLES, [k])[0] == pytest.approx(brute("best-of-n", k), abs=1e-12)


@pytest.mark.parametrize("k", range(1, 8))
def test_weighted_vote_equals_brute_force(k: int) -> None:
    value = weighted_vote(SAMPLES, [k], draws=6000)[0]
    assert value == pytest.approx(brute("weighted", k), abs=0.025)


def test_one_sample_and_all_samples_are_exact_for_majority() -> None:
    assert majority(SAMPLES, [1, 7], draws=1).tolist() == pytest.approx([3 / 7, 1.0])


def test_the_number_of_a_class_does_not_matter() -> None:
    renamed = Judged(np.array([3, 3, 1, 1, 0, -1, 3]), CORRECT, REWARDS)
    for k in (2, 4):
        assert majority(renamed, [k], draws=20_000)[0] == pytest.approx(
            brute("majority", k), abs=0.012
        )
        assert weighted_vote(renamed, [k], draws=4000)[0] == pytest.approx(
            brute("weighted", k), abs=0.03
        )


def test_an_unparsed_answer_never_gets_a_vote() -> None:
    mostly_unparsed = Judged(np.array([-1, -1, -1, 0]), np.array([False, False, False, True]))
    assert majority(mostly_unparsed, [4]).tolist() == [1.0]
    assert majority(Judged(np.array([-1, -1]), np.array([False, False])), [1, 2]).tolist() == [0, 0]
    silent = Judged(np.array([-1]), np.array([False]), np.array([1.0]))
    assert weighted_vote(silent, [1]).tolist() == [0.0]


def test_negative_rewards_still_vote() -> None:
    samples = Judged(np.array([0, 1]), np.array([True, False]), np.array([-1.0, -2.0]))
    assert weighted_vote(samples, [2]).tolist() == [1.0]


def test_a_vote_of_zero_sum_counts_as_a_vote() -> None:
    samples = Judged(np.array([0, 1]), np.array([True, False]), np.array([0.0, -2.0]))
    assert weighted_vote(samples, [2]).tolist() == [1.0]


def test_prefixes_serve_k_in_any_order() -> None:
    assert weighted_vote(SAMPLES, [7, 2], seed=3).tolist() == pytest.approx(
        weighted_vote(SAMPLES, [2, 7], seed=3)[::-1].tolist()
    )


@pytest.mark.parametrize("method", ["majority", "best-of-n", "weighted"])
def test_over_problems_is_the_mean_and_shows_the_gap_to_coverage(method: Method) -> None:
    other = Judged(np.array([0, 1, 1]), np.array([True, False, False]), np.array([0.1, 0.2, 0.3]))
    curve = over_problems([SAMPLES, other], [1, 3], method)
    assert curve.coverage == pytest.approx([(3 / 7 + 1 / 3) / 2, (1 - 4 / 35 + 1.0) / 2])
    assert curve.precision[0] == pytest.approx(curve.coverage[0], abs=0.08)
    assert np.all(curve.gap == curve.coverage - curve.precision)
    assert curve.gap[1] > 0.2
    assert curve.sd_over_subsets is None


def test_the_papers_subsets_agree_in_mean_and_their_spread_vanishes_at_n() -> None:
    other = Judged(np.array([0, 1, 1, 2, 0]), np.array([True, False, False, False, True]),
                   np.array([0.1, 0.2, 0.3, 0.4, 0.5]))  # fmt: skip
    ours = over_problems([other], [1, 3, 5], "best-of-n")
    papers = paper_subsets([other], [1, 3, 5], "best-of-n", subsets=2000)
    assert papers.precision == pytest.approx(ours.precision, abs=0.04)
    assert papers.sd_over_subsets is not None
    assert papers.sd_over_subsets[0] > 0.3
    assert papers.sd_over_subsets[2] == pytest.approx(0.0)


def test_a_hundred_subsets_as_in_the_paper() -> None:
    usual = paper_subsets([SAMPLES], [2, 3], "best-of-n")
    stated = paper_subsets([SAMPLES], [2, 3], "best-of-n", subsets=100, seed=0)
    assert usual.precision.tolist() == stated.precision.tolist()
    assert usual.sd_over_subsets is not None and stated.sd_over_subsets is not None
    assert usual.sd_over_subsets.tolist() == stated.sd_over_subsets.tolist()


@pytest.mark.parametrize("method", ["majority", "weighted", "best-of-n"])
def test_the_papers_subsets_are_means_over_problems(method: Method) -> None:
    sure = Judged(np.array([0, 0, 0]), np.array([True] * 3), np.array([0.1, 0.2, 0.3]))
    problems = [sure, SAMPLES, SAMPLES]
    papers = paper_subsets(problems, [3], method, subsets=1500)
    assert papers.precision[0] == pytest.approx((1 + 2 * brute(method, 3)) / 3, abs=0.03)


def test_only_unparsed_answers_choose_nothing() -> None:
    mostly = Judged(np.array([-1, -1, -1, 0]), np.array([False, False, False, True]), None)
    assert majority(mostly, [2], draws=4000)[0] == pytest.approx(0.5, abs=0.03)


def test_a_reward_that_is_fooled_by_the_tail_falls_with_k() -> None:
    draw = np.random.default_rng(1)
    correct = draw.random(5000) < 0.4
    reward = draw.normal(0, 1, 5000) + correct
    reward[draw.choice(np.flatnonzero(~correct), 20, replace=False)] = 9.0
    curve = best_of_n(Judged(np.where(correct, 0, 1), correct, reward), [1, 10, 5000])
    assert curve[1] > curve[0] + 0.2
    assert curve[2] == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: majority(SAMPLES, [8]), "between 1 and the 7 samples"),
        (lambda: best_of_n(SAMPLES, [0]), "between 1 and the 7 samples"),
        (lambda: best_of_n(Judged(ANSWERS, CORRECT), [1]), "needs a reward"),
        (lambda: Judged(ANSWERS, CORRECT[:2]), "one answer class and one verdict"),
        (lambda: Judged(ANSWERS, CORRECT, REWARDS * np.nan), "one finite reward"),
    ],
)
def test_refuses_with_the_reason(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("how", [_votes_of_classes, _votes_in_prefixes])
@pytest.mark.parametrize("answers", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 3, -1], [0, 0, 1, 1, 2, 3]])
def test_answers_given_once_win_as_often_as_by_counting_every_subset(how, answers):
    answer = np.array(answers)
    samples = Judged(answer, answer % 2 == 0)
    for k in (2, 3, 4, 5):
        wins = []
        for chosen in combinations(range(len(answer)), k):
            given = [answers[i] for i in chosen if answers[i] >= 0]
            most = max(given.count(one) for one in given)
            best = {one for one in given if given.count(one) == most}
            wins.append(sum(one % 2 == 0 for one in best) / len(best))
        found = how(samples, [k], 20_000, np.random.default_rng(3))[0]
        assert found == pytest.approx(np.mean(wins), abs=0.015)
