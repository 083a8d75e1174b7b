"""The numbers that groups of parameters have to themselves, each a column of a lane's table."""

from dataclasses import dataclass
from typing import Any

from lanewise.errors import InputError
from lanewise.parts.groups.group import Times
from lanewise.parts.optimizers.optimizer import Optimizer
from lanewise.parts.part import extremes

FREEZE = "freeze"
"""The number of a group that says how many steps it does not train."""
UNFREEZING = "gradual_unfreezing"
"""The column of a recipe that says after how many steps all layers train."""


@dataclass(frozen=True)
class GroupNumber:
    """A number of a group of parameters.

    Attributes:
        group: position of the group in the recipe. column: what the number is called in a table: `head.*.lr`.
        of: the number of the recipe that it replaces; `freeze` replaces none.
        value: a number or schedule, a `Times` of the recipe's, or a duration; None for the recipe's own.
    """

    group: int
    column: str
    of: str
    value: Any


def group_numbers(recipe: Any) -> list[GroupNumber]:
    """The numbers of all groups of `recipe`, in the order of its groups."""
    found: list[GroupNumber] = []
    for at, group in enumerate(recipe.groups):
        for name in group.given:
            values = _meant(recipe, name, getattr(group, name))
            found += [GroupNumber(at, f"{group.parameters}.{of}", of, own) for of, own in values.items()]
    return found


def _meant(recipe: Any, name: str, value: Any) -> dict[str, Any]:
    """By name the numbers of `recipe` that the number `name` of a group stands for, and what they become."""
    if name == "lr":
        return _rates(recipe, value)
    return _decays(recipe, value) if name == "decay" else {name: value}


def _rates(recipe: Any, value: Any) -> dict[str, Any]:
    """By name the learning rates that become `value`: all of the optimizer's."""
    return dict.fromkeys(recipe.optimizer.rate_names(), value)


def _decays(recipe: Any, value: Any) -> dict[str, Any]:
    """By name what becomes of the recipe's decay and of the optimizer's own."""
    own = recipe.optimizer.decay_names()
    if isinstance(value, Times) or value == 0:
        return dict.fromkeys(("decay", *own), value)
    return {"decay": None if own else value, **dict.fromkeys(own, value)}


def check_decays(recipe: Any) -> None:
    """Raise `InputError` if a group has a decay of its own, and the recipe has two that it could stand for."""
    optimizers = [one for one in extremes(recipe.optimizer) if isinstance(one, Optimizer)]
    for group in recipe.groups:
        values = [one for one in extremes(group.decay) if not isinstance(one, Times) and one not in (None, 0)]
        owner = next((one for one in optimizers if one.decay_names()), None)
        if values and owner and recipe.decay != 0:
            raise InputError(
                f"groups[{group.parameters!r}].decay = {group.decay}: could be the recipe's decay or the "
                f"{owner.decay_names()[0]} of {owner.name}; must be 0 or a factor such as x0.5, or give one of the two"
            )
