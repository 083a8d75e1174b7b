"""Finalists ranked, compared with the best of them, and tested: what a verdict is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.errors import InputError
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.differences import chances_of_best, lead_of, with_best
from lanewise.statistics.heavy_tails import HeavyTails, skew_aware_interval, tails_of
from lanewise.statistics.intervals import Interval, score_interval
from lanewise.statistics.power import Needed, needed_to_separate
from lanewise.statistics.rounding import CERTAIN, mean_of
from lanewise.statistics.sample import Sample
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.findings import Finalist


def rank_finalists(candidates: Sequence[int], recipes: Sequence[Recipe], sample: Sample) -> tuple[Finalist, ...]:
    """The finalists, best first by mean metric (then by mean loss), each compared with the best.

    Their chances of being the best stand in the same order, see `in_order`. A baseline is one of them, and treated like
    all others. Of metrics that are no fractions the best and worst fifth of the repeats do not count, see
    `paired_means`, and whoever diverged in fewer repeats comes first, whatever the scores.

    Args:
        candidates: their numbers. sample: their scores on the validation rows of new training runs, with losses.
    """
    kind, own = sample.kind, sample.own_scores
    means = sample.means if len(candidates) > 1 else None
    centre = sample.shown_means(None if means is None else means.mean)
    if means is None:
        return (Finalist(candidates[0], recipes[0], own[0], kind.turned(float(centre[0]))),)
    lost = np.isnan(own).sum(axis=1) * (not kind.fraction)
    losses = np.zeros(own.shape) if sample.losses is None else sample.losses
    # Equal means that were added up in another order are equal: then the loss decides.
    best, *others = order = sorted(
        range(len(candidates)),
        key=lambda at: (lost[at], -float(f"{centre[at]:.{CERTAIN}g}"), np.nan_to_num(losses[at].mean(), nan=np.inf)),
    )
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
        mean, chance = kind.turned(float(centre[at])), float(chances[at])
        found.append(Finalist(candidates[at], recipes[at], own[at], mean, difference, chance, needed))
    return tuple(found)


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


@dataclass(frozen=True)
class Tested:
    """Scores on the test rows of recipes that were chosen before.

    Attributes:
        winner: its test metric, in the metric's own direction. runner_up, baseline: winner minus the other, above zero
            where the winner is better; None where there is no such other, or fewer than two repeats in which both have
            a score. Each interval stands for itself: nothing was chosen by these rows. heavy_tails: how much
            few rows decide the winner's score, where they do.
    """

    winner: Interval
    runner_up: Interval | None = None
    baseline: Interval | None = None
    heavy_tails: HeavyTails | None = None


def intervals_on_test_rows(
    rows: dict[int, np.ndarray],
    finalists: tuple[Finalist, ...],
    kind: ScoreKind | None = None,
    baseline: int | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Tested:
    """The winner's test metric and its lead over runner-up and baseline, over new runs and new rows.

    A run whose scores are not all finite numbers, as those of a run that diverged, does not count.

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
            f"metric: must be a finite number on all test examples in at least 2 new training runs, and is in "
            f"{len(sound)} of {len(winner)} for the winner"
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
        None if kind.fraction else tails_of(sound),
    )
