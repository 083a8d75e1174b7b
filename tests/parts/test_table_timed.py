"""Every number that may change with the step follows its schedule: a jump is one constant run after another."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import OPTIMIZERS, SGD
from lanewise.parts.schedules import Piecewise
from lanewise.recipe.recipe import Recipe, timed_fields
from tests.parts.table_optimizers import RULE_ROWS
from tests.parts.table_row import recipe
from tests.parts.table_runs import new_engine, same_bits

JUMP = Piecewise(at=("50%",), values=(1.0, 0.5))

NUMBERS: dict[str, dict[str, float]] = {
    "mlp": {
        "l2": 0.1, "l1": 0.01, "decay": 0.1, "dropout": 0.5, "norm_momentum": 0.4, "mixup": 0.8, "label_smoothing": 0.4,
        "clip": 0.5, "ema": 0.8, "layer_decay": 0.5,
    },
    "residual": {"stochastic_depth": 0.5, "dropout": 0.5, "norm_momentum": 0.4},
    "low rank": {"lora_alpha": 8.0, "l2": 0.1},
}  # fmt: skip
"""The recipe's own numbers and a value of each, for each model."""
GHOSTS = {"mlp": 3, "residual": None, "low rank": None}


def jump_and_constants(base: Recipe, name: str, value: float) -> tuple[Recipe, Recipe, Recipe]:
    """`base` with the number `name` jumping from `value` to its half, at `value`, and at its half."""

    def with_number(given: Any) -> Recipe:
        if name in {item.name for item in fields(Recipe)}:
            return replace(base, **{name: given})
        return replace(base, optimizer=replace(base.optimizer, **{name: given}))

    return with_number(value * JUMP), with_number(value), with_number(0.5 * value)


def assert_each_follows(model: str, base: Recipe, values: dict[str, float]) -> None:
    """For each number: the lane that jumps is the lane of its first value up to the middle, and then of its second."""
    lanes = [lane for name, value in values.items() for lane in jump_and_constants(base, name, value)]
    cohort = Cohort(new_engine("packed", model, lanes), lanes, [0])
    (group,) = cohort.groups
    (block,) = group.packs[0].blocks
    cohort.advance(0.5)
    jumping, first, second = (slice(at, None, 3) for at in range(3))
    for leaf in block.state:
        assert torch.equal(leaf[jumping], leaf[first])
        leaf[second] = leaf[first]
    cohort.advance(1.0)
    states = [[leaf[at] for leaf in block.state] for at in range(len(lanes))]
    for name, jumped, went_on, changed in zip(values, states[jumping], states[first], states[second], strict=True):
        assert same_bits(jumped, changed), name
        assert not same_bits(jumped, went_on), f"{name} does not matter"


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.name)
def test_numbers_of_optimizers(kind: type) -> None:
    (row,) = (row for row in RULE_ROWS if row.name == kind.name)
    base = row.lanes[0]
    # What is 0 by default gets a value; the ways it may then go are the same.
    values = {name: value or 0.25 for name, value in base.optimizer.numbers().items()}
    assert_each_follows("mlp", replace(base, optimizer=type(base.optimizer)(**values)), values)


@pytest.mark.parametrize("model", NUMBERS)
def test_numbers_of_recipes(model: str) -> None:
    values = NUMBERS[model]
    assert_each_follows(model, recipe(SGD(lr=0.1, momentum=0.5), ghost=GHOSTS[model], **values), values)


@pytest.mark.parametrize("how", [{"l1_step": "proximal"}, {"decay_by": "independent"}], ids=str)
def test_numbers_of_penalties_of_the_other_kind(how: dict[str, str]) -> None:
    name, value = ("l1", 0.05) if "l1_step" in how else ("decay", 0.01)
    assert_each_follows("mlp", recipe(SGD(lr=0.1), **{name: value}, **how), {name: value})


def test_no_number_is_left_out() -> None:
    own = {name for values in NUMBERS.values() for name in values}
    assert own == {item.name for item in timed_fields(Recipe())}
    for kind in OPTIMIZERS:
        assert set(kind.number_names()) == {item.name for item in timed_fields(kind())}
