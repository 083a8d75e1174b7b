"""Pruners that decide by the last rung alone: none, one cut, successive halving, Hyperband, the median pruner."""

import math

import numpy as np

from lanewise.racing.budget import affordable, spent
from lanewise.racing.pruner import ranked, sound

CUT_SHARE = 0.35
"""A cut comes at the last rung that takes no more than this share of the budget. Over the families of curves of the
tests and budgets of 3/16, 1/3 and 1/2 later cuts left too few, and earlier ones gained nothing."""


def none(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """Nobody leaves: every candidate is trained to the end, whatever `compute` says."""
    return np.sort(live)


def halving(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """The same share of candidates leaves at every rung, such that the race spends `compute` on average.

    Those with a NaN leave as well, unless there is nobody else.

    A candidate that leaves at rung k has cost progress[k], so a race that keeps the share s at each rung costs
    sum over k of s^k (progress[k+1] - progress[k]), which rises with s; s is found by bisection.

    Source: Jamieson and Talwalkar, "Non-stochastic best arm identification", 2016; with s from the budget.
    """
    share = kept_share(progress, compute)
    most = max(1, math.ceil(share * len(live) - 1e-9))
    return best(scores, live, most)


def kept_share(progress: np.ndarray, compute: float) -> float:
    """The share to keep at each rung so that a race with rungs at `progress` costs `compute` of the full training.

    >>> round(kept_share(np.array([0.25, 0.5]), 0.5), 3)
    0.5
    """
    lengths = np.diff([0.0, *progress, 1.0])
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.sum(lengths * middle ** np.arange(len(lengths)))) > compute:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def best(scores: np.ndarray, live: np.ndarray, most: int) -> np.ndarray:
    """The best at the last rung, at most `most` of them and at least one; without those with a NaN if that can be."""
    return np.sort(ranked(scores, live[sound(scores, live)])[: max(1, most)])


def cut(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """One cut at one early rung, and the best go on to the end: as many as the budget can pay for.

    With n candidates and the cut at progress t, n (compute - t) / (1 - t) go on. t is the last rung that takes no more
    than `CUT_SHARE` of the budget, or the first rung.

    >>> scores = np.arange(8.0).reshape(1, 8, 1)
    >>> cut(scores, np.array([0.2, 0.5]), np.arange(8), 0.6).tolist()  # 8 (0.6 - 0.2) / 0.8
    [0, 1, 2, 3]
    """
    at = cut_rung(progress, compute)
    if len(scores) - 1 < at:
        return np.sort(live)
    if len(scores) - 1 > at:
        return best(scores, live, len(live))
    left = compute * scores.shape[1] - spent(scores, progress, live)
    return best(scores, live, affordable(len(live), progress[at : at + 1], left, np.ones(1)))


def cut_rung(progress: np.ndarray, compute: float) -> int:
    """The last rung that takes no more than `CUT_SHARE` of the budget, or the first."""
    early = np.flatnonzero(progress <= CUT_SHARE * compute)
    return int(early[-1]) if len(early) else 0


def hyperband(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """Successive halving in several brackets, of which each begins to drop one rung later; i is in bracket i mod n.

    A bracket that begins at progress t cannot cost less than t, so there are as many as there are rungs below
    `compute`, and at least one; each keeps the share that makes it cost `compute`.

    Source: Li et al., "Hyperband", 2018; brackets of equal size, as candidates run side by side.
    """
    brackets = max(1, int(np.sum(progress < compute)))
    at, live = len(scores) - 1, live[sound(scores, live)]
    kept = []
    for bracket in range(brackets):
        own = live[live % brackets == bracket]
        if len(own) and at < bracket:
            kept.append(own)
        elif len(own):
            share = kept_share(progress[bracket:], compute) ** (at - bracket + 1)
            size = len(range(bracket, scores.shape[1], brackets))
            kept.append(best(scores, own, int(share * size + 0.5)))
    return np.sort(np.concatenate(kept))


def median(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """Who never was better than the median of the others' averages leaves, and more where the budget asks for it.

    A candidate leaves if its best score so far is worse than the median, over all candidates scored at this rung, of
    the mean of their scores so far. So that `compute` is honoured, no more stay than could be paid for if half of them
    left at each rung to come.

    Source: Golovin et al., "Google Vizier", 2017, section 3.2; there the others are trials that have ended.
    """
    here = live[sound(scores, live)]
    with np.errstate(invalid="ignore"):  # infinities of both signs cancel: NaN
        means = scores[:, here].mean(axis=2)
        known = ~np.isnan(means)
        averages = np.where(known, means, 0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
        middle = np.median(averages)
    tops = np.where(known, means, np.inf).min(axis=0)
    kept = here[~(tops > middle)]
    ahead = progress[len(scores) - 1 :]
    left = compute * scores.shape[1] - spent(scores, progress, live)
    most = affordable(len(here), ahead, left, 0.5 ** np.arange(len(ahead)))
    return best(scores, kept if len(kept) else here, most)
