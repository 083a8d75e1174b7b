"""The update of one parameter of one lane: penalties, decay, and the optimizer's step."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lanewise.lanes.step.own_numbers import NumbersAt
from lanewise.lanes.step.own_steps import STEPS
from lanewise.parts.optimizers.optimizer import Numbers, State
from lanewise.parts.penalties import decayed, penalty_gradient, proximal_l1
from lanewise.parts.reals import as_before, as_reals

if TYPE_CHECKING:
    from lanewise.lanes.step.step import LaneStep


def updated(
    step: "LaneStep", name: str, param: Tensor, gradient: Tensor, state: State, own: NumbersAt
) -> tuple[Tensor, State]:
    """The parameter called `name` and its memory after a step of `step`; both as they were while it is frozen."""
    new, after = _updated(step, name, param, gradient, state, own.of(name))
    if not step.own.freezes:
        return new, after
    frozen = own.frozen(name)
    return unless(frozen, new, param), {slot: unless(frozen, after[slot], before) for slot, before in state.items()}


def _updated(
    step: "LaneStep", name: str, param: Tensor, gradient: Tensor, state: State, numbers: Numbers
) -> tuple[Tensor, State]:
    if param.is_complex():
        reals, state = _updated(step, name, as_reals(param), as_reals(gradient), state, numbers)
        return as_before(reals, param), state
    recipe, optimizer, penalised = step.recipe, step.optimizers[name], name in step.penalised
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
