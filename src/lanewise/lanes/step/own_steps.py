"""Steps that a parameter counts for itself, and averages of what a step makes."""

import torch
from torch import Tensor

from lanewise.parts.reals import has_mean, real_type


def averaged(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """What an average is kept of: all weights, and the running statistics and other floating-point buffers."""
    return weights | {name: buffer for name, buffer in buffers.items() if has_mean(buffer)}


STEPS = "steps"
"""The entry of the optimizer state that counts the steps in which a parameter had a gradient."""


def own_steps(param: Tensor) -> Tensor:
    """No steps yet, in the type in which a table has them."""
    return torch.zeros((), dtype=real_type(param.dtype), device=param.device)
