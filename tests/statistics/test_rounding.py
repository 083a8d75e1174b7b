"""What is printed agrees with what was found, whatever the numbers."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanewise.report.words import score_words
from lanewise.statistics.intervals import Interval
from lanewise.statistics.rounding import beside, fixed, mean_of
from lanewise.statistics.score_kind import ScoreKind, plain_numbers
from lanewise.verdict.phrases import lead_words

KINDS = [ScoreKind(), ScoreKind(fraction=False), ScoreKind(greater_is_better=False, fraction=False)]
NUMBERS = st.one_of(
    st.floats(-1, 1), st.floats(-1e-3, 1e-3), st.floats(-1e12, 1e12), st.integers(-400, 400).map(lambda n: n / 80_000)
)
INTERVALS = st.lists(NUMBERS, min_size=3, max_size=3).map(sorted)


def number(word: str) -> float:
    return float(word.rstrip("%"))


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


@given(INTERVALS, st.sampled_from(KINDS))
def test_a_printed_interval_holds_its_estimate_and_shows_the_signs(ends: list[float], kind: ScoreKind) -> None:
    low, mean, high = ends
    for words in (lead_words(Interval(mean, low, high, 3), kind), kind.interval_words([mean, low, high])):
        told = [number(word) for word in words]
        assert told[1] <= told[0] <= told[2]
        assert [sign(value) for value in told] == [sign(value) for value in (mean, low, high)]


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.integers(0, 5))
def test_rounding_keeps_the_order_and_equal_numbers_equal(values: list[float], decimals: int) -> None:
    for words in (
        beside(sorted(values), decimals),
        plain_numbers(sorted(values)),
        plain_numbers(sorted(values), 3, True),
    ):
        assert all(one <= other for one, other in pairwise(map(number, words)))
        assert "-0" not in {word for word in words if not number(word)}
    for value in values:
        nudged = value * (1 + 2**-52)
        assert beside([value, nudged], decimals)[0] == beside([value, nudged], decimals)[1]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.randoms(use_true_random=False), st.sampled_from(KINDS))
def test_the_same_scores_in_another_order_have_the_same_mean_in_print(scores, random, kind: ScoreKind) -> None:
    mixed = list(scores)
    random.shuffle(mixed)
    assert mean_of(scores) == mean_of(mixed)
    assert score_words(np.array(scores), kind) == score_words(np.array(mixed), kind)


@pytest.mark.parametrize("value", [0.86875, 0.8687499999999999, 0.8687500000000001])
def test_a_half_is_rounded_once(value: float) -> None:
    assert ScoreKind().words(value, 2) == "86.88%"
    assert score_words(np.array([value, value]), ScoreKind()) == "86.88%"


def test_a_bound_just_above_zero_is_not_printed_as_zero() -> None:
    assert lead_words(Interval(0.0052, 0.00003, 0.0104, 8), ScoreKind()) == ("+0.520", "+0.003", "+1.040")
    assert lead_words(Interval(0.5, 1e-9, 1.0, 8), ScoreKind(fraction=False)) == ("+0.50", "+1e-09", "+1.00")
    assert lead_words(Interval(0.0, 0.0, 0.0, 8), ScoreKind()) == ("0.00", "0.00", "0.00")


def test_what_is_no_number_is_said_to_be_none() -> None:
    assert [fixed(value, 2) for value in (math.nan, math.inf, -0.0)] == ["nan", "inf", "0.00"]
