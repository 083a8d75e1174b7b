"""RMSprop, plain or centred, with momentum."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lanewise.parts.optimizers.optimizer import Numbers, Optimizer, State, as_number, moving_average
from lanewise.parts.part import Value, flag, numeric


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Steps divided by the root of a running average of the squared gradient, as in `torch.optim.RMSprop`.

    v' = alpha v + (1 - alpha) g^2;  d = g / (sqrt(v') + eps);  b' = momentum b + d;  theta' = theta - lr b'.
    With `centered` the average gradient m' = alpha m + (1 - alpha) g is kept too, and v' - m'^2 takes the place of v'.
    While the momentum is 0 the buffer b rests and theta moves by d.

    Args:
        lr: learning rate, >= 0.
        alpha: how much of the average square is kept, in [0, 1).
        eps: added outside the square root, > 0.
        momentum: in [0, 1).
        centered: divide by the standard deviation of the gradient.

    Raises:
        InputError: a number outside its range.

    >>> optimizer = RMSprop(lr=0.1, alpha=0.75)
    >>> param, n = torch.tensor([1.0], dtype=torch.float64), optimizer.numbers()
    >>> theta, state = optimizer.update(param, torch.tensor([4.0], dtype=torch.float64), optimizer.init(param), n, 0)
    >>> round(theta.item(), 6)  # v' = 0.25 * 16, so 1 - 0.1 * 4 / 2
    0.8

    Source: Tieleman and Hinton, lecture 6.5 of Neural networks for machine learning, 2012; centred: Graves, Generating
    sequences with recurrent neural networks, 2013; defaults from torch.optim.RMSprop.
    """

    lr: Value = numeric(1e-2, low=0.0, timed=True)
    alpha: Value = numeric(0.99, low=0.0, high=1.0, high_open=True, timed=True)
    eps: Value = numeric(1e-8, low=0.0, low_open=True, timed=True)
    momentum: Value = numeric(0.0, low=0.0, high=1.0, high_open=True, timed=True)
    centered: bool = flag(False)

    name: ClassVar[str] = "rmsprop"

    def init(self, param: Tensor) -> State:
        """The average square v, the momentum buffer b and, centred, the average gradient m."""
        names = ("square", "momentum", "average") if self.centered else ("square", "momentum")
        return {name: torch.zeros_like(param) for name in names}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step; `state` holds v as `square`, b as `momentum` and m as `average`."""
        lr, alpha, eps, momentum = (as_number(n[name], param) for name in ("lr", "alpha", "eps", "momentum"))
        square = spread = moving_average(state["square"], grad * grad, alpha)
        after = {"square": square}
        if self.centered:
            average = after["average"] = moving_average(state["average"], grad, alpha)
            # Not below 0, where rounding takes it when the gradients were all alike.
            spread = torch.clamp(square - average * average, min=0.0)
        direction = grad / (torch.sqrt(spread) + eps)
        plain = momentum == 0
        after["momentum"] = torch.where(plain, state["momentum"], momentum * state["momentum"] + direction)
        return param - lr * torch.where(plain, direction, after["momentum"]), after
