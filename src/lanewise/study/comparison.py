"""Candidates compared by their scores in the same repeats, on the same rows. Pure numbers, no torch.

What is estimated is the expected score over new runs (weights, order, masks, and splits of this pool) on new rows of
the same source. Of candidate c, in repeat r, on row m, the model is

    y[c, r, m] = mu[c] + run[c, r] + row[c, m] + rest[c, r, m],

repeats and rows being crossed random samples. So the mean of a candidate has two errors: one that fresh repeats average
out, and one of the rows that several repeats have in common, which only more rows average out. `paired_means` estimates
both, for every two candidates; the functions below it turn them into intervals, chances and advice.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

from lanewise.study import critical
from lanewise.study.statistics import TRIMMED, Interval

DRAWS = 20_000
UNLIKE = 0.05
"""Error rate at which one candidate's spread over repeats is held to be greater than that of the others."""


@dataclass(frozen=True, eq=False)
class RowScores:
    """Scores of single rows; every row of a repeat is scored for all candidates.

    Args:
        values: greater is better, float [candidates, observations]. repeat: of each observation, int [observations],
            counted from 0. row: which row of the pool it is of, int [observations], in a repeat never twice the same.
    """

    values: np.ndarray
    repeat: np.ndarray
    row: np.ndarray

    @classmethod
    def crossed(cls, values: np.ndarray) -> "RowScores":
        """The same rows in every repeat, as test rows are: float [candidates, repeats, rows]."""
        candidates, repeats, rows = values.shape
        repeat, row = np.divmod(np.arange(repeats * rows), rows)
        return cls(values.reshape(candidates, -1), repeat, row)

    @property
    def means(self) -> np.ndarray:
        """The mean in each repeat, float [candidates, repeats]."""
        counts = np.bincount(self.repeat)
        return np.stack([np.bincount(self.repeat, one) for one in self.values]) / counts


@dataclass(frozen=True, eq=False)
class PairedMeans:
    """Mean scores of candidates, and how sure their differences are.

    Attributes:
        mean: float [candidates]; only differences count. run: covariance of the means over new runs [candidates,
            candidates]. rows: the same over new rows, as far as repeats share rows.
        least_run: what `run` would be if all runs were equally good, and only rows differed.
        freedom: degrees of freedom of each candidate's `run`, float [candidates]. row_freedom: of `rows`.
        repeats: how many. distinct_rows: how many the comparison rests on; None if that is not known.
    """

    mean: np.ndarray
    run: np.ndarray
    rows: np.ndarray
    least_run: np.ndarray
    freedom: np.ndarray
    row_freedom: float
    repeats: int
    distinct_rows: int | None = None

    def spread(self, one: int, other: int) -> tuple[float, float]:
        """(standard error of the difference of two means, its degrees of freedom, after Satterthwaite)."""
        run, rows = (_of_difference(part, one, other) for part in (self.run, self.rows))
        if run + rows <= 0:
            return 0.0, critical.MOST_FREEDOM
        # Few repeats can be alike by chance. Then the variance comes out small; it must not seem well known, too.
        likely = max(run, _of_difference(self.least_run, one, other))
        lone = min(self.freedom[one], self.freedom[other])
        freedom = (likely + rows) ** 2 / (likely**2 / lone + rows**2 / self.row_freedom)
        return float(np.sqrt(run + rows)), float(freedom)

    def difference(self, one: int, other: int, bound: float) -> Interval:
        """`one` minus `other`, as wide as `bound` standard errors to either side."""
        mean, half = float(self.mean[one] - self.mean[other]), bound * self.spread(one, other)[0]
        return Interval(mean, mean - half, mean + half, self.repeats)


def paired_means(
    scores: np.ndarray,
    overlap: float = 0.0,
    rows: RowScores | None = None,
    *,
    count: int | None = None,
    heavy_tails: bool = False,
) -> PairedMeans:
    """What the scores of candidates in the same repeats tell of their differences.

    With the scores of single rows the two errors are told apart. Without, all spread is taken for the runs', and what
    the repeats share is allowed for as Nadeau and Bengio do: the variance is multiplied by 1/R + overlap, not 1/R.

    The spread over repeats is estimated from all candidates together, as far as it can be: a few repeats of one pair
    say little. A candidate that spreads more than the others (by an F test at 5%, corrected) is set apart with its own.

    Args:
        scores: greater is better, finite, float [candidates, repeats], at least 2 of both; the same repeats for all.
        overlap: validation rows divided by training rows of a repeat; of no account where `rows` are given.
        rows: of which `scores` are the means. count: rows in each repeat, if scores are shares of them, where `rows`
            are not given.
        heavy_tails: of scores without bounds a single repeat can outweigh all others; then the highest and lowest
            fifth of each candidate's repeats do not count (trimmed means, with Tukey and McLaughlin's variances),
            each repeat counted from its median candidate. Not with `rows`.

    Sources: Searle, Casella, McCulloch, "Variance Components", 1992, section 4.4; Nadeau and Bengio, "Inference for the
    generalization error", 2003; Tukey and McLaughlin, "Less vulnerable confidence and significance procedures", 1963.
    """
    candidates, repeats = scores.shape
    if candidates < 2 or repeats < 2:
        raise ValueError(f"scores of shape {scores.shape}: a comparison needs at least 2 candidates and 2 repeats")
    if rows is None:
        cut = int(TRIMMED * repeats) if heavy_tails else 0
        centred = scores - np.median(scores, axis=0) if heavy_tails else scores
        ordered = np.sort(centred, axis=1)
        mean = ordered[:, cut : repeats - cut].mean(axis=1)
        if cut:
            # Winsorised: what is cut counts as the last that is not.
            centred = np.clip(centred, ordered[:, cut, None], ordered[:, -cut - 1, None])
        kept = repeats - 2 * cut
        # The sum of squares of the winsorised over its freedom, as (h - 1) of a trimmed mean's variance.
        scale = (repeats - 1) / (kept * (kept - 1)) if cut else 1 / repeats
        run, freedom = _run_covariance(centred, np.eye(candidates), kept - 1, heavy_tails, _rounding(count))
        return PairedMeans(
            mean, run * scale, run * overlap * scale * repeats, 0 * run, freedom, float(freedom.min()), repeats,
            None if count is None or not overlap else round(count * (1 + 1 / overlap)),
        )  # fmt: skip
    observations = len(rows.repeat)
    size = observations / repeats
    centred = rows.values - rows.means[:, rows.repeat]
    within = centred @ centred.T / (observations - repeats)
    _, place, times = np.unique(rows.row, return_inverse=True, return_counts=True)
    # Pairs of observations of one row in two repeats: their products know of the row alone.
    pairs = float((times * (times - 1)).sum())
    shared = pairs / (repeats * (repeats - 1) * size**2)
    of_row = np.stack([np.bincount(place, one) for one in centred])
    between = np.zeros_like(within)
    if pairs:
        lost_by_centring = 1 - 2 / size + shared
        between = _no_less_than_none((of_row @ of_row.T - centred @ centred.T) / pairs / max(lost_by_centring, 0.1))
    run, freedom = _run_covariance(scores, within / size, repeats - 1, False, _rounding(size))
    of_rows = shared * between
    return PairedMeans(
        scores.mean(axis=1), run / repeats, of_rows, (within / size - of_rows) / repeats, freedom,
        max(1.0, len(times) - 1.0), repeats, len(times),
    )  # fmt: skip


def with_best(means: PairedMeans, best: int) -> list[Interval]:
    """Best minus each other candidate, in their order without `best`; all 95% intervals hold together.

    The best is chosen by these very scores, so it is as if every candidate had been compared with every other: Tukey
    and Kramer's intervals for all pairs. A difference of two that are equal is declared in 5% of studies at most.
    """
    found = []
    for other in range(len(means.mean)):
        if other != best:
            bound = critical.all_pairs(len(means.mean), means.spread(best, other)[1])
            found.append(means.difference(best, other, bound))
    return found


def with_reference(means: PairedMeans, reference: int) -> list[Interval]:
    """Each other candidate minus `reference`, in their order without it; all 95% intervals hold together.

    For a reference that was named before anything was scored: Dunnett's intervals, narrower than those of all pairs.
    """
    others = [at for at in range(len(means.mean)) if at != reference]
    whole = means.run + means.rows
    differences = whole[np.ix_(others, others)] + whole[reference, reference]
    differences = differences - whole[others, reference][:, None] - whole[others, reference][None, :]
    sizes = np.sqrt(np.maximum(np.diag(differences), np.finfo(np.float64).tiny))
    correlations = (differences / sizes[:, None] / sizes[None, :])[~np.eye(len(others), dtype=bool)]
    correlation = float(min(0.5, correlations.min())) if len(others) > 1 else 0.0
    found = []
    for other in others:
        bound = critical.one_to_many(len(others), means.spread(other, reference)[1], correlation)
        found.append(means.difference(other, reference, bound))
    return found


def chances_of_best(means: PairedMeans) -> np.ndarray:
    """The probability that each candidate has the greatest expected score, float [candidates], sum 1.

    The share of 20,000 draws of all differences to the one that leads, from the normal distribution with the variances
    of `paired_means`, made wider by their degrees of freedom (Student's t): the posterior of a flat prior.
    The draws are the same in every call.
    """
    leader = int(means.mean.argmax())
    generator = np.random.default_rng(0)
    # Roots of both parts, of which the second may have no inverse.
    roots = [_root(part) for part in (means.run, means.rows)]
    draws = sum(generator.standard_normal((DRAWS, len(means.mean))) @ root for root in roots)
    share = generator.random(DRAWS)
    errors = draws - draws[:, leader, None]
    for other in range(len(means.mean)):
        freedom = means.spread(leader, other)[1]
        errors[:, other] /= np.sqrt(stats.chi2.ppf(share, freedom) / freedom)
    drawn = means.mean - means.mean[leader] + errors
    # Candidates that never differ share what they win.
    won = drawn >= drawn.max(axis=1, keepdims=True)
    found: np.ndarray = (won / won.sum(axis=1, keepdims=True)).mean(axis=0)
    return found


def _run_covariance(
    scores: np.ndarray, shape: np.ndarray, freedom: int, by_median: bool, rounding: float
) -> tuple[np.ndarray, np.ndarray]:
    """(covariance of a single repeat's scores, its freedom by candidate), of the form of `shape`, in size as measured.

    Args:
        freedom: that a candidate alone has. rounding: the least variance that is believed.
    """
    candidates, repeats = scores.shape
    kept = list(range(candidates))
    while True:
        share = 1 / len(kept)
        middle = np.zeros(scores.shape[1]) if by_median else scores[kept].mean(axis=0)
        weights = np.eye(candidates)
        weights[:, kept] -= share
        # What each candidate's deviation from the mean of those kept would vary by, if `shape` were its covariance.
        expected = np.einsum("ca,ab,cb->c", weights, shape, weights)
        deviations = scores - middle
        deviations = deviations - deviations.mean(axis=1, keepdims=True)
        squares = (deviations**2).sum(axis=1) / (repeats - 1)
        total = expected[kept].sum()
        ratio = np.divide(squares, expected, out=np.ones(candidates), where=expected > 1e-12 * max(total, 1e-300))
        if len(kept) < 3:
            break
        rest = {k: squares[kept].sum() - squares[k] for k in kept}
        left = {k: total - expected[k] for k in kept}
        worst = max(kept, key=lambda k: ratio[k])
        other = rest[worst] / left[worst] if left[worst] > 0 else 0.0
        if ratio[worst] <= _unlike(len(kept), freedom) * other:
            break
        kept.remove(worst)
    sizes, freedoms = ratio, np.full(candidates, float(freedom))
    if total > 0:
        sizes[kept] = max(squares[kept].sum(), rounding * (len(kept) - 1)) / total
    freedoms[kept] = (len(kept) - 1) * freedom
    roots = np.sqrt(sizes)
    return shape * roots[:, None] * roots[None, :], freedoms


@lru_cache(maxsize=256)
def _unlike(candidates: int, freedom: int) -> float:
    """How many times the others' variance the greatest of `candidates` may be by chance."""
    return float(stats.f.ppf(1 - UNLIKE / candidates, freedom, (candidates - 2) * freedom))


def _rounding(count: float | None) -> float:
    """The variance that rounding to whole rows adds: scores that are shares of `count` rows can be alike by chance."""
    return 0.0 if count is None else 1 / (12 * count**2)


def _of_difference(covariance: np.ndarray, one: int, other: int) -> float:
    return max(0.0, float(covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]))


def _no_less_than_none(covariance: np.ndarray) -> np.ndarray:
    """The covariance without the parts that came out below zero by chance."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return found


@dataclass(frozen=True)
class Settling:
    """What would tell two candidates apart, if the difference seen is the true one.

    Attributes:
        repeats: how many more would, on the same rows; None where the rows limit it, or it would take too many.
        rows: how many more rows would, with the same number of repeats; None if that is not known, or too many.
    """

    repeats: int | None = None
    rows: int | None = None


MOST_REPEATS, MOST_TIMES_ROWS = 500, 100.0
POWER = 0.8
"""With which chance what is advised would settle it."""


def to_settle(means: PairedMeans, winner: int, other: int) -> Settling:
    """How many more repeats, or rows, would tell `winner` from `other` with a chance of 80%.

    Needed: (c + 0.84) standard errors within the difference seen, c being the bound of `with_best` for so many repeats.
    """
    seen = abs(float(means.mean[winner] - means.mean[other]))
    if seen == 0:
        return Settling()
    reserve, candidates = float(stats.norm.ppf(POWER)), len(means.mean)

    def settled(repeats: int) -> bool:
        grown = (repeats - 1) / (means.repeats - 1)
        fewer = means.repeats / repeats
        more = replace(means, run=means.run * fewer, least_run=means.least_run * fewer, freedom=means.freedom * grown)
        error, freedom = more.spread(winner, other)
        return (critical.all_pairs(candidates, freedom) + reserve) * error <= seen

    if settled(MOST_REPEATS):
        low, high = means.repeats - 1, MOST_REPEATS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if settled(middle) else (middle, high)
        return Settling(repeats=max(1, high - means.repeats))
    if means.distinct_rows is None:
        return Settling()
    error, freedom = means.spread(winner, other)
    times = ((critical.all_pairs(candidates, freedom) + reserve) * error / seen) ** 2
    return Settling(rows=round((times - 1) * means.distinct_rows) if 1 < times <= MOST_TIMES_ROWS else None)
