"""What the scores so far say: how noisy a rung is, how well two rungs agree, and who is likely to end well."""

import numpy as np

BACK = 0.5
"""A rung is compared with the last one at no more than this share of its progress: rungs that lie close together
agree, and fall, too little to tell."""
GAIN = 0.3
"""How much of its fall since then a candidate is credited with to come."""
MOST_FALL = 4.0
"""The most that counts as a fall, as a multiple of what lies between the median and the best of the live: else a spike
that is over would lift a candidate over all."""


def means(scores: np.ndarray) -> np.ndarray:
    """The mean over repeats, float [..., candidate]; NaN where one is missing or the repeats cancel infinities."""
    with np.errstate(invalid="ignore"):
        return np.asarray(scores.mean(axis=-1))


def ranks(values: np.ndarray) -> np.ndarray:
    """The places of `values`, float [n], from 1; equal scores share the mean of their places.

    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    # As `scipy.stats.rankdata`, whose module takes most of a second to import, and a race begins with this.
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where one of them is constant."""
    a, b = ranks(a), ranks(b)
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


def earlier(progress: np.ndarray) -> int | None:
    """The last of the rungs reached, at `progress`, that lies at `BACK` of the last one's progress or before.

    >>> earlier(np.array([0.0625, 0.125, 0.25, 0.375, 0.5])), earlier(np.array([0.25, 0.375]))
    (2, None)
    """
    before = np.flatnonzero(progress <= BACK * progress[-1] + 1e-9)
    return int(before[-1]) if len(before) else None


def agreement(scores: np.ndarray, progress: np.ndarray) -> float:
    """The rank correlation of the last rung with that at half its progress, of those scored at both; NaN if unknown.

    What repeats show to be noise is allowed for: the correlation is divided by the two rungs' reliability.

    >>> rungs = np.array([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [2.0], [4.0], [3.0]]])
    >>> agreement(rungs, np.array([0.25, 0.5]))
    0.8
    """
    back = earlier(progress[: len(scores)])
    if back is None:
        return np.nan
    then, now = scores[back], scores[-1]
    both = ~np.isnan(means(then)) & ~np.isnan(means(now))
    if both.sum() < 4:
        return np.nan
    found = correlation(means(then)[both], means(now)[both])
    noise = np.sqrt(reliability(then[both]) * reliability(now[both]))
    if noise > 0:  # NaN with one repeat
        found /= max(noise, 0.3)
    return float(np.clip(found, -1, 1))


def outlook(scores: np.ndarray, progress: np.ndarray, live: np.ndarray) -> np.ndarray:
    """What each live candidate promises for the end, lower is better: its score, less `GAIN` of its fall of late.

    The fall is that since half the progress, at most `MOST_FALL` (median - best) of the live. Who has risen is not
    charged for it: a high rate may rise until it decays.

    >>> rungs = np.array([[[9.0], [4.0], [6.0]], [[5.0], [4.0], [7.0]]])
    >>> outlook(rungs, np.array([0.25, 0.5]), np.arange(3)).round(2)  # falls of 4, 0, none
    array([3.8, 4. , 7. ])
    """
    now, back = means(scores[-1][live]), earlier(progress[: len(scores)])
    known = now[np.isfinite(now)]
    if back is None or not len(known):
        return now
    with np.errstate(invalid="ignore"):
        fall = means(scores[back][live]) - now
    most = MOST_FALL * (np.median(known) - known.min())
    return now - GAIN * np.where(np.isnan(fall), 0, np.clip(fall, 0, most))
