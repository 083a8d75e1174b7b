"""The numbers of lanes at every step, tabulated before a pack runs."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from lanewise.parts.penalties import strength
from lanewise.parts.schedules import tabulate
from lanewise.recipe import Recipe

PENALTIES = ("l2", "l1")


def tabulate_recipe(recipe: Recipe, total_steps: int, steps_per_epoch: int, rows: int) -> np.ndarray:
    """Every number of `recipe` at every step, float64 [steps, numbers + 1]; the last column is the step itself.

    Args:
        rows: training rows, by which a penalty given per row is divided.

    Raises:
        InputError: a schedule leads a number out of its range; names the number, the step and the value.
    """
    columns = []
    for name, value in recipe.numbers().items():
        column = tabulate(value, total_steps, steps_per_epoch, where=name, allowed=recipe.allowed(name))
        columns.append(column * strength(1.0, recipe.penalty_per, rows) if name in PENALTIES else column)
    return np.stack([*columns, np.arange(total_steps, dtype=np.float64)], axis=1)


def stack_tables(tables: Sequence[np.ndarray], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The tables of a block's lanes as one tensor [steps, numbers, lanes], a step's values in one piece."""
    stacked = np.ascontiguousarray(np.stack(tables, axis=-1))
    return torch.from_numpy(stacked).to(device=device, dtype=dtype)


def cooled(table: np.ndarray, names: Sequence[str], rates: Iterable[str], start: int, steps: int) -> np.ndarray:
    """The table of a cool-down of `steps` steps that leaves the run at step `start`.

    The numbers called `rates` (a rule may have two) fall from their values there in a straight line, as (1 - i/steps);
    all others stay as they are.
    """
    rows = np.repeat(table[min(start, len(table) - 1)][None], steps, axis=0)
    for rate in rates:
        rows[:, names.index(rate)] *= 1 - np.arange(steps) / steps
    rows[:, names.index("t")] = start + np.arange(steps)
    return rows
