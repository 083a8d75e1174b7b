"""What a comparison found: which recipe is best, and which others are too close to call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lanewise.errors import InputError, one_line
from lanewise.recipe.recipe import Recipe
from lanewise.verdict import answer_sentences
from lanewise.verdict.answer import Answer, ComparedRecipe, Setup


@dataclass(frozen=True, eq=False)
class ComparisonAnswer(Answer):
    """Which recipe is best; `compared` is ranked, the best first."""

    asked: ClassVar[str] = "compare"
    setup: Setup
    compared: tuple[ComparedRecipe, ...]

    @property
    def best(self) -> Recipe:
        return self.compared[0].scored.recipe

    @property
    def tied(self) -> list[ComparedRecipe]:
        """The other recipes that are too close to the best to call."""
        return [one for one in self.compared[1:] if not one.significant]

    @property
    def headline(self) -> str:
        first = self.compared[0]
        return answer_sentences.headline(f"Best recipe: {first.scored.name}", first.score.mean, self.setup)

    def details(self) -> list[str]:
        return [
            *answer_sentences.on_ranked(self.setup, self.compared, "recipe"),
            *answer_sentences.on_references(self.setup),
        ]

    def data(self) -> dict[str, Any]:
        return {
            **self.setup.to_dict(),
            "best": self.compared[0].scored.name,
            "tied": [one.scored.name for one in self.tied],
            "recipes": [one.to_dict() for one in self.compared],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "ComparisonAnswer":
        """What `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            compared = tuple(ComparedRecipe.from_dict(one, where) for one in data["recipes"])
            return cls(Setup.from_dict(data), compared)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a comparison: {one_line(error)}") from None
