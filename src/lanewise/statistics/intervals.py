"""Intervals and paired comparisons. Pure numbers, no torch."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import scipy

from lanewise.statistics.critical_values import MOST_DF, df_of_sum

CONFIDENCE = 0.95
TRIMMED = 0.2
"""Share of the repeats at either end that does not count where a score has no bounds."""


@dataclass(frozen=True)
class Interval:
    """A mean with a confidence interval; `repeats` is how many independent runs stand behind it."""

    mean: float
    low: float
    high: float
    repeats: int

    def to_dict(self) -> dict[str, float]:
        """Plain data for JSON."""
        return asdict(self)

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0

    @property
    def negated(self) -> "Interval":
        """The interval of the same difference the other way round.

        >>> Interval(0.25, -0.5, 1.0, 2).negated
        Interval(mean=-0.25, low=-1.0, high=0.5, repeats=2)
        """
        # Taken from zero, so that zero does not become -0.0.
        return replace(self, mean=0.0 - self.mean, low=0.0 - self.high, high=0.0 - self.low)

    def within(self, least: float, most: float) -> "Interval":
        """The same interval without what lies outside `least` to `most`, where its mean can never be.

        >>> Interval(2.4, -0.1, 5.2, 2).within(0.0, float("inf"))
        Interval(mean=2.4, low=0.0, high=5.2, repeats=2)
        """
        return replace(self, low=max(self.low, least), high=min(self.high, most))


def crossed_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Interval for the expected value over new runs AND new rows, from every row scored in every run.

    With runs r and rows m as crossed random factors, Y = mu + a_r + b_m + e_rm, the variance of the grand mean is
    estimated by (MS_runs + max(0, MS_rows - MS_rest)) / (R M), with the degrees of freedom of
    `critical.df_of_sum`. An interval over runs alone would cover the expected score on these very rows only.

    Args:
        values: scores of the same rows in each run, float [R, M]: 0 or 1 for accuracy, or paired differences.

    Source: Searle, Casella, McCulloch, "Variance Components", 1992, section 4.4 (two-way crossed, no replication).

    >>> interval = crossed_interval(np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0]]))
    >>> interval.mean, interval.low < 0.75 < interval.high
    (0.75, True)
    """
    mean, variance, df = crossed_variance(values)
    if variance == 0:
        return Interval(mean, mean, mean, len(values))
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, df) * np.sqrt(variance))
    return Interval(mean, mean - half, mean + half, len(values))


def crossed_variance(values: np.ndarray) -> tuple[float, float, float]:
    """(grand mean, its variance over new runs and new rows, degrees of freedom) of scores [R, M]."""
    runs, rows = values.shape
    if runs < 2 or rows < 2:
        raise ValueError(f"values of shape {values.shape}: an interval needs at least 2 runs and 2 rows")
    mean = values.mean()
    by_run, by_row = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - by_run[:, None] - by_row[None, :]
    ms_runs = rows * np.sum(by_run**2) / (runs - 1)
    ms_rows = runs * np.sum(by_row**2) / (rows - 1)
    ms_rest = np.sum(rest**2) / ((runs - 1) * (rows - 1))
    # What rows add to all runs alike can come out below zero by chance; it is never less than none.
    of_rows = max(0.0, ms_rows - ms_rest)
    total = ms_runs + of_rows
    if total == 0:
        return float(mean), 0.0, float(runs - 1)
    # What the rows add is known from many of them; only its error beside the whole counts.
    error = ms_rows**2 / (rows - 1) + ms_rest**2 / ((runs - 1) * (rows - 1))
    known = total**2 / error if error > 0 else MOST_DF
    df = df_of_sum(ms_runs, runs - 1, of_rows, known)
    return float(mean), float(total / (runs * rows)), df


def fraction_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Interval for an expected score in [0, 1], such as accuracy, over new runs and new rows.

    Wilson's interval with as many rows as would give an independent sample the variance that `crossed_interval` finds:
    near 1 a fraction's spread is seen too seldom for the plain interval, which then covers far less than it says.
    Where no spread is seen at all, the M rows count, every run as the same. From few wrong rows the variance is not
    known well, so that case counts like one wrong row beside those that are seen.

    Args:
        values: scores of the same rows in each run, float [R, M], R and M at least 2.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    >>> interval = fraction_interval(np.ones((3, 360)))
    >>> interval.mean, round(interval.low, 4), interval.high
    (1.0, 0.9894, 1.0)
    """
    mean, variance, df = crossed_variance(values)
    if variance == 0:
        count, quantile = float(values.shape[1]), float(scipy.stats.norm.ppf((1 + confidence) / 2))
    else:
        rows = float(values.shape[1])
        wrong = min(mean, 1 - mean) * rows
        seen = wrong / (wrong + 1)
        count = 1 / (seen * variance / max(mean * (1 - mean), 1e-12) + (1 - seen) / rows)
        quantile = float(scipy.stats.t.ppf((1 + confidence) / 2, df))
    shrunk = 1 + quantile**2 / count
    centre = (mean + quantile**2 / (2 * count)) / shrunk
    half = quantile / shrunk * np.sqrt(mean * (1 - mean) / count + quantile**2 / (4 * count**2))
    # Where all is right or all is wrong, the bound is 1 or 0 exactly, which rounding would miss.
    low = 0.0 if mean == 0 else max(0.0, centre - half)
    high = 1.0 if mean == 1 else min(1.0, centre + half)
    return Interval(mean, float(low), float(high), len(values))


def score_interval(values: np.ndarray, fraction: bool) -> Interval:
    """Interval for an expected score, or an expected difference of scores, over new runs and new rows.

    With a single row the variation between rows is unknown: the interval then covers new runs scored on that row.

    Args:
        values: scores of the same rows in each run, float [R, M], R at least 2; where whole batches are scored, batches
            stand for rows. fraction: whether they are scores in [0, 1].

    >>> score_interval(np.array([[1.0], [2.0], [3.0]]), fraction=False).mean
    2.0
    """
    if values.shape[1] == 1:
        alone = resampled_interval(values[:, 0], overlap=0.0)
        if not fraction:
            return alone
        return Interval(alone.mean, max(0.0, alone.low), min(1.0, alone.high), alone.repeats)
    return fraction_interval(values) if fraction else crossed_interval(values)


def resampled_interval(differences: np.ndarray, overlap: float, confidence: float = CONFIDENCE) -> Interval:
    """Interval for the mean of paired differences whose runs split the same pool of rows anew.

    The runs share rows, so their mean varies more than independent runs would: the variance is multiplied by
    1/R + overlap instead of 1/R.

    Args:
        differences: one paired difference for each run, float [R].
        overlap: validation rows divided by training rows of a run.

    Source: Nadeau and Bengio, "Inference for the generalization error", 2003.
    """
    runs = len(differences)
    if runs < 2:
        raise ValueError(f"{runs} run(s): an interval needs at least 2")
    mean, variance = differences.mean(), differences.var(ddof=1)
    half = scipy.stats.t.ppf((1 + confidence) / 2, runs - 1) * np.sqrt(variance * (1 / runs + overlap))
    return Interval(float(mean), float(mean - half), float(mean + half), runs)


def middle_of(values: np.ndarray) -> np.ndarray:
    """The values in order, less the lowest and highest fifth, [values]: of fewer than five, all.

    >>> middle_of(np.array([3.0, 1.0, -1e7, 2.0, 4.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    cut = int(TRIMMED * len(values))
    return np.sort(values)[cut : len(values) - cut]
