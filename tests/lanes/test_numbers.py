"""The table of a lane's numbers: every value at every step, checked before anything runs."""

import numpy as np
import pytest
import torch

from lanewise.errors import InputError
from lanewise.lanes.step.numbers import cooled, stack_tables, tabulate_recipe
from lanewise.parts.optimizers import SGD, Muon
from lanewise.parts.schedules import Cosine, Linear, Polynomial, Staircase, StepLinear, WarmupStableDecay
from lanewise.recipe.recipe import Recipe

CPU = torch.device("cpu")


def column(recipe: Recipe, name: str, steps: int = 8, steps_per_epoch: int = 2, rows: int = 10) -> list[float]:
    table = tabulate_recipe(recipe, steps, steps_per_epoch, rows)
    found: list[float] = table[:, [*recipe.numbers(), "t"].index(name)].tolist()
    return found


def test_plain_numbers_stand_at_every_step_and_the_last_column_counts_them() -> None:
    recipe = Recipe(optimizer=SGD(lr=0.25, momentum=0.5), l2=0.125, dropout=0.75, norm_momentum=1.0)
    table = tabulate_recipe(recipe, 3, 1, 10)
    assert list(recipe.numbers()) == [
        "lr", "momentum", "dampening", "l2", "l1", "decay", "dropout", "norm_momentum", "label_smoothing",
    ]  # fmt: skip
    row = [0.25, 0.5, 0.0, 0.125, 0.0, 0.0, 0.75, 1.0, 0.0]
    assert table.tolist() == [[*row, 0.0], [*row, 1.0], [*row, 2.0]]
    assert table.dtype == np.float64


def test_a_number_that_is_none_has_no_column() -> None:
    assert tabulate_recipe(Recipe(), 2, 1, 10).shape == (2, 8)
    assert tabulate_recipe(Recipe(dropout=0.0), 2, 1, 10).shape == (2, 9)


def test_schedules_run_over_the_whole_run() -> None:
    recipe = Recipe(
        optimizer=SGD(lr=0.5 * Linear(), momentum=0.5 * Staircase(beta=0.5, period="1ep")), l1=4.0 * Linear()
    )
    assert column(recipe, "lr", 4) == [0.5, 0.375, 0.25, 0.125]
    assert column(recipe, "momentum", 4) == [0.5, 0.5, 0.25, 0.25]
    assert column(recipe, "l1", 4) == [4.0, 3.0, 2.0, 1.0]


def test_penalties_per_row_are_divided_by_the_rows() -> None:
    recipe = Recipe(l2=5.0, l1=2.0 * Linear(), decay=0.5, penalty_per="row")
    assert column(recipe, "l2", 2) == [0.5, 0.5]
    assert column(recipe, "l1", 2) == [0.2, 0.1]
    assert column(recipe, "decay", 2) == [0.5, 0.5], "decay is no penalty of the loss"
    assert column(Recipe(l2=5.0), "l2", 2) == [5.0, 5.0]


def test_a_schedule_that_leaves_the_range_is_refused_with_its_step() -> None:
    recipe = Recipe(optimizer=SGD(lr=0.1, momentum=0.5 * Linear(to=4.0)))
    with pytest.raises(InputError, match=r"momentum.*linear\(to=4\.0\).*step [3-7].*\[0, 1\)"):
        tabulate_recipe(recipe, 8, 1, 10)


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe(dropout=1.0 * Linear()), "dropout"),
        (Recipe(label_smoothing=1.0 * Cosine()), "label_smoothing"),
        (Recipe(optimizer=SGD(lr=0.1, momentum=1.0 * Polynomial(power=1.0, to=0.25))), "momentum"),
        (Recipe(norm_momentum=0.1 * StepLinear(step="50%")), "norm_momentum"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_end_of_an_open_range_is_outside(recipe: Recipe, name: str) -> None:
    # Dropout at a rate of exactly 1 divides by zero; batch norm with a momentum of 0 never learns its statistics.
    with pytest.raises(InputError, match=f"{name}.*step"):
        tabulate_recipe(recipe, 8, 1, 10)


def test_the_end_of_a_closed_range_is_inside() -> None:
    assert column(Recipe(dropout=0.5 * StepLinear(step="50%"), norm_momentum=1.0), "dropout", 4, 1) == [0.5, 0.25, 0, 0]
    assert column(Recipe(optimizer=SGD(lr=0.1 * StepLinear(step="50%"))), "lr", 4, 1) == [0.1, 0.05, 0, 0]


def test_stacked_tables_hold_a_step_in_one_piece() -> None:
    tables = [np.arange(6.0).reshape(3, 2) + 10 * lane for lane in range(4)]
    stacked = stack_tables(tables, torch.float64, CPU)
    assert stacked.shape == (3, 2, 4)
    assert stacked[1].tolist() == [[2.0, 12.0, 22.0, 32.0], [3.0, 13.0, 23.0, 33.0]]
    assert all(row.is_contiguous() for row in stacked)
    assert stack_tables(tables, torch.float32, CPU).dtype == torch.float32


def test_a_cool_down_lowers_the_rate_in_a_straight_line_and_holds_all_else() -> None:
    recipe = Recipe(optimizer=SGD(lr=1.0 * Linear(), momentum=0.8 * Linear()), dropout=0.5)
    table, names = tabulate_recipe(recipe, 8, 1, 10), [*recipe.numbers(), "t"]
    cold = cooled(table, names, {"lr"}, 4, 5)
    assert cold.shape == (5, len(names))
    assert cold[:, names.index("lr")].tolist() == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert cold[:, names.index("t")].tolist() == [4.0, 5.0, 6.0, 7.0, 8.0]
    assert set(cold[:, names.index("momentum")]) == {0.4}
    assert set(cold[:, names.index("dropout")]) == {0.5}
    assert table[4, names.index("lr")] == 0.5, "the lane's own table stays as it is"


def test_a_cool_down_at_the_end_of_a_run_starts_from_its_last_rate() -> None:
    recipe = Recipe(optimizer=SGD(lr=1.0 * WarmupStableDecay()))
    table, names = tabulate_recipe(recipe, 8, 1, 10), [*recipe.numbers(), "t"]
    cold = cooled(table, names, {"lr"}, 8, 2)
    assert cold[0, names.index("lr")] == table[7, names.index("lr")]
    assert cold[:, names.index("t")].tolist() == [8.0, 9.0]


def test_a_cool_down_lowers_every_rate_of_a_optimizer_that_has_two() -> None:
    recipe = Recipe(optimizer=Muon(lr=0.5, adam_lr=0.25))
    table, names = tabulate_recipe(recipe, 8, 1, 10), [*recipe.numbers(), "t"]
    cold = cooled(table, names, {"lr", "adam_lr"}, 2, 2)
    assert cold[:, names.index("lr")].tolist() == [0.5, 0.25]
    assert cold[:, names.index("adam_lr")].tolist() == [0.25, 0.125]
