"""What a race by a pruner will cost, before it is run: the engine plans its lanes by it."""

from collections.abc import Sequence

import numpy as np

from lanewise.racing.pruner import Pruner, compute_for
from lanewise.racing.table import PRUNERS

FIELD, REPEATS = 64, 3


def expected_survivors(
    rungs: Sequence[float], pruner: str | Pruner = "halving", compute: float | None = None
) -> list[tuple[float, float]]:
    """(share of the candidates, share of the steps) of each stage of a race by `pruner` with these rungs.

    `compute` is by default that of a race with such rungs. Pruners that decide by the scores are asked of a field of 64
    with three repeats, whose rungs correlate by 0.7.

    >>> expected_survivors([]), [round(share, 3) for share, _ in expected_survivors([0.25, 0.5], compute=0.5)]
    ([(1.0, 1.0)], [1.0, 0.5, 0.25])
    >>> [share for share, _ in expected_survivors([0.25, 0.5], "none")]
    [1.0, 1.0, 1.0]
    """
    compute = compute_for(rungs) if compute is None else compute
    decide = PRUNERS[pruner] if isinstance(pruner, str) else pruner
    generator = np.random.default_rng(0)
    progress, live, shares = np.array(rungs), np.arange(FIELD), [1.0]
    seen = np.full((0, FIELD, REPEATS), np.nan)
    scores = generator.normal(size=FIELD)
    for _ in rungs:
        rung = np.full((1, FIELD, REPEATS), np.nan)
        rung[0, live] = scores[live, None]
        seen = np.concatenate([seen, rung])
        live = decide(seen, progress, live, compute)
        shares.append(len(live) / FIELD)
        scores = 0.7 * scores + np.sqrt(1 - 0.7**2) * generator.normal(size=FIELD)
    return list(zip(shares, (float(length) for length in np.diff([0.0, *rungs, 1.0])), strict=True))


def expected_share(survivors: Sequence[tuple[float, float]]) -> float:
    """Share of training everything to the end that a race will spend."""
    return sum(share * length for share, length in survivors)
