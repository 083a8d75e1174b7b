"""Who stays after a rung: the budget is honoured, the best stay, and what was given is left as it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanewise.racing import PRUNERS, halving, kept_share, none, ranked

rungs = st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True).map(lambda at: np.array(sorted(at)) / 100)


def race(pruner: str, candidates: int, progress: np.ndarray, compute: float, seed: int = 0) -> tuple[float, list[int]]:
    """(cost as a share of training all to the end, how many were live after each rung) of a race by `pruner`."""
    generator = np.random.default_rng(seed)
    live, cost, done, left = np.arange(candidates), 0.0, 0.0, []
    scores = np.full((0, candidates, 3), np.nan)
    for at in progress:
        cost += len(live) * (at - done)
        row = np.full((1, candidates, 3), np.nan)
        row[0, live] = generator.random((len(live), 3))
        scores, done = np.concatenate([scores, row]), at
        live = PRUNERS[pruner](scores, progress, live, compute)
        left.append(len(live))
    return (cost + len(live) * (1 - done)) / candidates, left


@given(rungs, st.floats(0.05, 1.0))
def test_halving_spends_what_it_may_whatever_the_rungs(progress: np.ndarray, compute: float) -> None:
    cost, _ = race("halving", 2000, progress, compute)
    # Everybody runs up to the first rung, and one candidate to the end.
    least = progress[0] + (1 - progress[0]) / 2000
    assert cost == pytest.approx(max(compute, least), abs=len(progress) / 2000 + 1e-9)


@given(rungs, st.floats(0.05, 1.0), st.integers(2, 40))
def test_halving_rounds_up_by_one_candidate_a_rung_at_most(progress: np.ndarray, compute: float, size: int) -> None:
    cost, left = race("halving", size, progress, compute)
    assert cost <= max(compute, progress[0]) + len(progress) / size
    assert left == sorted(left, reverse=True)
    assert left[-1] >= 1


def test_halving_worked_by_hand() -> None:
    assert race("halving", 16, np.array([0.25, 0.5]), 0.5) == (0.5, [8, 4])
    assert race("halving", 16, np.array([0.25, 0.5]), 1.0) == (1.0, [16, 16])
    assert race("halving", 16, np.array([0.25, 0.5]), 0.1)[1] == [1, 1]
    assert kept_share(np.array([0.5]), 0.75) == pytest.approx(0.5)
    assert kept_share(np.array([0.25, 0.5, 0.75]), 1.0) == pytest.approx(1.0)


@given(rungs, st.floats(0.05, 1.0))
def test_none_keeps_all_whatever_it_costs(progress: np.ndarray, compute: float) -> None:
    cost, left = race("none", 7, progress, compute)
    assert cost == pytest.approx(1.0)
    assert set(left) == {7}


def two_rungs(last: list[list[float]]) -> np.ndarray:
    """Scores of two rungs of which the first says the opposite."""
    return np.stack([-np.array(last), np.array(last)])


def test_the_last_rung_counts_by_its_mean_over_repeats() -> None:
    scores = two_rungs([[0.0, 4.0], [1.0, 1.0], [3.0, 0.5], [9.0, 9.0]])
    assert ranked(scores, np.arange(4)).tolist() == [1, 2, 0, 3]
    assert halving(scores, np.array([0.25, 0.5]), np.arange(4), 0.5).tolist() == [1, 2]


def test_a_candidate_that_is_not_scored_in_every_repeat_comes_last() -> None:
    scores = two_rungs([[0.0, np.nan], [5.0, 5.0], [np.nan, np.nan], [1.0, 1.0]])
    assert ranked(scores, np.arange(4)).tolist() == [3, 1, 0, 2]


def test_somebody_stays_though_nobody_is_scored() -> None:
    scores = np.full((1, 4, 2), np.nan)
    assert halving(scores, np.array([0.25, 0.5]), np.arange(4), 0.5).tolist() == [0, 1]
    assert halving(scores, np.array([0.25, 0.5]), np.array([3]), 0.01).tolist() == [3]


def test_ties_go_to_those_drawn_first() -> None:
    scores = np.zeros((1, 8, 2))
    assert halving(scores, np.array([0.25, 0.5]), np.arange(8), 0.5).tolist() == [0, 1, 2, 3]
    assert halving(scores, np.array([0.25, 0.5]), np.array([1, 4, 6, 7]), 0.5).tolist() == [1, 4]


def test_only_the_live_are_asked() -> None:
    scores = np.arange(8.0).reshape(1, 8, 1)
    assert halving(scores, np.array([0.5]), np.array([2, 5, 7]), 0.6).tolist() == [2]
    assert none(scores, np.array([0.5]), np.array([7, 2, 5]), 0.6).tolist() == [2, 5, 7]


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_rule_leaves_what_it_is_given_as_it_was(pruner: str) -> None:
    scores, live = np.random.default_rng(0).random((2, 6, 3)), np.array([5, 1, 3, 0])
    scores[1, 3, 1] = np.nan
    progress = np.array([0.25, 0.5])
    given_before = [array.copy() for array in (scores, progress, live)]
    for array in (scores, progress, live):
        array.flags.writeable = False
    kept = [PRUNERS[pruner](scores, progress, live, 0.5).tolist() for _ in range(2)]
    assert kept[0] == kept[1]
    assert all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip((scores, progress, live), given_before, strict=True)
    )
