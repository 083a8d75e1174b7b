"""The numbers of lanes at every step, tabulated before a pack runs."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.groups import Times
from lanewise.parts.part import Allowed
from lanewise.parts.penalties import strength
from lanewise.parts.schedules import RunLength, tabulate
from lanewise.recipe.group_numbers import FREEZE, UNFREEZING, GroupNumber, group_numbers
from lanewise.recipe.recipe import Recipe

PENALTIES = ("l2", "l1")
AVERAGING = "ema"
"""The number that says how much of the averaged weights a step keeps, whether they are exponential or uniform."""


def number_names(recipe: Recipe) -> tuple[str, ...]:
    """The columns of a recipe's table: its numbers, those of its groups, then `t`, the steps done before.

    >>> from lanewise import GradientDescent
    >>> number_names(Recipe(optimizer=GradientDescent(), average_from=0.5))
    ('lr', 'l2', 'l1', 'decay', 'label_smoothing', 'ema', 't')
    """
    of_groups = [number.column for number in group_numbers(recipe)]
    unfreezing = [UNFREEZING] if recipe.gradual_unfreezing is not None else []
    averaging = [AVERAGING] if recipe.average_from is not None else []
    return (*recipe.numbers(), *of_groups, *unfreezing, *averaging, "t")


def uniform_decay(average_from: float, total_steps: int) -> np.ndarray:
    """The decay at every step that makes an exponential average the plain one of all steps after `average_from`.

    >>> uniform_decay(0.5, 6).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.5, 0.6666666666666666]
    """
    since: np.ndarray = np.maximum(np.arange(total_steps, dtype=np.float64) - int(average_from * total_steps), 0)
    decay: np.ndarray = since / (since + 1)
    return decay


def tabulate_recipe(recipe: Recipe, total_steps: int, steps_per_epoch: int, rows: int) -> np.ndarray:
    """Every number of `recipe` at every step, float64 [steps, columns]; the last column is the step itself.

    Args:
        rows: training rows, by which a penalty given per row is divided.

    Raises:
        InputError: a schedule leads a number out of its range; names the number, the step and the value.
    """
    run = RunLength(total_steps, steps_per_epoch)
    columns: dict[str, np.ndarray] = {}
    for name, value in recipe.numbers().items():
        column = tabulate(value, total_steps, steps_per_epoch, where=name, allowed=recipe.allowed(name))
        if name == AVERAGING:
            # An average begins with the weights of the first step, not with those before it.
            column = np.concatenate([[0.0], column[1:]])
        columns[name] = column * strength(1.0, recipe.penalty_per, rows) if name in PENALTIES else column
    for number in group_numbers(recipe):
        columns[number.column] = of_group(number, recipe, columns, run, rows)
    if recipe.gradual_unfreezing is not None:
        columns[UNFREEZING] = lasting(UNFREEZING, recipe.gradual_unfreezing, run)
    if recipe.average_from is not None:
        columns[AVERAGING] = uniform_decay(recipe.average_from, total_steps)
    return np.stack([*columns.values(), np.arange(total_steps, dtype=np.float64)], axis=1)


def of_group(
    number: GroupNumber, recipe: Recipe, columns: Mapping[str, np.ndarray], run: RunLength, rows: int
) -> np.ndarray:
    """The number of a group at every step; `columns` has those of the recipe."""
    name, value = number.column, number.value
    if number.of == FREEZE:
        return lasting(name, value, run)
    allowed = recipe.allowed(number.of)
    if value is None:
        return columns[number.of]
    if not isinstance(value, Times):
        column: np.ndarray = tabulate(value, run.total_steps, run.steps_per_epoch, where=name, allowed=allowed)
        return column * float(strength(1.0, recipe.penalty_per, rows)) if number.of in PENALTIES else column
    factor = tabulate(value.factor, run.total_steps, run.steps_per_epoch, where=name, allowed=Allowed(0.0))
    column = factor * columns[number.of]
    at = int(column.argmax())
    if not allowed.holds(float(column[at])):
        raise InputError(f"{name} = {value}: makes {number.of} {column[at]:g} at step {at}; must be {allowed}")
    return column


def lasting(name: str, duration: str, run: RunLength) -> np.ndarray:
    """How many steps `duration` lasts, at every step."""
    steps: np.ndarray = np.full(run.total_steps, float(run.steps(name, duration)))
    return steps


def stack_tables(tables: Sequence[np.ndarray], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The tables of a block's lanes as one tensor [steps, numbers, lanes], a step's values in one piece."""
    stacked = np.ascontiguousarray(np.stack(tables, axis=-1))
    return torch.from_numpy(stacked).to(device=device, dtype=dtype)


def cooled(table: np.ndarray, names: Sequence[str], rates: Iterable[str], start: int, steps: int) -> np.ndarray:
    """The table of a cool-down of `steps` steps that leaves the run at step `start`.

    The numbers called `rates` (an optimizer may have two) fall from their values there in a straight line, as (1 -
    i/steps); all others stay as they are.
    """
    rows = np.repeat(table[min(start, len(table) - 1)][None], steps, axis=0)
    for rate in rates:
        rows[:, names.index(rate)] *= 1 - np.arange(steps) / steps
    rows[:, names.index("t")] = start + np.arange(steps)
    return rows
