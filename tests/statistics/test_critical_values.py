"""The bounds of several comparisons at once: those of published tables, and of SciPy."""

import numpy as np
import pytest
from scipy import stats

from lanewise.statistics.critical_values import all_pairs, df_of_sum, one_to_many


@pytest.mark.parametrize(
    ("candidates", "df", "range_"),
    [(2, 10, 3.151), (3, 10, 3.877), (6, 10, 4.912), (10, 10, 5.599), (3, 1, 26.98), (6, 1e9, 4.030)],
)
def test_all_pairs_as_in_tables_of_the_studentised_range(candidates: int, df: float, range_: float) -> None:
    # Harter, "Tables of range and studentized range", 1960, upper 5% points.
    assert all_pairs(candidates, df) * np.sqrt(2) == pytest.approx(range_, rel=1e-3)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_all_pairs_as_scipy_has_them(confidence: float) -> None:
    expected = stats.studentized_range.ppf(confidence, 5, 10) / np.sqrt(2)
    assert all_pairs(5, 10.0, confidence) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("comparisons", "df"), [(1, 10.0), (2, 10.0), (5, 10.0), (3, 100.0)])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_one_to_many_misses_as_seldom_as_it_says(comparisons: int, df: float, correlation: float) -> None:
    bound = one_to_many(comparisons, df, correlation)
    shape = correlation + (1 - correlation) * np.eye(comparisons)
    together = stats.multivariate_t(shape=shape, df=df)
    held = together.cdf([bound] * comparisons, lower_limit=[-bound] * comparisons, random_state=0)
    assert held == pytest.approx(0.95, abs=5e-4)


def test_df_between_those_worked_out_is_rounded_to_the_safe_side() -> None:
    exact = stats.studentized_range.ppf(0.95, 4, 7.3) / np.sqrt(2)
    assert exact <= all_pairs(4, 7.3) <= 1.02 * exact


def test_more_comparisons_need_more() -> None:
    assert one_to_many(1, 20.0) < one_to_many(3, 20.0) < one_to_many(3, 20.0, 0.0) < all_pairs(4, 20.0)


@pytest.mark.parametrize(("df", "least", "most"), [(2, 0.034, 0.0535), (4, 0.041, 0.0505), (10, 0.045, 0.0505)])
def test_a_sum_of_two_variances_misses_as_seldom_as_it_says(df: int, least: float, most: float) -> None:
    # By integration over the variance that is known badly, `share` of the whole; the other is known. After Welch and
    # Satterthwaite 7.8% would be missed where the df is 2.
    middles = (np.arange(400) + 0.5) / 400
    drawn = stats.chi2.ppf(middles, df) / df
    for share in (1.0, 0.96, 0.93, 0.9, 0.8, 0.6, 0.5, 0.3, 0.1, 0.0):
        first, second = share * drawn, 1 - share
        found = np.array([df_of_sum(one, df, second, 1e4) for one in first])
        missed = 2 * stats.norm.sf(stats.t.ppf(0.975, found) * np.sqrt(first + second)).mean()
        assert least <= missed <= most, share


def test_the_df_of_a_sum_lies_between_those_of_its_parts() -> None:
    assert df_of_sum(1.0, 2.0, 0.0, 50.0) == pytest.approx(2.0, abs=1e-3)
    assert df_of_sum(0.0, 2.0, 1.0, 50.0) == pytest.approx(50.0, rel=1e-3)
    assert 2.0 < df_of_sum(1.0, 2.0, 1.0, 50.0) < df_of_sum(1.0, 2.0, 3.0, 50.0) < 50.0
