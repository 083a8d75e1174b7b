"""Fields of recipes by the names that the sampler knows, and values put in their place."""

from typing import Any

import pytest

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.part import Variable
from lanewise.parts.schedules import Constant, Cosine, Linear, Warmup
from lanewise.questions.recipe_fields import find, places, with_value
from lanewise.recipe.recipe import Recipe, choose, variables
from lanewise.recipe.spaces import classic

RECIPE = Recipe(optimizer=SGD(lr=0.1 * Cosine(warmup="5%"), momentum=0.9), l2=1e-4)


def first(name: str, variable: Variable) -> Any:
    return variable.extremes()[0]


def test_names_are_those_of_the_sampler() -> None:
    space = classic()
    known = places(choose(space, first))
    for name, _ in variables(space):
        assert name in known


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        Recipe(optimizer=SGD(lr=Cosine())),
        Recipe(optimizer=Adam(lr=0.1 * (Warmup("5%") >> Linear())), dropout=0.2 * Linear()),
        Recipe(optimizer=SGD(lr=0.1 * Linear() * Cosine())),
    ],
)
def test_a_value_in_its_own_place_changes_nothing(recipe: Recipe) -> None:
    steps = 40
    for place in places(recipe).values():
        again = with_value(recipe, place, place.value)
        for name, value in recipe.numbers().items():
            found = again.numbers()[name]
            if isinstance(value, (int, float)):
                assert found == value, place
            else:
                assert (found.table(steps) == value.table(steps)).all(), place  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("lr", 0.3, "sgd(lr=0.3 * cosine(warmup=5%), momentum=0.9)"),
        ("lr", 0.2 * Linear(), "sgd(lr=0.2 * linear(), momentum=0.9)"),
        ("lr.schedule", Constant(), "sgd(lr=0.1 * constant(), momentum=0.9)"),
        ("lr.cosine.warmup", "10%", "sgd(lr=0.1 * cosine(warmup=10%), momentum=0.9)"),
        ("optimizer.momentum", 0.5, "sgd(lr=0.1 * cosine(warmup=5%), momentum=0.5)"),
        ("optimizer", Adam(lr=0.01), "adam(lr=0.01)"),
    ],
)
def test_a_value_goes_where_it_is_meant(field: str, value: Any, expected: str) -> None:
    assert str(with_value(RECIPE, find(RECIPE, field), value).optimizer) == expected


def test_an_unknown_field_is_answered_by_those_there_are() -> None:
    with pytest.raises(InputError, match=r"field 'momentom': unknown .*did you mean momentum.*lr\.schedule.*, l2, "):
        find(RECIPE, "momentom")
