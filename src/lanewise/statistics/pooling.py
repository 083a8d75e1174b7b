"""How far the differences of candidates may be taken to vary alike. Pure numbers, no torch.

From few rows the variance of one pair's difference is known badly, and worst where scores are 0 or 1: the pair that
happens to differ in more rows has the greater lead and the greater variance. What pairs have in common is known much
better. So each variance is moved towards the mean of all pairs, by as much of their scatter as chance alone explains:
all the way if chance explains all of their scatter, not at all if it explains none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MOST_PAIRS = 60
"""Of many candidates so many pairs are enough to know how pairs scatter."""


@dataclass(frozen=True, eq=False)
class Alike:
    """How a variance of differences scatters over the pairs; each has the axes in front that the scores have.

    Attributes:
        by_chance: the share of the pairs' scatter that is the error of measuring, from 0 to 1; 1 where there is one
            pair. error: the squared error of one pair's variance, the mean over pairs.
    """

    by_chance: np.ndarray
    error: np.ndarray

    def moved(self, covariance: np.ndarray) -> np.ndarray:
        """`covariance` [candidates, candidates], moved towards one variance and one correlation for all.

        The variances of all differences keep their mean.

        Source: the shrinkage of Ledoit and Wolf, "Honey, I shrunk the sample covariance matrix", 2004, with its weight
        from the pairs' variances, as Schaefer and Strimmer estimate it, "A shrinkage approach to large-scale
        covariance matrix estimation", 2005.
        """
        count = covariance.shape[-1]
        own = np.trace(covariance, axis1=-2, axis2=-1) / count
        common = (covariance.sum(axis=(-2, -1)) - own * count) / max(1, count * (count - 1))
        alike = (own - common)[..., None, None] * np.eye(count) + common[..., None, None]
        share = self.by_chance[..., None, None]
        return np.asarray((1 - share) * covariance + share * alike)


def how_alike(centred: np.ndarray, starts: np.ndarray) -> tuple[Alike, Alike]:
    """(of the variance of a row's difference inside a repeat, of the part that stays from repeat to repeat).

    Rows are independent of each other, the observations of one row in several repeats are not: so rows, not
    observations, tell how sure a variance is, by the scatter of what each adds to it.

    Args:
        centred: scores less the mean of their repeat, [..., candidates, observations], those of one row beside each
            other. starts: where each row begins, int [rows].
    """
    times = np.diff(np.append(starts, centred.shape[-1])).astype(np.float64)
    inside, lasting = _Scatter(times), _Scatter(times * (times - 1))
    for difference in _differences(centred):
        squares = np.add.reduceat(difference**2, starts, axis=-1)
        inside.add(squares)
        lasting.add(np.add.reduceat(difference, starts, axis=-1) ** 2 - squares)
    return inside.found(), lasting.found()


def _differences(scores: np.ndarray) -> Iterator[np.ndarray]:
    """Of every two candidates; of many, of as many that each is as often in them."""
    count = scores.shape[-2]
    apart = 1
    taken = 0
    while apart <= count // 2 and taken < MOST_PAIRS:
        # In a round of an even number those opposite each other would come twice.
        for one in range(count // 2 if 2 * apart == count else count):
            yield scores[..., one, :] - scores[..., (one + apart) % count, :]
            taken += 1
        apart += 1


class _Scatter:
    """Gathers, pair by pair, a mean over rows that count by `weights`, and how sure it is."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights, self.whole = weights, float(weights.sum())
        self.means: list[np.ndarray] = []
        self.errors: list[np.ndarray] = []

    def add(self, of_rows: np.ndarray) -> None:
        mean, error = self._mean(of_rows)
        self.means.append(mean)
        self.errors.append(error)

    def found(self) -> Alike:
        error = np.mean(self.errors, axis=0)
        if len(self.means) == 1:
            return Alike(np.ones_like(error), error)
        scatter = np.var(self.means, axis=0, ddof=1)
        share = np.divide(error, scatter, out=np.ones_like(scatter), where=scatter > 0)
        return Alike(np.minimum(share, 1.0), error)

    def _mean(self, of_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the mean, its squared error)."""
        if not self.whole:
            none = np.zeros(of_rows.shape[:-1])
            return none, none
        mean = of_rows.sum(axis=-1) / self.whole
        rows = np.count_nonzero(self.weights)
        away = of_rows - self.weights * mean[..., None]
        return mean, np.asarray((away**2).sum(axis=-1) / self.whole**2 * rows / max(1, rows - 1))
