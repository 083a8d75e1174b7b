"""What a rule of the race is, and the defaults of a race."""

from collections.abc import Callable
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


def sound(scores: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Which of `live` are scored in every repeat at the last rung, bool; all of them where none is."""
    scored = ~np.isnan(scores[-1][live].mean(axis=1))
    return scored if scored.any() else np.ones(len(live), bool)
