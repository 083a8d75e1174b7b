"""The spaces that come with Lanewise hold what they promise, and every draw is a recipe that can be tabulated."""

import random
from typing import Any

from lanewise.parts.optimizers import SGD
from lanewise.parts.part import Variable
from lanewise.parts.schedules import Constant, Cosine, Exponential, Linear, Polynomial, Product, Staircase, tabulate
from lanewise.recipe.ranges import Choice, Log, NumberRange
from lanewise.recipe.recipe import Recipe, choose, variables
from lanewise.recipe.spaces import classic


def drawn(space: Recipe, seed: int) -> Recipe:
    """A recipe drawn from `space` at random."""
    source = random.Random(seed)

    def pick(name: str, variable: Variable) -> Any:
        if isinstance(variable, Choice):
            return source.choice(variable.options)
        assert isinstance(variable, NumberRange)
        return source.uniform(variable.low, variable.high)

    return choose(space, pick)


def test_classic_varies_the_techniques_of_the_textbooks() -> None:
    found = dict(variables(classic()))
    assert list(found) == ["lr", "lr.schedule", "momentum", "l2", "l1", "dropout", "norm_momentum"]
    assert all(isinstance(found[name], Log) for name in ("lr", "l2", "l1", "norm_momentum"))


def test_classic_has_six_schedules_with_and_without_warmup() -> None:
    schedules = dict(variables(classic()))["lr.schedule"].extremes()
    plain = [schedule for schedule in schedules if schedule.warmup is None]
    warm = [schedule for schedule in schedules if schedule.warmup == "5%"]
    assert [type(schedule) for schedule in plain] == [Constant, Linear, Exponential, Staircase, Polynomial, Cosine]
    assert [type(schedule) for schedule in warm] == [type(schedule) for schedule in plain]
    assert len(schedules) == 12


def test_every_draw_of_classic_shares_one_structure_and_can_be_tabulated() -> None:
    recipes = [drawn(classic(), seed) for seed in range(60)]
    assert len({recipe.structure() for recipe in recipes}) == 1
    assert len({str(recipe) for recipe in recipes}) == 60
    for recipe in recipes:
        assert isinstance(recipe.optimizer, SGD)
        assert isinstance(recipe.optimizer.lr, Product)
        for number, value in recipe.numbers().items():
            tabulate(value, 40, 2, where=number, allowed=recipe.allowed(number))
