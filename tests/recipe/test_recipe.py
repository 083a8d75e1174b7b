"""The recipe: names of its variables, drawing from a space, numbers and structure."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.optimizers import OPTIMIZERS, SGD, Adam, GradientDescent, Lion
from lanewise.parts.part import Variable
from lanewise.parts.schedules import Constant, Cosine, Linear, Polynomial, Product, Warmup
from lanewise.recipe.file import dump, load
from lanewise.recipe.ranges import Choice, choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe, choose, variables
from tests.recipe.recipe_draws import recipes


def names(space: Recipe) -> list[str]:
    """The names of all variables of `space`, in order."""
    return [name for name, _ in variables(space)]


def asked(space: Recipe, pick: Callable[[str, Any], Any]) -> tuple[Recipe, list[str]]:
    """(the recipe chosen by `pick`, the names it was asked for, in order)."""
    heard: list[str] = []

    def listening(name: str, variable: Variable) -> Any:
        heard.append(name)
        return pick(name, variable)

    return choose(space, listening), heard


def first(name: str, variable: Variable) -> Any:
    """The first option or the low end."""
    return variable.extremes()[0] if not isinstance(variable, Choice) else variable.options[0]


def last(name: str, variable: Variable) -> Any:
    """The last option or the high end."""
    return variable.options[-1] if isinstance(variable, Choice) else variable.extremes()[1]


SCHEDULES = choice(Constant(), Polynomial(power=uniform(1, 3)), Cosine(warmup=choice("5%", "10%")))


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Recipe(), []),
        (Recipe(optimizer=SGD(lr=log(1e-3, 1))), ["lr"]),
        (Recipe(optimizer=SGD(lr=log(1e-3, 1) * Cosine(), momentum=uniform(0, 0.9))), ["lr", "momentum"]),
        (
            Recipe(optimizer=SGD(lr=log(1e-3, 1) * SCHEDULES)),
            ["lr", "lr.schedule", "lr.polynomial.power", "lr.cosine.warmup"],
        ),
        (Recipe(optimizer=SGD(lr=SCHEDULES)), ["lr.schedule", "lr.polynomial.power", "lr.cosine.warmup"]),
        (
            Recipe(optimizer=SGD(lr=Warmup(choice("1%", "5%")) >> Linear(to=uniform(0, 1)))),
            ["lr.warmup.duration", "lr.linear.to"],
        ),
        (Recipe(dropout=uniform(0, 0.5), batch_size=integer(16, 64)), ["dropout", "batch_size"]),
        (Recipe(l2=choice(0.0, log(1e-6, 1e-2))), ["l2", "l2#2"]),
        (Recipe(l2=uniform(0, 1) * uniform(1, 2) * uniform(2, 3)), ["l2", "l2#2", "l2#3"]),
        (
            Recipe(optimizer=choice(SGD(lr=log(0.1, 1) * choice(Linear(), Cosine())), Adam(lr=log(1e-4, 1e-2)))),
            ["optimizer", "optimizer.sgd.lr", "optimizer.sgd.lr.schedule", "optimizer.adam.lr"],
        ),
        (
            Recipe(optimizer=choice(SGD(lr=uniform(0, 1)), SGD(lr=uniform(0, 2), momentum=0.9))),
            ["optimizer", "optimizer.sgd.lr", "optimizer.sgd.lr#2"],
        ),
    ],
)
def test_variables_have_the_names_a_person_would_give(space: Recipe, expected: list[str]) -> None:
    assert names(space) == expected
    assert space.is_space == bool(expected)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(recipes(space=True))
def test_names_are_unique_and_stay_the_same_through_a_file(space: Recipe) -> None:
    assert len(set(names(space))) == len(names(space))
    assert list(variables(load(dump(space))[0])) == list(variables(space))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(recipes(space=True), st.data())
def test_a_choice_leaves_nothing_open_and_asks_for_nothing_twice(space: Recipe, data: st.DataObject) -> None:
    known = dict(variables(space))

    def pick(name: str, variable: Variable) -> Any:
        assert known[name] is variable
        return data.draw(st.sampled_from(variable.options if isinstance(variable, Choice) else variable.extremes()[:2]))

    try:
        recipe, heard = asked(space, pick)
    except InputError:
        return  # durations that fit one by one may not fit together
    assert not recipe.is_space
    assert len(set(heard)) == len(heard)
    assert load(dump(recipe))[0] == recipe


def test_what_an_option_holds_is_asked_only_when_it_is_chosen() -> None:
    space = Recipe(optimizer=SGD(lr=log(1e-3, 1) * SCHEDULES), l2=choice(0.0, log(1e-6, 1e-2)))

    recipe, heard = asked(space, first)
    assert recipe == Recipe(optimizer=SGD(lr=0.001 * Constant()), l2=0.0)
    assert heard == ["lr", "lr.schedule", "l2"]

    recipe, heard = asked(space, last)
    assert recipe == Recipe(optimizer=SGD(lr=1 * Cosine(warmup="10%")), l2=1e-2)
    assert heard == ["lr", "lr.schedule", "lr.cosine.warmup", "l2", "l2#2"]

    recipe, heard = asked(space, lambda name, v: v.options[1] if isinstance(v, Choice) else v.extremes()[0])
    assert recipe == Recipe(optimizer=SGD(lr=0.001 * Polynomial(power=1)), l2=1e-6)
    assert heard == ["lr", "lr.schedule", "lr.polynomial.power", "l2", "l2#2"]


def test_options_that_are_equal_are_told_apart() -> None:
    space = Recipe(optimizer=SGD(lr=choice(Polynomial(power=uniform(1, 2)), Polynomial(power=uniform(1.0, 2.0)))))
    assert names(space) == ["lr.schedule", "lr.polynomial.power", "lr.polynomial.power#2"]
    assert asked(space, last)[1] == ["lr.schedule", "lr.polynomial.power#2"]


def test_a_product_without_schedules_becomes_a_number() -> None:
    recipe = choose(Recipe(optimizer=SGD(lr=0.5 * log(1e-3, 1)), l2=uniform(0, 1) * choice(2, Linear())), first)
    assert recipe == Recipe(optimizer=SGD(lr=0.0005), l2=0)
    assert not isinstance(recipe.optimizer.lr, Product)


def test_a_recipe_without_variables_is_chosen_as_it_is() -> None:
    recipe = Recipe(optimizer=Adam(lr=0.1 * (Warmup("5%") >> Cosine())), dropout=0.1)
    assert asked(recipe, first) == (recipe, [])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("l2", -1e-300, r"Recipe.l2 = -1e-300: must be a number in \[0, inf\)"),
        ("dropout", 1.0, r"Recipe.dropout = 1.0: must be a number in \[0, 1\)"),
        ("norm_momentum", 0.0, r"Recipe.norm_momentum = 0.0: must be a number in \(0, 1\]"),
        ("label_smoothing", None, "Recipe.label_smoothing = None: must be a number"),
        ("l1_step", "Proximal", "Recipe.l1_step = 'Proximal': must be one of subgradient, proximal"),
        ("ghost", 1, "Recipe.ghost = 1: must be an integer in"),
        ("batch_size", True, "Recipe.batch_size = True: must be an integer in"),
        ("batch_size", Linear(), r"Recipe.batch_size = linear\(\): cannot change with the step"),
        ("optimizer", None, "Recipe.optimizer = None: must be an optimizer"),
        ("optimizer", SGD, "Recipe.optimizer = .*SGD.*: must be an optimizer"),
        ("optimizer", "sgd(lr=0.1)", "Recipe.optimizer = .*: must be an optimizer"),
    ],
)
def test_what_a_field_does_not_allow_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe(**{field: value})


def test_the_numbers_are_those_of_the_optimizer_then_its_own() -> None:
    recipe = Recipe(optimizer=SGD(lr=0.1 * Cosine(), momentum=0.9), l2=1e-4, dropout=0.3 * Linear(), mixup=None)
    assert recipe.numbers() == {
        "lr": 0.1 * Cosine(),
        "momentum": 0.9,
        "dampening": 0.0,
        "l2": 1e-4,
        "l1": 0.0,
        "decay": 0.0,
        "dropout": 0.3 * Linear(),
        "label_smoothing": 0.0,
    }
    assert str(recipe.allowed("momentum")) == "a number in [0, 1)"
    assert str(recipe.allowed("l2")) == "a number in [0, inf)"
    with pytest.raises(KeyError):
        recipe.allowed("batch_size")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_number_of_a_optimizer_is_called_like_one_of_the_recipe(optimizer: type) -> None:
    assert not {item.name for item in fields(optimizer)} & {item.name for item in fields(Recipe)}


BASE = Recipe(optimizer=SGD(lr=0.1, momentum=0.9), l2=1e-4, dropout=0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": SGD(lr=0.3 * Cosine(), momentum=0.1, dampening=0.1)},
        {"l2": 0.0, "l1": 1e-3 * Linear(), "decay": 0.1},
        {"dropout": 0.2, "label_smoothing": 0.1},
    ],
)
def test_lanes_whose_numbers_differ_share_a_structure(change: dict[str, Any]) -> None:
    assert replace(BASE, **change).structure() == BASE.structure()


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": SGD(lr=0.1, momentum=0.9, nesterov=True)},
        {"optimizer": Adam()},
        {"optimizer": Lion()},
        {"optimizer": GradientDescent()},
        {"width": 32},
        {"batch_size": 32},
        {"epochs": 3},
        {"dropout": None},
        {"norm_momentum": 0.1},
        {"mixup": 0.2},
        {"ghost": 16},
        {"norm": "layer"},
        {"norm_groups": 4},
        {"l1_step": "proximal"},
        {"decay_by": "independent"},
        {"penalty_per": "row"},
        {"stochastic_depth": 0.1},
    ],
)
def test_lanes_that_need_another_program_differ_in_structure(change: dict[str, Any]) -> None:
    assert replace(BASE, **change).structure() != BASE.structure()
