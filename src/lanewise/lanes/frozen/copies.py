"""Copies of a model whose weights lie in the same memory."""

import copy

from torch import nn


def another(model: nn.Module) -> nn.Module:
    """A copy of `model` with parameters of its own that lie in the same memory: their values are those of no lane."""
    own = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in model.parameters() if type(p) is nn.Parameter}
    return copy.deepcopy(model, own)


def copied(model: nn.Module) -> nn.Module:
    """A copy of `model`, or itself where there can be none."""
    try:
        return copy.deepcopy(model)
    except Exception:
        return model
