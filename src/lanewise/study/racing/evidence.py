"""What the scores so far say: how noisy a rung is, how well two rungs agree, who is ahead over all rungs seen."""

import numpy as np
from scipy.special import ndtri
import scipy

STAYS, CHANGES, NOISE = 0.45, 0.45, 0.1
"""Parts of the variance of a normal score: what a candidate keeps for the whole run, what changes along the run, and
what each rung draws anew where one repeat cannot tell it."""
MEMORY = 1.5
"""What changes along the run is forgotten over this many e-folds of progress, two doublings or so."""


def normal_scores(values: np.ndarray) -> np.ndarray:
    """The values' ranks as quantiles of a normal distribution, so that only the order counts; NaN becomes 0.

    >>> normal_scores(np.array([5.0, 100.0, np.nan, 6.0])).round(2).tolist()
    [-0.97, 0.97, 0.0, 0.0]
    """
    known = ~np.isnan(values)
    result = np.zeros(len(values))
    if known.any():
        result[known] = ndtri((scipy.stats.rankdata(values[known]) - 0.5) / known.sum())
    return result


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where one of them is constant."""
    a, b = scipy.stats.rankdata(a), scipy.stats.rankdata(b)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def reliability(scores: np.ndarray) -> float:
    """Which part of the differences between candidates' means over repeats is not noise, 0 to 1, or NaN if unknown.

    From the rank correlation r between paired repeats, by Spearman and Brown's formula R r / (1 + (R - 1) r).

    Args:
        scores: of one rung, float [candidate, repeat].

    >>> reliability(np.array([[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]]))
    1.0
    """
    scores = scores[~np.isnan(scores).any(axis=1)]
    candidates, repeats = scores.shape
    if repeats < 2 or candidates < 3:
        return np.nan
    pairs = [correlation(scores[:, a], scores[:, b]) for a in range(repeats) for b in range(a)]
    mean = max(0.0, float(np.mean(pairs)))
    return float(repeats * mean / (1 + (repeats - 1) * mean))


def agreement(scores: np.ndarray) -> tuple[float, int]:
    """(rank correlation of the last rung with the first, how many candidates it rests on); (NaN, 0) if unknown.

    What repeats show to be noise is allowed for: the correlation is divided by the two rungs' reliability.

    >>> agreement(np.array([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [2.0], [4.0], [3.0]]]))
    (0.8, 4)
    """
    means = scores[[0, -1]].mean(axis=2)
    both = ~np.isnan(means).any(axis=0)
    if len(scores) < 2 or both.sum() < 4:
        return np.nan, 0
    found = correlation(*means[:, both])
    noise = np.sqrt(reliability(scores[0][both]) * reliability(scores[-1][both]))
    if noise > 0:  # NaN with one repeat
        found /= max(noise, 0.3)
    return float(np.clip(found, -1, 1)), int(both.sum())


def weights(progress: np.ndarray, noise: float) -> np.ndarray:
    """What each rung's normal scores weigh in the expected normal score at the end of the run, float [rung].

    The normal scores of a candidate at progress s and t have covariance STAYS + CHANGES exp(-|ln s/t| / MEMORY), and
    `noise` more where s = t; the weights are those of the conditional mean at t = 1. The last rung
    weighs most; the others average its noise out.

    >>> weights(np.array([0.5]), 0.1).round(3)
    array([0.733])
    >>> weights(np.array([0.125, 0.25, 0.5]), 0.1).round(2)
    array([0.11, 0.13, 0.57])
    """
    at = np.log(progress)
    covariance = STAYS + CHANGES * np.exp(-np.abs(at[:, None] - at) / MEMORY) + noise * np.eye(len(at))
    return np.linalg.solve(covariance, STAYS + CHANGES * np.exp(-np.abs(at) / MEMORY))


def standing(scores: np.ndarray, progress: np.ndarray, live: np.ndarray) -> np.ndarray:
    """The expected normal score at the end of each live candidate, lower is better, from all rungs seen."""
    means = scores[:, live].mean(axis=2)
    found = reliability(scores[-1][live])
    noise = NOISE if np.isnan(found) else float(np.clip(1 - found, 0.02, 0.9))
    seen = np.array([normal_scores(rung) for rung in means])
    return np.asarray(weights(progress[: len(scores)], noise) @ seen)
