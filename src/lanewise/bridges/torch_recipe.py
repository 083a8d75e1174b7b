"""A recipe's parts as torch's own: its optimizer, and its numbers written where torch reads them."""

from dataclasses import fields

import torch
from torch import nn
from torch.optim import Optimizer

from lanewise.bridges.torch_penalties import Penalty
from lanewise.bridges.torch_rules import RuleOptimizer, role_groups
from lanewise.lanes.real import set_layer_numbers
from lanewise.parts.rules import SGD, Adam, Rule


def native_optimizer(rule: Rule, model: nn.Module) -> Optimizer:
    """`torch.optim`'s own optimizer for `rule` where there is one, else the rule as a torch optimizer."""
    if type(rule) is SGD:
        return torch.optim.SGD(role_groups(model), lr=0.0, nesterov=rule.nesterov, momentum=0.9 * rule.nesterov)
    if type(rule) is Adam:
        return torch.optim.Adam(role_groups(model), lr=0.0, amsgrad=rule.amsgrad)
    # Its numbers are set before every step; those given here only have to be plain.
    return RuleOptimizer(role_groups(model), type(rule)(**{f: getattr(rule, f) for f in flags(rule)}))


def flags(rule: Rule) -> list[str]:
    """The fields of `rule` that are structure."""
    return [item.name for item in fields(rule) if item.name not in rule.number_names()]


def set_numbers(model: nn.Module, optimizer: Optimizer, penalty: Penalty, numbers: dict[str, float]) -> None:
    """Write one step's numbers to where torch's own parts read them."""
    for group in optimizer.param_groups:
        for name, value in numbers.items():
            if name in group and name != "params":
                group[name] = value
        if "betas" in group:
            group["betas"] = (numbers["beta1"], numbers["beta2"])
    penalty.set(l2=numbers["l2"], l1=numbers["l1"], decay=numbers["decay"])
    set_layer_numbers(model, numbers)
