"""A recipe's parts as torch's own: its optimizer, and its numbers written where torch reads them."""

from collections.abc import Hashable
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from lanewise.bridges.torch_optimizer import TorchOptimizer, role_groups
from lanewise.bridges.torch_penalties import Penalty
from lanewise.lanes.model.plain_autograd import set_layer_numbers
from lanewise.lanes.step.own_numbers import OwnNumbers
from lanewise.parts.optimizers import SGD, Adam, Optimizer
from lanewise.parts.penalties import Sparsity
from lanewise.parts.roles import penalised
from lanewise.recipe.recipe import Recipe

FIRST = "first"
"""The entry of a parameter group that names one of its parameters: all of them read the same numbers."""


class NativeRecipe:
    """The optimizer and the penalties of `recipe` on `model`, with the numbers of a step written into them.

    Args:
        model: whose parameters train, with the normalisation that the recipe gives it.

    Attributes:
        optimizer: of torch where it has the recipe's; its parameter groups go by role and by the numbers that the
            recipe gives them.
    """

    def __init__(self, recipe: Recipe, model: nn.Module) -> None:
        self._model, self._named = model, dict(model.named_parameters())
        self._penalised = sorted(penalised(model, recipe.penalised) & self._named.keys())
        self._own = OwnNumbers(recipe, model, self._penalised)
        self.optimizer = native_optimizer(recipe.optimizer, self._parameter_groups())
        # Without a name it penalises nothing, and refuses numbers above 0.
        alike: dict[Hashable, list[str]] = {} if self._penalised else {None: []}
        for name in self._penalised:
            alike.setdefault(self._own.key(name), []).append(name)
        self._penalties = [
            (names, Penalty(model, l1_step=recipe.l1_step, decay_by=recipe.decay_by, select=names or None))
            for names in alike.values()
        ]
        for _, penalty in self._penalties:
            penalty.attach(self.optimizer)

    def set_numbers(self, numbers: dict[str, float]) -> None:
        """Write one step's `numbers` to where torch's own parts read them."""
        at_step = self._own.at(numbers)
        for group in self.optimizer.param_groups:
            own = at_step.of(group[FIRST])
            for name, value in own.items():
                if name in group and name != "params":
                    group[name] = value
            if "betas" in group:
                group["betas"] = (own["beta1"], own["beta2"])
        for names, penalty in self._penalties:
            own = at_step.of(names[0]) if names else numbers
            penalty.set(l2=own["l2"], l1=own["l1"], decay=own["decay"])
        set_layer_numbers(self._model, numbers)

    def drop_frozen(self, numbers: dict[str, float]) -> None:
        """Take the gradients away from the parameters that do not train at the step of `numbers`."""
        if self._own.freezes:
            at_step = self._own.at(numbers)
            for name, param in self._named.items():
                if at_step.frozen(name):
                    param.grad = None

    def zeros(self, model: nn.Module) -> Sparsity:
        """How many of the penalised weights of `model` are exactly zero, and of how many."""
        return Penalty(model, select=self._penalised or None).zeros()

    def _parameter_groups(self) -> list[dict[str, Any]]:
        groups = []
        for of_role in role_groups(self._model):
            alike: dict[Hashable, list[tuple[str, nn.Parameter]]] = {}
            for name, param in of_role["params"]:
                alike.setdefault(self._own.key(name), []).append((name, param))
            groups += [{**of_role, "params": params, FIRST: params[0][0]} for params in alike.values()]
        return groups


def native_optimizer(optimizer: Optimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """`torch.optim`'s own optimizer for `optimizer` where there is one, else the optimizer as a torch optimizer."""
    if type(optimizer) is SGD:
        return torch.optim.SGD(groups, lr=0.0, nesterov=optimizer.nesterov, momentum=0.9 * optimizer.nesterov)
    if type(optimizer) is Adam:
        return torch.optim.Adam(groups, lr=0.0, amsgrad=optimizer.amsgrad)
    # Its numbers are set before every step; those given here only have to be plain.
    return TorchOptimizer(groups, type(optimizer)(**{name: getattr(optimizer, name) for name in flags(optimizer)}))


def flags(optimizer: Optimizer) -> list[str]:
    """The fields of `optimizer` that are structure."""
    return [item.name for item in fields(optimizer) if item.name not in optimizer.number_names()]
