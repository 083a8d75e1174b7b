"""The verdict: which recipe is best, how sure that is, and what else might be as good."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.recipe import Recipe
from lanewise.recipe_file import from_dict, to_dict
from lanewise.study.importance import Importance
from lanewise.study.score_kind import ScoreKind, plain_numbers
from lanewise.study.statistics import Interval, compared_to_best, score_interval


@dataclass(frozen=True)
class Finalist:
    """A candidate that was confirmed on fresh repeats.

    Attributes:
        candidate: its number in the race. scores: the metric on the validation rows of each fresh repeat [repeats],
            NaN where it diverged.
        difference: winner minus this one on those rows, corrected for how many are compared; None for the winner. Above
            zero the winner is better, also where less of the metric is.
        zeros: share of the penalised weights that are exactly zero, the mean over the repeats.
    """

    candidate: int
    recipe: Recipe
    scores: np.ndarray
    difference: Interval | None
    zeros: float = 0.0

    @property
    def told_apart(self) -> bool:
        """Whether the winner is better than this candidate beyond the error rate."""
        return self.difference is not None and self.difference.low > 0


@dataclass(frozen=True)
class Verdict:
    """What a race found.

    Attributes:
        finalists: winner first, then by mean score. test: the winner's test metric over fresh repeats and test rows.
        difference: winner minus runner-up on the test rows, above zero where the winner is better, also where less of
            the metric is; None where the winner is the only finalist, or too few repeats of both came to a score.
        metric: its name. kind: what its scores are; those given here are in the metric's own direction.
        candidates: how many were drawn. lane_steps: steps summed over lanes and repeats, cool-downs and confirmation
        included. seconds: `total`, `train` (exactly those steps), `compile`, `trials`. engine: plans by structure.
        importance: of the settings in this race, most first; none where there were too few candidates to say.
    """

    finalists: tuple[Finalist, ...]
    test: Interval
    difference: Interval | None
    metric: str
    candidates: int
    lane_steps: int
    seconds: dict[str, float]
    engine: dict[str, Any] = field(default_factory=dict)
    kind: ScoreKind = field(default_factory=ScoreKind)
    importance: tuple[Importance, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    @property
    def winner(self) -> Recipe:
        """The best recipe."""
        return self.finalists[0].recipe

    @property
    def indistinguishable(self) -> list[Finalist]:
        """The finalists that cannot be told from the winner."""
        return [finalist for finalist in self.finalists[1:] if not finalist.told_apart]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json` and `--json`."""
        return {
            "winner": to_dict(self.winner),
            "winner_candidate": self.finalists[0].candidate,
            "metric": self.metric,
            "greater_is_better": self.kind.greater_is_better,
            "fraction": self.kind.fraction,
            "test": self.test.to_dict(),
            "difference": self.difference.to_dict() if self.difference else None,
            "runner_up": to_dict(self.finalists[1].recipe) if len(self.finalists) > 1 else None,
            "indistinguishable": [
                {
                    "candidate": finalist.candidate,
                    "recipe": to_dict(finalist.recipe),
                    "difference": finalist.difference.to_dict() if finalist.difference else None,
                }
                for finalist in self.indistinguishable
            ],
            "finalists": [
                {
                    "candidate": finalist.candidate,
                    # JSON knows no NaN, the score of a repeat that diverged.
                    "validation": [float(score) if np.isfinite(score) else None for score in finalist.scores],
                    "zeros": finalist.zeros,
                    "recipe": to_dict(finalist.recipe),
                    "difference": finalist.difference.to_dict() if finalist.difference else None,
                }
                for finalist in self.finalists
            ],
            "candidates": self.candidates,
            "lane_steps": self.lane_steps,
            "seconds": self.seconds,
            "engine": self.engine,
            "importance": [one.to_dict() for one in self.importance],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str) -> "Verdict":
        """The verdict that `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            finalists = tuple(
                Finalist(
                    one["candidate"],
                    from_dict(one["recipe"], where),
                    np.array(one["validation"], dtype=np.float64),
                    Interval(**one["difference"]) if one["difference"] else None,
                    one["zeros"],
                )
                for one in data["finalists"]
            )
            test = Interval(**data["test"])
            difference = Interval(**data["difference"]) if data["difference"] else None
            # Records without these are older than metrics that are no fractions.
            kind = ScoreKind(data.get("greater_is_better", True), data.get("fraction", True))
            rest = {name: data[name] for name in ("metric", "candidates", "lane_steps", "seconds", "engine")}
            mattered = tuple(Importance(**one) for one in data.get("importance", []))
            return cls(finalists, test, difference, **rest, kind=kind, importance=mattered)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a verdict: {one_line(error)}") from None

    def sentences(self) -> list[str]:
        """The verdict in words."""
        winner, runs = self.finalists[0], self.test.repeats
        score = percent(self.test) if self.kind.fraction else plain(self.test)
        direction = "" if self.kind.greater_is_better else "; less is better"
        lines = [
            f"Candidate {winner.candidate} of {self.candidates} won: {self.metric} {score} on test rows "
            f"it never saw, over {runs} fresh repeats (in brackets: 95% interval{direction})."
        ]
        if winner.zeros:
            lines[0] += f" {winner.zeros:.1%} of its penalised weights are exactly zero."
        if len(self.finalists) == 1:
            return [*lines, "No other recipe came as far as the confirmation, so there was nothing to compare it with."]
        other = f"the runner-up, candidate {self.finalists[1].candidate}"
        if self.difference is None:
            lines.append(f"On the test rows it cannot be compared with {other}: in too few repeats neither diverged.")
        else:
            gap = self.difference
            side = "ahead of" if gap.mean >= 0 else "behind"
            told = "too close to tell them apart" if not gap.excludes_zero else "more than chance explains"
            size = points(gap) if self.kind.fraction else plain_difference(gap)
            lines.append(f"On the test rows it is {size} {side} {other}: {told}.")
        same = [str(finalist.candidate) for finalist in self.indistinguishable]
        if same:
            few = f"candidate {same[0]}" if len(same) == 1 else f"candidates {', '.join(same[:-1])} and {same[-1]}"
            which = "it" if len(same) == 1 else "any of them"
            lines.append(f"On fresh validation rows {few} cannot be told from the winner, so {which} may be as good.")
        else:
            lines.append("On fresh validation rows all other finalists are worse, beyond the 5% error rate.")
        return lines


def percent(interval: Interval) -> str:
    """The interval as percentages: `97.8% [97.1, 98.4]`."""
    return f"{100 * interval.mean:.1f}% [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """The size of a difference in percentage points, its interval seen from the same side: `0.3 points [-0.2, 0.8]`."""
    mean, low, high = from_its_side(interval)
    return f"{100 * mean:.2f} points [{100 * low:.2f}, {100 * high:.2f}]"


def plain(interval: Interval) -> str:
    """The interval as plain numbers: `0.1234 [0.1102, 0.1366]`."""
    mean, low, high = plain_numbers([interval.mean, interval.low, interval.high])
    return f"{mean} [{low}, {high}]"


def plain_difference(interval: Interval) -> str:
    """The size of a difference as a plain number, its interval seen from the same side: `0.012 [-0.004, 0.028]`."""
    mean, low, high = ScoreKind(fraction=False).difference_words(from_its_side(interval))
    return f"{mean} [{low}, {high}]"


def from_its_side(interval: Interval) -> tuple[float, float, float]:
    """(mean, low, high) of a difference, or of its opposite if that is the one above zero."""
    if interval.mean >= 0:
        return interval.mean, interval.low, interval.high
    return -interval.mean, -interval.high, -interval.low


def rank_finalists(
    candidates: list[int],
    recipes: list[Recipe],
    metric: np.ndarray,
    loss: np.ndarray,
    overlap: float,
    rows: int | None = None,
    kind: ScoreKind | None = None,
) -> tuple[Finalist, ...]:
    """The finalists, best first by mean metric (then by mean loss), each compared with the best.

    Args:
        metric: turned so that greater is better, on the validation rows of fresh repeats, float [finalists, repeats].
        loss: validation loss of the same; NaN in both where a run diverged. A fraction counts as 0 there; of other
            metrics see `filled_below`, and whoever diverged in fewer repeats comes first, whatever the scores.
        overlap: validation rows divided by training rows. rows: validation rows. kind: of the metric, by default a
            fraction.

    Raises:
        InputError: every finalist diverged in every repeat.
    """
    kind = kind or ScoreKind()
    metric = np.where(np.isfinite(metric), metric, np.nan)
    if np.isnan(metric).all():
        if np.isfinite(loss).any():
            raise InputError("metric: must be a finite number, and is for no finalist in any of the fresh repeats")
        raise InputError("every finalist diverged on fresh repeats: no recipe found trains this model; lower the rates")
    filled = np.nan_to_num(metric, nan=0.0) if kind.fraction else filled_below(metric)
    lost = np.isnan(metric).sum(axis=1) * (not kind.fraction)
    order = sorted(
        range(len(candidates)),
        key=lambda at: (lost[at], -filled[at].mean(), np.nan_to_num(loss[at].mean(), nan=np.inf)),
    )
    # Only shares of rows are rounded to whole rows.
    compared = compared_to_best(filled, order[0], overlap, rows if kind.fraction else None)
    others = [at for at in range(len(candidates)) if at != order[0]]
    difference = dict(zip(others, compared, strict=True))
    return tuple(Finalist(candidates[at], recipes[at], kind.turned(metric[at]), difference.get(at)) for at in order)


def filled_below(metric: np.ndarray) -> np.ndarray:
    """`metric`, greater is better, with a score worse than all others in the place of NaN.

    No number is the worst of an unbounded metric, and minus infinity has no mean or variance to compare by. So NaN
    counts as far below the worst score as that is below the best, or by its own size (at least 1) where all are equal.

    >>> filled_below(np.array([[-0.5, -1.5], [-1.0, np.nan]])).tolist()
    [[-0.5, -1.5], [-1.0, -2.5]]
    """
    worst, best = float(np.nanmin(metric)), float(np.nanmax(metric))
    return np.where(np.isnan(metric), worst - ((best - worst) or max(1.0, abs(worst))), metric)


def intervals_on_test_rows(
    rows: dict[int, np.ndarray], finalists: tuple[Finalist, ...], kind: ScoreKind | None = None
) -> tuple[Interval, Interval | None]:
    """(the winner's test metric, winner minus runner-up), from the metric of every test row [repeats, rows].

    A repeat whose scores are not all finite numbers, as those of a run that diverged, does not count.

    Args:
        rows: turned so that greater is better; batches stand for rows where whole batches are scored. kind: of the
            metric, by default a fraction.

    Returns:
        The first in the metric's own direction; the second is above zero where the winner is better, None where there
        is no runner-up, or fewer than two repeats in which both have a score.

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
    test = score_interval(kind.turned(sound), kind.fraction)
    if len(finalists) < 2:
        return test, None
    with np.errstate(invalid="ignore"):
        paired = winner - rows[finalists[1].candidate]
    both = paired[np.isfinite(paired).all(axis=1)]
    return test, score_interval(both, fraction=False) if len(both) > 1 else None
