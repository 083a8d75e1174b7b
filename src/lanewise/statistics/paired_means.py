"""Mean scores of candidates in the same repeats, and how sure their differences are. Pure numbers, no torch.

What is estimated is the expected score over new runs (weights, order, masks, and splits of this pool) on new rows of
the same source. Of candidate c, in repeat r, on row m, the model is

    y[c, r, m] = mu[c] + run[c, r] + row[c, m] + rest[c, r, m],

repeats and rows being crossed random samples. Truth is mu[c]; that all splits are of one pool, with training rows that
are nearly the same, is not covered. So the mean of a candidate has two errors: one that new runs average out, and
one of the rows that several repeats have in common, which only more rows average out. `paired_means` estimates both,
for every two candidates; `comparison` and `power` turn them into intervals, chances and advice.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from lanewise.statistics import critical_values
from lanewise.statistics.intervals import TRIMMED, Interval
from lanewise.statistics.rounding import CERTAIN
from lanewise.statistics.row_noise import RowNoise, row_noise
from lanewise.statistics.row_scores import RowScores, _over_pairs, of_difference

UNLIKE = 0.01
"""Error rate at which one candidate's spread over repeats is held to be greater than that of the others. Whoever is set
apart by chance makes the others look steadier than they are, so it must happen seldom."""


@dataclass(frozen=True, eq=False)
class PairedMeans:
    """Mean scores of candidates, and how sure their differences are.

    Attributes:
        mean: float [candidates]; only differences count. run: covariance of the means over new runs [candidates,
            candidates]. rows: the same over new rows, as far as repeats share rows.
        df: degrees of freedom of each candidate's `run`, float [candidates].
        row_noise: of what `rows` was estimated from; None where it is a multiple of `run`.
        repeats: how many. distinct_rows: how many the comparison rests on; None if that is not known.
        row_df: degrees of freedom of `rows` where `row_noise` is None; None where they are those of `run`.
        sampled: the part of `run` that comes of the rows each repeat draws, where `row_noise` is None; None if that is
            not known. overlap: where `rows` is taken to be this multiple of a single repeat's variance.
    """

    mean: np.ndarray
    run: np.ndarray
    rows: np.ndarray
    df: np.ndarray
    row_noise: "RowNoise | None"
    repeats: int
    distinct_rows: int | None = None
    row_df: float | None = None
    sampled: np.ndarray | None = None
    overlap: float | None = None

    def parts(self, one: int, other: int) -> tuple[float, float]:
        """The squared error of the difference of two means: (over new runs, over the rows that repeats share)."""
        run, rows = (of_difference(part, one, other) for part in (self.run, self.rows))
        if self.row_noise is not None:
            # Chance makes some pairs look as if no row had its favourite; then the pairs together are believed.
            within = of_difference(self.row_noise.within, one, other)
            rows = max(rows, self.row_noise.shared * float(self.row_noise.persistence) * within)
        return run, rows

    def spread(self, one: int, other: int) -> tuple[float, float]:
        """(standard error of the difference of two means, its degrees of freedom: see `critical_values.df_of_sum`)."""
        run, rows = self.parts(one, other)
        # Candidates that are one and the same differ by rounding alone.
        if run + rows <= 1e-12 * float(np.trace(self.run + self.rows)):
            return 0.0, critical_values.MOST_DF
        lone = min(self.df[one], self.df[other])
        if self.row_noise is None:
            df = float(lone)
            if self.row_df is not None:
                df = critical_values.df_of_sum(run, df, rows, self.row_df)
            return float(np.sqrt(run + rows)), df
        # The rows' part can be small and badly known: what counts is its error beside the whole.
        error = self.row_noise.uncertainty(one, other)
        known = (run + rows) ** 2 / error if error > 0 else critical_values.MOST_DF
        return float(np.sqrt(run + rows)), critical_values.df_of_sum(run, float(lone), rows, known)

    def difference(self, one: int, other: int, bound: float) -> Interval:
        """`one` minus `other`, as wide as `bound` standard errors to either side."""
        mean, half = float(self.mean[one] - self.mean[other]), bound * self.spread(one, other)[0]
        # Equal means that were added up in another order are equal.
        if abs(mean) <= max(abs(self.mean[one]), abs(self.mean[other])) * 10.0**-CERTAIN:
            mean = 0.0
        return Interval(mean, mean - half, mean + half, self.repeats)

    def bound_of_pairs(self, df: float) -> float:
        """How many standard errors a difference must reach where every two candidates are compared."""
        candidates = len(self.mean)
        if self.row_noise is None:
            return critical_values.each_alone(candidates * (candidates - 1) // 2, df)
        return critical_values.all_pairs(candidates, df)


def paired_means(
    scores: np.ndarray,
    overlap: float = 0.0,
    rows: RowScores | None = None,
    *,
    count: int | None = None,
    heavy_tails: bool = False,
) -> PairedMeans:
    """What the scores of candidates in the same repeats tell of their differences.

    With the scores of single rows the two errors are estimated separately, and the spread over repeats from all
    candidates together: a few repeats of one pair say little. How the pairs differ in what rows give is believed as far
    as it is more than chance, see `pooling`. What is taken to be alike is how much the repeats spread
    beside what the rows alone would give. A candidate that spreads more than the others (by an F test at 1%, corrected)
    is set apart with its own.

    Without rows, every pair has its own spread, all of it is taken for the runs', and what the repeats share is allowed
    for as Nadeau and Bengio do: the variance is multiplied by 1/R + overlap, not 1/R.

    Args:
        scores: greater is better, finite, float [candidates, repeats], at least 2 of both; the same repeats for all.
        overlap: validation rows divided by training rows of a repeat; of no account where `rows` are given without
            `heavy_tails`. rows: of which `scores` are the means. count: rows in each repeat, if scores are shares of
            them, where `rows` are not given.
        heavy_tails: of scores without bounds a single repeat can outweigh all others; then the highest and lowest
            fifth of each candidate's repeats do not count (trimmed means, with Tukey and McLaughlin's variances),
            each repeat counted from its median candidate. Every pair has its own spread then, too, and `rows` serve
            where they show that repeats share more than `overlap` allows for, as where all validate on the same.

    Sources: Searle, Casella, McCulloch, "Variance Components", 1992, section 4.4; Nadeau and Bengio, "Inference for the
    generalization error", 2003; Tukey and McLaughlin, "Less vulnerable confidence and significance procedures", 1963.
    """
    candidates, repeats = scores.shape
    if candidates < 2 or repeats < 2:
        raise ValueError(f"scores of shape {scores.shape}: a comparison needs at least 2 candidates and 2 repeats")
    if rows is None or heavy_tails:
        cut = int(TRIMMED * repeats) if heavy_tails else 0
        centred = scores - np.median(scores, axis=0) if heavy_tails else scores
        ordered = np.sort(centred, axis=1)
        mean = ordered[:, cut : repeats - cut].mean(axis=1)
        if cut:
            # Winsorised: what is cut counts as the last that is not.
            centred = np.clip(centred, ordered[:, cut, None], ordered[:, -cut - 1, None])
        kept = repeats - 2 * cut
        # Of winsorised values over their df, as a trimmed mean's variance is.
        scale = (repeats - 1) / (kept * (kept - 1)) if cut else 1 / repeats
        run = np.cov(centred) + (0.0 if count is None else 1 / (12 * count**2)) * np.eye(candidates)
        df = np.full(candidates, kept - 1.0)
        distinct = None if count is None or not overlap else round(count * (1 + 1 / overlap))
        of_rows, row_df, sampled = run * overlap * scale * repeats, None, None
        known_overlap = overlap or None
        if rows is not None:
            noise = row_noise(rows)
            measured = noise.shared * noise.between
            sampled = scale * np.asarray(noise.within / noise.size - measured)
            if _over_pairs(measured) > _over_pairs(of_rows):
                of_rows, distinct, row_df = measured, noise.distinct, noise.shared_rows
                known_overlap = None
            else:
                distinct = noise.distinct
        return PairedMeans(mean, run * scale, of_rows, df, None, repeats, distinct, row_df, sampled, known_overlap)
    return means_of(scores, row_noise(rows))


def means_of(scores: np.ndarray, noise: RowNoise) -> PairedMeans:
    """`paired_means` of scores [candidates, repeats] whose rows vary as `noise` says."""
    repeats = scores.shape[1]
    shape, of_rows = noise.within / noise.size, noise.shared * noise.between
    run, df = _run_covariance(scores, shape, 1 / (12 * noise.size**2))
    return PairedMeans(
        scores.mean(axis=1), run / repeats, of_rows, df, noise, repeats, noise.distinct
    )  # fmt: skip


def _run_covariance(scores: np.ndarray, shape: np.ndarray, rounding: float) -> tuple[np.ndarray, np.ndarray]:
    """(covariance of a single repeat's scores, its df by candidate), of the form of `shape`, in size as measured.

    Args:
        rounding: the least variance that is believed: scores that are shares of few rows can be alike by chance.
    """
    candidates, repeats = scores.shape
    kept, df = list(range(candidates)), repeats - 1
    while True:
        share = 1 / len(kept)
        weights = np.eye(candidates)
        weights[:, kept] -= share
        # What each candidate's deviation from the mean of those kept would vary by, if `shape` were its covariance.
        expected = np.einsum("ca,ab,cb->c", weights, shape, weights)
        deviations = scores - scores[kept].mean(axis=0)
        deviations = deviations - deviations.mean(axis=1, keepdims=True)
        squares = (deviations**2).sum(axis=1) / (repeats - 1)
        total = expected[kept].sum()
        # Candidates that are one and the same differ by rounding alone.
        least = 1e-9 * float(np.trace(shape))
        ratio = np.divide(squares, expected, out=np.ones(candidates), where=expected > least)
        if len(kept) < 3:
            break
        rest = {k: squares[kept].sum() - squares[k] for k in kept}
        left = {k: total - expected[k] for k in kept}
        worst = max(kept, key=lambda k: ratio[k])
        other = rest[worst] / left[worst] if left[worst] > 0 else 0.0
        if ratio[worst] <= _unlike(len(kept), df) * other:
            break
        kept.remove(worst)
    sizes, dfs = ratio, np.full(candidates, float(df))
    if total > least:
        sizes[kept] = max(squares[kept].sum(), rounding * (len(kept) - 1)) / total
    dfs[kept] = (len(kept) - 1) * df
    roots = np.sqrt(sizes)
    return shape * roots[:, None] * roots[None, :], dfs


@lru_cache(maxsize=256)
def _unlike(candidates: int, df: int) -> float:
    """How many times the others' variance the greatest of `candidates` may be by chance."""
    return float(scipy.stats.f.ppf(1 - UNLIKE / candidates, df, (candidates - 2) * df))
