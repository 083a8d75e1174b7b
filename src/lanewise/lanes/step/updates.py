"""The update of a lane's parameters: penalties, decay, and the optimizer's step."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lanewise.lanes.step.own_numbers import NumbersAt, OwnNumbers
from lanewise.lanes.step.own_steps import STEPS
from lanewise.parts.optimizers.optimizer import Optimizer, State
from lanewise.parts.penalties import decayed, penalty_gradient, proximal_l1
from lanewise.parts.reals import as_before, as_reals
from lanewise.recipe.recipe import Recipe


class Updates:
    """How `recipe` updates the parameters of a lane.

    Args:
        optimizers: of each parameter, by name. penalised: names of those that penalties apply to. own: what each
            parameter reads of the numbers.
    """

    def __init__(
        self, recipe: Recipe, optimizers: Mapping[str, Optimizer], penalised: Collection[str], own: OwnNumbers
    ) -> None:
        self._recipe, self._optimizers, self._penalised, self._own = recipe, optimizers, penalised, own

    def updated(
        self, name: str, param: Tensor, gradient: Tensor, state: State, at_step: NumbersAt
    ) -> tuple[Tensor, State]:
        """The parameter called `name` and its memory after a step; both as they were while it is frozen."""
        new, after = self._trained(name, param, gradient, state, at_step.of(name))
        if not self._own.freezes:
            return new, after
        frozen = at_step.frozen(name)
        return unless(frozen, new, param), {slot: unless(frozen, after[slot], before) for slot, before in state.items()}

    def _trained(
        self, name: str, param: Tensor, gradient: Tensor, state: State, numbers: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        if param.is_complex():
            reals, state = self._trained(name, as_reals(param), as_reals(gradient), state, numbers)
            return as_before(reals, param), state
        recipe, optimizer, penalised = self._recipe, self._optimizers[name], name in self._penalised
        if penalised:
            l1 = 0.0 if recipe.l1_step == "proximal" else numbers["l1"]
            gradient = gradient + penalty_gradient(param, numbers["l2"], l1)
            param = decayed(param, numbers["decay"], numbers[optimizer.rate], recipe.decay_by)
        done = state.get(STEPS, numbers["t"])
        param, after = optimizer.update(param, gradient, state, numbers, done)
        if STEPS in state:
            after = {**after, STEPS: done + 1}
        # The state is flat: it keeps the order that it began with, whichever an optimizer returns.
        state = {slot: after[slot] for slot in state}
        if penalised and recipe.l1_step == "proximal":
            param = proximal_l1(param, numbers[optimizer.rate] * numbers["l1"])
        return param, state


def unless(frozen: Tensor | bool | None, new: Tensor, old: Tensor | float) -> Tensor:
    """`new`, or `old` where a lane's parameter is frozen."""
    return new if frozen is None else torch.where(torch.as_tensor(frozen), old, new)
