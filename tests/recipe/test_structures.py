"""Structural choices: which they are, how many combinations they make, and which are drawn first."""

from typing import Any

import pytest

from lanewise.parts.optimizers import SGD, AdamW
from lanewise.parts.schedules import Constant, Cosine, Restarts
from lanewise.recipe.ranges import Choice, choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe, choose
from lanewise.recipe.structures import Structure, Structures

MANY = Recipe(
    optimizer=choice(SGD(lr=log(0.01, 1), nesterov=choice(False, True), momentum=0.9), AdamW(lr=log(1e-4, 1e-2))),
    norm=choice("own", "layer", "group"),
    mixup=choice(None, uniform(0.1, 0.4)),
    batch_size=choice(64, 32),
)


def recipe_of(space: Recipe, structure: Structure) -> Recipe:
    def pick(name: str, variable: Any) -> Any:
        if name in structure:
            return structure[name]
        return variable.options[0] if isinstance(variable, Choice) else variable.low

    return choose(space, pick)


@pytest.mark.parametrize(
    ("fields", "names", "count"),
    [
        ({"l2": log(1e-6, 1e-2)}, [], 1),
        ({"dropout": choice(0.0, uniform(0.1, 0.5))}, [], 1),
        ({"optimizer": SGD(lr=0.1 * choice(Constant(), Cosine()))}, [], 1),
        ({"optimizer": SGD(lr=0.1 * Restarts(period="10%", warmup=choice(None, "5%")))}, [], 1),
        ({"early_stopping": choice(None, "25%")}, [], 1),
        ({"average_from": choice(0.5, 0.75)}, [], 1),
        ({"average_from": choice(None, 0.75)}, ["average_from"], 2),
        ({"mixup": choice(None, uniform(0.1, 0.4))}, ["mixup"], 2),
        ({"norm": choice("own", "layer")}, ["norm"], 2),
        ({"batch_size": choice(64, 32), "epochs": integer(5, 20)}, ["batch_size", "epochs"], 32),
        ({"width": choice(None, integer(8, 11))}, ["width", "width#2"], 5),
        ({"optimizer": SGD(lr=0.1, momentum=0.9, nesterov=choice(True, False))}, ["nesterov"], 2),
    ],
)
def test_what_is_structural(fields: dict[str, Any], names: list[str], count: int) -> None:
    found = Structures(Recipe(**fields))
    assert (found.names, found.count) == (names, count)


def test_a_choice_inside_an_option_counts_where_it_applies() -> None:
    found = Structures(MANY)
    assert found.count == (2 + 1) * 3 * 2 * 2
    assert found.words == ["optimizer", "norm", "mixup", "batch size"]


def test_the_first_are_every_option_of_the_first_choice_with_the_usual_ones_of_the_others() -> None:
    first = [recipe_of(MANY, one) for one in Structures(MANY).first(2, 0)]
    assert [type(recipe.optimizer) for recipe in first] == [SGD, AdamW]
    assert {(recipe.norm, recipe.mixup, recipe.batch_size) for recipe in first} == {("own", None, 64)}


def test_then_come_options_that_were_taken_least() -> None:
    found = [recipe_of(MANY, one) for one in Structures(MANY).first(8, 0)]
    assert len({recipe.structure() for recipe in found}) == 8
    assert {recipe.norm for recipe in found[2:6]} >= {"layer", "group"}
    assert {recipe.batch_size for recipe in found[2:5]} >= {32}


@pytest.mark.parametrize("seed", range(5))
def test_there_are_no_more_than_there_are(seed: int) -> None:
    found = Structures(MANY).first(100, seed)
    assert len({recipe_of(MANY, one).structure() for one in found}) == len(found) <= 36
    assert len(found) > 30


def test_a_seed_gives_the_same() -> None:
    assert Structures(MANY).first(6, 3) == Structures(MANY).first(6, 3)
    assert Structures(MANY).first(6, 3) != Structures(MANY).first(6, 4)


def test_a_variation_differs_in_one_choice_behind_the_first() -> None:
    structures = Structures(MANY)
    (start,) = structures.first(1, 0)
    found = structures.varied(start, 0, [start])
    assert found is not None
    assert found["optimizer"] == start["optimizer"]
    assert sum(found.get(name) != value for name, value in start.items()) == 1


def test_variations_come_to_an_end() -> None:
    structures = Structures(Recipe(optimizer=choice(SGD(), AdamW()), norm=choice("own", "layer")))
    start = structures.first(1, 0)[0]
    second = structures.varied(start, 0, [start])
    assert second is not None
    assert structures.varied(start, 0, [start, second]) is None


def test_whole_numbers_are_structures_too() -> None:
    found = Structures(Recipe(epochs=integer(5, 50))).first(4, 0)
    assert len({one["epochs"] for one in found}) == 4
    assert all(5 <= one["epochs"] <= 50 for one in found)
