"""What a race has spent, and how many candidates it can afford. Unit: the training of one candidate to the end."""

import numpy as np


def spent(scores: np.ndarray, progress: np.ndarray, live: np.ndarray) -> float:
    """What has been trained up to the last rung reached.

    A candidate that is gone trained up to the last rung that it was scored at, or up to the first if it never was.

    >>> scores = np.array([[[3.0], [2.0], [np.nan]], [[1.0], [np.nan], [np.nan]]])
    >>> spent(scores, np.array([0.25, 0.5]), np.array([0]))  # 0.5 + 0.25 + 0.25
    1.0
    """
    scored = ~np.isnan(scores).all(axis=2)
    last = np.where(scored.any(axis=0), len(scores) - 1 - np.argmax(scored[::-1], axis=0), 0)
    last[live] = len(scores) - 1
    return float(np.sum(progress[last]))


def affordable(live: int, ahead: np.ndarray, left: float, shape: np.ndarray) -> int:
    """How many of `live` candidates to keep now, if the numbers kept from here on are to be as `shape` to each other.

    The whole of `left` is spent, if nobody diverges; at least one candidate is kept, whatever is left.

    Args:
        ahead: progress now and at the rungs to come. left: what may still be spent. shape: as long as `ahead`.

    >>> ahead = np.array([0.25, 0.5])  # 4 to the end cost 3; 6 up to 0.5, then 3, cost 3 as well
    >>> affordable(8, ahead, 3.0, np.array([1, 1])), affordable(8, ahead, 3.0, np.array([2, 1]))
    (4, 6)
    """
    lengths, shape = np.diff([*ahead, 1.0]), np.asarray(shape, float)
    # The cost of m x shape is linear in m between the points where a number reaches 1 or `live`.
    bends = np.unique(np.concatenate([[0.0], 1 / shape, live / shape]))
    costs = np.clip(bends[:, None] * shape, 1, live) @ lengths
    low = float(np.interp(left, costs, bends))
    kept = min(float(live), low * float(shape[0]))
    if len(ahead) > 1:  # the rungs to come make up for what is rounded, up or down, unless nothing is left for them
        most = (left - (1 - ahead[1])) / lengths[0]
        return int(np.clip(np.floor(kept + 0.5), 1, max(1, most + 1e-9)))
    return max(1, int(kept + 1e-6))
