"""What the plateaus of a run did: replayed from its learning curve, which is all that they see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.lanes.step.numbers import number_names, tabulate_recipe
from lanewise.lanes.training.feedback import Plateaus
from lanewise.lanes.training.groups import evaluation_points
from lanewise.recipe.recipe import Recipe


@dataclass(frozen=True)
class Reduction:
    """A plateau multiplied the number called `name` by `factor` at `progress`, a share of the run."""

    progress: float
    name: str
    factor: float


@dataclass(frozen=True)
class Heard:
    """A run with its plateaus: `tables` holds each number at every step [steps], as it came out."""

    tables: dict[str, np.ndarray]
    reductions: list[Reduction]


def has_plateaus(recipe: Recipe, total_steps: int, steps_per_epoch: int) -> bool:
    """Whether any number of `recipe` has a plateau in it."""
    return bool(Plateaus.of(recipe, total_steps, steps_per_epoch).active)


def replayed(
    recipe: Recipe, total_steps: int, steps_per_epoch: int, points: Sequence[tuple[float, float, float, float]]
) -> Heard:
    """The numbers of `recipe` over a run whose learning curve is `points`, and what its plateaus took off.

    Args:
        points: (progress, training loss, validation loss, metric) of one repeat.
    """
    # Penalties as they are written, not divided by the training rows.
    table = tabulate_recipe(recipe, total_steps, steps_per_epoch, rows=1)
    plateaus = Plateaus.of(recipe, total_steps, steps_per_epoch)
    names, measured = number_names(recipe), evaluation_points(recipe.epochs)
    reductions = []
    for progress, _, loss, metric in points:
        if progress in measured:
            before = [one.state.factor for one in plateaus.active]
            table = plateaus.observe(round(progress * total_steps), loss, metric, table)
            reductions += [
                Reduction(progress, names[one.columns[0]], one.state.factor / factor)
                for one, factor in zip(plateaus.active, before, strict=True)
                if one.state.factor != factor
            ]
    return Heard(dict(zip(names, table.T, strict=True)), reductions)
