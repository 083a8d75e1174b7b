"""`sweep`: one field of a recipe at several values, and which of them is best."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.parts.part import Allowed, Variable, check_number, expression
from lanewise.questions.comparison import compared_with_best
from lanewise.questions.paired_scores import sample_of
from lanewise.questions.phase import NamedRecipe, Phase, PhaseResult, check_recipe
from lanewise.questions.question import Question, check_trainable
from lanewise.questions.recipe_fields import SHRINKING, find, with_value
from lanewise.recipe.file import dump, load
from lanewise.recipe.language import parse
from lanewise.recipe.ranges import Choice, Integer, Log, NumberRange
from lanewise.recipe.recipe import Recipe
from lanewise.verdict.answer import Setup
from lanewise.verdict.sweep import SweepAnswer

POINTS = 9
"""Of a range, by default."""
MOST_VALUES = 200
DIGITS = 3
"""Of the values inside a range; its ends are kept as they are."""


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
                entries.append(NamedRecipe(expression(value), with_value(recipe, place, value)))
            except InputError as error:
                raise InputError(f"values: {expression(value)}: {error}") from None
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"values: {name}: is given twice; all values must differ")
        self.entries = tuple(entries)

    def prepare(self, engine: Engine, repeats: tuple[int, ...]) -> list[str]:
        self._repeats = repeats
        check_trainable([NamedRecipe(f"values: {entry.name}", entry.recipe) for entry in self.entries], engine)
        idle = engine.idle_numbers(self.entries[0].recipe)
        if self.field in idle:
            raise InputError(f"field {self.field!r}: changes nothing, for the model has no layer that reads it")
        return []

    def phase(self, done: Sequence[PhaseResult]) -> Phase | None:
        title = f"{self.field} at {len(self.entries)} values"
        return None if done else Phase(title, self.entries, self._repeats)

    def expected(self) -> list[tuple[Recipe, int]]:
        return [(entry.recipe, len(self._repeats)) for entry in self.entries]

    def answer(self, done: Sequence[PhaseResult], setup: Setup) -> SweepAnswer:
        compared = compared_with_best(done[0], setup)
        filled = sample_of(done[0], setup).scores
        within, error = largest_within(filled, self.values) if self._penalises else (None, standard_error(filled))
        names = tuple(entry.name for entry in self.entries)
        return SweepAnswer(
            setup, self.field, names, compared, self.log, None if within is None else expression(within), error
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

    The one-standard-error rule: of the models within one standard error of the best, take the one that is
    regularised most.

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
