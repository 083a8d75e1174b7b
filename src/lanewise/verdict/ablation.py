"""What an ablation found: what each technique is worth, and which of them depend on each other."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.intervals import Interval
from lanewise.verdict import answer_sentences
from lanewise.verdict.answer import Answer, Scored, Setup
from lanewise.verdict.techniques import Interaction, Tried, Worth


@dataclass(frozen=True, eq=False)
class AblationAnswer(Answer):
    """What each technique of `base` is worth; `worths` has the most valuable first, `interactions` the strongest."""

    asked: ClassVar[str] = "ablate"
    setup: Setup
    base: Scored
    score: Interval
    worths: tuple[Worth, ...]
    interactions: tuple[Interaction, ...]
    tried: tuple[Tried, ...]

    @property
    def best(self) -> Recipe:
        return self.base.recipe

    @property
    def headline(self) -> str:
        return answer_sentences.ablation_headline(self.worths, self.score.mean, self.setup)

    def details(self) -> list[str]:
        return [
            answer_sentences.on_score("the whole recipe", self.score, self.setup),
            *answer_sentences.on_worths(self.worths, self.setup),
            *answer_sentences.on_pairs(self.interactions, self.setup),
            *map(answer_sentences.on_tried, self.tried),
            *answer_sentences.on_references(self.setup),
        ]

    def data(self) -> dict[str, Any]:
        return {
            **self.setup.to_dict(),
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
            return cls(Setup.from_dict(data), Scored.from_dict(base, where), score, worths, pairs, tried)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold an ablation: {one_line(error)}") from None
