"""The numbers of lanes at every step, tabulated before a pack runs."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from lanewise.parts.penalties import strength
from lanewise.parts.schedules import tabulate
from lanewise.recipe.recipe import Recipe

PENALTIES = ("l2", "l1")
AVERAGING = "ema"
"""The number that says how much of the averaged weights a step keeps, whether they are exponential or uniform."""


def number_names(recipe: Recipe) -> tuple[str, ...]:
    """The columns of a recipe's table: its numbers, then `t`, the steps done before.

    >>> from lanewise import GradientDescent
    >>> number_names(Recipe(optimizer=GradientDescent(), average_from=0.5))
    ('lr', 'l2', 'l1', 'decay', 'label_smoothing', 'ema', 't')
    """
    averaging = [AVERAGING] if recipe.average_from is not None else []
    return (*recipe.numbers(), *averaging, "t")


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
    columns = []
    for name, value in recipe.numbers().items():
        column = tabulate(value, total_steps, steps_per_epoch, where=name, allowed=recipe.allowed(name))
        if name == AVERAGING:
            # An average begins with the weights of the first step, not with those before it.
            column = np.concatenate([[0.0], column[1:]])
        columns.append(column * strength(1.0, recipe.penalty_per, rows) if name in PENALTIES else column)
    if recipe.average_from is not None:
        columns.append(uniform_decay(recipe.average_from, total_steps))
    return np.stack([*columns, np.arange(total_steps, dtype=np.float64)], axis=1)


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
