"""Lanewise's penalties in a plain PyTorch loop."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lanewise.base.torch_modules import check_module
from lanewise.bridges.torch_optimizer import TorchOptimizer
from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number
from lanewise.parts.penalties import (
    DECAY_BY,
    DecayBy,
    Per,
    Sparsity,
    decayed,
    penalty_gradient,
    penalty_value,
    proximal_l1,
    sparsity,
    strength,
)
from lanewise.parts.roles import Role, roles

L1Step: TypeAlias = Literal["subgradient", "proximal"]
Select: TypeAlias = "Callable[[str, nn.Parameter], bool] | Iterable[str] | None"


class Penalty:
    """L2, L1 and decoupled decay on a model's weights, in a plain loop.

    `attach(optimizer)` once, and every `optimizer.step()` applies the penalty at its group's rate. By hand, the loop is
    `loss.backward(); penalty.add_gradients(); penalty.decay_weights(lr); optimizer.step(); penalty.after_step(lr)`.
    Parameters without a gradient are left alone, as torch's own optimizers leave them.

    Args:
        model: the module whose parameters are penalised.
        l2: strength of l2/2 ||theta||^2, >= 0.
        l1: strength of l1 ||theta||_1, >= 0. With `l2` it makes the elastic net.
        l1_step: "subgradient" adds l1 sign(theta) to the gradient; "proximal" thresholds the weights at lr * l1 after
            the step, which makes exact zeros.
        decay: decoupled decay, >= 0, in [0, 1] when independent.
        decay_by: "rate" (theta shrinks by lr * decay, as in AdamW) or "independent" (by decay).
        per: "mean", or "row": l2 and l1 are divided by `rows`.
        rows: number of rows of the training set, for "row".
        select: None for weights (by role: no biases, no normalisation parameters, no embeddings), a function of name
            and parameter, or the names themselves.

    Raises:
        InputError: a number outside its range, an unknown name, or nothing to penalise.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 2.0)
    >>> penalty = Penalty(model, l2=0.5)
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> penalty.add_gradients()  # 1 + 0.5 * 2
    >>> model.weight.grad.tolist(), penalty.value().item()
    ([[2.0, 2.0]], 2.0)
    """

    l2: float
    l1: float
    decay: float

    def __init__(
        self,
        model: nn.Module,
        *,
        l2: float = 0.0,
        l1: float = 0.0,
        l1_step: L1Step = "subgradient",
        decay: float = 0.0,
        decay_by: DecayBy = "rate",
        per: Per = "mean",
        rows: int | None = None,
        select: Select = None,
    ) -> None:
        if l1_step not in ("subgradient", "proximal"):
            raise InputError(f"l1_step = {l1_step!r}: must be one of subgradient, proximal")
        if decay_by not in DECAY_BY:
            raise InputError(f"decay_by = {decay_by!r}: must be one of {', '.join(DECAY_BY)}")
        self.proximal, self.decay_by = l1_step == "proximal", decay_by
        self.share = float(strength(1.0, per, rows))
        check_module("Penalty", model)
        self.params = selected(model, select)
        self.set(l2=l2, l1=l1, decay=decay)
        self._decayed = False

    def __repr__(self) -> str:
        l1 = f"l1={self.l1!r}{' (proximal)' * self.proximal}"
        decay = f"decay={self.decay!r} by {self.decay_by}"
        return f"Penalty(l2={self.l2!r}, {l1}, {decay}, on {', '.join(self.params) or 'no parameter'})"

    def set(self, **numbers: float) -> None:
        """Change `l2`, `l1` or `decay`, for a schedule in the loop.

        Raises:
            InputError: another name, a number outside its range, or one above 0 where nothing is penalised.
        """
        limits = {"l2": Allowed(0.0), "l1": Allowed(0.0), "decay": Allowed(0.0)}
        if self.decay_by == "independent":
            limits["decay"] = Allowed(0.0, 1.0)
        for name, value in numbers.items():
            if name not in limits:
                raise InputError(f"{name} = {value!r}: must be one of {', '.join(limits)}")
            check_number(f"Penalty.{name}", value, limits[name])
            if value > 0 and not self.params:
                raise InputError(
                    f"Penalty.{name} = {value!r}: must be 0, no parameter has the role weight; or use select"
                )
            setattr(self, name, value)

    def add_gradients(self) -> None:
        """After `backward()`: add the gradients of L2 and, by subgradient, of L1."""
        self._add(self.params.values())

    def decay_weights(self, lr: float) -> None:
        """Before the optimizer's step at the rate `lr`: decoupled decay."""
        self._decay(self.params.values(), lr)
        self._decayed = True

    def after_step(self, lr: float) -> None:
        """After the optimizer's step at the rate `lr`: the proximal step of L1.

        Raises:
            InputError: there is decay, and `decay_weights` was not called before the step.
        """
        if self.decay > 0 and not self._decayed:
            raise InputError(f"decay = {self.decay!r}: call decay_weights(lr) before the optimizer's step")
        self._threshold(self.params.values(), lr)
        self._decayed = False

    def attach(self, optimizer: torch.optim.Optimizer) -> tuple[RemovableHandle, RemovableHandle]:
        """Let every step of `optimizer` apply the penalty to its parameters, at their group's rate.

        A step with a closure computes new gradients inside the step, so it is refused: call `add_gradients()` in the
        closure, and the other two around the step.

        Returns:
            The two hooks; their `remove()` detaches the penalty.
        """
        penalised = {id(param) for param in self.params.values()}

        def rates(chosen: torch.optim.Optimizer) -> Iterable[tuple[nn.Parameter, float]]:
            for group in chosen.param_groups:
                for param in group["params"]:
                    if id(param) in penalised:
                        rate = chosen.applied(param, group).rate if isinstance(chosen, TorchOptimizer) else "lr"
                        yield param, group[rate]

        def before(chosen: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            if kwargs.get("closure") is not None or any(value is not None for value in args[1:]):
                raise InputError(
                    "closure: an attached penalty cannot reach its gradients; use add_gradients() inside it"
                )
            if isinstance(chosen, TorchOptimizer):
                # An optimizer's memory is of the weights it is given, before the first decay.
                chosen.begin()
            for param, lr in rates(chosen):
                self._add([param])
                self._decay([param], lr)

        def after(chosen: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            for param, lr in rates(chosen):
                self._threshold([param], lr)

        return optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)

    @torch.no_grad()
    def _add(self, params: Iterable[nn.Parameter]) -> None:
        l1 = 0.0 if self.proximal else self.share * self.l1
        for param in params:
            if (self.l2 > 0 or l1 > 0) and param.grad is not None:
                param.grad.add_(penalty_gradient(param, self.share * self.l2, l1))

    @torch.no_grad()
    def _decay(self, params: Iterable[nn.Parameter], lr: float) -> None:
        for param in params:
            if self.decay > 0 and param.grad is not None:
                param.copy_(decayed(param, self.decay, lr, self.decay_by))

    @torch.no_grad()
    def _threshold(self, params: Iterable[nn.Parameter], lr: float) -> None:
        for param in params:
            if self.proximal and self.l1 > 0 and param.grad is not None:
                param.copy_(proximal_l1(param, lr * self.share * self.l1))

    def value(self) -> Tensor:
        """What the penalty adds to the objective, l2/2 ||theta||^2 + l1 ||theta||_1: a 0-d tensor with a gradient."""
        return penalty_value(self.params.values(), self.share * self.l2, self.share * self.l1)

    def zeros(self) -> Sparsity:
        """How many of the penalised entries are exactly zero, and of how many."""
        return sparsity(self.params.values())


def selected(model: nn.Module, select: Select = None) -> dict[str, nn.Parameter]:
    """The parameters of `model` that `select` selects, by name, each tied tensor once.

    Args:
        model: any module.
        select: None for those whose role is weight, a function of name and parameter, or names.

    Raises:
        InputError: a name that the model does not have, or a selection of the user's own that selects nothing.
    """
    named = dict(model.named_parameters())
    if select is None:
        found = roles(model)
        chosen = {name: param for name, param in named.items() if found[name] is Role.WEIGHT}
    elif callable(select):
        chosen = {name: param for name, param in named.items() if select(name, param)}
    else:
        every = dict(model.named_parameters(remove_duplicate=False))
        if not isinstance(select, Iterable):
            raise InputError(f"select = {select!r}: must be a function of name and parameter, or names")
        wanted = [select] if isinstance(select, str) else list(select)
        for name in wanted:
            if name not in every:
                raise InputError(f"select = {name!r}: must be one of {', '.join(every)}")
        tensors = {id(every[name]) for name in wanted}
        chosen = {name: param for name, param in named.items() if id(param) in tensors}
    if select is not None and not chosen:
        raise InputError(f"select = {select!r}: selects none of {', '.join(named)}")
    return chosen
