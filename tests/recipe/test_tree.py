"""One walk over recipes: what stands where, and the same recipe with one thing in it changed."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Constant, Cosine, Linear, Warmup, product
from lanewise.recipe.ranges import choice, log
from lanewise.recipe.recipe import Recipe, variables
from lanewise.recipe.tree import at, children, map_children, replaced, walk
from tests.recipe.recipe_draws import recipes

LR = ("optimizer", "lr")
few = settings(max_examples=20)
RECIPE = Recipe(optimizer=SGD(lr=0.1 * (Warmup("5%") >> Cosine(to=0.25)), momentum=0.9), l2=1e-4)


def same(path: Any, child: Any) -> Any:
    return map_children(child, same, path)


@few
@given(recipes(space=True))
def test_the_identity_gives_the_same_recipe(recipe: Recipe) -> None:
    assert map_children(recipe, same) == recipe


@few
@given(recipes(space=True), st.randoms(use_true_random=False))
def test_everything_is_found_at_its_path_and_put_there(recipe: Recipe, random: Random) -> None:
    nodes = list(walk(recipe))
    assert len({path for path, _ in nodes}) == len(nodes)
    assert all(at(recipe, path) is value for path, value in nodes)
    path, value = random.choice(nodes)
    assert replaced(recipe, path, value) == recipe


@few
@given(recipes(space=True))
def test_every_range_is_walked_once(recipe: Recipe) -> None:
    leaves = [value for _, value in walk(recipe) if not children(value)]
    for _, variable in variables(recipe):
        if not children(variable):
            assert any(value is variable for value in leaves)


def test_what_a_recipe_is_made_of() -> None:
    found = dict(walk(RECIPE))
    assert found[*LR, "factors", 0] == 0.1
    assert found[*LR, "factors", 1, "parts", 1] == Cosine(to=0.25)
    assert found[*LR, "factors", 1, "parts", 1, "to"] == 0.25
    assert found["optimizer", "momentum"] == 0.9
    assert found["l2",] == 1e-4
    assert [path for path, _ in children(RECIPE.optimizer)] == [("lr",), ("momentum",), ("dampening",), ("nesterov",)]


@pytest.mark.parametrize(
    ("path", "new", "expected"),
    [
        ((*LR, "factors", 0), 0.2, "sgd(lr=0.2 * (warmup() >> cosine(to=0.25)), momentum=0.9)"),
        ((*LR, "factors", 1), Linear(), "sgd(lr=0.1 * linear(), momentum=0.9)"),
        ((*LR, "factors", 1), 0.5, "sgd(lr=0.05, momentum=0.9)"),
        ((*LR, "factors", 1, "parts", 1, "to"), 0.5, "sgd(lr=0.1 * (warmup() >> cosine(to=0.5)), momentum=0.9)"),
        (LR, 1.0, "sgd(lr=1.0, momentum=0.9)"),
    ],
)  # fmt: skip
def test_one_value_is_replaced(path: Any, new: Any, expected: str) -> None:
    assert str(replaced(RECIPE, path, new).optimizer) == expected
    assert str(RECIPE.optimizer) == "sgd(lr=0.1 * (warmup() >> cosine(to=0.25)), momentum=0.9)"


def test_options_of_a_choice_have_places() -> None:
    space = Recipe(optimizer=SGD(lr=product(log(0.1, 1), choice(Constant(), Cosine(to=0.5)))))
    path = (*LR, "factors", 1, 1, "to")
    assert at(space, path) == 0.5
    assert at(replaced(space, path, 0.25), path) == 0.25


def test_what_is_not_there_or_not_allowed() -> None:
    with pytest.raises(KeyError):
        at(RECIPE, ("optimizer", "beta1"))
    with pytest.raises(KeyError):
        replaced(RECIPE, (*LR, "factors", 2), 1.0)
    with pytest.raises(InputError, match="momentum = 2"):
        replaced(RECIPE, ("optimizer", "momentum"), 2.0)
