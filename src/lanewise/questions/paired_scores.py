"""Intervals for what is made of the scores of recipes that were trained in the same repeats."""

import numpy as np

from lanewise.questions.phase import PhaseResult
from lanewise.statistics import critical_values
from lanewise.statistics.differences import with_reference
from lanewise.statistics.intervals import Interval
from lanewise.statistics.sample import Sample
from lanewise.verdict.answer import Setup

__all__ = ["Sample", "expected", "lost_without", "sample_of", "score_intervals"]


def sample_of(trained: PhaseResult, setup: Setup) -> Sample:
    """The scores of a phase.

    Raises:
        InputError: every recipe diverged in every repeat.
    """
    train, valid = setup.rows
    return Sample.of(
        trained.scores.metric, trained.scores.loss, setup.kind, overlap=valid / train, count=valid, rows=trained.rows,
        bounds=setup.bounds,
    )  # fmt: skip


def expected(sample: Sample, together: bool = False) -> list[Interval]:
    """95% intervals for the expected value of each of `sample`; `together`: all of them hold at once.

    Each is measured by its own spread alone, beside nothing: sums of scores, such as interactions, need not vary alike,
    nor be correlated (so the bound is that of independent comparisons, the widest there is).
    """
    count = len(sample.scores) if together else 1
    found = []
    for at in range(len(sample.scores)):
        alone_and_zero = np.zeros((2, len(sample.scores)))
        alone_and_zero[0, at] = 1
        means = sample.combined(alone_and_zero).means
        found.append(means.difference(0, 1, critical_values.one_to_many(count, means.spread(0, 1)[1], 0.0)))
    return found


def score_intervals(sample: Sample) -> list[Interval]:
    """Of each recipe its expected score in the metric's own direction, each interval by itself."""
    return [sample.own(interval) for interval in expected(sample)]


def lost_without(sample: Sample) -> list[Interval]:
    """The first recipe, which was named before anything was scored, minus each other; all intervals hold at once."""
    return with_reference(sample.means, 0)
