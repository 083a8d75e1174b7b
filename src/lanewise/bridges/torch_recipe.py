"""A recipe's parts as torch's own: its optimizer, and its numbers written where torch reads them."""

from dataclasses import fields

import torch
from torch import nn

from lanewise.bridges.torch_optimizer import TorchOptimizer, role_groups
from lanewise.bridges.torch_penalties import Penalty
from lanewise.lanes.model.plain_autograd import set_layer_numbers
from lanewise.parts.optimizers import SGD, Adam, Optimizer


def native_optimizer(optimizer: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """`torch.optim`'s own optimizer for `optimizer` where there is one, else the optimizer as a torch optimizer."""
    if type(optimizer) is SGD:
        return torch.optim.SGD(
            role_groups(model), lr=0.0, nesterov=optimizer.nesterov, momentum=0.9 * optimizer.nesterov
        )
    if type(optimizer) is Adam:
        return torch.optim.Adam(role_groups(model), lr=0.0, amsgrad=optimizer.amsgrad)
    # Its numbers are set before every step; those given here only have to be plain.
    return TorchOptimizer(role_groups(model), type(optimizer)(**{f: getattr(optimizer, f) for f in flags(optimizer)}))


def flags(optimizer: Optimizer) -> list[str]:
    """The fields of `optimizer` that are structure."""
    return [item.name for item in fields(optimizer) if item.name not in optimizer.number_names()]


def set_numbers(
    model: nn.Module, optimizer: torch.optim.Optimizer, penalty: Penalty, numbers: dict[str, float]
) -> None:
    """Write one step's numbers to where torch's own parts read them."""
    for group in optimizer.param_groups:
        for name, value in numbers.items():
            if name in group and name != "params":
                group[name] = value
        if "betas" in group:
            group["betas"] = (numbers["beta1"], numbers["beta2"])
    penalty.set(l2=numbers["l2"], l1=numbers["l1"], decay=numbers["decay"])
    set_layer_numbers(model, numbers)
