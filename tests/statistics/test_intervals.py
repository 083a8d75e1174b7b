"""Intervals: worked by hand, and by simulation as wide as they say."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lanewise.statistics.intervals import Interval, crossed_interval, fraction_interval, resampled_interval

SIMULATIONS = 2000


def covered(
    interval: Callable[[np.ndarray], Interval], draw: Callable[[np.random.Generator], np.ndarray], truth: float
) -> float:
    """The share of simulations whose interval holds `truth`."""
    generator = np.random.default_rng(0)
    found = (interval(draw(generator)) for _ in range(SIMULATIONS))
    return sum(each.low <= truth <= each.high for each in found) / SIMULATIONS


def crossed(runs: int, rows: int, run: float, row: float, rest: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws scores [runs, rows] of mean 0, with these standard deviations between runs, rows, and within."""

    def draw(generator: np.random.Generator) -> np.ndarray:
        between_runs = run * generator.standard_normal((runs, 1))
        between_rows = row * generator.standard_normal((1, rows))
        return between_runs + between_rows + rest * generator.standard_normal((runs, rows))

    return draw


@pytest.mark.parametrize(
    ("run", "row", "rest"),
    [
        (1.0, 0.0, 0.1),
        (0.0, 1.0, 0.1),
        (0.2, 1.0, 0.1),
        (0.1, 1.0, 1.0),
        (0.3, 0.3, 1.0),
        (0.05, 1.0, 0.3),
    ],
    ids=["runs", "rows", "both", "both and more", "mostly runs", "mostly rows"],
)
def test_the_interval_covers_new_runs_and_new_rows(run: float, row: float, rest: float) -> None:
    assert 0.93 <= covered(crossed_interval, crossed(8, 200, run, row, rest), 0.0) <= 0.97


def test_the_interval_covers_an_accuracy() -> None:
    spread = crossed(8, 200, 0.2, 1.5, 0.7)
    truth = stats.norm.cdf(1.5 / math.sqrt(0.2**2 + 1.5**2 + 0.7**2))
    assert 0.93 <= covered(crossed_interval, lambda generator: (spread(generator) < 1.5).astype(float), truth) <= 0.97


@pytest.mark.parametrize(("runs", "accuracy"), [(3, 0.97), (8, 0.97), (8, 0.995)])
def test_the_interval_of_a_fraction_near_one_covers_it(runs: int, accuracy: float) -> None:
    spread, bound = crossed(runs, 360, 0.05, 1.0, 0.3), stats.norm.ppf(accuracy) * math.sqrt(0.05**2 + 1 + 0.3**2)
    found = covered(fraction_interval, lambda generator: (spread(generator) < bound).astype(float), accuracy)
    # From one or two wrong rows no interval has the same share everywhere.
    assert 0.93 <= found <= 0.98


def test_the_interval_is_rather_too_wide_where_neither_runs_nor_rows_differ() -> None:
    assert 0.95 <= covered(crossed_interval, crossed(8, 200, 0.0, 0.0, 1.0), 0.0) <= 0.99


def test_an_interval_over_runs_alone_would_not_cover_new_rows() -> None:
    def over_runs(values: np.ndarray) -> Interval:
        return resampled_interval(values.mean(axis=1), overlap=0.0)

    assert covered(over_runs, crossed(8, 200, 0.05, 1.0, 0.3), 0.0) < 0.7


def test_a_crossed_interval_worked_by_hand() -> None:
    # Mean 1/4. Runs, rows and rest each have the mean square 1/4, so the variance is 1/4 / 4, with 1 degree of df.
    interval = crossed_interval(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert interval.mean == 0.25
    assert interval.high - interval.mean == pytest.approx(12.7062 * 0.25, rel=1e-5)
    assert interval.mean - interval.low == pytest.approx(12.7062 * 0.25, rel=1e-5)
    assert interval.repeats == 2


def test_a_crossed_interval_with_the_df_of_the_rows() -> None:
    # No difference between runs: MS_runs = MS_rest = 0, MS_rows = 2 * (2 * 1/4) / 3, df 3.
    values = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    half = 3.18245 * math.sqrt(2 / 3 / 8)
    interval = crossed_interval(values)
    assert (interval.low, interval.high) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-5)


def test_scores_that_never_differ_have_an_interval_without_width() -> None:
    assert crossed_interval(np.full((3, 5), 0.5)) == Interval(0.5, 0.5, 0.5, 3)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_run_or_one_row_has_no_interval(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 runs and 2 rows"):
        crossed_interval(np.zeros(shape))


def test_a_resampled_interval_worked_by_hand() -> None:
    # Mean 2, variance 1; t for 2 degrees of freedom is 4.30265.
    interval = resampled_interval(np.array([1.0, 2.0, 3.0]), overlap=0.25)
    half = 4.30265 * math.sqrt(1 / 3 + 0.25)
    assert interval.mean == 2
    assert (interval.low, interval.high) == pytest.approx((2 - half, 2 + half), rel=1e-5)
    assert interval.repeats == 3


@pytest.mark.parametrize("overlap", [0.0, 1 / 3])
def test_a_resampled_interval_covers_runs_that_share_rows(overlap: float) -> None:
    def draw(generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal(8) + math.sqrt(overlap) * generator.standard_normal()

    assert 0.93 <= covered(lambda values: resampled_interval(values, overlap), draw, 0.0) <= 0.97


def test_one_difference_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        resampled_interval(np.array([1.0]), 0.3)


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_an_interval_knows_whether_it_holds_zero(low: float, high: float, excludes: bool) -> None:
    assert Interval((low + high) / 2, low, high, 3).excludes_zero is excludes


def test_plain_data() -> None:
    assert Interval(0.5, 0.4, 0.6, 8).to_dict() == {"mean": 0.5, "low": 0.4, "high": 0.6, "repeats": 8}
