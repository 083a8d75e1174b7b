"""Groups of parameters in a recipe: what they are written as, what they may hold, and the numbers they come to."""

from typing import Any

import numpy as np
import pytest

from lanewise.errors import InputError
from lanewise.lanes.step.numbers import number_names, tabulate_recipe
from lanewise.parts.groups import ParameterGroup, Times, times
from lanewise.parts.optimizers import SGD, AdamW, Muon
from lanewise.parts.schedules import Cosine, Linear
from lanewise.questions.recipe_fields import find, with_value
from lanewise.recipe.coupling import coupled
from lanewise.recipe.file import dump, load
from lanewise.recipe.ranges import choice, log
from lanewise.recipe.recipe import Recipe, choose
from lanewise.recipe.structures import Structures

STEPS, EPOCH, ROWS = 20, 5, 100


def table(recipe: Recipe) -> dict[str, np.ndarray]:
    found = tabulate_recipe(recipe, STEPS, EPOCH, ROWS)
    return dict(zip(number_names(recipe), found.T, strict=True))


def test_a_file_says_it_as_people_write_it() -> None:
    text = """
lanewise: 1
optimizer: sgd(lr=0.1)
groups:
  head.*: {lr: x2, decay: 0}
  "backbone.*":
    lr: x0.1
    freeze: 30%
  "a 'b\\"c": {l2: "times(log(0.1, 10))", lr: 0.05 * cosine()}
layer_decay: 0.75
"""
    recipe, _ = load(text)
    assert recipe.groups == (
        ParameterGroup("head.*", lr=Times(2), decay=0),
        ParameterGroup("backbone.*", lr=Times(0.1), freeze="30%"),
        ParameterGroup("a 'b\"c", l2=Times(log(0.1, 10)), lr=0.05 * Cosine()),
    )
    assert load(dump(recipe))[0] == recipe
    in_python = Recipe(
        optimizer=SGD(lr=0.1),
        groups={
            "head.*": {"lr": "x2", "decay": 0},
            "backbone.*": ParameterGroup("backbone.*", lr="x.1", freeze="30%"),
            "a 'b\"c": {"l2": times(log(0.1, 10)), "lr": 0.05 * Cosine()},
        },
        layer_decay=0.75,
    )
    assert in_python == recipe


def test_commas_in_braces_need_quotes_and_the_message_says_so() -> None:
    with pytest.raises(InputError, match=r"1 closing parenthesis is missing.*put quotes around"):
        load("{lanewise: 1, groups: {a: {lr: log(0.1, 1)}}}")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (3, "Recipe.groups = 3: must map names of parameters to their numbers, such as"),
        ({"a": 3}, "groups['a'] = 3: must map fields to values; fields: lr, decay, l2, l1, freeze"),
        ({"a": {"rate": 3}}, "groups['a']: unknown field 'rate'; allowed: lr, decay, l2, l1, freeze"),
        ({"a": {}}, "groups['a']: changes nothing; must have one of lr, decay, l2, l1, freeze"),
        ({" ": {"lr": 1}}, "groups: ' ': must be a name of parameters such as head.*"),
        ({"a": {"lr": -1}}, "groups['a'].lr = -1: must be a number in [0, inf)"),
        ({"a": {"lr": True}}, "groups['a'].lr = True: must be a number in [0, inf)"),
        ({"a": {"lr": "fast"}}, "groups['a'].lr = 'fast': must be a number in [0, inf) or a factor such as x2"),
        ({"a": {"lr": choice(0.1, "x2")}}, "groups['a'].lr = 'x2': must be a number in [0, inf) or a factor"),
        ({"a": {"freeze": 30}}, "groups['a'].freeze = 30: must be a share of the run"),
        ({"a": {"lr": coupled()}}, "groups['a'].lr (in a group) = coupled(): must stand where a pair does"),
    ],
)
def test_what_groups_cannot_hold_is_refused(groups: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe(groups=groups)
    assert str(caught.value).startswith(message)


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'a' is given twice"):
        Recipe(groups=(ParameterGroup("a", lr=1), ParameterGroup("a", decay=0)))


@pytest.mark.parametrize("decay", [0.1, choice(0.0, 0.1)], ids=str)
def test_a_decay_that_could_stand_for_two_is_refused(decay: Any) -> None:
    with pytest.raises(InputError, match=r"could be the recipe's decay or the weight_decay of adamw"):
        Recipe(optimizer=AdamW(), decay=decay, groups={"a": {"decay": 0.5}})
    for fine in (0, "x2"):
        Recipe(optimizer=AdamW(), decay=decay, groups={"a": {"decay": fine}})


def test_numbers_stand_for_those_of_the_recipe_and_factors_follow_them() -> None:
    lr = 0.3 * Linear()
    recipe = Recipe(
        optimizer=AdamW(lr=lr, weight_decay=0.2), l2=0.5, l1=0.1, decay=0.4, penalty_per="row",
        groups={"a": {"lr": times(Cosine()), "l2": "x3", "l1": 0.7, "decay": "x0.5"}, "b": {"lr": 0.2, "decay": 0}},
    )  # fmt: skip
    found = table(recipe)
    falling = lr.table(STEPS, EPOCH)
    assert np.allclose(found["a.lr"], falling * Cosine().table(STEPS, EPOCH), rtol=1e-15)
    assert np.allclose(found["a.l2"], 3 * 0.5 / ROWS)
    assert np.allclose(found["a.l1"], 0.7 / ROWS)
    assert set(found["a.decay"]) == {0.2}
    assert set(found["a.weight_decay"]) == {0.1}
    assert set(found["b.lr"]) == {0.2}
    assert set(found["b.decay"]) == set(found["b.weight_decay"]) == {0.0}


def test_a_decay_of_its_own_is_the_optimizers_where_that_has_one() -> None:
    groups = {"a": {"decay": 0.5, "lr": 0.05}}
    muon = table(Recipe(optimizer=Muon(weight_decay=0.1), groups=groups))
    assert [set(muon[f"a.{name}"]) for name in ("decay", "weight_decay", "adam_weight_decay")] == [{0.0}, {0.5}, {0.5}]
    assert set(muon["a.lr"]) == set(muon["a.adam_lr"]) == {0.05}
    sgd = table(Recipe(optimizer=SGD(lr=0.1), decay=0.3, groups=groups))
    assert set(sgd["a.decay"]) == {0.5}
    assert "a.weight_decay" not in sgd


def test_a_factor_that_leads_out_of_range_is_named_with_its_step() -> None:
    recipe = Recipe(decay=0.6 * Linear(), decay_by="independent", groups={"a": {"decay": "x2"}})
    with pytest.raises(InputError, match=r"a.decay = x2: makes decay 1.2 at step 0; must be a number in \[0, 1\]"):
        table(recipe)


def test_ranges_have_names_and_lanes_share_a_structure() -> None:
    space = Recipe(
        optimizer=SGD(lr=log(0.01, 1) * Cosine()),
        groups={"head.*": {"lr": times(log(0.1, 10)), "freeze": choice("0%", "30%")}, "b": {"lr": log(0.1, 1)}},
        layer_decay=choice(1.0, log(0.5, 0.9)),
        gradual_unfreezing=choice("0%", "30%"),
    )  # fmt: skip
    names = [name for name, _ in space.named.values()]
    assert names == ["lr", "head.*.lr", "head.*.freeze", "b.lr", "layer_decay", "layer_decay#2", "gradual_unfreezing"]
    assert Structures(space).names == []
    drawn = [
        choose(space, lambda name, variable, at=at: getattr(variable, "options", variable.extremes())[at])
        for at in (0, 1)
    ]  # fmt: skip
    assert drawn[0] != drawn[1]
    assert drawn[0].structure() == drawn[1].structure() != Recipe(optimizer=SGD(lr=0.1 * Cosine())).structure()


def only(recipe: Recipe) -> ParameterGroup:
    (group,) = recipe.groups
    return group


def test_a_sweep_finds_the_numbers_of_groups() -> None:
    recipe = Recipe(groups={"head.*": {"lr": "x2", "l2": 0.1 * Linear(), "decay": 0}})
    factor = find(recipe, "head.*.lr")
    assert factor.value == 2
    assert only(with_value(recipe, factor, 3)).lr == Times(3)
    assert only(with_value(recipe, find(recipe, "head.*.l2"), 0.2)).l2 == 0.2 * Linear()
    assert only(with_value(recipe, find(recipe, "head.*.decay"), 0.2)).decay == 0.2
