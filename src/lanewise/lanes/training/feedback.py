"""Plateaus: what a lane's measurements change in its table of numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanewise.lanes.step.numbers import number_names
from lanewise.parts.groups import Times
from lanewise.parts.schedules import Feedback, Plateau, PlateauState, feedbacks
from lanewise.recipe.group_numbers import GroupNumber, group_numbers
from lanewise.recipe.recipe import Recipe


@dataclass
class ActivePlateau:
    """One plateau of one number of one lane, with what it remembers.

    Attributes:
        columns: of the number in the lane's table, and of the numbers that groups of parameters derive from it.
    """

    columns: list[int]
    feedback: Feedback
    state: PlateauState = field(default_factory=PlateauState)


@dataclass
class Plateaus:
    """All plateaus of one lane."""

    active: list[ActivePlateau]

    @classmethod
    def of(cls, recipe: Recipe, total_steps: int, steps_per_epoch: int) -> "Plateaus":
        """The plateaus in the numbers of `recipe`; most recipes have none."""
        names = number_names(recipe)
        of_groups = group_numbers(recipe)
        watched: list[tuple[list[str], Any]] = []
        for name, value in recipe.numbers().items():
            derived = [one.column for one in of_groups if one.of == name and (one.value is None or is_factor(one))]
            watched.append(([name, *derived], value))
        watched += [([one.column], one.value.factor if is_factor(one) else one.value) for one in of_groups]
        return cls(
            [
                ActivePlateau([names.index(name) for name in columns], feedback, feedback.plateau.init())
                for columns, value in watched
                for feedback in feedbacks(value, total_steps, steps_per_epoch)
            ]
        )

    def idle(self, measured: Iterable[int], total_steps: int) -> list[Plateau]:
        """The plateaus that cannot change anything with a measurement after each of the steps `measured`.

        The first measurement is the best so far; one more than `patience` after it reduces, if steps follow.
        """
        within = [step for step in measured if step < total_steps]
        return [
            one.feedback.plateau
            for one in self.active
            if sum(one.feedback.active(step - 1) for step in within) < one.feedback.plateau.patience + 2
        ]

    def observe(self, step: int, loss: float, metric: float, table: np.ndarray) -> np.ndarray:
        """The table after a measurement taken when `step` steps were done: rows from `step` on may be scaled.

        A plateau that maximises gets the metric, any other the validation loss; both NaN where the lane diverged,
        which is no improvement.

        Returns:
            `table` itself if nothing changed, else a changed copy.
        """
        changed = table
        for one in self.active:
            if not one.feedback.active(step - 1):
                continue
            plateau = one.feedback.plateau
            new = plateau.update(one.state, metric if plateau.maximize else loss)
            if new.factor != one.state.factor:
                changed = changed.copy() if changed is table else changed
                changed[step : one.feedback.stop, one.columns] *= new.factor / one.state.factor
            one.state = new
        return changed


def is_factor(number: GroupNumber) -> bool:
    """Whether a group's number is a factor on the recipe's."""
    return isinstance(number.value, Times)
