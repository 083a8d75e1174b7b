"""Lanewise's optimizers as a `torch.optim.Optimizer`, for a plain PyTorch loop."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from lanewise.base.torch_modules import check_module
from lanewise.errors import InputError
from lanewise.parts.optimizers.optimizer import Optimizer
from lanewise.parts.part import Timed, Variable
from lanewise.parts.reals import as_before, as_reals
from lanewise.parts.roles import Role, roles


def role_groups(model: nn.Module) -> list[dict[str, Any]]:
    """The named parameters of `model` in one group per role, for any optimizer; each group says its `role`.

    >>> groups = role_groups(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    >>> [(group["role"], [name for name, _ in group["params"]]) for group in groups]
    [('weight', ['0.weight']), ('bias', ['0.bias']), ('norm', ['1.weight', '1.bias'])]
    """
    check_module("role_groups", model)
    found = roles(model)
    groups: dict[Role, list[tuple[str, nn.Parameter]]] = {}
    for name, param in model.named_parameters():
        groups.setdefault(found[name], []).append((name, param))
    return [{"params": params, "role": role.value} for role, params in groups.items()]


class TorchOptimizer(torch.optim.Optimizer):
    """Any optimizer as a `torch.optim.Optimizer`.

    Every parameter group holds every number of the optimizer under its own name, so schedulers can set it and
    groups can differ by it. An optimizer that averages (schedule-free) swaps its weights in by `eval()` and out by
    `train()`; for the others the two change nothing. A complex parameter counts as two reals, as in `torch.optim`.

    Args:
        params: parameters or groups, as any optimizer takes them. Muon needs groups with a `role`, such as
            `role_groups(model)` makes.
        optimizer: its numbers are the defaults of the groups. They must be plain numbers here: a schedule goes into an
            `LRScheduler`.

    Raises:
        InputError: a class in the place of an optimizer, a scheduled number, a number outside its range, a group
        without a
            role where the optimizer asks for it.

    >>> from lanewise.parts.optimizers import SGD
    >>> weight = nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = TorchOptimizer([weight], SGD(lr=0.5))
    >>> (3 * weight).sum().backward()
    >>> optimizer.step()
    >>> weight.item()
    -0.5
    """

    def __init__(self, params: ParamsT, optimizer: Optimizer) -> None:
        kind: Any = optimizer
        if not isinstance(kind, Optimizer):
            given = kind.__name__ if isinstance(kind, type) else repr(kind)
            raise InputError(
                f"TorchOptimizer.optimizer = {given}: must be an optimizer with its numbers, such as SGD(lr=0.1)"
            )
        for name, value in optimizer.numbers().items():
            if isinstance(value, (Timed, Variable)):
                raise InputError(
                    f"{optimizer.name}.{name} = {value}: must be a plain number here; schedules go to a scheduler"
                )
        self.optimizer = optimizer
        super().__init__(params, {**optimizer.numbers(), "optimizer": optimizer.structure(), "training": True})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; the numbers it does not give are the optimizer's."""
        given = {name: param_group[name] for name in self.optimizer.number_names() if name in param_group}
        replace(self.optimizer, **given)
        role = param_group.get("role")
        if role is None and type(self.optimizer).for_role is not Optimizer.for_role:
            raise InputError(
                f"role: {self.optimizer.name} needs a role in every group, as role_groups(model) gives them"
            )
        if role is not None and role not in set(Role):
            raise InputError(f"role = {role!r}: must be one of {', '.join(Role)}")
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients anew, and returns the loss.

        Raises:
            InputError: the optimizer is in evaluation mode, or a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if not group["training"]:
                raise InputError("training = False: call train() before step(), the parameters are those to evaluate")
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, group)
        return loss

    def _update(self, param: nn.Parameter, group: Mapping[str, Any]) -> None:
        if param.grad is None or param.grad.is_sparse:
            raise InputError(f"gradient of a parameter of shape {list(param.shape)}: must be dense")
        optimizer, state = self.applied(param, group), self.begun(param, group)
        reals, grad = as_reals(param), as_reals(param.grad)
        new, optimizer_state = optimizer.update(reals, grad, _slots(state), self._numbers(group), state["step"])
        param.copy_(as_before(new, param))
        state.update(optimizer_state)
        state["step"] += 1

    def begin(self) -> None:
        """Make the state of every parameter that has a gradient and no state yet, as its first step would."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.begun(param, group)

    @torch.no_grad()
    def begun(self, param: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        """The state of `param` of `group`; made of the parameter as it is now where there is none yet."""
        state: dict[str, Any] = self.state[param]
        if not state:
            state.update(step=0, **self.applied(param, group).init(as_reals(param)))
        return state

    def applied(self, param: Tensor, group: Mapping[str, Any]) -> Optimizer:
        """The optimizer that treats `param` of `group`: the optimizer's own, or the part of it for the group's role."""
        return self.optimizer.for_role(Role(group.get("role", Role.OTHER)), param)

    def _numbers(self, group: Mapping[str, Any]) -> dict[str, float]:
        return {name: group[name] for name in self.optimizer.number_names()}

    @torch.no_grad()
    def eval(self) -> None:
        """Put the weights to evaluate and save into the parameters; `train()` brings the others back, bit for bit."""
        for group in self.param_groups:
            for param in group["params"] if group["training"] else ():
                state = self.state.get(param)
                if not state:
                    continue
                reals = as_reals(param)
                weights = self.applied(param, group).evaluated(reals, _slots(state), self._numbers(group))
                if weights is not reals:
                    state["trained"] = param.detach().clone()
                    param.copy_(as_before(weights, param))
            group["training"] = False

    @torch.no_grad()
    def train(self) -> None:
        """Put the weights that train back into the parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                if "trained" in self.state.get(param, {}):
                    param.copy_(self.state[param].pop("trained"))
            group["training"] = True

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "optimizer": self.optimizer}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over another optimizer's state: the same optimizer with the same flags.

        Raises:
            InputError: the state comes from another optimizer.
        """
        for group in state_dict["param_groups"]:
            if group.get("optimizer") != self.optimizer.structure():
                raise InputError(
                    f"state_dict of optimizer {group.get('optimizer')!r}: must be of {self.optimizer.structure()!r}"
                )
        super().load_state_dict(state_dict)


def _slots(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name not in ("step", "trained")}
