"""What a sweep found: which value of a field is best."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lanewise.errors import InputError, one_line
from lanewise.recipe.language import parse
from lanewise.recipe.recipe import Recipe
from lanewise.verdict import answer_sentences
from lanewise.verdict.answer import Answer, ComparedRecipe, Setup


@dataclass(frozen=True, eq=False)
class SweepAnswer(Answer):
    """Which value of `field` is best.

    Attributes:
        values: all that were tried, in their order, as expressions; `compared` has the best first, each named by its
            value. log: whether they lie evenly on a logarithmic scale.
        within: for a penalty, the largest value within one standard error of the best; None for other fields.
        error: that standard error, of the best value's mean score over the repeats.
    """

    asked: ClassVar[str] = "sweep"
    setup: Setup
    field: str
    values: tuple[str, ...]
    compared: tuple[ComparedRecipe, ...]
    log: bool
    within: str | None
    error: float

    @property
    def best(self) -> Recipe:
        return self.compared[0].scored.recipe

    @property
    def tied(self) -> list[ComparedRecipe]:
        """The other values that are too close to the best to call."""
        return [one for one in self.compared[1:] if not one.significant]

    @property
    def numbers(self) -> list[float] | None:
        """The values where all are numbers, else None."""
        parsed = [parse(text) for text in self.values]
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in parsed)
        return [float(value) for value in parsed] if numeric else None

    def in_order(self) -> list[ComparedRecipe]:
        """The values in the order in which they were tried."""
        by_name = {one.scored.name: one for one in self.compared}
        return [by_name[value] for value in self.values]

    @property
    def headline(self) -> str:
        first = self.compared[0]
        return answer_sentences.headline(
            f"Best value: {self.field} = {first.scored.name}", first.score.mean, self.setup
        )

    def details(self) -> list[str]:
        lines = answer_sentences.on_ranked(self.setup, self.compared, "value", self.values)
        if self.within is not None:
            lines.append(answer_sentences.on_standard_error(self.within, self.error, self.setup))
        numbers, best = self.numbers, self.compared[0].scored.name
        if numbers:
            lines += answer_sentences.on_edge(float(parse(best)), numbers)
        return [*lines, *answer_sentences.on_references(self.setup)]

    def data(self) -> dict[str, Any]:
        return {
            **self.setup.to_dict(),
            "field": self.field,
            "values": list(self.values),
            "log": self.log,
            "best": self.compared[0].scored.name,
            "tied": [one.scored.name for one in self.tied],
            "largest_within_one_standard_error": self.within,
            "standard_error": self.error,
            "recipes": [one.to_dict() for one in self.compared],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "SweepAnswer":
        """What `to_dict` gave; `InputError` naming `where` if something else stands there."""
        try:
            compared = tuple(ComparedRecipe.from_dict(one, where) for one in data["recipes"])
            within, error = data["largest_within_one_standard_error"], data["standard_error"]
            values = tuple(data["values"])
            if sorted(values) != sorted(one.scored.name for one in compared):
                raise ValueError(f"values = {values!r}: must be the names of the recipes")
            return cls(Setup.from_dict(data), data["field"], values, compared, data["log"], within, error)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a sweep: {one_line(error)}") from None
