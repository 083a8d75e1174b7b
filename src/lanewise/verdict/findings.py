"""What a race found, as data: the finalists, how they compare, and what was measured beside them."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from lanewise.base.plain_data import vector
from lanewise.errors import InputError, one_line
from lanewise.recipe.file import from_dict, to_dict
from lanewise.recipe.recipe import Recipe
from lanewise.sampling.importance import Importance
from lanewise.statistics.heavy_tails import HeavyTails
from lanewise.statistics.intervals import Interval
from lanewise.statistics.power import Needed
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.by_class import OfClass


@dataclass(frozen=True)
class Finalist:
    """A candidate that was confirmed in new training runs.

    Attributes:
        candidate: its number in the race. scores: the metric on the validation rows of each new run [repeats], not
            negated, NaN where the run diverged.
        mean: the score that it is ranked by; differences are differences of these (of metrics that are no fractions
            they are trimmed means).
        difference: winner minus this one on those rows, corrected for how many are compared; None for the winner. Above
            zero the winner is better, also where less of the metric is.
        chance: the probability that it is the best of those confirmed, never above that of one before it.
        needed: what would separate it from the winner, where it is too close to call.
        zeros: share of the penalised weights that are exactly zero, the mean over the repeats.
        name: of a recipe of the portfolio; others are called by their number.
    """

    candidate: int
    recipe: Recipe
    scores: np.ndarray
    mean: float
    difference: Interval | None = None
    chance: float = 1.0
    needed: Needed | None = None
    zeros: float = 0.0
    name: str = ""

    @property
    def label(self) -> str:
        """What it is called: its number, and its name if it has one."""
        return f"{self.candidate} {self.name}".rstrip()

    @property
    def diverged(self) -> int:
        """How many of the new training runs diverged."""
        return int(np.isnan(self.scores).sum())

    @property
    def significant(self) -> bool:
        """Whether the winner is better than this candidate beyond the error rate."""
        return self.difference is not None and self.difference.low > 0


@dataclass(frozen=True)
class Baseline:
    """The recipe that is compared with the winner: the user's, or the first of the portfolio; one of the finalists.

    Attributes:
        candidate: its number. difference: winner minus baseline on the test rows, as the verdict's own; None where the
            baseline won, or too few repeats of both came to a score. On validation rows it is compared as a finalist.
    """

    candidate: int
    difference: Interval | None = None


@dataclass(frozen=True)
class Findings:
    """What a race found.

    Attributes:
        finalists: winner first, then by mean score. test: the winner's test metric over new runs and test rows.
        difference: winner minus runner-up on the test rows, above zero where the winner is better, also where less of
            the metric is; None where the winner is the only finalist, or too few repeats of both came to a score.
        test_rows: how many test rows there are, 0 where that is not known. metric: its name. kind: what its scores are;
            those given here are in the metric's own direction.
        candidates: how many were drawn. lane_steps: steps summed over lanes and repeats, confirmation
        included. seconds: `total`, `train` (exactly those steps), `compile`, `trials`. engine: plans by structure.
        importance: of the settings in this race, most first; none where there were too few candidates to say.
        baseline: what the winner is compared with, or None. diverged: of the candidates drawn, how many diverged in the
            race. diverged_late: of those, how many after the last rung. duplicates: how many were drawn before.
        heavy_tails: how much few test rows decide the score, where they do.
        references: name -> the metric of a simple model on the test rows. reference_notes: a sentence each on what was
            left out or cut short there. classes: how the winner does on each class of the test rows, if there are any.
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
    diverged: int = 0
    duplicates: int = 0
    heavy_tails: HeavyTails | None = None
    references: dict[str, float] = field(default_factory=dict)
    reference_notes: tuple[str, ...] = ()
    classes: tuple[OfClass, ...] = ()
    diverged_late: int = 0
    test_rows: int = 0

    @property
    def winner(self) -> Recipe:
        """The best recipe."""
        return self.finalists[0].recipe

    @property
    def others_diverged(self) -> int:
        """How many others diverged, where that is why the winner won: all that came as far as it did; else 0."""
        if len(self.finalists) == 1:
            return self.diverged_late
        others = self.finalists[1:]
        return len(others) if all(one.diverged == len(one.scores) for one in others) else 0

    @property
    def tied(self) -> list[Finalist]:
        """The finalists that are too close to the winner to call."""
        return [finalist for finalist in self.finalists[1:] if not finalist.significant]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json` and `--json`."""
        return {
            "winner": to_dict(self.winner),
            "winner_candidate": self.finalists[0].candidate,
            "metric": self.metric,
            "greater_is_better": self.kind.greater_is_better,
            "fraction": self.kind.fraction,
            "test": self.test.to_dict(),
            "test_rows": self.test_rows,
            "difference": _plain(self.difference),
            "runner_up": to_dict(self.finalists[1].recipe) if len(self.finalists) > 1 else None,
            "tied": [one.candidate for one in self.tied],
            "probability": self.finalists[0].chance,
            "baseline": asdict(self.baseline) if self.baseline else None,
            "finalists": [
                {
                    "candidate": one.candidate,
                    **({"name": one.name} if one.name else {}),
                    # JSON knows no NaN, the score of a repeat that diverged.
                    "validation": [float(score) if np.isfinite(score) else None for score in one.scores],
                    "mean": one.mean,
                    "diverged": one.diverged,
                    "zeros": one.zeros,
                    "chance": one.chance,
                    "needed": asdict(one.needed) if one.needed else None,
                    "recipe": to_dict(one.recipe),
                    "difference": _plain(one.difference),
                }
                for one in self.finalists
            ],
            "candidates": self.candidates,
            "diverged": self.diverged,
            "diverged_late": self.diverged_late,
            "won_because_others_diverged": bool(self.others_diverged),
            "duplicates": self.duplicates,
            "heavy_tails": asdict(self.heavy_tails) if self.heavy_tails else None,
            "references": self.references,
            "reference_notes": list(self.reference_notes),
            "classes": [asdict(one) for one in self.classes],
            "lane_steps": self.lane_steps,
            "seconds": self.seconds,
            "engine": self.engine,
            "importance": [one.to_dict() for one in self.importance],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str) -> Self:
        """The verdict that `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            finalists = tuple(
                Finalist(
                    one["candidate"],
                    from_dict(one["recipe"], where),
                    vector("validation", one["validation"]),
                    one["mean"],
                    _interval(one["difference"]),
                    one["chance"],
                    Needed(**one["needed"]) if one["needed"] else None,
                    one["zeros"],
                    one.get("name", ""),
                )
                for one in data["finalists"]
            )
            same = ("metric", "candidates", "lane_steps", "seconds", "engine", "diverged", "diverged_late",
                    "duplicates", "test_rows")  # fmt: skip
            given, tails = data["baseline"], data["heavy_tails"]
            return cls(
                finalists, Interval(**data["test"]), _interval(data["difference"]),
                **{name: data[name] for name in same},
                kind=ScoreKind(data["greater_is_better"], data["fraction"]),
                baseline=Baseline(given["candidate"], _interval(given["difference"])) if given else None,
                importance=tuple(Importance(**one) for one in data["importance"]),
                heavy_tails=HeavyTails(**tails) if tails else None, references=dict(data["references"]),
                reference_notes=tuple(data["reference_notes"]),
                classes=tuple(OfClass(**one) for one in data["classes"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a verdict: {one_line(error)}") from None


def _plain(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_dict()


def _interval(data: dict[str, Any] | None) -> Interval | None:
    return Interval(**data) if data else None
