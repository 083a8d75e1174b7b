"""Paired differences between recipes trained on the same repeats, with simultaneous intervals."""

import numpy as np

from lanewise.study.question import Ground
from lanewise.study.statistics import CONFIDENCE, Interval, compared_to_best, resampled_interval


def score_intervals(scores: np.ndarray, ground: Ground) -> list[Interval]:
    """Of each recipe its expected score, each interval by itself; `scores` [recipes, repeats]."""
    rows = ground.counted_rows
    return [resampled_interval(row, ground.overlap, CONFIDENCE, rows) for row in scores]


def behind_best(scores: np.ndarray, best: int, ground: Ground) -> list[Interval]:
    """Best minus each other recipe, in their order, all intervals true at once with 95% confidence."""
    return compared_to_best(scores, best, ground.overlap, ground.counted_rows)


def contrasts(values: np.ndarray, ground: Ground) -> list[Interval]:
    """Intervals for the means of `values` [contrasts, repeats], all true at once with 95% confidence."""
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(values))
    return [resampled_interval(row, ground.overlap, confidence, ground.counted_rows) for row in values]
