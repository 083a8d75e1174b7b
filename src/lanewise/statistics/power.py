"""How many more repeats, or rows, would separate two candidates. Pure numbers, no torch.

The squared error of a difference has three parts:

    training + sampled  over the repeats: of training, and of the rows that a repeat draws anew;
    lasting             of the rows that repeats share.

With R repeats and rows as now, R' repeats and k times the rows make of it

    (training + sampled / k) R / R' + lasting / k:

rows do nothing about training noise, and repeats nothing about the rows they share.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from lanewise.statistics import critical_values
from lanewise.statistics.paired_means import PairedMeans
from lanewise.statistics.row_scores import of_difference

MOST_REPEATS, MOST_TIMES_ROWS = 500, 100.0
POWER = 0.8
"""The chance that following the advice separates them, if the errors are as estimated."""
ON_AVERAGE, ON_AVERAGE_OF_ROWS = 0.65, 0.8
"""The same on average over the sizes that the errors may have, after so few repeats; higher where rows are advised:
if training noise came out small by chance, too few rows would seem enough."""
NODES = (np.arange(40) + 0.5) / 40


@dataclass(frozen=True)
class Needed:
    """What would separate two candidates, if the difference seen is the true one.

    Attributes:
        repeats: how many more would. rows: how many more rows would. Where both are given it takes both; None where
            there are as many as need be, or neither in reasonable numbers is known to be enough.
    """

    repeats: int | None = None
    rows: int | None = None


def needed_to_separate(means: PairedMeans, winner: int, other: int) -> Needed:
    """How many more repeats, or rows, or both, would separate `winner` from `other`, more likely than not.

    The advice is the cheapest of: more repeats, more rows, or both. It is enough if the power is 80% with the errors as
    estimated, and 65% (80% where rows are advised) on average over the sizes that the errors may have, by the bound of
    `with_best` for so many repeats and rows. How often that separates them: `python -m bench calibration`.
    """
    seen = abs(float(means.mean[winner] - means.mean[other]))
    parts = _Parts.of(means, winner, other)
    if seen == 0 or parts.whole == 0:
        return Needed()

    def enough(repeats: int, times: float) -> bool:
        return parts.separates(seen, repeats, times)

    if enough(MOST_REPEATS, 1.0):
        return Needed(repeats=max(1, _least_repeats(parts, seen) - means.repeats))
    if means.distinct_rows is None:
        return Needed()
    if enough(means.repeats, MOST_TIMES_ROWS):
        return Needed(rows=_more_rows(means.distinct_rows, _least_times(parts, seen, means.repeats)))
    # Twice as many repeats, four times, ...: beside each the rows that are enough with it.
    doubled = [int(n) for n in _doubled(means.repeats) if enough(int(n), MOST_TIMES_ROWS)]
    both = [(repeats, _least_times(parts, seen, repeats)) for repeats in doubled]
    if not both:
        return Needed()
    repeats, times = min(both, key=lambda pair: pair[0] * pair[1])
    return Needed(repeats - means.repeats, _more_rows(means.distinct_rows, times))


@dataclass(frozen=True)
class _Parts:
    """The squared error of one difference by where it comes from; see the top of this file."""

    means: PairedMeans
    pair: tuple[int, int]
    run: float
    sampled: float
    lasting: float
    run_df: float

    @classmethod
    def of(cls, means: PairedMeans, one: int, other: int) -> "_Parts":
        run, lasting = means.parts(one, other)
        noise, sampled = means.row_noise, 0.0
        if noise is not None:
            inside, stays = (of_difference(part, one, other) for part in (noise.within, noise.between))
            sampled = max(0.0, inside / noise.size - noise.shared * stays) / means.repeats
        elif means.sampled is not None:
            sampled = of_difference(means.sampled, one, other)
        return cls(means, (one, other), run, sampled, lasting, float(min(means.df[one], means.df[other])))

    @property
    def whole(self) -> float:
        return self.run + self.lasting

    def separates(self, seen: float, repeats: int, times: float) -> bool:
        """Whether so many repeats with `times` the rows are enough."""
        variance = self._variance(np.array([self.run]), repeats, times)
        least = ON_AVERAGE if times == 1.0 else ON_AVERAGE_OF_ROWS
        bound = self._bound(repeats, times, float(variance[0]))
        if not _power(seen, variance, bound)[0] >= POWER:
            return False
        return bool(_power(seen, self._variance(self.run_may_be, repeats, times), bound).mean() >= least)

    @cached_property
    def run_may_be(self) -> np.ndarray:
        """What `run` may be by its df, as likely each; no less than the rows that are drawn make it."""
        if self.run == 0:
            return np.array([self.sampled])
        seen = self.run * self.run_df
        most = scipy.stats.chi2.cdf(seen / self.sampled, self.run_df) if self.sampled else 1.0
        return np.asarray(seen / scipy.stats.chi2.ppf(np.maximum(NODES * most, np.finfo(float).tiny), self.run_df))

    def _variance(self, run: np.ndarray, repeats: int, times: float) -> np.ndarray:
        fewer = self.means.repeats / repeats
        # Rows tell better than a few repeats what rows do: by chance the repeats can have come out more alike.
        training = np.maximum(0.0, run - self.sampled)
        run = training + self.sampled / times
        if self.means.overlap is not None:
            # What repeats share is taken for a share of all that one of them varies by, of training, too.
            return np.asarray(run * fewer + run * self.means.overlap * self.means.repeats)
        return np.asarray(run * fewer + self.lasting / times)

    def _bound(self, repeats: int, times: float, variance: float) -> float:
        """Standard errors that the difference must reach, by the df that so many repeats and rows have."""
        means = self.means
        lone = self.run_df * (repeats - 1) / (means.repeats - 1)
        lasting = self.lasting / times
        if means.overlap is not None:
            lasting = variance * means.overlap * repeats / (1 + means.overlap * repeats)
        if means.row_noise is not None:
            error = means.row_noise.grown(repeats / means.repeats, times).uncertainty(*self.pair)
            df = variance**2 / error if error > 0 else critical_values.MOST_DF
        else:
            df = lone if means.row_df is None else means.row_df * times
        return means.bound_of_pairs(critical_values.df_of_sum(max(0.0, variance - lasting), lone, lasting, df))


def _power(seen: float, variance: np.ndarray, bound: float) -> np.ndarray:
    return np.asarray(scipy.special.ndtr(seen / np.sqrt(variance) - bound))


def _least_repeats(parts: _Parts, seen: float) -> int:
    low, high = parts.means.repeats - 1, MOST_REPEATS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if parts.separates(seen, middle, 1.0) else (middle, high)
    return high


def _least_times(parts: _Parts, seen: float, repeats: int) -> float:
    low, high = 1.0, MOST_TIMES_ROWS
    while high / low > 1.005:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if parts.separates(seen, repeats, middle) else (middle, high)
    return high


def _more_rows(distinct: int, times: float) -> int:
    return max(1, int(np.ceil((times - 1) * distinct)))


def _doubled(repeats: int) -> Iterator[int]:
    """2, 4, 8, ... times as many, to the most that are advised."""
    while repeats < MOST_REPEATS:
        repeats = min(2 * repeats, MOST_REPEATS)
        yield repeats
