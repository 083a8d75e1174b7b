"""Candidates compared: intervals for their differences, and the chance of each to be the best. Pure numbers."""

import numpy as np
import scipy

from lanewise.statistics import critical_values
from lanewise.statistics.intervals import Interval
from lanewise.statistics.paired_means import PairedMeans, means_of, paired_means
from lanewise.statistics.power import Needed, needed_to_separate
from lanewise.statistics.row_noise import RowNoise, row_noise
from lanewise.statistics.row_scores import RowScores

__all__ = [
    "Needed",
    "PairedMeans",
    "RowNoise",
    "RowScores",
    "chances_of_best",
    "lead_of",
    "means_of",
    "needed_to_separate",
    "paired_means",
    "row_noise",
    "with_best",
    "with_reference",
]

DRAWS = 10_000
NODES_OF_CHANCE = (np.arange(60) + 0.5) / 60
"""Probabilities at whose quantiles the chances integrate over what they do not know."""
PRIOR_OF_TAU = 2.0
"""In standard errors: the median, before anything is seen, of how far expected scores lie apart. With the noise of
digits and candidates 0.1 to 1 points apart, claims are right on average: too high below 0.2 points, too low above."""


def with_best(means: PairedMeans, best: int) -> list[Interval]:
    """Best minus each other candidate, in their order without `best`; all 95% intervals hold together.

    The best is chosen by these very scores, so it is as if every candidate had been compared with every other: Tukey
    and Kramer's intervals for all pairs; where every pair has a spread of its own, Bonferroni's. A difference of two
    that are equal is declared in 5% of studies at most.
    """
    found = []
    for other in range(len(means.mean)):
        if other != best:
            found.append(means.difference(best, other, means.bound_of_pairs(means.spread(best, other)[1])))
    return found


def with_reference(means: PairedMeans, reference: int) -> list[Interval]:
    """`reference` minus each other candidate, in their order without it; all 95% intervals hold together.

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
        df = means.spread(other, reference)[1]
        if means.row_noise is None:
            bound = critical_values.each_alone(len(others), df)
        else:
            bound = critical_values.one_to_many(len(others), df, correlation)
        found.append(means.difference(reference, other, bound))
    return found


def lead_of(one: np.ndarray, other: np.ndarray) -> Interval:
    """A 95% interval for `one` minus `other`, two candidates that were chosen before these rows were scored.

    Args:
        one, other: scores of the same rows in the same runs, finite, float [repeats, rows], at least 2 of both.
    """
    rows = RowScores.crossed(np.stack([one, other]))
    means = paired_means(rows.means, rows=rows)
    return means.difference(0, 1, critical_values.each_alone(1, means.spread(0, 1)[1]))


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
    df = means.spread(int(order[0]), int(order[1]))[1]
    size = (df / scipy.stats.chi2.ppf(NODES_OF_CHANCE, df))[:, None, None]
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
