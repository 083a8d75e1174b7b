"""Gradient descent on the whole training set, and stochastic gradient descent with momentum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from lanewise.parts.optimizers.optimizer import (
    FloatNumbers,
    Numbers,
    Optimizer,
    State,
    add_l2,
    as_number,
    check_nesterov,
)
from lanewise.parts.part import Value, flag, numeric


@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """Descent along the gradient of the whole training set.

    theta' = theta - lr g, with g the gradient over all rows of the training set.

    Args:
        lr: learning rate, >= 0.

    >>> optimizer = GradientDescent(lr=0.5)
    >>> theta, _ = optimizer.update(torch.tensor([1.0]), torch.tensor([0.4]), {}, {"lr": 0.5}, 0)
    >>> round(theta.item(), 6)
    0.8

    Source: Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847.
    """

    name: ClassVar[str] = "gradient_descent"
    whole_set: ClassVar[bool] = True

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step; no memory."""
        return param - n["lr"] * grad, {}

    def update_in_place(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[State],
        n: FloatNumbers,
        t: int,
        l2: float = 0.0,
    ) -> None:
        """One step of all `params`, which are overwritten."""
        add_l2(params, grads, l2)
        for param, grad in zip(params, grads, strict=True):
            param.sub_(grad, alpha=n["lr"])


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as `torch.optim.SGD` has it.

    b' = g at the first step, momentum b + (1 - dampening) g later;
    theta' = theta - lr d with d = g + momentum b' if `nesterov`, else b'.
    While the momentum is 0 the buffer b rests and d = g, as in torch. (One case differs from torch: a momentum that
    starts at 0 and rises later, together with dampening. There torch does not dampen the first value of its buffer.)

    Args:
        lr: learning rate, >= 0.
        momentum: in [0, 1).
        dampening: in [0, 1].
        nesterov: look ahead along the buffer; needs momentum > 0 and no dampening.

    Raises:
        InputError: a number outside its range, or nesterov without momentum or with dampening.

    >>> optimizer = SGD(lr=0.1, momentum=0.5)
    >>> n, state = {"lr": 0.1, "momentum": 0.5, "dampening": 0.0}, optimizer.init(torch.tensor([1.0]))
    >>> theta, state = optimizer.update(torch.tensor([1.0]), torch.tensor([1.0]), state, n, 0)  # b = 1
    >>> theta, state = optimizer.update(theta, torch.tensor([2.0]), state, n, 1)  # b = 0.5 * 1 + 2 = 2.5
    >>> round(theta.item(), 6)  # 1 - 0.1 * 1 - 0.1 * 2.5
    0.65

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013; torch.optim.SGD.
    """

    lr: Value = numeric(0.1, low=0.0, timed=True)
    momentum: Value = numeric(0.0, low=0.0, high=1.0, high_open=True, timed=True)
    dampening: Value = numeric(0.0, low=0.0, high=1.0, timed=True)
    nesterov: bool = flag(False)

    name: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_nesterov("SGD", self.nesterov, self.momentum, self.dampening)

    def init(self, param: Tensor) -> State:
        """The momentum buffer b, of the parameter's shape."""
        return {"momentum": torch.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step; `state["momentum"]` is b."""
        lr, momentum, dampening = (as_number(n[name], param) for name in ("lr", "momentum", "dampening"))
        started = torch.as_tensor(t, device=param.device) > 0
        plain = momentum == 0
        kept = torch.where(plain, 1.0, momentum)
        taken = torch.where(plain, 0.0, torch.where(started, 1 - dampening, 1.0))
        buffer = kept * state["momentum"] + taken * grad
        direction = grad + momentum * buffer if self.nesterov else torch.where(plain, grad, buffer)
        return param - lr * direction, {"momentum": buffer}

    def update_in_place(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[State],
        n: FloatNumbers,
        t: int,
        l2: float = 0.0,
    ) -> None:
        """One step of all `params` by `torch.optim`'s fused kernel; they and their buffers are overwritten."""
        lr, momentum = n["lr"], n["momentum"]
        buffers = [state["momentum"] if momentum else None for state in states]
        sgd(
            list(params), list(grads), buffers, fused=True, weight_decay=l2, momentum=momentum, lr=lr,
            # Buffers begin at 0, and the first gradient enters them whole.
            dampening=n["dampening"] if t else 0.0, nesterov=self.nesterov and momentum > 0, maximize=False,
        )  # fmt: skip
