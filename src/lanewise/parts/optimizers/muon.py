"""Muon: orthogonalised momentum for matrices, AdamW for every other parameter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.optimizers.adam import AdamW
from lanewise.parts.optimizers.optimizer import (
    FloatNumbers,
    Numbers,
    Optimizer,
    State,
    as_number,
    check_nesterov,
    moving_average,
)
from lanewise.parts.part import Value, flag, numeric
from lanewise.parts.roles import Role

# Jordan et al., 2024: chosen for a steep slope at 0, so the singular values end near 1 and not at 1.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
# Below this Frobenius norm a momentum counts as zero: torch.optim.Muon's constant.
SMALLEST_NORM = 1e-7


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix to `matrix`, roughly: its singular values all brought near 1.

    X = M / ||M||_F, then five times X <- a X + b (X X^T) X + c (X X^T)^2 X, in the dtype of `matrix`. Singular values
    of M from 0.002 ||M||_F up end between 0.68 and 1.21; smaller ones of X grow up to 485-fold.

    Args:
        matrix: shape [rows, columns].

    >>> matrix = torch.diag(torch.tensor([3.0, 2.0, 0.0]))
    >>> [round(value, 1) for value in orthogonalised(matrix).diagonal().tolist()]
    [1.1, 0.7, 0.0]

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / torch.clamp(torch.linalg.vector_norm(x), min=SMALLEST_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


@dataclass(frozen=True)
class Muon(Optimizer):
    """Orthogonalised momentum for weights that are matrices, AdamW for all other parameters.

    b' = momentum b + (1 - momentum) g;  d = momentum b' + (1 - momentum) g if `nesterov`, else b';
    theta' = (1 - lr weight_decay) theta - lr s NS(d),
    with NS the Newton-Schulz orthogonalisation and s = sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns))
    if `match_adamw`: that brings the step to the size of AdamW's, so that AdamW's rates and decays carry over.

    A convolution's kernel [out, in, ...] is flattened to [out, in * ...]. `for_role` gives
    the optimizer of each tensor. The paper leaves the output layer to AdamW; a role does not say which layer is the
    last, so here its weight counts as a matrix like the others.

    Args:
        lr: learning rate of the matrices, >= 0.
        momentum: in [0, 1).
        weight_decay: of the matrices; decoupled, scaled by `lr`, >= 0.
        adam_lr: learning rate of all other parameters, >= 0.
        adam_beta1: AdamW's beta1 for them, in [0, 1).
        adam_beta2: AdamW's beta2 for them, in [0, 1).
        adam_eps: AdamW's eps for them, > 0.
        adam_weight_decay: their decay, scaled by `adam_lr`, >= 0.
        nesterov: look ahead along the buffer; needs momentum > 0.
        match_adamw: scale the step to the size of AdamW's.

    Raises:
        InputError: a number outside its range, nesterov without momentum, or `update` on a tensor that is no matrix.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, and the defaults of their
    code; the momentum's form from torch.optim.Muon; `match_adamw`: Liu et al., Muon is scalable for LLM training, 2025.
    """

    lr: Value = numeric(0.02, low=0.0, timed=True)
    momentum: Value = numeric(0.95, low=0.0, high=1.0, high_open=True, timed=True)
    weight_decay: Value = numeric(0.0, low=0.0, timed=True)
    adam_lr: Value = numeric(3e-4, low=0.0, timed=True)
    adam_beta1: Value = numeric(0.9, low=0.0, high=1.0, high_open=True, timed=True)
    adam_beta2: Value = numeric(0.95, low=0.0, high=1.0, high_open=True, timed=True)
    adam_eps: Value = numeric(1e-10, low=0.0, low_open=True, timed=True)
    adam_weight_decay: Value = numeric(0.0, low=0.0, timed=True)
    nesterov: bool = flag(True)
    match_adamw: bool = flag(False)

    name: ClassVar[str] = "muon"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_nesterov("Muon", self.nesterov, self.momentum)

    def for_role(self, role: Role, param: Tensor) -> Optimizer:
        """Muon for a weight with two dimensions or more; AdamW, with the `adam_` numbers, for everything else.

        A complex weight is left to AdamW, which takes it for two reals: there is no Muon for it in the literature.
        """
        if role is Role.WEIGHT and param.ndim >= 2 and not param.is_complex():
            return self
        return MuonAdamW(self.adam_lr, self.adam_beta1, self.adam_beta2, self.adam_eps, False, self.adam_weight_decay)

    def init(self, param: Tensor) -> State:
        """The momentum buffer b, of the parameter's shape."""
        return {"momentum": torch.zeros_like(param)}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step of a matrix; `state["momentum"]` is b."""
        if param.ndim < 2:
            raise InputError(f"param of shape {list(param.shape)}: Muon's own step needs two dimensions or more")
        lr, momentum, decay = (as_number(n[name], param) for name in ("lr", "momentum", "weight_decay"))
        buffer = moving_average(state["momentum"], grad, momentum)
        direction = moving_average(buffer, grad, momentum) if self.nesterov else buffer
        step = orthogonalised(direction.reshape(param.shape[0], -1)).reshape(param.shape)
        return (1 - lr * decay) * param - lr * self.scale(param) * step, {"momentum": buffer}

    def scale(self, param: Tensor) -> float:
        """The factor s on the rate for a tensor of this shape."""
        rows, columns = param.shape[0], math.prod(param.shape[1:])
        return 0.2 * math.sqrt(max(rows, columns)) if self.match_adamw else math.sqrt(max(1.0, rows / columns))


@dataclass(frozen=True)
class MuonAdamW(AdamW):
    """The AdamW that Muon leaves its other parameters to: it finds its numbers in Muon's, under `adam_`."""

    name: ClassVar[str] = ""
    rate: ClassVar[str] = "adam_lr"

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step of AdamW with the `adam_` numbers of `n`."""
        return super().update(param, grad, state, {own: n[f"adam_{own}"] for own in self.number_names()}, t)

    def update_in_place(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[State],
        n: FloatNumbers,
        t: int,
        l2: float = 0.0,
    ) -> None:
        """One step of AdamW of all `params`, which are overwritten, with the `adam_` numbers of `n`."""
        super().update_in_place(params, grads, states, {own: n[f"adam_{own}"] for own in self.number_names()}, t, l2)
