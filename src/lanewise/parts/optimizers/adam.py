"""Adam, and AdamW with its decoupled weight decay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam

from lanewise.parts.optimizers.optimizer import (
    FloatNumbers,
    Numbers,
    Optimizer,
    State,
    add_l2,
    as_number,
    bias_correction,
    moving_average,
)
from lanewise.parts.part import Value, flag, numeric


@dataclass(frozen=True)
class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square, as in `torch.optim.Adam`.

    m' = beta1 m + (1 - beta1) g;  v' = beta2 v + (1 - beta2) g^2;
    theta' = theta - lr (m' / (1 - beta1^(t+1))) / (sqrt(v' / (1 - beta2^(t+1))) + eps).
    With `amsgrad` the largest v' so far takes the place of v' in the step.

    Args:
        lr: learning rate, >= 0.
        beta1: how much of the average gradient is kept, in [0, 1).
        beta2: how much of the average square is kept, in [0, 1).
        eps: added outside the square root, > 0.
        amsgrad: divide by the largest average square so far.

    Raises:
        InputError: a number outside its range.

    >>> optimizer = Adam(lr=0.1)
    >>> param, n = torch.tensor([1.0], dtype=torch.float64), optimizer.numbers()
    >>> theta, state = optimizer.update(param, torch.tensor([4.0], dtype=torch.float64), optimizer.init(param), n, 0)
    >>> round(theta.item(), 6)  # the first step is lr * sign(g) but for eps
    0.9

    Source: Kingma and Ba, Adam, 2015 (defaults); Reddi et al., On the convergence of Adam and beyond, 2018 (amsgrad).
    """

    lr: Value = numeric(1e-3, low=0.0, timed=True)
    beta1: Value = numeric(0.9, low=0.0, high=1.0, high_open=True, timed=True)
    beta2: Value = numeric(0.999, low=0.0, high=1.0, high_open=True, timed=True)
    eps: Value = numeric(1e-8, low=0.0, low_open=True, timed=True)
    amsgrad: bool = flag(False)

    name: ClassVar[str] = "adam"

    def init(self, param: Tensor) -> State:
        """The averages m and v, and with `amsgrad` the largest v, each of the parameter's shape."""
        names = ("average", "square", "largest_square") if self.amsgrad else ("average", "square")
        return {name: torch.zeros_like(param) for name in names}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step; `state["average"]` is m and `state["square"]` is v."""
        lr, beta1, beta2, eps = (as_number(n[name], param) for name in ("lr", "beta1", "beta2", "eps"))
        average = moving_average(state["average"], grad, beta1)
        square = moving_average(state["square"], grad * grad, beta2)
        after = {"average": average, "square": square}
        if self.amsgrad:
            square = after["largest_square"] = torch.maximum(state["largest_square"], square)
        scale = torch.sqrt(square) / torch.sqrt(bias_correction(beta2, t)) + eps
        return param - (lr / bias_correction(beta1, t)) * average / scale, after

    def update_in_place(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[State],
        n: FloatNumbers,
        t: int,
        l2: float = 0.0,
    ) -> None:
        """One step of all `params` by `torch.optim`'s fused kernel; they and their averages are overwritten."""
        decoupled = "weight_decay" in n
        if decoupled:
            # The kernel takes one of the two: L2, or decay apart from the gradient.
            add_l2(params, grads, l2)
        averages, squares = ([state[name] for state in states] for name in ("average", "square"))
        largest = [state["largest_square"] for state in states] if self.amsgrad else []
        # The kernel counts them up itself, in float32 whatever the parameters are.
        steps = [torch.tensor(float(t), device=param.device) for param in params]
        adam(
            list(params), list(grads), averages, squares, largest, steps, fused=True, amsgrad=self.amsgrad,
            beta1=n["beta1"], beta2=n["beta2"], lr=n["lr"], weight_decay=n.get("weight_decay", l2), eps=n["eps"],
            maximize=False, decoupled_weight_decay=decoupled,
        )  # fmt: skip


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weights also shrink by lr * weight_decay at each step, as in `torch.optim.AdamW`.

    theta is replaced by (1 - lr weight_decay) theta before Adam's step.

    Args:
        lr: learning rate, >= 0.
        beta1: how much of the average gradient is kept, in [0, 1).
        beta2: how much of the average square is kept, in [0, 1).
        eps: added outside the square root, > 0.
        amsgrad: divide by the largest average square so far.
        weight_decay: >= 0; scaled by the learning rate. It applies to every parameter the optimizer is given.

    Raises:
        InputError: a number outside its range.

    >>> optimizer = AdamW(lr=0.1, weight_decay=0.5)
    >>> param, n = torch.tensor([1.0], dtype=torch.float64), optimizer.numbers()
    >>> theta, state = optimizer.update(param, torch.tensor([4.0], dtype=torch.float64), optimizer.init(param), n, 0)
    >>> round(theta.item(), 6)  # 1 * (1 - 0.1 * 0.5) - 0.1
    0.85

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019; default decay from torch.optim.AdamW.
    """

    weight_decay: Value = numeric(1e-2, low=0.0, timed=True)

    name: ClassVar[str] = "adamw"

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step, as Adam's from the shrunken weights."""
        return super().update(param * (1 - n["lr"] * n["weight_decay"]), grad, state, n, t)
