"""Schedule-free SGD and AdamW: the gradient is taken at one point, and another, an average, is evaluated."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lanewise.parts.optimizers.optimizer import (
    Numbers,
    Optimizer,
    State,
    as_number,
    bias_correction,
    moving_average,
    power,
)
from lanewise.parts.part import Value, numeric


@dataclass(frozen=True)
class ScheduleFreeSGD(Optimizer):
    """SGD whose iterates are averaged while it runs, so that the rate needs no decay.

    The parameter that trains is y; z takes the steps; x, the average of the z, is what `evaluated` gives:

    z' = z - lr (g(y) + weight_decay y);  w = (t+1)^r lr_max^weight_lr_power;  c = w / (sum of all w so far);
    x' = (1 - c) x + c z';  y' = (1 - momentum) z' + momentum x',

    with lr_max the largest rate so far. A warm-up belongs in the rate's schedule, a decay does not. Running statistics
    of a batch norm belong to y: re-estimate them at x before evaluating.

    The momentum that y was made with is kept beside z, so that x stays the average when the momentum follows a
    schedule; the `schedulefree` package divides by the current momentum instead.

    Args:
        lr: learning rate, >= 0.
        momentum: the share of x in y, in (0, 1).
        weight_decay: added to the gradient at y, >= 0.
        r: power of the step in the average's weights, >= 0.
        weight_lr_power: power of the largest rate so far in the average's weights, >= 0.

    Raises:
        InputError: a number outside its range.

    >>> optimizer = ScheduleFreeSGD(lr=0.5, momentum=0.5)
    >>> y, n = torch.tensor([1.0]), optimizer.numbers()
    >>> y, state = optimizer.update(y, torch.tensor([1.0]), optimizer.init(y), n, 0)  # z = 0.5, c = 1: x = 0.5, y = 0.5
    >>> y, state = optimizer.update(y, torch.tensor([1.0]), state, n, 1)  # z = 0, c = 1/2: x = 0.25, y = 0.125
    >>> y.item(), optimizer.evaluated(y, state, n).item()
    (0.125, 0.25)

    Source: Defazio et al., The road less scheduled, 2024, and the defaults of their package `schedulefree`.
    """

    lr: Value = numeric(1.0, low=0.0, timed=True)
    momentum: Value = numeric(0.9, low=0.0, high=1.0, low_open=True, high_open=True, timed=True)
    weight_decay: Value = numeric(0.0, low=0.0, timed=True)
    r: Value = numeric(0.0, low=0.0, timed=True)
    weight_lr_power: Value = numeric(2.0, low=0.0, timed=True)

    name: ClassVar[str] = "schedule_free_sgd"

    def init(self, param: Tensor) -> State:
        """The point z, of the parameter's shape, and the state of the average."""
        return averaging_state(param)

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step of y."""
        step = grad + as_number(n["weight_decay"], param) * param
        return averaged_step(param, step, state, n, as_number(n["momentum"], param), t)

    def evaluated(self, param: Tensor, state: State, n: Numbers) -> Tensor:
        """The average x."""
        return average(param, state)


@dataclass(frozen=True)
class ScheduleFreeAdamW(Optimizer):
    """AdamW with schedule-free SGD's averaging in the place of the average gradient.

    v' = beta2 v + (1 - beta2) g^2;  z' = z - lr (g / (sqrt(v' / (1 - beta2^(t+1))) + eps) + weight_decay y);
    then x' and y' as in `ScheduleFreeSGD`, with beta1 for its momentum.

    Args:
        lr: learning rate, >= 0.
        beta1: the share of x in y, in (0, 1).
        beta2: how much of the average square is kept, in [0, 1).
        eps: added outside the square root, > 0.
        weight_decay: decoupled, taken at y and scaled by the learning rate, >= 0.
        r: power of the step in the average's weights, >= 0.
        weight_lr_power: power of the largest rate so far in the average's weights, >= 0.

    Raises:
        InputError: a number outside its range.

    >>> optimizer = ScheduleFreeAdamW(lr=0.5)
    >>> y, n = torch.tensor([1.0]), optimizer.numbers()
    >>> y, state = optimizer.update(y, torch.tensor([4.0]), optimizer.init(y), n, 0)
    >>> round(y.item(), 6), round(optimizer.evaluated(y, state, n).item(), 6)
    (0.5, 0.5)

    Source: Defazio et al., The road less scheduled, 2024, and the defaults of their package `schedulefree`.
    """

    lr: Value = numeric(2.5e-3, low=0.0, timed=True)
    beta1: Value = numeric(0.9, low=0.0, high=1.0, low_open=True, high_open=True, timed=True)
    beta2: Value = numeric(0.999, low=0.0, high=1.0, high_open=True, timed=True)
    eps: Value = numeric(1e-8, low=0.0, low_open=True, timed=True)
    weight_decay: Value = numeric(0.0, low=0.0, timed=True)
    r: Value = numeric(0.0, low=0.0, timed=True)
    weight_lr_power: Value = numeric(2.0, low=0.0, timed=True)

    name: ClassVar[str] = "schedule_free_adamw"

    def init(self, param: Tensor) -> State:
        """The point z and v, of the parameter's shape, and the state of the average."""
        return {"square": torch.zeros_like(param), **averaging_state(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step of y; `state["square"]` is v."""
        beta1, beta2, eps, decay = (as_number(n[name], param) for name in ("beta1", "beta2", "eps", "weight_decay"))
        square = moving_average(state["square"], grad * grad, beta2)
        scale = torch.sqrt(square / bias_correction(beta2, t)) + eps
        y, after = averaged_step(param, grad / scale + decay * param, state, n, beta1, t)
        return y, {"square": square, **after}

    def evaluated(self, param: Tensor, state: State, n: Numbers) -> Tensor:
        """The average x."""
        return average(param, state)


def averaging_state(param: Tensor) -> State:
    """The memory of the average: z, the largest rate, the sum of the weights, and the share of x in y."""
    zero = param.detach().new_zeros((), dtype=torch.promote_types(param.dtype, torch.float32))
    return {"z": param.detach().clone(), "largest_lr": zero, "weight_sum": zero.clone(), "share": zero + 1}


def averaged_step(
    y: Tensor, step: Tensor, state: State, n: Numbers, share: Tensor, t: Tensor | int
) -> tuple[Tensor, State]:
    """The new y and memory, after z moved by -lr `step`; `share` is the share of x in the new y."""
    lr, r, lr_power = (as_number(n[name], y) for name in ("lr", "r", "weight_lr_power"))
    largest_lr = torch.maximum(state["largest_lr"], lr)
    weight = power(t + 1, r) * power(largest_lr, lr_power)
    weight_sum = state["weight_sum"] + weight
    # While the rate has been 0 throughout, all weights are 0: there is nothing to average yet.
    c = torch.where(weight_sum > 0, weight / weight_sum, 0.0)
    z = state["z"] - lr * step
    x = average(y, state)
    x = x + c * (z - x)
    after = {"z": z, "largest_lr": largest_lr, "weight_sum": weight_sum, "share": share.clone()}
    return z + share * (x - z), after


def average(y: Tensor, state: State) -> Tensor:
    """x, from y = (1 - share) z + share x."""
    return state["z"] + (y - state["z"]) / state["share"]
