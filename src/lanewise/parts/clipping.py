"""Gradient clipping by norm: the gradient of all parameters together, made shorter where it is too long."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lanewise.parts.part import Allowed, check_number
from lanewise.parts.reals import as_reals

NORM = Allowed(0.0, low_open=True)
EPS = 1e-6
"""Added to the norm, as `torch.nn.utils.clip_grad_norm_` does."""


def gradient_norm(gradients: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all `gradients` as one vector, 0-d.

    >>> gradient_norm([torch.tensor([3.0]), torch.tensor([[4.0]])]).item()
    5.0
    """
    return torch.stack([as_reals(gradient).square().sum() for gradient in gradients]).sum().sqrt()


def clipping_factor(gradients: Iterable[Tensor], most: float | Tensor) -> Tensor:
    """min(1, most / (norm + 1e-6)), 0-d, where norm is that of all `gradients` together."""
    return (most / (gradient_norm(gradients) + EPS)).clamp(max=1.0)


def clipped(gradients: dict[str, Tensor], most: float | Tensor) -> dict[str, Tensor]:
    """`gradients` times min(1, most / (norm + 1e-6)), where norm is that of all of them together.

    Args:
        gradients: of every parameter, by name.
        most: the norm allowed, above 0; a 0-d tensor (a lane's own) is not checked.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.

    >>> found = clipped({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}, 1.0)
    >>> {name: round(gradient.item(), 4) for name, gradient in found.items()}
    {'a': 0.6, 'b': 0.8}
    """
    if not isinstance(most, Tensor):
        check_number("clip", most, NORM)
    factor = clipping_factor(gradients.values(), most)
    return {name: gradient * factor for name, gradient in gradients.items()}
