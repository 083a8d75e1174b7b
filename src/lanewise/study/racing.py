"""Who stays in the race after a rung. Pure functions of recorded scores: no torch, nothing drawn at random."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

Rule: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
"""rule(scores, progress, live, compute) -> kept.

scores: float [rung so far, candidate, repeat], lower is better, NaN where a candidate was gone or is not scored.
progress: the fraction of the run at every rung planned; the first len(scores) of them are reached.
live, kept: integer arrays of candidates; at least one is kept.
compute: share of training everything to the end that the race may spend on average.
"""

RUNGS = (0.25, 0.5)
COMPUTE = 0.5
"""Share of the full training that the race may spend."""


def ranked(scores: np.ndarray, live: np.ndarray) -> np.ndarray:
    """The live candidates, best first by their mean over repeats at the last rung; those with a NaN come last."""
    means = scores[-1][live].mean(axis=1)
    return live[np.argsort(np.where(np.isnan(means), np.inf, means), kind="stable")]


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
    order = ranked(scores, live)
    sound = order[~np.isnan(scores[-1][order].mean(axis=1))]
    return np.sort((sound if len(sound) else order)[:most])


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


def expected_survivors(rungs: Sequence[float]) -> list[tuple[float, float]]:
    """(share of the candidates, share of the steps) of each stage of a race with these rungs.

    >>> expected_survivors([]), [round(share, 3) for share, _ in expected_survivors([0.25, 0.5])]
    ([(1.0, 1.0)], [1.0, 0.5, 0.25])
    """
    share = kept_share(np.array(rungs), COMPUTE) if rungs else 1.0
    return [(share**stage, float(length)) for stage, length in enumerate(np.diff([0.0, *rungs, 1.0]))]


def expected_share(survivors: Sequence[tuple[float, float]]) -> float:
    """Share of training everything to the end that a race will spend."""
    return sum(share * length for share, length in survivors)


RULES: dict[str, Rule] = {"halving": halving, "none": none}
