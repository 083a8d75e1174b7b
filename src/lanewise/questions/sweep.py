"""`sweep`: one field of a recipe at several values, and which of them is best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.lanes.packs.engine import Engine
from lanewise.parts.part import Allowed, Variable, check_number, expression
from lanewise.questions.comparison import ComparedRecipe, compared_with_best, listed, score_words
from lanewise.questions.paired_scores import Sample
from lanewise.questions.phase import Entry, Phase, PhaseResult, check_recipe
from lanewise.questions.question import Question, check_trainable
from lanewise.questions.recipe_fields import SHRINKING, find, with_value
from lanewise.recipe.file import dump, load
from lanewise.recipe.language import parse
from lanewise.recipe.ranges import Choice, Integer, Log, NumberRange
from lanewise.recipe.recipe import Recipe
from lanewise.verdict.answer import Answer, Ground

POINTS = 9
"""Of a range, by default."""
MOST_VALUES = 200
DIGITS = 3
"""Of the values inside a range; its ends are kept as they are."""


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
    ground: Ground
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
        """The other values that cannot be told from the best."""
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

    def sentences(self) -> list[str]:
        first, ground = self.compared[0], self.ground
        over = f"{ground.repeats} repeats"
        if ground.folds:
            rounds = ground.repeats // ground.folds
            over = f"{ground.folds} folds" + (f", drawn {rounds} times" if rounds > 1 else "")
        lines = [
            f"{self.field} = {first.scored.name} is the best of {len(self.values)} values: {ground.metric} "
            f"{score_words(first.score, ground)} on validation examples, over {over}"
            f"{ground.unbeaten_words(first.score.mean)}{'' if ground.kind.greater_is_better else '; less is better'}."
        ]
        same = [value for value in self.values if value in {one.scored.name for one in self.tied}]
        if same:
            lines.append(f"{listed(same)} {'is' if len(same) == 1 else 'are'} too close to call.")
        else:
            lines.append("It is significantly better than every other value.")
        if self.within is not None:
            unit = ground.kind.difference_words([self.error])[0] + " points" * ground.kind.fraction
            lines.append(
                f"The largest value within one standard error ({unit}) of the best is {self.within}: take it where "
                "the simpler model is to have the benefit of the doubt (Breiman and others, 1984)."
            )
        numbers, best = self.numbers, first.scored.name
        # Below 0 no field has a value.
        if numbers and float(parse(best)) in (min(numbers), max(numbers)) and float(parse(best)):
            side = "least" if float(parse(best)) == min(numbers) else "largest"
            lines.append(f"The best is the {side} value tried; one beyond it may be better still.")
        return [*lines, *ground.reference_sentences()]

    def to_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            **self.ground.to_dict(),
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
            return cls(Ground.from_dict(data), data["field"], values, compared, data["log"], within, error)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: does not hold a sweep: {one_line(error)}") from None


class Sweep(Question):
    """Which value of `field` suits `recipe` best?

    Args:
        field: as the sampler calls it (`l2`, `momentum`, `lr`, `lr.schedule`, `lr.cosine.warmup`).
        values: numbers, words or schedules, or their expressions; or a range such as `log(1e-6, 0.1)`.
        points: values taken of a range, spread evenly on its scale; its ends are among them. 9 by default.

    Raises:
        InputError: an unknown field, fewer than two values, one that stands twice, or one that is not allowed.
    """

    asked = "sweep"
    place = 4

    def __init__(self, recipe: Recipe, field: str, values: Any, points: int | None = None) -> None:
        self.base = check_recipe("recipe", recipe)
        place = find(recipe, field)
        self.field = place.name
        self.values, self.log = values_of(values, points)
        entries = []
        for value in self.values:
            try:
                entries.append(Entry(expression(value), with_value(recipe, place, value)))
            except InputError as error:
                raise InputError(f"values: {expression(value)}: {error}") from None
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"values: {name}: stands twice; every value must be another")
        self.entries = tuple(entries)

    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        self._repeats = repeats
        check_trainable([Entry(f"values: {entry.name}", entry.recipe) for entry in self.entries], engine)
        idle = engine.idle_numbers(self.entries[0].recipe)
        if self.field in idle:
            raise InputError(f"field {self.field!r}: changes nothing, for the model has no layer that reads it")
        return []

    def phase(self, done: Sequence[PhaseResult]) -> Phase | None:
        title = f"{self.field} at {len(self.entries)} values"
        return None if done else Phase(title, self.entries, self._repeats)

    def expected(self) -> list[tuple[Recipe, int]]:
        return [(entry.recipe, len(self._repeats)) for entry in self.entries]

    def answer(self, done: Sequence[PhaseResult], ground: Ground) -> SweepAnswer:
        compared = compared_with_best(done[0], ground)
        filled = Sample.of(done[0], ground).scores
        within, error = largest_within(filled, self.values) if self._penalises else (None, standard_error(filled))
        names = tuple(entry.name for entry in self.entries)
        return SweepAnswer(
            ground, self.field, names, compared, self.log, None if within is None else expression(within), error
        )

    @property
    def _penalises(self) -> bool:
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.values)
        return self.field in SHRINKING and numeric

    def to_dict(self) -> dict[str, Any]:
        values = [expression(value) for value in self.values]
        return {"recipe": dump(self.base), "field": self.field, "values": values, "log": self.log}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Sweep":
        """The question that `to_dict` gave."""
        question = cls(load(data["recipe"], where)[0], data["field"], data["values"])
        question.log = data["log"]
        return question


def values_of(given: Any, points: int | None) -> tuple[tuple[Any, ...], bool]:
    """(values, whether they lie evenly on a logarithmic scale) of a list, an expression of one, or a range.

    >>> values_of("0, 1e-5, cosine(warmup=5%)", None)[0][:2], values_of("log(1e-3, 1)", 3)
    ((0, 1e-05), ((0.001, 0.0316, 1), True))
    """
    if isinstance(given, str):
        # A list with one entry is that entry.
        parsed = parse(f"[{given}]")
        given = parsed[0] if len(parsed) == 1 and isinstance(parsed[0], (Variable, tuple)) else parsed
    if isinstance(given, Choice):
        given = given.options
    if isinstance(given, Variable):
        count = POINTS if points is None else points
        check_number("points", count, Allowed(2, MOST_VALUES, integer=True))
        return grid(given, count), isinstance(given, Log)
    if points is not None:
        raise InputError(f"points = {points}: must be left out where values are listed; it is for ranges")
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(f"values = {given!r}: must be a list of values or a range such as log(1e-6, 0.1)")
    values = tuple(parse(value) if isinstance(value, str) else value for value in given)
    if not 2 <= len(values) <= MOST_VALUES:
        raise InputError(f"values: {len(values)} given; must be 2 to {MOST_VALUES}")
    for value in values:
        if isinstance(value, Variable):
            raise InputError(f"values: {value}: is a range; must be the only one, or be a value")
    return values, on_log_scale(values)


def on_log_scale(values: Sequence[Any]) -> bool:
    """Whether numbers above 0 spread over more than a decade; a 0 beside them is drawn apart."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    above = [value for value in numbers if value > 0]
    return len(numbers) == len(values) and min(numbers) >= 0 and len(above) > 1 and max(above) > 10 * min(above)


def grid(variable: Variable, points: int) -> tuple[Any, ...]:
    """`points` values of a range, spread evenly on its scale, its ends included."""
    if not isinstance(variable, NumberRange):
        raise InputError(f"values: {variable}: must be a list of values or a range such as log(1e-6, 0.1)")
    low, high = variable.low, variable.high
    if isinstance(variable, Integer):
        return tuple(dict.fromkeys(int(value) for value in np.linspace(low, high, points).round()))
    inner = np.geomspace(low, high, points) if isinstance(variable, Log) else np.linspace(low, high, points)
    return (low, *(float(f"{value:.{DIGITS}g}") for value in inner[1:-1]), high)


def standard_error(filled: np.ndarray) -> float:
    """Of the best mean score: the standard deviation over the repeats, divided by the square root of their number."""
    best = filled[filled.mean(axis=1).argmax()]
    return float(best.std(ddof=1) / math.sqrt(len(best)))


def largest_within(filled: np.ndarray, values: Sequence[float]) -> tuple[float, float]:
    """(the largest value whose mean score is within one standard error of the best, that standard error).

    The one-standard-error rule: of the models that cannot be told from the best by its own standard error, take the
    one that is held back most.

    Args:
        filled: scores of the same repeats, greater is better, [values, repeats].

    Source: Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees", 1984, section 3.4.3; Hastie,
    Tibshirani, Friedman, "The Elements of Statistical Learning", 2nd edition, 2009, section 7.10.

    >>> scores = np.array([[0.80, 0.84], [0.90, 0.94], [0.89, 0.93], [0.86, 0.92]])  # best 0.92, its error 0.02
    >>> largest_within(scores, [0.0, 0.001, 0.01, 0.1])[0]
    0.01
    """
    means, error = filled.mean(axis=1), standard_error(filled)
    # A score that is short of the bound by rounding alone is within it.
    least = means.max() - error - 1e-12
    return max(value for value, mean in zip(values, means, strict=True) if mean >= least), error
