"""The verdict: which recipe is best, how sure that is, and what else might be as good."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.printable import printable
from lanewise.recipe.file import from_dict, to_dict
from lanewise.recipe.recipe import Recipe
from lanewise.sampling.importance import Importance
from lanewise.statistics.differences import Needed
from lanewise.statistics.intervals import Interval
from lanewise.statistics.score_kind import ScoreKind, plain_numbers
from lanewise.verdict import phrases
from lanewise.verdict.by_class import OfClass
from lanewise.verdict.phrases import (
    candidates_named,
    chance_words,
    clear_but_not_sure,
    compared_words,
    difference_words,
    far_out,
    listed,
    percent,
    plain,
    plain_difference,
    points,
    sure_but_not_clear,
)

__all__ = [
    "Baseline",
    "Finalist",
    "Verdict",
    "chance_words",
    "far_out",
    "needed_words",
    "percent",
    "place_words",
    "plain",
    "plain_difference",
    "points",
]


@dataclass(frozen=True)
class Finalist:
    """A candidate that was confirmed on fresh repeats.

    Attributes:
        candidate: its number in the race. scores: the metric on the validation rows of each fresh repeat [repeats],
            NaN where it diverged.
        difference: winner minus this one on those rows, corrected for how many are compared; None for the winner. Above
            zero the winner is better, also where less of the metric is.
        zeros: share of the penalised weights that are exactly zero, the mean over the repeats.
        chance: the probability that it is the best of those confirmed, never above that of one before it; None in
            older records. needed: what would separate it from the winner, where it is too close to call.
        mean: the score that it is ranked by, in the metric's own direction; differences are differences of these (of
            metrics that are no fractions they are trimmed means). None in older records.
    """

    candidate: int
    recipe: Recipe
    scores: np.ndarray
    difference: Interval | None
    zeros: float = 0.0
    chance: float | None = None
    needed: Needed | None = None
    mean: float | None = None

    @property
    def diverged(self) -> int:
        """In how many of the fresh repeats it diverged."""
        return int(np.isnan(self.scores).sum())

    @property
    def significant(self) -> bool:
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
        baseline: the recipe that the user gave, or None. diverged: of the candidates drawn, how many diverged in the
            race. duplicates: how many were drawn before. diverged_late: how many diverged
            after the last rung. heavy_tails: a sentence where few test rows decide the score.
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
    heavy_tails: str | None = None
    references: dict[str, float] = field(default_factory=dict)
    reference_notes: tuple[str, ...] = ()
    classes: tuple[OfClass, ...] = ()
    diverged_late: int = 0

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
        """The finalists that are too close to the winner to call."""
        return [finalist for finalist in self.finalists[1:] if not finalist.significant]

    @property
    def others_diverged(self) -> int:
        """How many others diverged, where that is why the winner won: all that came as far as it did; else 0."""
        if len(self.finalists) == 1:
            return self.diverged_late
        others = self.finalists[1:]
        return len(others) if all(one.diverged == len(one.scores) for one in others) else 0

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
                    "mean": finalist.mean,
                    "diverged": finalist.diverged,
                    "zeros": finalist.zeros,
                    "chance": finalist.chance,
                    "needed": asdict(finalist.needed) if finalist.needed else None,
                    "recipe": to_dict(finalist.recipe),
                    "difference": finalist.difference.to_dict() if finalist.difference else None,
                }
                for finalist in self.finalists
            ],
            "candidates": self.candidates,
            "diverged": self.diverged,
            "diverged_late": self.diverged_late,
            "won_because_others_diverged": bool(self.others_diverged),
            "duplicates": self.duplicates,
            "heavy_tails": self.heavy_tails,
            "references": self.references,
            "reference_notes": list(self.reference_notes),
            "classes": [asdict(one) for one in self.classes],
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
                    Needed(**one["needed"]) if one.get("needed") else None,
                    one.get("mean"),
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
            counts = {name: data.get(name, 0) for name in ("diverged", "diverged_late", "duplicates")}
            return cls(
                finalists, test, difference, **rest, kind=kind, baseline=known, importance=mattered, **counts,
                heavy_tails=data.get("heavy_tails"), references=dict(data.get("references", {})),
                reference_notes=tuple(data.get("reference_notes", ())),
                classes=tuple(OfClass(**one) for one in data.get("classes", ())),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a verdict: {one_line(error)}") from None

    def sentences(self) -> list[str]:
        """The verdict in words."""
        lines = [*self._on_winner(), *self._on_course()]
        lines += self._on_others_diverged()
        if len(self.finalists) == 1:
            lines.append("No other recipe came as far as the confirmation, so there was nothing to compare it with.")
            return [*lines, *self._on_references()]
        second = self.finalists[1]
        other = f"the runner-up (candidate {second.candidate})"
        lines += [self._on_test_rows("its", other, "the runner-up", self.difference), *self._on_finalists()]
        if (gap := self.difference) is not None and (gap.mean < 0 or gap.excludes_zero != second.significant):
            lines.append("Test and validation examples are different samples, so the two comparisons need not agree.")
        if self.indistinguishable and (advice := self.indistinguishable[0].needed):
            pair = (self.finalists[0].candidate, self.indistinguishable[0].candidate)
            lines.append(needed_words(advice, *pair))
        lines += [*self._on_baseline(), *self._on_references()]
        return [*lines, *self._on_diverged(), *self._on_far_out()]

    def _on_winner(self) -> list[str]:
        """Who won, and how well it does."""
        winner, runs = self.finalists[0], self.test.repeats
        direction = "" if self.kind.greater_is_better else "; less is better"
        line = (
            f"Candidate {winner.candidate} of {self.candidates} won: {self.metric} "
            f"{phrases.score_words(self.test, self.kind)} on test examples it never saw, from {runs} new training runs"
            f"{phrases.unbeaten_words(self.test.mean, self.references, self.kind)}{direction}."
        )
        if self.heavy_tails:
            line += f" {self.heavy_tails}"
        if winner.zeros:
            line += f" {winner.zeros:.1%} of its penalised weights are exactly zero."
        return [line]

    def _on_references(self) -> list[str]:
        """What simple models score on the same test rows."""
        return [*phrases.references_words(self.references, self.kind), *self.reference_notes]

    def _on_course(self) -> list[str]:
        """How many of the candidates counted for nothing."""
        told = [f"{self.diverged} diverged"] if self.diverged else []
        told += [f"{self.duplicates} repeated the recipe of another"] if self.duplicates else []
        return [f"Of the {self.candidates} candidates {' and '.join(told)}."] if told else []

    def _on_others_diverged(self) -> list[str]:
        """That the winner won because all others diverged, where that is why."""
        if not (lost := self.others_diverged):
            return []
        if len(self.finalists) == 1:
            which = f"{lost} other candidate{'s' * (lost > 1)} that no rung had stopped"
            return [f"It won only because the others diverged: {which} diverged before the end of training."]
        which = "the only other finalist" if lost == 1 else f"all {lost} other finalists"
        runs = len(self.finalists[0].scores)
        return [f"It won only because the others diverged: {which} diverged in all {runs} new training runs."]

    def _on_finalists(self) -> list[str]:
        """What the validation rows of the fresh repeats say."""
        winner, same = self.finalists[0], [finalist.candidate for finalist in self.indistinguishable]
        where = "On the validation examples of those runs"
        if same:
            which, verb = ("it", "is") if len(same) == 1 else ("any of them", "are")
            line = f"{where} {candidates_named(same)} {verb} too close to call, so {which} may be as good."
        else:
            line = f"{where} it is significantly better than every other finalist."
        if winner.chance is None:
            return [line]
        confirmed = "two" if len(self.finalists) == 2 else str(len(self.finalists))
        best = f"candidate {winner.candidate} is the best of the {confirmed} finalists"
        chance = f"Judged by these examples, the chance that {best} is {chance_words(winner.chance)}."
        return [line, chance, *(sure_but_not_clear if same else clear_but_not_sure)(winner.chance)]

    def _on_test_rows(self, its: str, other: str, short: str, gap: Interval | None) -> str:
        if gap is None:
            return (
                f"On the test examples it cannot be compared with {other}: in too few training runs both came to a "
                "score."
            )
        told = compared_words(gap, short)
        return f"On the test examples {its} lead over {other} is {difference_words(gap, self.kind)}: {told}."

    def _on_baseline(self) -> list[str]:
        """What is said of the recipe that the user gave."""
        if self.baseline is None:
            return []
        number = self.baseline.candidate
        if number == self.finalists[0].candidate:
            return [f"Candidate {number} is the baseline you gave: nothing confirmed is better."]
        own = next(finalist for finalist in self.finalists if finalist.candidate == number)
        told = "significantly worse than the winner" if own.significant else "too close to the winner to call"
        line = f"The baseline (candidate {number}) is {told} on the validation examples."
        if len(self.finalists) > 1 and number == self.finalists[1].candidate:
            # The runner-up's sentence says the rest.
            return [line]
        return [line, self._on_test_rows("the winner's", "the baseline", "the baseline", self.baseline.difference)]

    def _on_diverged(self) -> list[str]:
        """Which of the finalists diverged in the confirmation."""
        lost = {one.candidate: one.diverged for one in self.finalists if one.diverged}
        if not lost:
            return []
        runs = len(self.finalists[0].scores)
        told = listed([f"candidate {number} diverged in {count}" for number, count in lost.items()])
        counts = "counts as the worst score" if self.kind.fraction else "ranks a recipe behind those with fewer"
        return [f"Of {runs} new training runs each, {told}; a run that diverged {counts}."]

    def _on_far_out(self) -> list[str]:
        """That one repeat would have outweighed all others, where it would have."""
        if self.kind.fraction:
            return []
        far = [finalist for finalist in self.finalists if far_out(finalist.scores)]
        if not far:
            return []
        worst = min(float(np.nanmin(self.kind.turned(one.scores))) for one in far)
        return [
            f"Single training runs of {candidates_named([one.candidate for one in far])} lie far out (the worst: "
            f"{plain_numbers([self.kind.turned(worst)])[0]}): means and comparisons leave out each recipe's best and "
            "worst runs."
        ]


def place_words(finalist: Finalist, verdict: Verdict) -> str:
    """A finalist in a cell of a table: `winner`, `worse` or `too close to call`, and whether it is the baseline."""
    place = "winner" if finalist.difference is None else "worse" if finalist.significant else phrases.TOO_CLOSE
    given = verdict.baseline is not None and verdict.baseline.candidate == finalist.candidate
    return f"{place}, baseline" if given else place


def needed_words(advice: Needed, winner: int, other: int) -> str:
    """What would separate candidate `winner` from candidate `other`."""
    names = candidates_named([winner]), candidates_named([other]), candidates_named([winner, other])
    return phrases.needed_words(advice, *names)


def _baseline(data: dict[str, Any] | None) -> Baseline | None:
    if data is None:
        return None
    difference = data["difference"]
    return Baseline(data["candidate"], Interval(**difference) if difference else None)
