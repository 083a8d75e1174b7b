"""Lion: the sign of an interpolated momentum."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lanewise.parts.optimizers.optimizer import Numbers, Optimizer, State, as_number, moving_average
from lanewise.parts.part import Value, numeric


@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps of equal size in every coordinate, in the direction of a momentum's sign.

    u = sign(beta1 m + (1 - beta1) g);  theta' = theta - lr (u + weight_decay theta);  m' = beta2 m + (1 - beta2) g.

    Good rates are 3 to 10 times smaller than AdamW's, and good decays as many times larger.

    Args:
        lr: learning rate, >= 0: the distance every coordinate moves.
        beta1: weight of the momentum in the direction, in [0, 1).
        beta2: how much of the momentum is kept, in [0, 1).
        weight_decay: decoupled, scaled by the learning rate, >= 0.

    Raises:
        InputError: a number outside its range.

    >>> optimizer = Lion(lr=0.1, weight_decay=0.5)
    >>> param, n = torch.tensor([1.0, 1.0, 1.0]), optimizer.numbers()
    >>> theta, state = optimizer.update(param, torch.tensor([4.0, -0.5, 0.0]), optimizer.init(param), n, 0)
    >>> [round(value, 6) for value in theta.tolist()]  # 1 - 0.1 * (sign(g) + 0.5)
    [0.85, 1.05, 0.95]

    Source: Chen et al., Symbolic discovery of optimization algorithms, 2023, algorithm 2 and its defaults.
    """

    lr: Value = numeric(1e-4, low=0.0, timed=True)
    beta1: Value = numeric(0.9, low=0.0, high=1.0, high_open=True, timed=True)
    beta2: Value = numeric(0.99, low=0.0, high=1.0, high_open=True, timed=True)
    weight_decay: Value = numeric(0.0, low=0.0, timed=True)

    name: ClassVar[str] = "lion"

    def init(self, param: Tensor) -> State:
        """The momentum m, of the parameter's shape."""
        return {"momentum": torch.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step; `state["momentum"]` is m."""
        lr, beta1, beta2, decay = (as_number(n[name], param) for name in ("lr", "beta1", "beta2", "weight_decay"))
        direction = torch.sign(moving_average(state["momentum"], grad, beta1))
        after = {"momentum": moving_average(state["momentum"], grad, beta2)}
        return param - lr * (direction + decay * param), after
