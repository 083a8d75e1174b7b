"""Finalists ranked, compared with the best of them, and tested: what a verdict is made of."""

from dataclasses import dataclass

import numpy as np

from lanewise.errors import InputError
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.differences import chances_of_best, lead_of, with_best
from lanewise.statistics.heavy_tails import skew_aware_interval, tails_words
from lanewise.statistics.intervals import Interval, middle_of, score_interval
from lanewise.statistics.paired_means import PairedMeans, paired_means
from lanewise.statistics.power import Needed, needed_to_separate
from lanewise.statistics.rounding import CERTAIN, mean_of
from lanewise.statistics.row_scores import RowScores
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.verdict import Finalist


def rank_finalists(
    candidates: list[int],
    recipes: list[Recipe],
    metric: np.ndarray,
    loss: np.ndarray,
    overlap: float,
    rows: int | None = None,
    kind: ScoreKind | None = None,
    single: RowScores | None = None,
) -> tuple[Finalist, ...]:
    """The finalists, best first by mean metric (then by mean loss), each compared with the best.

    Their chances of being the best stand in the same order, see `in_order`.

    A baseline is one of them, and treated like all others.

    Args:
        metric: turned so that greater is better, on the validation rows of fresh repeats, float [finalists, repeats].
        loss: validation loss of the same; NaN in both where a run diverged. A fraction counts as 0 there; of other
            metrics see `filled_below`, and whoever diverged in fewer repeats comes first, whatever the scores.
        overlap: validation rows divided by training rows. rows: validation rows. kind: of the metric, by default a
            fraction.
        single: of which `metric` are the means, if the metric scores rows, NaN where a run diverged.
            Metrics that are no fractions have no bounds: of those the best and worst fifth of the repeats do not count,
            see `paired_means`.

    Raises:
        InputError: every finalist diverged in every repeat.
    """
    kind = kind or ScoreKind()
    metric = np.where(np.isfinite(metric), metric, np.nan)
    if np.isnan(metric).all():
        if np.isfinite(loss).any():
            raise InputError("metric: must be a finite number, and is for no finalist in any of the fresh repeats")
        raise InputError("every finalist diverged on fresh repeats: none trains this model; lower the learning rates")
    means = paired(metric, overlap, rows, kind, single) if len(candidates) > 1 else None
    lost = np.isnan(metric).sum(axis=1) * (not kind.fraction)
    centre = shown_means(metric, None if means is None else means.mean, kind)
    # Equal means that were added up in another order are equal: then the loss decides.
    order = sorted(
        range(len(candidates)),
        key=lambda at: (lost[at], -float(f"{centre[at]:.{CERTAIN}g}"), np.nan_to_num(loss[at].mean(), nan=np.inf)),
    )
    if means is None:
        scores, mean = kind.turned(metric[0]), kind.turned(float(centre[0]))
        return (Finalist(candidates[0], recipes[0], scores, None, chance=1.0, mean=mean),)
    best, *others = order
    compared = dict(zip(sorted(others), with_best(means, best), strict=True))
    # Whoever diverged more often is not the best, whatever its scores in the other repeats.
    chances = np.where(lost == lost[best], chances_of_best(means), 0.0)
    chances = chances / chances.sum() if chances.sum() > 0 else np.eye(len(order))[best]
    chances[order] = in_order(chances[order])
    found = []
    for at in order:
        difference, needed = compared.get(at), None
        if difference is not None and not difference.low > 0:
            needed = needed_to_separate(means, best, at) if lost[at] == lost[best] else Needed()
        scores, mean = kind.turned(metric[at]), kind.turned(float(centre[at]))
        found.append(
            Finalist(
                candidates[at], recipes[at], scores, difference, chance=float(chances[at]), needed=needed, mean=mean
            )
        )
    return tuple(found)


def shown_means(metric: np.ndarray, compared: np.ndarray | None, kind: ScoreKind) -> np.ndarray:
    """The mean score of each candidate, greater is better, such that their differences are those that are compared.

    The trimmed means of scores that are no fractions are counted from what the candidates have in common in each
    repeat; here that is added again.

    Args:
        metric: with NaN where a run diverged, float [candidates, repeats]. compared: the means that are compared
            [candidates], None for a single candidate.
    """
    if kind.fraction:
        return np.array([mean_of(row) for row in np.nan_to_num(metric, nan=_worst(kind))])
    filled = filled_below(metric)
    if compared is None:
        return np.array([mean_of(middle_of(row)) for row in filled])
    return np.asarray(compared + mean_of(middle_of(np.median(filled, axis=0))))


def in_order(chances: np.ndarray) -> np.ndarray:
    """Chances of being the best of candidates that come best first, such that none is above one before it.

    One whose scores vary more has sometimes the greater chance in spite of the lower mean, and chances are drawn, so
    that near equals change places. How much a candidate varies is not known well enough to put it before a better mean
    for that: those that contradict the order share what they have together.

    Source: the pool of adjacent violators; Barlow and others, "Statistical inference under order restrictions", 1972.

    >>> in_order(np.array([0.38, 0.4, 0.2, 0.02])).round(2).tolist()
    [0.39, 0.39, 0.2, 0.02]
    """
    blocks: list[list[float]] = []
    for chance in chances:
        blocks.append([float(chance)])
        while len(blocks) > 1 and mean_of(blocks[-1]) > mean_of(blocks[-2]):
            last = blocks.pop()
            blocks[-1] += last
    return np.array([mean_of(block) for block in blocks for _ in block])


def paired(
    metric: np.ndarray, overlap: float, rows: int | None, kind: ScoreKind, single: RowScores | None = None
) -> PairedMeans:
    """The candidates' means and how sure their differences are; arguments as in `rank_finalists`, NaN filled in."""
    if not kind.fraction:
        sound = None if single is None else single.sound
        return paired_means(filled_below(metric), overlap, sound, heavy_tails=True)
    worst = _worst(kind)
    filled = np.nan_to_num(metric, nan=worst)
    if single is None:
        return paired_means(filled, overlap, count=rows)
    values = np.where(np.isnan(metric)[:, single.repeat], worst, single.values)
    return paired_means(filled, overlap, RowScores(values, single.repeat, single.row))


def _worst(kind: ScoreKind) -> float:
    """Of a fraction: a run that diverged is right nowhere."""
    return 0.0 if kind.greater_is_better else -1.0


def filled_below(metric: np.ndarray) -> np.ndarray:
    """`metric`, greater is better, with a score worse than all others in the place of NaN.

    No number is the worst of an unbounded metric, and minus infinity has no mean or variance to compare by. So NaN
    counts as far below the worst score as that is below the best, or by its own size (at least 1) where all are equal.

    >>> filled_below(np.array([[-0.5, -1.5], [-1.0, np.nan]])).tolist()
    [[-0.5, -1.5], [-1.0, -2.5]]
    """
    worst, best = float(np.nanmin(metric)), float(np.nanmax(metric))
    return np.where(np.isnan(metric), worst - ((best - worst) or max(1.0, abs(worst))), metric)


@dataclass(frozen=True)
class Tested:
    """What the test rows say, of recipes that were settled before.

    Attributes:
        winner: its test metric, in the metric's own direction. runner_up, baseline: winner minus the other, above zero
            where the winner is better; None where there is no such other, or fewer than two repeats in which both have
            a score. Each interval stands for itself: nothing was chosen by these rows. heavy_tails: see `tails_words`.
    """

    winner: Interval
    runner_up: Interval | None = None
    baseline: Interval | None = None
    heavy_tails: str | None = None


def intervals_on_test_rows(
    rows: dict[int, np.ndarray],
    finalists: tuple[Finalist, ...],
    kind: ScoreKind | None = None,
    baseline: int | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Tested:
    """The winner's test metric and its lead over runner-up and baseline, over new runs and new rows.

    A repeat whose scores are not all finite numbers, as those of a run that diverged, does not count.

    Args:
        rows: candidate -> metric of every test row [repeats, rows], turned so that greater is better, of winner,
            runner-up and baseline; batches stand for rows where whole batches are scored. kind: of the metric, by
            default a fraction. baseline: the candidate that the user gave, or None. bounds: of the metric, beyond which
            no interval goes.

    Raises:
        InputError: the winner has a score in fewer than two repeats.
    """
    kind = kind or ScoreKind()
    winner = rows[finalists[0].candidate]
    sound = winner[np.isfinite(winner).all(axis=1)]
    if len(sound) < 2:
        raise InputError(
            f"metric: must be a finite number on all test rows in at least 2 fresh repeats, and is in {len(sound)} of "
            f"{len(winner)} for the winner"
        )

    def lead(other: int) -> Interval | None:
        both = np.isfinite(winner).all(axis=1) & np.isfinite(rows[other]).all(axis=1)
        if both.sum() < 2:
            return None
        if winner.shape[1] == 1:
            return score_interval(winner[both] - rows[other][both], fraction=False)
        return lead_of(winner[both], rows[other][both])

    return Tested(
        skew_aware_interval(kind.turned(sound), kind.fraction).within(*bounds),
        lead(finalists[1].candidate) if len(finalists) > 1 else None,
        None if baseline is None or baseline == finalists[0].candidate else lead(baseline),
        None if kind.fraction else tails_words(sound),
    )
