"""The bounds of several comparisons at once: those of published tables, and of SciPy."""

import numpy as np
import pytest
from scipy import stats

from lanewise.study.critical import all_pairs, one_to_many


@pytest.mark.parametrize(
    ("candidates", "freedom", "range_"),
    [(2, 10, 3.151), (3, 10, 3.877), (6, 10, 4.912), (10, 10, 5.599), (3, 1, 26.98), (6, 1e9, 4.030)],
)
def test_all_pairs_as_in_tables_of_the_studentised_range(candidates: int, freedom: float, range_: float) -> None:
    # Harter, "Tables of range and studentized range", 1960, upper 5% points.
    assert all_pairs(candidates, freedom) * np.sqrt(2) == pytest.approx(range_, rel=1e-3)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_all_pairs_as_scipy_has_them(confidence: float) -> None:
    expected = stats.studentized_range.ppf(confidence, 5, 10) / np.sqrt(2)
    assert all_pairs(5, 10.0, confidence) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("comparisons", "freedom"), [(1, 10.0), (2, 10.0), (5, 10.0), (3, 100.0)])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_one_to_many_misses_as_seldom_as_it_says(comparisons: int, freedom: float, correlation: float) -> None:
    bound = one_to_many(comparisons, freedom, correlation)
    shape = correlation + (1 - correlation) * np.eye(comparisons)
    together = stats.multivariate_t(shape=shape, df=freedom)
    held = together.cdf([bound] * comparisons, lower_limit=[-bound] * comparisons, random_state=0)
    assert held == pytest.approx(0.95, abs=5e-4)


def test_freedom_between_those_worked_out_is_rounded_to_the_safe_side() -> None:
    exact = stats.studentized_range.ppf(0.95, 4, 7.3) / np.sqrt(2)
    assert exact <= all_pairs(4, 7.3) <= 1.02 * exact


def test_more_comparisons_need_more() -> None:
    assert one_to_many(1, 20.0) < one_to_many(3, 20.0) < one_to_many(3, 20.0, 0.0) < all_pairs(4, 20.0)
