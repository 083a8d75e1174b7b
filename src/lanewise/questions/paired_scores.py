"""Scores of recipes trained on the same repeats, and intervals for what is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.errors import InputError
from lanewise.questions.phase import PhaseResult
from lanewise.statistics import critical_values
from lanewise.statistics.differences import with_reference
from lanewise.statistics.intervals import Interval
from lanewise.statistics.paired_means import PairedMeans, paired_means
from lanewise.statistics.row_scores import RowScores
from lanewise.verdict.answer import Ground
from lanewise.verdict.ranking import filled_below

ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Sample:
    """Scores of recipes, greater is better, finite: what diverged has the worst.

    Attributes:
        scores: float [recipes, repeats]. rows: the same row by row, if they are scored by rows, else None; of metrics
            that are no fractions without the repeats in which any diverged.
    """

    ground: Ground
    scores: np.ndarray
    rows: RowScores | None = None

    @classmethod
    def of(cls, trained: PhaseResult, ground: Ground) -> "Sample":
        """The scores of a phase.

        Raises:
            InputError: every recipe diverged in every repeat.
        """
        kind = ground.kind
        metric = np.where(np.isfinite(trained.scores.metric), trained.scores.metric, np.nan)
        if np.isnan(metric).all():
            if np.isfinite(trained.scores.loss).any():
                raise InputError("metric: must be a finite number, and is for no recipe in any repeat")
            raise InputError("every recipe diverged in every repeat: none trains this model; lower the learning rates")
        if not kind.fraction:
            return cls(ground, filled_below(metric), trained.rows and trained.rows.sound)
        # A run that diverged is right nowhere.
        worst = 0.0 if kind.greater_is_better else -1.0
        single = trained.rows
        if single is not None:
            values = np.where(np.isnan(metric)[:, single.repeat], worst, single.values)
            single = RowScores(values, single.repeat, single.row)
        return cls(ground, np.nan_to_num(metric, nan=worst), single)

    @property
    def means(self) -> PairedMeans:
        """Mean scores, and how sure their differences are."""
        overlap, fraction = self.ground.rows[1] / self.ground.rows[0], self.ground.kind.fraction
        count = self.ground.rows[1] if fraction and self.rows is None else None
        return paired_means(self.scores, overlap, self.rows, count=count, heavy_tails=not fraction)

    def combined(self, weights: np.ndarray) -> "Sample":
        """Sums of the recipes' scores, with `weights` [sums, recipes]."""
        rows = self.rows and RowScores(summed(weights, self.rows.values), self.rows.repeat, self.rows.row)
        return Sample(self.ground, summed(weights, self.scores), rows)

    def chosen(self, places: Sequence[int]) -> "Sample":
        """Some of the recipes, in this order."""
        return self.combined(np.eye(len(self.scores))[list(places)])

    def beside(self, other: "Sample") -> "Sample":
        """These recipes and others that were trained on the same repeats."""
        rows = None
        if self.rows is not None and other.rows is not None:
            rows = RowScores(np.concatenate([self.rows.values, other.rows.values]), self.rows.repeat, self.rows.row)
        return Sample(self.ground, np.concatenate([self.scores, other.scores]), rows)


def summed(weights: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`weights` @ `scores`, in which what cancels is 0: rounding would look like a difference that is always the same.

    >>> summed(np.array([[1.0, 1.0, -1.0]]), np.array([[0.1], [0.2], [0.3]])).tolist()
    [[0.0]]
    """
    found: np.ndarray = weights @ scores
    return np.where(np.abs(found) < ROUNDING * (np.abs(weights) @ np.abs(scores)), 0.0, found)


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
    kind = sample.ground.kind
    bounds = (0.0, 1.0) if kind.fraction else sample.ground.bounds
    found = []
    for interval in expected(sample):
        low, high = sorted((kind.turned(interval.low), kind.turned(interval.high)))
        found.append(Interval(kind.turned(interval.mean), low, high, interval.repeats).within(*bounds))
    return found


def lost_without(sample: Sample) -> list[Interval]:
    """The first recipe, which was named before anything was scored, minus each other; all intervals hold at once."""
    return [Interval(-one.mean, -one.high, -one.low, one.repeats) for one in with_reference(sample.means, 0)]
