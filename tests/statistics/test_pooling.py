"""What pairs of candidates have in common: worked by hand, and by simulation as sure as it says."""

import numpy as np
import pytest

from lanewise.statistics.pooling import how_alike


def rows_of(generator: np.random.Generator, spreads: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are scored twice, beside each other, and where each begins; candidates vary by `spreads`."""
    values = spreads[:, None] * generator.standard_normal((len(spreads), 2 * rows))
    return values, np.arange(0, 2 * rows, 2)


def test_one_pair_worked_by_hand() -> None:
    # Differences 1 and -1 in the first row, 3 and 1 in the second: squares 2 and 10 of 2 observations each, mean 3.
    inside, lasting = how_alike(np.array([[1.0, -1.0, 3.0, 1.0], np.zeros(4)]), np.array([0, 2]))
    assert inside.by_chance == 1
    # Away from what their rows should add, 6: 4 each; two rows give one degree of df.
    assert inside.error == pytest.approx((16 + 16) / 4**2 * 2)
    # The products of both observations of a row, twice each: -2 and 6, mean 1 of 4.
    assert lasting.error == pytest.approx(((-2 - 2) ** 2 + (6 - 2) ** 2) / 4**2 * 2)


def test_what_is_alike_is_taken_together_and_what_is_not_is_left() -> None:
    generator = np.random.default_rng(0)
    alike, _ = how_alike(*rows_of(generator, np.ones(8), 100))
    unlike, _ = how_alike(*rows_of(generator, np.array([1.0, 1, 1, 1, 5, 5, 5, 5]), 1000))
    assert alike.by_chance > 0.6
    assert unlike.by_chance < 0.05


def test_moving_keeps_the_mean_of_all_pairs() -> None:
    generator = np.random.default_rng(1)
    values, starts = rows_of(generator, np.ones(5), 50)
    covariance = np.cov(values)
    alike = how_alike(values, starts)[0]
    moved = alike.moved(covariance)

    def pairs(of: np.ndarray) -> np.ndarray:
        away = np.diag(of)[:, None] + np.diag(of)[None, :] - 2 * of
        return away[np.triu_indices(5, 1)]

    assert pairs(moved).mean() == pytest.approx(pairs(covariance).mean())
    assert np.ptp(pairs(moved)) <= (1 - alike.by_chance) * np.ptp(pairs(covariance)) + 1e-12


def test_the_error_of_a_variance_is_that_of_its_measurements() -> None:
    generator, found, said = np.random.default_rng(2), [], []
    for _ in range(300):
        values, starts = rows_of(generator, np.ones(4), 40)
        pair = values[0] - values[1]
        found.append((pair**2).mean())
        said.append(float(how_alike(values, starts)[0].error))
    assert np.mean(said) == pytest.approx(np.var(found), rel=0.25)


def test_where_no_row_is_scored_twice_nothing_is_known_to_stay() -> None:
    values = np.random.default_rng(3).standard_normal((3, 30))
    lasting = how_alike(values, np.arange(30))[1]
    assert (lasting.error, lasting.by_chance) == (0.0, 1.0)
