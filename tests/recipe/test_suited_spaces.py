"""Spaces made from facts: each holds what the task has a use for, and nothing else; the portfolio fits beside it."""

import random
from dataclasses import replace
from typing import Any

import pytest

from lanewise.errors import InputError
from lanewise.parts.groups import ParameterGroup, Times
from lanewise.parts.optimizers import SGD, AdamW, Muon, ScheduleFreeAdamW
from lanewise.parts.part import Variable
from lanewise.parts.schedules import tabulate
from lanewise.recipe.ranges import Choice, NumberRange, log
from lanewise.recipe.recipe import Recipe, choose
from lanewise.recipe.spaces import KINDS, Facts, portfolio, suited
from lanewise.recipe.spaces.suited import told

BARE = Facts(rows=1_000, matrices=False)
FULL = Facts(
    rows=1_000, pictures=True, smooths=True, mixes=True, dropout=(0.1, 0.1), depth=(0.1,), norm_momentum=(0.1,),
    converts=True,
)  # fmt: skip
OPTIONAL = ("dropout", "stochastic_depth", "norm", "norm_momentum", "label_smoothing", "mixup", "clip", "layer_decay")


def drawn(space: Recipe, seed: int) -> Recipe:
    """A recipe drawn from `space` at random."""
    source = random.Random(seed)

    def pick(name: str, variable: Variable) -> Any:
        if isinstance(variable, Choice):
            return source.choice(variable.options)
        assert isinstance(variable, NumberRange)
        return source.uniform(variable.low, variable.high)

    return choose(space, pick)


def fields_that_vary(facts: Facts) -> set[str]:
    usual, found = Recipe(), suited(facts)
    return {name for name in OPTIONAL if getattr(found, name) != getattr(usual, name)}


def kinds_of(space: Recipe) -> list[type]:
    return [type(one) for one in space.optimizer.options]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (BARE, set()),
        (replace(BARE, dropout=(0.5,)), {"dropout"}),
        (replace(BARE, depth=(0.1,)), {"stochastic_depth"}),
        (replace(BARE, norm_momentum=(0.1, 0.2)), {"norm_momentum"}),
        (replace(BARE, norm_momentum=(0.1, None)), set()),
        (replace(BARE, converts=True), {"norm"}),
        (replace(BARE, smooths=True), {"label_smoothing"}),
        (replace(BARE, pictures=True, mixes=True), {"mixup"}),
        (replace(BARE, pictures=True), set()),
        (replace(BARE, mixes=True), set()),
        (replace(BARE, sequence=True), {"clip"}),
        (replace(FULL, pretrained=True), set(OPTIONAL) - {"norm", "clip", "layer_decay"}),
        (replace(BARE, pretrained=True, layers=3), {"layer_decay"}),
        (replace(BARE, layers=3), set()),
    ],
)
def test_a_technique_is_there_where_the_task_has_a_use_for_it(facts: Facts, expected: set[str]) -> None:
    assert fields_that_vary(facts) == expected


def test_muon_is_there_where_a_weight_is_a_matrix() -> None:
    assert kinds_of(suited(BARE)) == [AdamW, SGD, ScheduleFreeAdamW]
    assert kinds_of(suited(FULL)) == [AdamW, SGD, ScheduleFreeAdamW, Muon]


@pytest.mark.parametrize("facts", [BARE, FULL, *(FULL.of_kind(kind) for kind in KINDS)])
def test_every_draw_can_be_tabulated(facts: Facts) -> None:
    space = suited(facts)
    for seed in range(40):
        recipe = drawn(space, seed)
        for number, value in recipe.numbers().items():
            tabulate(value, 200, 10, where=number, allowed=recipe.allowed(number))


def test_pretrained_weights_get_lower_learning_rates() -> None:
    def most(space: Recipe) -> float:
        return float(space.optimizer.options[0].lr.factors[0].high)

    assert most(suited(replace(FULL, pretrained=True))) < most(suited(FULL)) / 5


def test_parts_that_are_drawn_anew_get_higher_ones() -> None:
    facts = replace(FULL, pretrained=True, new_parts=("fc.*",))
    assert suited(facts).groups == (ParameterGroup("fc.*", lr=Times(log(1.0, 30.0))),)
    assert any("fc.*: drawn anew for each seed" in line for line in told(facts, "auto"))
    assert suited(facts.of_kind("vision")).groups == ()


@pytest.mark.parametrize(
    ("rows", "expected"), [(3, (1,)), (16, (8,)), (200, (8,)), (1_078, (64, 32)), (10**6, (128, 64))]
)
def test_batch_sizes_fit_the_examples(rows: int, expected: tuple[int, ...]) -> None:
    assert Facts(rows=rows).batch_sizes == expected


def test_a_batch_size_that_is_given_is_the_only_one() -> None:
    assert suited(replace(FULL, batch_size=48)).batch_size == 48


def test_weights_are_averaged_in_runs_that_are_long_enough() -> None:
    assert suited(replace(FULL, epochs=1)).ema is None
    found = suited(replace(FULL, epochs=50)).ema
    # An average over 1% to 10% of 50 epochs of 32 steps each.
    assert found.options[0] is None
    assert (found.options[1].low, found.options[1].high) == (0.9375, 0.9938)


def test_a_kind_that_is_none() -> None:
    with pytest.raises(InputError, match="space 'pictures': must be one of vision, text, table, finetune"):
        BARE.of_kind("pictures")


def test_the_words_say_what_is_in_it_and_what_is_left_out() -> None:
    first, second, *rest = told(replace(FULL, imbalance=12.0), "auto")
    assert first.startswith("space auto, for pictures and 1,000 training examples: AdamW, SGD with momentum, ")
    assert "dropout, stochastic depth, batch norm momentum, label smoothing; batch size 32 or 16" in second
    assert "layer norm instead of batch norm, mixup" in rest[0]
    assert "12 times" in rest[1]
    assert "class_weights = balanced" in rest[1]
    assert not any("class_weights" in line for line in told(replace(FULL, imbalance=12.0, weighed=True), "auto"))


@pytest.mark.parametrize("facts", [BARE, FULL, replace(FULL, sequence=True), replace(FULL, pretrained=True)])
def test_the_portfolio_needs_no_programs_beside_those_of_the_usual_recipes(facts: Facts) -> None:
    found = portfolio(facts)
    assert list(found) == ["adam", "sgd-cosine", "adamw-one-cycle", "adamw-cosine"]
    first = [{"optimizer": option} for option in suited(facts).optimizer.options[:2]]
    usual = {choose(replace(suited(facts), **given), pick_usual).structure() for given in first}
    assert {recipe.structure() for recipe in found.values()} == usual


def pick_usual(name: str, variable: Any) -> Any:
    return variable.options[0] if isinstance(variable, Choice) else variable.low


def test_the_portfolio_takes_the_length_of_the_space() -> None:
    (recipe, *_) = portfolio(FULL, Recipe(epochs=3, batch_size=24)).values()
    assert (recipe.epochs, recipe.batch_size) == (3, 24)
    (recipe, *_) = portfolio(FULL, suited(FULL)).values()
    assert (recipe.epochs, recipe.batch_size) == (20, 32)


def test_a_models_own_dropout_stays_in_the_portfolio() -> None:
    assert {recipe.dropout for recipe in portfolio(FULL).values()} == {0.1}
    assert {recipe.dropout for recipe in portfolio(replace(FULL, dropout=(0.1, 0.2))).values()} == {None}
