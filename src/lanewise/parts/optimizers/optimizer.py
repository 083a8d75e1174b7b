"""What every optimizer is: its numbers, and the mathematics of one step for one tensor of one lane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.part import Part, Value, extremes, numeric
from lanewise.parts.roles import Role

State: TypeAlias = dict[str, Tensor]
Numbers: TypeAlias = "Mapping[str, Tensor | float]"
FloatNumbers: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Optimizer(Part):
    """How a gradient moves a parameter.

    The fields made by `numeric` are the optimizer's numbers: each can follow a schedule and differ by lane, so the
    methods never read them from `self` but from `n`, which holds the values of this step. All other fields are
    structure: optimizers with the same `structure()` can share a pack.

    Attributes:
        lr: learning rate, >= 0.
        whole_set: true if each step uses the gradient of the whole training set.
        rate: which of the numbers scales this optimizer's steps; decoupled decay and proximal steps go by it too.
    """

    lr: Value = numeric(0.1, low=0.0, timed=True)

    whole_set: ClassVar[bool] = False
    rate: ClassVar[str] = "lr"

    @classmethod
    def number_names(cls) -> tuple[str, ...]:
        """The names of the optimizer's numbers, in the order of its fields."""
        return tuple(item.name for item in fields(cls) if "allowed" in item.metadata)

    @classmethod
    def rate_names(cls) -> tuple[str, ...]:
        """The numbers that are learning rates: `lr`, and `adam_lr` of Muon."""
        return tuple(name for name in cls.number_names() if name == "lr" or name.endswith("_lr"))

    @classmethod
    def decay_names(cls) -> tuple[str, ...]:
        """The numbers that are weight decay: `weight_decay`, and `adam_weight_decay` of Muon."""
        return tuple(name for name in cls.number_names() if name.endswith("weight_decay"))

    def numbers(self) -> dict[str, Any]:
        """The optimizer's numbers as given: plain, scheduled or not chosen yet."""
        return {name: getattr(self, name) for name in self.number_names()}

    def structure(self) -> str:
        """The optimizer without its numbers, as in `sgd(nesterov=true)`: equal for lanes that one program can hold."""
        rest = [item.name for item in fields(self) if "allowed" not in item.metadata]
        return f"{self.name}({', '.join(f'{name}={str(getattr(self, name)).lower()}' for name in rest)})"

    def init(self, param: Tensor) -> State:
        """The optimizer's memory for `param` before the first step: new tensors, none of them a view of `param`.

        Args:
            param: one parameter of one lane, any shape.
        """
        return {}

    def update(self, param: Tensor, grad: Tensor, state: State, n: Numbers, t: Tensor | int) -> tuple[Tensor, State]:
        """One step: the new parameter and the new memory, both new tensors.

        Args:
            param: one parameter of one lane, any shape.
            grad: the gradient of the objective at `param`, the same shape.
            state: what `init` or the previous `update` returned.
            n: this step's value of each of the optimizer's numbers: 0-d tensors of the parameter's dtype, or floats.
            t: the number of updates done before this one; 0 at the first.
        """
        raise NotImplementedError

    def update_in_place(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        states: Sequence[State],
        n: FloatNumbers,
        t: int,
        l2: float = 0.0,
    ) -> None:
        """One step of many tensors of one lane, which overwrites them and their memory: what a plain loop does.

        Args:
            params: parameters of one lane, of one dtype.
            grads: their gradients, which may be overwritten too.
            states: the memory of each.
            n: this step's value of each of the optimizer's numbers.
            t: the number of updates done before this one.
            l2: strength of an L2 penalty, whose gradient l2 theta is added to `grads` first.
        """
        add_l2(params, grads, l2)
        numbers = {name: as_number(value, params[0]) for name, value in n.items()}
        for param, grad, state in zip(params, grads, states, strict=True):
            updated, after = self.update(param, grad, state, numbers, t)
            param.copy_(updated)
            for name, value in after.items():
                state[name].copy_(value)

    def evaluated(self, param: Tensor, state: State, n: Numbers) -> Tensor:
        """The weights to evaluate and to save: `param` itself unless the optimizer averages."""
        return param

    def for_role(self, role: Role, param: Tensor) -> "Optimizer":
        """The optimizer for `param`, whose role in the model is `role`; its `update` takes the numbers of `self`."""
        return self


def add_l2(params: Sequence[Tensor], grads: Sequence[Tensor], l2: float) -> None:
    """Add the gradient l2 theta of an L2 penalty to `grads`, in place."""
    if l2:
        for param, grad in zip(params, grads, strict=True):
            grad.add_(param, alpha=l2)


def as_number(value: Tensor | float, param: Tensor) -> Tensor:
    """`value` as a 0-d tensor: a tensor stays as it is, a float gets the parameter's dtype, float32 at least."""
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.promote_types(param.dtype, torch.float32), device=param.device)


def bias_correction(beta: Tensor, t: Tensor | int) -> Tensor:
    """1 - beta^(t+1), the weight that an average started at zero has gathered after t + 1 values.

    Written as -expm1((t+1) log(beta)): the plain form loses half of the digits in float32 when beta is near 1 and t is
    small. beta lies in [0, 1).
    """
    return -torch.expm1((t + 1) * torch.log(beta))


def power(base: Tensor | float, exponent: Tensor) -> Tensor:
    """base^exponent for base, exponent >= 0, with the same bits for every lane of a pack; 0^0 is 1.

    Written as exp(exponent log(base)), in float64: torch computes `pow` in vectors with one approximation, and what is
    left at the end of a tensor with another.
    """
    base = torch.as_tensor(base, device=exponent.device).double()
    found = torch.exp(exponent.double() * torch.log(base))
    return torch.where(exponent == 0, 1.0, found).to(exponent.dtype)


def moving_average(average: Tensor, value: Tensor, beta: Tensor) -> Tensor:
    """The next running average, beta average + (1 - beta) value."""
    return beta * average + (1 - beta) * value


def check_nesterov(owner: str, nesterov: Any, momentum: Any, dampening: Any = 0.0) -> None:
    """Raise `InputError` if Nesterov's momentum could come with no momentum or with dampening."""
    if True not in extremes(nesterov):
        return
    if 0 in extremes(momentum):
        raise InputError(f"{owner}.momentum = {momentum}: must be in (0, 1) when nesterov is true")
    if any(extreme != 0 for extreme in extremes(dampening)):
        raise InputError(f"{owner}.dampening = {dampening}: must be 0 when nesterov is true")
