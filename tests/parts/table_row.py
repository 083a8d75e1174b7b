"""What a row of the table of parts is, and the recipes that rows are made of."""

from dataclasses import dataclass, fields, replace
from typing import Any

from lanewise.parts.optimizers import SGD, Optimizer
from lanewise.parts.schedules import Linear
from lanewise.recipe.recipe import Recipe

BATCH, EPOCHS = 8, 10
"""48 training rows give 6 steps an epoch: 60 steps."""
PLAIN = SGD(lr=0.1, momentum=0.5)
LIVELY = {"dropout": 0.2, "norm_momentum": 0.1}
"""Given in every row of a schedule or of a number, so that all of them are lanes of one program."""


@dataclass(frozen=True)
class Row:
    """One part or variant, as recipes use it.

    Attributes:
        lanes: recipes of one structure, three or more, whose numbers differ.
        without: the first lane without the part.
        model: a name of `table_models.MODELS`.
    """

    name: str
    lanes: tuple[Recipe, ...]
    without: Recipe
    model: str = "mlp"

    def __str__(self) -> str:
        return self.name


def recipe(optimizer: Optimizer = PLAIN, **given: Any) -> Recipe:
    return Recipe(optimizer=optimizer, **{"batch_size": BATCH, "epochs": EPOCHS, **given})


def halved(optimizer: Optimizer) -> Optimizer:
    """The optimizer with a schedule, which falls to half, on each of its numbers but those that are 0."""
    numbers = {name: value * Linear(to=0.5) for name, value in optimizer.numbers().items() if value}
    return replace(optimizer, **numbers)


def parts_of(value: Any) -> list[Any]:
    """`value` and every part inside it."""
    if isinstance(value, tuple):
        return [part for entry in value for part in parts_of(entry)]
    if not hasattr(value, "__dataclass_fields__"):
        return []
    return [value, *(part for item in fields(value) for part in parts_of(getattr(value, item.name)))]
