"""The verdict: which recipe is best, how sure that is, and what else might be as good."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.printable import printable
from lanewise.recipe import Recipe
from lanewise.recipe_file import from_dict, to_dict
from lanewise.study.comparison import Settling
from lanewise.study.importance import Importance
from lanewise.study.score_kind import ScoreKind, plain_numbers
from lanewise.study.statistics import Interval, middle_of


@dataclass(frozen=True)
class Finalist:
    """A candidate that was confirmed on fresh repeats.

    Attributes:
        candidate: its number in the race. scores: the metric on the validation rows of each fresh repeat [repeats],
            NaN where it diverged.
        difference: winner minus this one on those rows, corrected for how many are compared; None for the winner. Above
            zero the winner is better, also where less of the metric is.
        zeros: share of the penalised weights that are exactly zero, the mean over the repeats.
        chance: the probability that it is the best of those confirmed; None in older records.
        settling: what would tell it from the winner, where it cannot be told from it.
    """

    candidate: int
    recipe: Recipe
    scores: np.ndarray
    difference: Interval | None
    zeros: float = 0.0
    chance: float | None = None
    settling: Settling | None = None

    @property
    def told_apart(self) -> bool:
        """Whether the winner is better than this candidate beyond the error rate."""
        return self.difference is not None and self.difference.low > 0


@dataclass(frozen=True)
class Baseline:
    """The recipe that the user gave to be compared with; it is one of the finalists.

    Attributes:
        candidate: its number. difference: winner minus baseline on the test rows, as the verdict's own; None where the
            baseline won, or too few repeats of both came to a score. On validation rows it is compared as a finalist.
    """

    candidate: int
    difference: Interval | None = None


@dataclass(frozen=True)
class Verdict:
    """What a race found.

    Attributes:
        finalists: winner first, then by mean score. test: the winner's test metric over fresh repeats and test rows.
        difference: winner minus runner-up on the test rows, above zero where the winner is better, also where less of
            the metric is; None where the winner is the only finalist, or too few repeats of both came to a score.
        metric: its name. kind: what its scores are; those given here are in the metric's own direction.
        candidates: how many were drawn. lane_steps: steps summed over lanes and repeats, confirmation
        included. seconds: `total`, `train` (exactly those steps), `compile`, `trials`. engine: plans by structure.
        importance: of the settings in this race, most first; none where there were too few candidates to say.
        baseline: the recipe that the user gave, or None.
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
    baseline: Baseline | None = None
    importance: tuple[Importance, ...] = ()

    def __str__(self) -> str:
        return printable("\n".join(self.sentences()))

    def __repr__(self) -> str:
        return f"Verdict({' '.join(self.sentences())!r})"

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
            "probability": self.finalists[0].chance,
            "baseline": asdict(self.baseline) if self.baseline else None,
            "finalists": [
                {
                    "candidate": finalist.candidate,
                    # JSON knows no NaN, the score of a repeat that diverged.
                    "validation": [float(score) if np.isfinite(score) else None for score in finalist.scores],
                    "zeros": finalist.zeros,
                    "chance": finalist.chance,
                    "settling": asdict(finalist.settling) if finalist.settling else None,
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
                    # Records without these are older than the chances and the advice.
                    one.get("chance"),
                    Settling(**one["settling"]) if one.get("settling") else None,
                )
                for one in data["finalists"]
            )
            test = Interval(**data["test"])
            difference = Interval(**data["difference"]) if data["difference"] else None
            # Records without these are older than metrics that are no fractions.
            kind = ScoreKind(data.get("greater_is_better", True), data.get("fraction", True))
            rest = {name: data[name] for name in ("metric", "candidates", "lane_steps", "seconds", "engine")}
            mattered = tuple(Importance(**one) for one in data.get("importance", []))
            known = _baseline(data.get("baseline"))
            return cls(finalists, test, difference, **rest, kind=kind, baseline=known, importance=mattered)
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
        lines.append(self._on_test_rows("it", other, self.difference))
        same = [str(finalist.candidate) for finalist in self.indistinguishable]
        if same:
            few = f"candidate {same[0]}" if len(same) == 1 else f"candidates {', '.join(same[:-1])} and {same[-1]}"
            which = "it" if len(same) == 1 else "any of them"
            lines.append(f"On fresh validation rows {few} cannot be told from the winner, so {which} may be as good.")
        else:
            lines.append("On fresh validation rows all other finalists are worse, beyond the 5% error rate.")
        if winner.chance is not None:
            confirmed = "two" if len(self.finalists) == 2 else str(len(self.finalists))
            lines.append(
                f"The probability that candidate {winner.candidate} is the best of the {confirmed} confirmed is "
                f"{chance_words(winner.chance)}."
            )
        if same and (advice := self.indistinguishable[0].settling):
            lines.append(settling_words(advice, winner.candidate, self.indistinguishable[0].candidate))
        return [*lines, *self._on_baseline(), *self._on_far_out()]

    def _on_test_rows(self, it: str, other: str, gap: Interval | None) -> str:
        if gap is None:
            return f"On the test rows {it} cannot be compared with {other}: in too few repeats neither diverged."
        side = "ahead of" if gap.mean >= 0 else "behind"
        told = "too close to tell them apart" if not gap.excludes_zero else "more than chance explains"
        size = points(gap) if self.kind.fraction else plain_difference(gap)
        return f"On the test rows {it} is {size} {side} {other}: {told}."

    def _on_baseline(self) -> list[str]:
        """What is said of the recipe that the user gave."""
        if self.baseline is None:
            return []
        number = self.baseline.candidate
        if number == self.finalists[0].candidate:
            return [f"Candidate {number} is the baseline you gave: nothing confirmed is better."]
        own = next(finalist for finalist in self.finalists if finalist.candidate == number)
        told = "worse than the winner" if own.told_apart else "not told from the winner"
        line = f"The baseline, candidate {number}, is {told} on fresh validation rows."
        if len(self.finalists) > 1 and number == self.finalists[1].candidate:
            # The runner-up's sentence says the rest.
            return [line]
        return [line, self._on_test_rows("the winner", "the baseline", self.baseline.difference)]

    def _on_far_out(self) -> list[str]:
        """That one repeat would have outweighed all others, where it would have."""
        if self.kind.fraction:
            return []
        far = [finalist for finalist in self.finalists if far_out(finalist.scores)]
        few = [str(finalist.candidate) for finalist in far]
        if not few:
            return []
        names = f"candidate {few[0]}" if len(few) == 1 else f"candidates {', '.join(few[:-1])} and {few[-1]}"
        worst = min(float(np.nanmin(self.kind.turned(one.scores))) for one in far)
        return [
            f"Single repeats of {names} lie far out (the worst: {plain_numbers([self.kind.turned(worst)])[0]}): means "
            "and comparisons leave out each recipe's best and worst repeats."
        ]


def place_words(finalist: Finalist, verdict: Verdict) -> str:
    """A finalist in a cell of a table: `winner`, `worse` or `as good?`, and whether it is the baseline."""
    place = "winner" if finalist.difference is None else "worse" if finalist.told_apart else "as good?"
    given = verdict.baseline is not None and verdict.baseline.candidate == finalist.candidate
    return f"{place}, baseline" if given else place


def far_out(scores: np.ndarray) -> bool:
    """Whether the mean of all repeats lies beyond all those that count in `middle_mean`.

    >>> far_out(np.array([-3.5, -1e7, -3.4, -3.6, -3.5])), far_out(np.array([-3.5, -3.7, -3.4, -3.6, -3.5]))
    (True, False)
    """
    sound = np.sort(scores[np.isfinite(scores)])
    cut = len(sound) - len(middle_of(sound))
    if not cut:
        return False
    kept = middle_of(sound)
    return not kept[0] - np.ptp(kept) <= sound.mean() <= kept[-1] + np.ptp(kept)


def chance_words(chance: float) -> str:
    """A probability for people; never as if it were certain.

    >>> chance_words(0.624), chance_words(0.9991), chance_words(0.001)
    ('62%', 'over 99%', 'under 1%')
    """
    if chance > 0.99:
        return "over 99%"
    return f"{chance:.0%}" if chance >= 0.01 else "under 1%"


def settling_words(advice: Settling, winner: int, other: int) -> str:
    """What would tell candidate `winner` from candidate `other`."""
    if advice.repeats is not None:
        more = "1 more repeat" if advice.repeats == 1 else f"{advice.repeats:,} more repeats"
        return (
            f"If its lead over candidate {other} is as large as it seems, about {more} would more likely than not "
            "settle it."
        )
    if advice.rows is not None:
        rows = float(f"{advice.rows:.2g}")
        return (
            f"More repeats will not tell candidate {winner} from candidate {other}: the rows limit it. About "
            f"{rows:,.0f} more rows would more likely than not, if its lead is as large as it seems."
        )
    return (
        f"No reasonable number of repeats or rows would tell candidate {winner} from candidate {other}: they are too "
        "much alike."
    )


def _baseline(data: dict[str, Any] | None) -> Baseline | None:
    if data is None:
        return None
    difference = data["difference"]
    return Baseline(data["candidate"], Interval(**difference) if difference else None)


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
