"""Candidates compared by their scores in the same repeats, on the same rows. Pure numbers, no torch.

What is estimated is the expected score over new runs (weights, order, masks, and splits of this pool) on new rows of
the same source. Of candidate c, in repeat r, on row m, the model is

    y[c, r, m] = mu[c] + run[c, r] + row[c, m] + rest[c, r, m],

repeats and rows being crossed random samples. Truth is mu[c]; that all splits are of one pool, with training rows that
are nearly the same, is not covered. So the mean of a candidate has two errors: one that fresh repeats average out, and
one of the rows that several repeats have in common, which only more rows average out. `paired_means` estimates both,
for every two candidates; the functions below it turn them into intervals, chances and advice.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy

from lanewise.study import critical
from lanewise.study.pooling import how_alike
from lanewise.study.statistics import TRIMMED, Interval

DRAWS = 10_000
NODES_OF_CHANCE = (np.arange(60) + 0.5) / 60
"""Probabilities at whose quantiles the chances integrate over what they do not know."""
PRIOR_OF_TAU = 2.0
"""In standard errors: the median, before anything is seen, of how far expected scores lie apart. With the noise of
digits and candidates 0.1 to 1 points apart, claims are right on average: too high below 0.2 points, too low above."""
FAR_OUT = 100.0
UNLIKE = 0.01
"""Error rate at which one candidate's spread over repeats is held to be greater than that of the others. Whoever is set
apart by chance makes the others look steadier than they are, so it must happen seldom."""


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
        order = np.argsort(self.repeat, kind="stable")
        _, starts, counts = np.unique(self.repeat[order], return_index=True, return_counts=True)
        found: np.ndarray = np.add.reduceat(self.values[..., order], starts, axis=-1) / counts
        return found

    @property
    def sound(self) -> "RowScores | None":
        """The repeats in which all scores are finite and vary as in others; None where there are fewer than two.

        Left out is a repeat in which a candidate's variance is 100 times that in its median repeat.
        """
        finite = self._of(np.unique(self.repeat[~np.isfinite(self.values).all(axis=0)]))
        if finite is None:
            return None
        variances = RowScores((finite.values - finite.means[:, finite.repeat]) ** 2, finite.repeat, finite.row).means
        usual = np.median(variances, axis=1, keepdims=True)
        return finite._of(np.flatnonzero((variances > FAR_OUT * usual).any(axis=0)))

    def _of(self, gone: np.ndarray) -> "RowScores | None":
        """All but the repeats `gone`, numbered anew."""
        if not len(gone):
            return self
        kept = ~np.isin(self.repeat, gone)
        repeats, numbers = np.unique(self.repeat[kept], return_inverse=True)
        return RowScores(self.values[:, kept], numbers, self.row[kept]) if len(repeats) > 1 else None


@dataclass(frozen=True, eq=False)
class PairedMeans:
    """Mean scores of candidates, and how sure their differences are.

    Attributes:
        mean: float [candidates]; only differences count. run: covariance of the means over new runs [candidates,
            candidates]. rows: the same over new rows, as far as repeats share rows.
        freedom: degrees of freedom of each candidate's `run`, float [candidates].
        row_noise: of what `rows` was estimated from; None where it is a multiple of `run`.
        repeats: how many. distinct_rows: how many the comparison rests on; None if that is not known.
        row_freedom: degrees of freedom of `rows` where `row_noise` is None; None where they are those of `run`.
    """

    mean: np.ndarray
    run: np.ndarray
    rows: np.ndarray
    freedom: np.ndarray
    row_noise: "RowNoise | None"
    repeats: int
    distinct_rows: int | None = None
    row_freedom: float | None = None

    def spread(self, one: int, other: int) -> tuple[float, float]:
        """(standard error of the difference of two means, its degrees of freedom: see `critical.freedom_of_sum`)."""
        run, rows = (_of_difference(part, one, other) for part in (self.run, self.rows))
        if self.row_noise is not None:
            # Chance makes some pairs look as if no row had its favourite; then the pairs together are believed.
            within = _of_difference(self.row_noise.within, one, other)
            rows = max(rows, self.row_noise.shared * float(self.row_noise.persistence) * within)
        # Candidates that are one and the same differ by rounding alone.
        if run + rows <= 1e-12 * float(np.trace(self.run + self.rows)):
            return 0.0, critical.MOST_FREEDOM
        lone = min(self.freedom[one], self.freedom[other])
        if self.row_noise is None:
            freedom = float(lone)
            if self.row_freedom is not None:
                freedom = critical.freedom_of_sum(run, freedom, rows, self.row_freedom)
            return float(np.sqrt(run + rows)), freedom
        # The rows' part can be small and badly known: what counts is its error beside the whole.
        error = self.row_noise.uncertainty(one, other)
        known = (run + rows) ** 2 / error if error > 0 else critical.MOST_FREEDOM
        return float(np.sqrt(run + rows)), critical.freedom_of_sum(run, float(lone), rows, known)

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

    With the scores of single rows the two errors are told apart, and the spread over repeats is estimated from all
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
        # Of winsorised values over their freedom, as a trimmed mean's variance is.
        scale = (repeats - 1) / (kept * (kept - 1)) if cut else 1 / repeats
        run = np.cov(centred) + (0.0 if count is None else 1 / (12 * count**2)) * np.eye(candidates)
        freedom = np.full(candidates, kept - 1.0)
        distinct = None if count is None or not overlap else round(count * (1 + 1 / overlap))
        of_rows, row_freedom = run * overlap * scale * repeats, None
        if rows is not None:
            noise = row_noise(rows)
            measured = noise.shared * noise.between
            if _over_pairs(measured) > _over_pairs(of_rows):
                of_rows, distinct, row_freedom = measured, noise.distinct, noise.shared_rows
        return PairedMeans(mean, run * scale, of_rows, freedom, None, repeats, distinct, row_freedom)
    return means_of(scores, row_noise(rows))


@dataclass(frozen=True, eq=False)
class RowNoise:
    """How scores of single rows vary inside repeats; `values` with more axes in front give arrays with those, too.

    Attributes:
        within: covariance over the rows of a repeat, float [candidates, candidates]. between: the part of it that stays
            from repeat to repeat. shared: of a repeat's rows, how far any two repeats have them in common, as the share
            of `between` that the mean over many repeats keeps. size: rows of a repeat. distinct: different rows in all.
        persistence: `between` as a share of `within`, over the differences of all pairs. pairs: of observations of one
            row in two repeats. shared_rows: rows with such pairs, those with more counting the more.
    """

    within: np.ndarray
    between: np.ndarray
    shared: float
    size: float
    distinct: int
    persistence: np.ndarray
    pairs: float
    shared_rows: float

    def uncertainty(self, one: int, other: int) -> float:
        """Half the variance of the estimate `shared * between` of a difference: its square over its freedom.

        A product of two observations of a row varies by within^2 + between^2; what the products of a row have in
        common, 2 between^2, is averaged over rows, the rest over pairs.
        """
        if not self.pairs:
            return 0.0
        within, between = (_of_difference(part, one, other) for part in (self.within, self.between))
        rest = max(0.0, within**2 - between**2) / self.pairs
        return float(self.shared**2 * (between**2 / self.shared_rows + rest / 2))


def row_noise(rows: RowScores) -> RowNoise:
    """The moments of row scores that need every row."""
    observations, repeats = len(rows.repeat), int(rows.repeat.max()) + 1
    size = observations / repeats
    centred = rows.values - rows.means[..., rows.repeat]
    squares = centred @ np.swapaxes(centred, -1, -2)
    order = np.argsort(rows.row, kind="stable")
    _, starts, times = np.unique(rows.row[order], return_index=True, return_counts=True)
    between = np.zeros_like(squares)
    # Pairs of observations of one row in two repeats: their products know of the row alone.
    weights = (times * (times - 1)).astype(np.float64)
    pairs = weights.sum()
    shared = float(pairs / (repeats * (repeats - 1) * size**2))
    centred = centred[..., order]
    inside, lasting = how_alike(centred, starts)
    if pairs:
        lost_by_centring = max(0.1, 1 - 2 / size + shared)
        of_row = np.add.reduceat(centred, starts, axis=-1)
        between = (of_row @ np.swapaxes(of_row, -1, -2) - squares) / pairs / lost_by_centring
    within = inside.moved(squares / (observations - repeats))
    whole = _over_pairs(within)
    stays = np.divide(_over_pairs(between), whole, out=np.zeros_like(whole), where=whole > 0)
    between = _no_less_than_none(lasting.moved(between))
    shared_rows = float(pairs**2 / (weights**2).sum()) if pairs else 0.0
    return RowNoise(
        within, between, shared, size, len(times), np.clip(stays, 0, 1), float(pairs) / 2, shared_rows
    )  # fmt: skip


def means_of(scores: np.ndarray, noise: RowNoise) -> PairedMeans:
    """`paired_means` of scores [candidates, repeats] whose rows vary as `noise` says."""
    repeats = scores.shape[1]
    shape, of_rows = noise.within / noise.size, noise.shared * noise.between
    run, freedom = _run_covariance(scores, shape, 1 / (12 * noise.size**2))
    return PairedMeans(
        scores.mean(axis=1), run / repeats, of_rows, freedom, noise, repeats, noise.distinct
    )  # fmt: skip


def with_best(means: PairedMeans, best: int) -> list[Interval]:
    """Best minus each other candidate, in their order without `best`; all 95% intervals hold together.

    The best is chosen by these very scores, so it is as if every candidate had been compared with every other: Tukey
    and Kramer's intervals for all pairs; where every pair has a spread of its own, Bonferroni's. A difference of two
    that are equal is declared in 5% of studies at most.
    """
    found = []
    for other in range(len(means.mean)):
        if other != best:
            found.append(means.difference(best, other, _bound_of_pairs(means, best, other)))
    return found


def with_reference(means: PairedMeans, reference: int) -> list[Interval]:
    """Each other candidate minus `reference`, in their order without it; all 95% intervals hold together.

    For a reference that was named before anything was scored: Dunnett's intervals, narrower than those of all pairs;
    where every pair has a spread of its own, Bonferroni's.
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
        freedom = means.spread(other, reference)[1]
        if means.row_noise is None:
            bound = critical.each_alone(len(others), freedom)
        else:
            bound = critical.one_to_many(len(others), freedom, correlation)
        found.append(means.difference(other, reference, bound))
    return found


def lead_of(one: np.ndarray, other: np.ndarray) -> Interval:
    """A 95% interval for `one` minus `other`, two candidates that were settled before these rows were scored.

    Args:
        one, other: scores of the same rows in the same runs, finite, float [repeats, rows], at least 2 of both.
    """
    rows = RowScores.crossed(np.stack([one, other]))
    means = paired_means(rows.means, rows=rows)
    return means.difference(0, 1, critical.each_alone(1, means.spread(0, 1)[1]))


def chances_of_best(means: PairedMeans) -> np.ndarray:
    """The probability that each candidate has the greatest expected score, float [candidates], sum 1.

    The share of 10,000 draws, the same in every call, from the posterior of a hierarchical model: expected scores vary
    about a common mean by a standard deviation tau of their own, so that leads among many alike are taken for what
    they mostly are, luck. With no such prior (tau infinite) the chances would claim far too much: of equals, the
    leader is the luckiest. Prior of tau: half-Cauchy, its scale twice the standard error of a mean; that of the error
    variances: as many degrees of freedom as the leader's lead over the next.

    It assumes that one tau holds for all compared; one that is far behind all others makes it large.

    Sources: Rubin, "Estimation in parallel randomized experiments", 1981; Gelman, "Prior distributions for variance
    parameters in hierarchical models", 2006.
    """
    count = len(means.mean)
    order = np.argsort(-means.mean, kind="stable")
    generator = np.random.default_rng(0)
    # Differences alone are known: an orthonormal basis of them, in which the errors are independent.
    contrasts = np.linalg.svd(np.eye(count) - 1 / count)[0][:, : count - 1]
    errors, axes = np.linalg.eigh(contrasts.T @ (means.run + means.rows) @ contrasts)
    basis = contrasts @ axes
    # Candidates that never differ share what they win; an error of nothing would be divided by.
    alike = 1e-6 * float(np.sqrt(np.trace(means.run + means.rows)))
    errors = np.maximum(errors, 1e-18 * np.trace(means.run + means.rows) + np.finfo(np.float64).tiny)
    seen = means.mean @ basis
    freedom = means.spread(int(order[0]), int(order[1]))[1]
    size = (freedom / scipy.stats.chi2.ppf(NODES_OF_CHANCE, freedom))[:, None, None]
    tau = PRIOR_OF_TAU * np.sqrt(errors.mean()) * np.tan(np.pi / 2 * NODES_OF_CHANCE)[None, :, None]
    whole = size * errors + tau**2
    likely = -0.5 * (np.log(whole) + seen**2 / whole).sum(axis=-1).ravel()
    share = np.cumsum(np.exp(likely - likely.max()))
    at = np.searchsorted(share / share[-1], (np.arange(DRAWS) + 0.5) / DRAWS)
    of_size, of_tau = np.divmod(at, len(NODES_OF_CHANCE))
    error, prior = size[of_size, 0] * errors, tau[0, of_tau] ** 2
    believed = prior / (prior + error)
    drawn = believed * seen + np.sqrt(believed * error) * generator.standard_normal((DRAWS, count - 1))
    scores = drawn @ basis.T
    won = scores >= scores.max(axis=1, keepdims=True) - alike
    found: np.ndarray = (won / won.sum(axis=1, keepdims=True)).mean(axis=0)
    return found


def _run_covariance(scores: np.ndarray, shape: np.ndarray, rounding: float) -> tuple[np.ndarray, np.ndarray]:
    """(covariance of a single repeat's scores, its freedom by candidate), of the form of `shape`, in size as measured.

    Args:
        rounding: the least variance that is believed: scores that are shares of few rows can be alike by chance.
    """
    candidates, repeats = scores.shape
    kept, freedom = list(range(candidates)), repeats - 1
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
        if ratio[worst] <= _unlike(len(kept), freedom) * other:
            break
        kept.remove(worst)
    sizes, freedoms = ratio, np.full(candidates, float(freedom))
    if total > least:
        sizes[kept] = max(squares[kept].sum(), rounding * (len(kept) - 1)) / total
    freedoms[kept] = (len(kept) - 1) * freedom
    roots = np.sqrt(sizes)
    return shape * roots[:, None] * roots[None, :], freedoms


def _bound_of_pairs(means: PairedMeans, one: int, other: int) -> float:
    candidates, freedom = len(means.mean), means.spread(one, other)[1]
    if means.row_noise is None:
        return critical.each_alone(candidates * (candidates - 1) // 2, freedom)
    return critical.all_pairs(candidates, freedom)


@lru_cache(maxsize=256)
def _unlike(candidates: int, freedom: int) -> float:
    """How many times the others' variance the greatest of `candidates` may be by chance."""
    return float(scipy.stats.f.ppf(1 - UNLIKE / candidates, freedom, (candidates - 2) * freedom))


def _over_pairs(covariance: np.ndarray) -> np.ndarray:
    """The sum of the variances of all differences."""
    candidates = covariance.shape[-1]
    return np.asarray(candidates * np.trace(covariance, axis1=-2, axis2=-1) - covariance.sum(axis=(-2, -1)))


def _of_difference(covariance: np.ndarray, one: int, other: int) -> float:
    return max(0.0, float(covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]))


def _no_less_than_none(covariance: np.ndarray) -> np.ndarray:
    """The covariance without the parts that came out below zero by chance."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = (vectors * np.maximum(values, 0.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
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
"""With which chance what is advised would settle it, were the errors of the means known."""


def to_settle(means: PairedMeans, winner: int, other: int) -> Settling:
    """How many more repeats, or rows, would tell `winner` from `other`, more likely than not.

    Needed: (c + 0.84) standard errors within the difference seen, c being the bound of `with_best` for so many repeats:
    a power of 80%, were the errors as estimated. Ties are advised on where errors came out small, so it is less: 55% to
    80% in simulations where the lead seen is the true one, and 26% to 76% with the true lead, because leads seen are
    the luckiest (`python -m bench calibration`).
    """
    seen = abs(float(means.mean[winner] - means.mean[other]))
    if seen == 0:
        return Settling()
    reserve = float(scipy.stats.norm.ppf(POWER))

    def settled(repeats: int) -> bool:
        grown = (repeats - 1) / (means.repeats - 1)
        fewer = means.repeats / repeats
        more = replace(means, run=means.run * fewer, freedom=means.freedom * grown)
        return (_bound_of_pairs(more, winner, other) + reserve) * more.spread(winner, other)[0] <= seen

    if settled(MOST_REPEATS):
        low, high = means.repeats - 1, MOST_REPEATS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if settled(middle) else (middle, high)
        return Settling(repeats=max(1, high - means.repeats))
    if means.distinct_rows is None:
        return Settling()
    error = means.spread(winner, other)[0]
    times = ((_bound_of_pairs(means, winner, other) + reserve) * error / seen) ** 2
    return Settling(rows=round((times - 1) * means.distinct_rows) if 1 < times <= MOST_TIMES_ROWS else None)
