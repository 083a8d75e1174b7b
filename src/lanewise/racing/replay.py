"""A race by a pruner on curves that were recorded, without training anything."""

from collections.abc import Sequence

import numpy as np

from lanewise.errors import InputError
from lanewise.racing.pruner import Pruner
from lanewise.racing.table import PRUNERS


def replay(pruner: str | Pruner, curves: np.ndarray, rungs: Sequence[float], compute: float) -> tuple[int, float]:
    """(the candidate picked, the share of training everything to the end that was spent).

    The pick is the best at the end of those that the pruner let run to the end. A candidate leaves at the first rung at
    which a score of it is not finite, before the pruner is asked.

    Args:
        pruner: a name in `PRUNERS`, or a pruner. curves: float [len(rungs) + 1, candidate, repeat], lower is better:
        the
            scores at each rung, then at the end. rungs: progress at each rung, rising, between 0 and 1.
        compute: share of training everything to the end that the pruner may spend on average, 0 to 1.

    Raises:
        InputError: an argument is not of this form, or every candidate diverged.

    >>> curves = np.array([[3.0, 1.0, 2.0, 4.0], [1.0, 2.0, 3.0, 4.0]])[:, :, None]
    >>> replay("halving", curves, [0.5], 0.75)  # 0.5 + 0.5 x 2/4; candidate 0, the best in the end, left
    (1, 0.75)
    """
    at = np.array(rungs, float)
    if at.ndim != 1 or not len(at) or (np.diff([0.0, *at, 1.0]) <= 0).any():
        raise InputError(f"rungs = {list(rungs)}: must rise, between 0 and 1, one at least")
    if curves.ndim != 3 or len(curves) != len(at) + 1 or not curves.shape[1] or not curves.shape[2]:
        raise InputError(f"curves of shape {curves.shape}: must be [{len(at)} rungs and the end, candidates, repeats]")
    if not 0 < compute <= 1:
        raise InputError(f"compute = {compute}: must be above 0 and at most 1")
    if isinstance(pruner, str) and pruner not in PRUNERS:
        raise InputError(f"pruner = {pruner!r}: must be one of {', '.join(PRUNERS)}")
    decide = PRUNERS[pruner] if isinstance(pruner, str) else pruner
    live, cost = np.arange(curves.shape[1]), 0.0
    seen = np.full((0, *curves.shape[1:]), np.nan)
    for number, length in enumerate(np.diff([0.0, *at])):
        cost += len(live) * float(length)
        live = live[np.isfinite(curves[number][live]).all(axis=1)]
        if not len(live):
            raise InputError("curves: every candidate diverged")
        rung = np.full((1, *curves.shape[1:]), np.nan)
        rung[0, live] = curves[number][live]
        seen = np.concatenate([seen, rung])
        live = np.asarray(decide(seen, at, live, compute))
    cost += len(live) * float(1 - at[-1])
    ends = curves[-1][live].mean(axis=1)
    return int(live[np.argmin(np.where(np.isfinite(ends), ends, np.inf))]), cost / curves.shape[1]
