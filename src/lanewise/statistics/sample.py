"""Scores of recipes in the same repeats, with all that comparisons need to know of them. Pure numbers, no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lanewise.errors import InputError
from lanewise.statistics.intervals import Interval, middle_of
from lanewise.statistics.paired_means import PairedMeans, paired_means
from lanewise.statistics.rounding import mean_of
from lanewise.statistics.row_scores import RowScores
from lanewise.statistics.score_kind import ScoreKind

ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Sample:
    """Scores of recipes in the same repeats, finite, greater is better: a run that diverged has the worst.

    Attributes:
        scores: float [recipes, repeats]. kind: of the metric; `own` turns what is found here into its direction.
        overlap: validation rows divided by training rows of a repeat. count: validation rows of a repeat.
        rows: the scores row by row, if the metric scores rows; of metrics that are no fractions without the repeats in
            which any diverged. losses: as `scores`, NaN where a run diverged. diverged: which runs did, bool [recipes,
            repeats]. bounds: of the metric, not negated; no interval of a score goes beyond them.
    """

    scores: np.ndarray
    kind: ScoreKind = field(default_factory=ScoreKind)
    overlap: float = 0.0
    count: int | None = None
    rows: RowScores | None = None
    losses: np.ndarray | None = None
    diverged: np.ndarray | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @classmethod
    def of(
        cls,
        metric: np.ndarray,
        losses: np.ndarray,
        kind: ScoreKind,
        *,
        overlap: float = 0.0,
        count: int | None = None,
        rows: RowScores | None = None,
        bounds: tuple[float, float] = (-math.inf, math.inf),
        what: str = "recipe",
    ) -> "Sample":
        """The sample of runs of which some may have diverged, with NaN in `metric`, `losses` and `rows`.

        Args:
            metric: greater is better, as lanes give it. what: the recipes are called in messages.

        Raises:
            InputError: no run came to a score.
        """
        metric = np.where(np.isfinite(metric), metric, np.nan)
        lost = np.isnan(metric)
        if lost.all():
            if np.isfinite(losses).any():
                raise InputError(f"metric: must be a finite number, and is for no {what} in any training run")
            raise InputError(
                f"every {what} diverged in every training run: none trains this model; lower the learning rates"
            )
        if not kind.fraction:
            filled, rows = filled_below(metric), None if rows is None else rows.sound
        else:
            # A run that diverged is right nowhere.
            worst = 0.0 if kind.greater_is_better else -1.0
            filled = np.nan_to_num(metric, nan=worst)
            if rows is not None:
                values = np.where(lost[:, rows.repeat], worst, rows.values)
                rows = RowScores(values, rows.repeat, rows.row)
        return cls(filled, kind, overlap, count, rows, losses, lost, bounds)

    @property
    def means(self) -> PairedMeans:
        """Mean scores, and how sure their differences are; of metrics without bounds trimmed means."""
        fraction = self.kind.fraction
        count = self.count if fraction and self.rows is None else None
        return paired_means(self.scores, self.overlap, self.rows, count=count, heavy_tails=not fraction)

    @property
    def own_scores(self) -> np.ndarray:
        """The scores in the metric's own direction, NaN where a run diverged [recipes, repeats]."""
        scores = self.kind.turned(self.scores)
        return scores if self.diverged is None else np.where(self.diverged, np.nan, scores)

    def own(self, interval: Interval) -> Interval:
        """The interval of a score in the metric's own direction, within what the metric can be."""
        turned = interval if self.kind.greater_is_better else interval.negated
        return turned.within(*((0.0, 1.0) if self.kind.fraction else self.bounds))

    def shown_means(self, compared: np.ndarray | None = None) -> np.ndarray:
        """The mean score of each recipe, greater is better, such that differences are those that are compared.

        The trimmed means of scores without bounds are taken of what is left after the median recipe of each repeat is
        subtracted; here the middle of that median is added again.

        Args:
            compared: the means that are compared [recipes]; None for a single recipe.
        """
        if self.kind.fraction:
            return np.array([mean_of(row) for row in self.scores])
        if compared is None:
            return np.array([mean_of(middle_of(row)) for row in self.scores])
        return np.asarray(compared + mean_of(middle_of(np.median(self.scores, axis=0))))

    def combined(self, weights: np.ndarray) -> "Sample":
        """Sums of the recipes' scores, with `weights` [sums, recipes]."""
        rows = self.rows and RowScores(summed(weights, self.rows.values), self.rows.repeat, self.rows.row)
        return Sample(summed(weights, self.scores), self.kind, self.overlap, self.count, rows, bounds=self.bounds)

    def chosen(self, places: Sequence[int]) -> "Sample":
        """Some of the recipes, in this order."""
        return self.combined(np.eye(len(self.scores))[list(places)])

    def beside(self, other: "Sample") -> "Sample":
        """These recipes and others that were trained in the same repeats."""
        rows = None
        if self.rows is not None and other.rows is not None:
            rows = RowScores(np.concatenate([self.rows.values, other.rows.values]), self.rows.repeat, self.rows.row)
        scores = np.concatenate([self.scores, other.scores])
        return Sample(scores, self.kind, self.overlap, self.count, rows, bounds=self.bounds)


def summed(weights: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`weights` @ `scores`, in which what cancels is 0: rounding would look like a difference that is always the same.

    >>> summed(np.array([[1.0, 1.0, -1.0]]), np.array([[0.1], [0.2], [0.3]])).tolist()
    [[0.0]]
    """
    found: np.ndarray = weights @ scores
    return np.where(np.abs(found) < ROUNDING * (np.abs(weights) @ np.abs(scores)), 0.0, found)


def filled_below(metric: np.ndarray) -> np.ndarray:
    """`metric`, greater is better, with a score worse than all others in the place of NaN.

    No number is the worst of an unbounded metric, and minus infinity has no mean or variance to compare by. So NaN
    counts as far below the worst score as that is below the best, or by its own size (at least 1) where all are equal.

    >>> filled_below(np.array([[-0.5, -1.5], [-1.0, np.nan]])).tolist()
    [[-0.5, -1.5], [-1.0, -2.5]]
    """
    worst, best = float(np.nanmin(metric)), float(np.nanmax(metric))
    return np.where(np.isnan(metric), worst - ((best - worst) or max(1.0, abs(worst))), metric)
