"""What an ablation found: the worth of each technique, and which of them depend on each other."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.questions.comparison import difference_words, listed, score_words
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.intervals import Interval
from lanewise.verdict.answer import Answer, Ground, Scored

MOST_TOLD = 4
"""Pairs that are told in words; the table has all."""


@dataclass(frozen=True, eq=False)
class Worth:
    """What one technique is worth.

    Attributes:
        technique: its name. scored: the recipe without it. factor: of the learning rate, where a better one was looked
            for without it; None at the recipe's own rate. difference: the recipe minus the one without, above zero
            where the technique helps.
    """

    technique: str
    scored: Scored
    factor: float | None
    difference: Interval

    @property
    def name(self) -> str:
        """The technique, and how the recipe without it was given its rate."""
        return self.technique if self.factor is None else f"{self.technique} (re-tuned)"

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, `unclear`, or `no row differs` where every row was scored as with the technique."""
        if self.difference.low == self.difference.high == 0:
            return "no row differs"
        if not self.difference.excludes_zero:
            return "unclear"
        return "helps" if self.difference.mean > 0 else "hurts"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "technique": self.technique,
            "rate_factor_without": self.factor,
            "worth": self.difference.to_dict(),
            "verdict": self.verdict,
            "without": self.scored.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Worth":
        """What `to_dict` gave."""
        factor, worth = data["rate_factor_without"], Interval(**data["worth"])
        return cls(data["technique"], Scored.from_dict(data["without"], where), factor, worth)


@dataclass(frozen=True)
class Interaction:
    """How two techniques act together: what the first is worth beside the second, minus what it is worth alone.

    Above zero they help each other; below, one does part of the other's work.
    """

    first: str
    second: str
    difference: Interval

    @property
    def verdict(self) -> str:
        """`help each other`, `replace each other`, or `add up?` where that cannot be told."""
        if not self.difference.excludes_zero:
            return "add up?"
        return "help each other" if self.difference.mean > 0 else "replace each other"


@dataclass(frozen=True)
class Tried:
    """The learning rates tried without a technique, on repeats of their own.

    Attributes:
        factors: of the recipe's own rate. scores: mean scores, greater is better, minus infinity where a run diverged.
        chosen: the place of the best.
    """

    technique: str
    factors: tuple[float, ...]
    scores: tuple[float, ...]
    chosen: int

    @property
    def best(self) -> float:
        """The best factor."""
        return self.factors[self.chosen]

    @property
    def at_the_edge(self) -> bool:
        """Whether a rate beyond those tried may be better still."""
        return self.best in (min(self.factors), max(self.factors))


@dataclass(frozen=True, eq=False)
class AblationAnswer(Answer):
    """What each technique of `base` is worth; `worths` has the most valuable first, `interactions` the strongest."""

    asked: ClassVar[str] = "ablate"
    ground: Ground
    base: Scored
    score: Interval
    worths: tuple[Worth, ...]
    interactions: tuple[Interaction, ...]
    tried: tuple[Tried, ...]

    @property
    def best(self) -> Recipe:
        return self.base.recipe

    def sentences(self) -> list[str]:
        ground = self.ground
        direction = "" if ground.kind.greater_is_better else "; less is better"
        lines = [
            f"The recipe reaches {ground.metric} {score_words(self.score, ground)} on validation examples, over "
            f"{ground.repeats} repeats{ground.unbeaten_words(self.score.mean)}{direction}."
        ]
        for words, verdict in (("Worth having: ", "helps"), ("Better left out: ", "hurts")):
            told = [f"{one.name}, {difference_words(one.difference, ground)}" for one in self._with(verdict)]
            if told:
                lines.append(f"{words}{'; '.join(told)}.")
        unseen = [one.name for one in self._with("unclear")]
        if unseen:
            lines.append(f"Too close to call: {listed(unseen)}.")
        idle = [one.name for one in self._with("no row differs")]
        if idle:
            lines.append(
                f"Without {listed(idle)} every example is scored as with {'it' if len(idle) == 1 else 'them'}."
            )
        apart = [one for one in self.interactions if one.difference.excludes_zero]
        if apart:
            told = [
                f"{one.first} and {one.second} {one.verdict} ({difference_words(one.difference, ground)})"
                for one in apart[:MOST_TOLD]
            ]
            more = f"; and {len(apart) - MOST_TOLD} more" if len(apart) > MOST_TOLD else ""
            lines.append(f"In pairs: {'; '.join(told)}{more}.")
        elif self.interactions:
            lines.append(f"In none of the {len(self.interactions)} pairs do the two clearly depend on each other.")
        return [*lines, *map(self.rate_sentence, self.tried), *ground.reference_sentences()]

    def rate_sentence(self, tried: Tried) -> str:
        """What became of the learning rate without a technique."""
        low, high = min(tried.factors), max(tried.factors)
        edge = "; one beyond may be better still" if tried.at_the_edge and tried.best != 1 else ""
        best = "the recipe's own" if tried.best == 1 else f"{tried.best:g} times its own"
        rates = f"{len(tried.factors)} rates from {low:g} to {high:g} times that of the recipe"
        return f"Without {tried.technique}, the best of {rates} is {best}{edge}."

    def _with(self, verdict: str) -> list[Worth]:
        return [worth for worth in self.worths if worth.verdict == verdict]

    def to_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            **self.ground.to_dict(),
            "recipe": {**self.base.to_dict(), "score": self.score.to_dict()},
            "techniques": [worth.to_dict() for worth in self.worths],
            "pairs": [
                {"first": one.first, "second": one.second, "interaction": one.difference.to_dict(),
                 "verdict": one.verdict}
                for one in self.interactions
            ],
            "rates_tried": [
                {**asdict(one), "scores": [score if np.isfinite(score) else None for score in one.scores]}
                for one in self.tried
            ],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "AblationAnswer":
        """What `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            base = data["recipe"]
            worths = tuple(Worth.from_dict(one, where) for one in data["techniques"])
            pairs = tuple(
                Interaction(one["first"], one["second"], Interval(**one["interaction"])) for one in data["pairs"]
            )
            tried = tuple(
                Tried(
                    one["technique"],
                    tuple(one["factors"]),
                    tuple(-np.inf if score is None else score for score in one["scores"]),
                    one["chosen"],
                )
                for one in data["rates_tried"]
            )
            score = Interval(**base["score"])
            return cls(Ground.from_dict(data), Scored.from_dict(base, where), score, worths, pairs, tried)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold an ablation: {one_line(error)}") from None
