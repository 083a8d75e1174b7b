"""What a pruner of the race is, and the defaults of a race."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

Pruner: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
"""pruner(scores, progress, live, compute) -> kept.

scores: float [rung so far, candidate, repeat], lower is better, NaN where a candidate was gone or is not scored.
progress: the fraction of the run at every rung planned; the first len(scores) of them are reached.
live, kept: integer arrays of candidates; at least one is kept.
compute: share of training everything to the end that the race may spend on average.
"""

RUNGS = (0.125, 0.25, 0.5)
"""Progress at which some leave; runs that are too short to be evaluated there have fewer."""
COMPUTE = 1 / 3
"""Share of the full training that the race may spend. On recorded races of digits and Fashion-MNIST a third lost at
most 0.02 points against training everybody to the end (bench/NOTES.md, Races)."""


def compute_for(rungs: Sequence[float]) -> float:
    """What a race with these rungs may spend: a third, but at least twice what everybody costs up to the first rung.

    Less would leave next to nobody after it.

    >>> [round(compute_for(rungs), 2) for rungs in ([0.125, 0.25, 0.5], [0.25, 0.5], [])]
    [0.33, 0.5, 1.0]
    """
    return min(1.0, max(COMPUTE, 2 * rungs[0])) if rungs else 1.0


def ranked(scores: np.ndarray, live: np.ndarray) -> np.ndarray:
    """The live candidates, best first by their mean over repeats at the last rung; those with a NaN come last."""
    with np.errstate(invalid="ignore"):  # infinities of both signs cancel: NaN
        means = scores[-1][live].mean(axis=1)
    return live[np.argsort(np.where(np.isnan(means), np.inf, means), kind="stable")]


def sound(scores: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Which of `live` are scored in every repeat at the last rung, bool; all of them where none is."""
    with np.errstate(invalid="ignore"):
        scored = ~np.isnan(scores[-1][live].mean(axis=1))
    return scored if scored.any() else np.ones(len(live), bool)
