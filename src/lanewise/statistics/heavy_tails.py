"""Scores whose mean depends on few rows: found, measured, and given an interval that allows for it. Pure numbers."""

from dataclasses import dataclass

import numpy as np
import scipy

from lanewise.statistics.intervals import CONFIDENCE, Interval, crossed_variance, score_interval

LARGEST = 0.01
"""The share of the rows whose part of the whole deviation is looked at."""
HEAVY = 0.15
"""Part of it from which on few rows are said to decide. Normal scores have 3.6% there, squares of normal errors 9%."""
HEAVY_OF_FEW = 3.0
"""The same for few rows, where one alone counts much: times log(n) / n, half more than squared normal errors have."""
BEYOND_CHANCE = 3.0
"""Standard errors of the skewness from which on it is not taken for chance."""
RESAMPLES, CHUNK = 1000, 4_000_000


def share_of_largest(values: np.ndarray) -> float:
    """Of all rows' distances from the median score, the part that is in the 1% of rows that lie furthest out.

    Args:
        values: scores of the same rows in each run, float [runs, rows].

    >>> round(share_of_largest(np.r_[np.zeros(50), np.ones(49), 51.0][None]), 2)
    0.51
    """
    of_rows = values.mean(axis=0)
    away = np.sort(np.abs(of_rows - np.median(of_rows)))
    whole = away.sum()
    return float(away[-max(1, round(LARGEST * len(away))) :].sum() / whole) if whole > 0 else 0.0


def heavy_tailed(values: np.ndarray) -> bool:
    """Whether few rows decide the mean of scores [runs, rows]."""
    rows = values.shape[1]
    return bool(rows > 1 and share_of_largest(values) > max(HEAVY, HEAVY_OF_FEW * float(np.log(rows)) / rows))


@dataclass(frozen=True)
class HeavyTails:
    """How much few rows decide the mean of a score.

    Attributes:
        rows: the few that lie furthest out. of: all rows. share: of all rows' distances from the median, the part that
            is in those few, 0 to 1.
    """

    rows: int
    of: int
    share: float


def tails_of(values: np.ndarray) -> HeavyTails | None:
    """How much few rows decide the mean of scores [runs, rows], or None where they do not.

    >>> tails_of(np.ones((3, 200))) is None
    True
    """
    if not heavy_tailed(values):
        return None
    rows = values.shape[1]
    return HeavyTails(max(1, round(LARGEST * rows)), rows, share_of_largest(values))


def skewed(values: np.ndarray) -> bool:
    """Whether the rows of scores [runs, rows] lie further out to one side than chance explains.

    >>> skewed(np.arange(100.0)[None]), skewed(np.exp(np.arange(100.0) / 10)[None])
    (False, True)
    """
    of_rows = values.mean(axis=0)
    if len(of_rows) < 3 or not np.ptp(of_rows) > 0:
        return False
    return abs(float(scipy.stats.skew(of_rows))) > BEYOND_CHANCE * float(np.sqrt(6 / len(of_rows)))


def skew_aware_interval(values: np.ndarray, fraction: bool) -> Interval:
    """`score_interval`, but of scores without bounds that are skewed `heavy_interval`; arguments as there."""
    plain = fraction or values.shape[1] == 1 or not skewed(values)
    return score_interval(values, fraction) if plain else heavy_interval(values)


def heavy_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Interval for the expected score over new runs and new rows, where rows lie far out to one side.

    Studentised by bootstrap over rows: a sample that holds few of the rare rows has too good a mean and too small an
    error together, which the quantiles of t* show and Student's do not. What runs add to the error is allowed for by
    Student's t, as in `crossed_interval`. Where errors are squares of Student's t or log-normal the plain interval
    holds the truth in 66% to 95% of studies and this one in 80% to 96%; neither allows for rows too rare to be in the
    sample (`python -m bench coverage`).

    Args:
        values: scores of the same rows in each run, float [runs, rows], at least 2 of both.

    Source: Hall, "Theoretical comparison of bootstrap confidence intervals", 1988.
    """
    runs, rows = values.shape
    mean, variance, df = crossed_variance(values)
    of_rows = values.mean(axis=0)
    by_rows = of_rows.var(ddof=1) / rows
    if not by_rows > 0:
        half = float(scipy.stats.t.ppf((1 + confidence) / 2, df) * np.sqrt(variance))
        return Interval(mean, mean - half, mean + half, runs)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(-(-RESAMPLES * rows // CHUNK)):
        drawn = of_rows[generator.integers(rows, size=(min(RESAMPLES, max(1, CHUNK // rows)), rows))]
        spread = np.sqrt(np.maximum(drawn.var(axis=1, ddof=1) / rows, 1e-6 * by_rows))
        found.append((drawn.mean(axis=1) - mean) / spread)
    low, high = np.quantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    beside = max(0.0, variance - by_rows) * float(scipy.stats.t.ppf((1 + confidence) / 2, df)) ** 2
    down, up = (float(np.sqrt(end**2 * by_rows + beside)) for end in (max(high, 0.0), min(low, 0.0)))
    return Interval(mean, mean - down, mean + up, runs)
