"""What each parameter reads of a step's numbers: groups and the depth of its layer give it numbers of its own."""

from collections.abc import Collection, Hashable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.parts.groups import check_trains, group_of, layer_depths
from lanewise.recipe.group_numbers import FREEZE, UNFREEZING, group_numbers
from lanewise.recipe.recipe import Recipe

Number: TypeAlias = Any
"""A float, or a 0-d tensor of one lane."""


class OwnNumbers:
    """The numbers of the parameters of `model` under `recipe`.

    Args:
        penalised: names of the parameters that penalties apply to.

    Raises:
        InputError: a group fits no parameter, two fit the same one, none is left that trains, or a penalty of a group
            has nothing to act on.

    Attributes:
        freezes: whether some parameters do not train from the start. rates: columns of a table that are learning rates
            of groups.
    """

    def __init__(self, recipe: Recipe, model: nn.Module, penalised: Collection[str]) -> None:
        self._group_of = group_of(model, recipe.groups)
        check_trains(model, recipe.groups, self._group_of)
        check_penalties(recipe, {self._group_of[name] for name in penalised if name in self._group_of})
        by_depth = recipe.layer_decay is not None or recipe.gradual_unfreezing is not None
        self._depth_of = layer_depths(model) if by_depth else {}
        self._deepest = max(self._depth_of.values(), default=0)
        self._rates = recipe.optimizer.rate_names()
        self._decays_by_layer = recipe.layer_decay is not None
        self._unfreezes = recipe.gradual_unfreezing is not None
        self._columns: list[dict[str, str]] = [{} for _ in recipe.groups]
        for number in group_numbers(recipe):
            self._columns[number.group][number.of] = number.column
        self.freezes = self._unfreezes or any(FREEZE in columns for columns in self._columns)
        self.rates = {columns[rate] for columns in self._columns for rate in self._rates if rate in columns}

    def key(self, name: str) -> Hashable:
        """Equal for parameters that read the same numbers."""
        return self._group_of.get(name), self._depth_of.get(name)

    def at(self, numbers: Mapping[str, Number]) -> "NumbersAt":
        """A step's `numbers`, to be read by parameter."""
        return NumbersAt(self, numbers)

    def read(self, name: str, numbers: Mapping[str, Number], shares: list[Number]) -> Mapping[str, Number]:
        """See `NumbersAt.of`; `shares` are the layers' shares of a rate, by depth, which grow as they are needed."""
        own = {of: numbers[column] for of, column in self._columns_of(name).items() if of != FREEZE}
        if depth := self._depth_of.get(name, 0) * self._decays_by_layer:
            while len(shares) < depth:
                # By products, so that a lane is the same in any pack.
                shares.append(numbers["layer_decay"] * shares[-1] if shares else numbers["layer_decay"])
            own |= {rate: own.get(rate, numbers[rate]) * shares[depth - 1] for rate in self._rates}
        return {**numbers, **own} if own else numbers

    def waits(self, name: str) -> bool:
        """Whether the parameter called `name` may be frozen at some step."""
        return FREEZE in self._columns_of(name) or bool(self._unfreezes and self._depth_of[name])

    def frozen(self, name: str, numbers: Mapping[str, Number]) -> Number | None:
        """See `NumbersAt.frozen`."""
        found: Number | None = None
        columns = self._columns_of(name)
        if FREEZE in columns:
            found = numbers["t"] < numbers[columns[FREEZE]]
        if self._unfreezes and (depth := self._depth_of[name]):
            waits = numbers["t"] < numbers[UNFREEZING] * depth / self._deepest
            found = waits if found is None else found | waits
        return found

    def _columns_of(self, name: str) -> dict[str, str]:
        """Number -> column, of those that the parameter called `name` has by its group."""
        return self._columns[self._group_of[name]] if name in self._group_of else {}


class NumbersAt:
    """The numbers of one step, floats or those of a lane, by parameter."""

    def __init__(self, own: OwnNumbers, numbers: Mapping[str, Number]) -> None:
        self._own, self._numbers = own, numbers
        self._shares: list[Number] = []

    def of(self, name: str) -> Mapping[str, Number]:
        """The numbers that the parameter called `name` is updated with."""
        return self._own.read(name, self._numbers, self._shares)

    def frozen(self, name: str) -> "Tensor | bool | None":
        """Whether the parameter called `name` does not train at this step; None where it always does."""
        return self._own.frozen(name, self._numbers)


def check_penalties(recipe: Recipe, penalised: Collection[int]) -> None:
    """Raise `InputError` if a group has a penalty of its own that acts on none of its parameters.

    Args:
        penalised: positions of the groups with parameters that penalties apply to.
    """
    for at, group in enumerate(recipe.groups):
        for name in ("l2", "l1", "decay"):
            of_optimizer = name == "decay" and recipe.optimizer.decay_names()
            if getattr(group, name) not in (None, 0) and at not in penalised and not of_optimizer:
                raise InputError(
                    f"groups[{group.parameters!r}].{name} = {getattr(group, name)}: penalties apply to none of its "
                    "parameters; name them in `penalised` too"
                )
