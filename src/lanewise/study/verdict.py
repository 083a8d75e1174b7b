"""The verdict: which recipe is best, how sure that is, and what else might be as good."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.recipe import Recipe
from lanewise.recipe_file import from_dict, to_dict
from lanewise.study.statistics import Interval, compared_to_best, crossed_interval, fraction_interval


@dataclass(frozen=True)
class Finalist:
    """A candidate that was confirmed on fresh repeats.

    Attributes:
        candidate: its number in the race. scores: the metric on the validation rows of each fresh repeat [repeats].
        difference: winner minus this one on those rows, corrected for how many are compared; None for the winner.
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
        difference: winner minus runner-up on the test rows; None where the winner is the only finalist.
        metric: name of the metric; scores are fractions.
        candidates: how many were drawn. lane_steps: steps summed over lanes and repeats, cool-downs and confirmation
        included. seconds: `total`, `train` (exactly those steps), `compile`, `trials`. engine: plans by structure.
    """

    finalists: tuple[Finalist, ...]
    test: Interval
    difference: Interval | None
    metric: str
    candidates: int
    lane_steps: int
    seconds: dict[str, float]
    engine: dict[str, Any] = field(default_factory=dict)

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
                    "validation": [None if np.isnan(score) else float(score) for score in finalist.scores],
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
            test, difference = Interval(**data["test"]), Interval(**data["difference"])
            rest = {name: data[name] for name in ("metric", "candidates", "lane_steps", "seconds", "engine")}
            return cls(finalists, test, difference, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a verdict: {one_line(error)}") from None

    def sentences(self) -> list[str]:
        """The verdict in words."""
        winner, runs = self.finalists[0], self.test.repeats
        lines = [
            f"Candidate {winner.candidate} of {self.candidates} won: {self.metric} {percent(self.test)} on test rows "
            f"it never saw, over {runs} fresh repeats (in brackets: 95% interval)."
        ]
        if winner.zeros:
            lines[0] += f" {winner.zeros:.1%} of its penalised weights are exactly zero."
        if self.difference is None:
            return [*lines, "No other recipe came as far as the confirmation, so there was nothing to compare it with."]
        gap, other = self.difference, f"the runner-up, candidate {self.finalists[1].candidate}"
        side = "ahead of" if gap.mean >= 0 else "behind"
        told = "too close to tell them apart" if not gap.excludes_zero else "more than chance explains"
        lines.append(f"On the test rows it is {points(gap)} {side} {other}: {told}.")
        same = [str(finalist.candidate) for finalist in self.indistinguishable]
        if same:
            few = f"candidate {same[0]}" if len(same) == 1 else f"candidates {', '.join(same[:-1])} and {same[-1]}"
            lines.append(f"On fresh validation rows {few} cannot be told from it, so any of them may be as good.")
        else:
            lines.append("On fresh validation rows all other finalists are worse, beyond the 5% error rate.")
        return lines


def percent(interval: Interval) -> str:
    """The interval as percentages: `97.8% [97.1, 98.4]`."""
    return f"{100 * interval.mean:.1f}% [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """The size of a difference in percentage points, its interval seen from the same side: `0.3 points [-0.2, 0.8]`."""
    low, high = (interval.low, interval.high) if interval.mean >= 0 else (-interval.high, -interval.low)
    return f"{100 * abs(interval.mean):.2f} points [{100 * low:.2f}, {100 * high:.2f}]"


def rank_finalists(
    candidates: list[int],
    recipes: list[Recipe],
    metric: np.ndarray,
    loss: np.ndarray,
    overlap: float,
    rows: int | None = None,
) -> tuple[Finalist, ...]:
    """The finalists, best first by mean metric (then by mean loss), each compared with the best.

    Args:
        metric: greater is better, on the validation rows of fresh repeats, float [finalists, repeats].
        loss: validation loss of the same; NaN in both where a run diverged, which counts as a metric of 0.
        overlap: validation rows divided by training rows. rows: validation rows.

    Raises:
        InputError: every finalist diverged in every repeat.
    """
    if np.isnan(metric).all():
        raise InputError("every finalist diverged on fresh repeats: no recipe found trains this model; lower the rates")
    filled = np.nan_to_num(metric, nan=0.0)
    order = sorted(
        range(len(candidates)), key=lambda at: (-filled[at].mean(), np.nan_to_num(loss[at].mean(), nan=np.inf))
    )
    compared = compared_to_best(filled, order[0], overlap, rows)
    others = [at for at in range(len(candidates)) if at != order[0]]
    difference = dict(zip(others, compared, strict=True))
    return tuple(Finalist(candidates[at], recipes[at], metric[at], difference.get(at)) for at in order)


def intervals_on_test_rows(
    rows: dict[int, np.ndarray], finalists: tuple[Finalist, ...]
) -> tuple[Interval, Interval | None]:
    """(the winner's test metric, winner minus runner-up), from the metric of every test row [repeats, rows].

    A single finalist has no runner-up, so the second is None.
    """
    winner = rows[finalists[0].candidate]
    test = fraction_interval(winner)
    if len(finalists) < 2:
        return test, None
    return test, crossed_interval(winner - rows[finalists[1].candidate])
