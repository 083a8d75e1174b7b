"""Whether two passes of a model agree but for rounding."""

import torch
from torch import Tensor

from lanewise.lanes.attributes.plain_values import Plain, same
from lanewise.lanes.model.passes import Passed

TOLERANCE = 1e-3
"""Of rounding in float32, beside the largest gradient of all; a layer that is not reached is off by its whole size."""


def shaken(param: Tensor, share: float = 0.1) -> Tensor:
    """Other weights of the same signs: what is compared must depend on the weights that are handed in."""
    if not param.is_floating_point():
        return param.clone()
    noise = torch.rand(param.shape, generator=torch.Generator().manual_seed(0)).to(param)
    return param * (1 + share * noise) + 1e-3 * noise * (param == 0)


def close(one: Tensor, other: Tensor, scale: float | None = None) -> bool:
    """Whether two tensors agree but for rounding, beside `scale` or the size of the first, or that is not finite."""
    if one.shape != other.shape:
        return False
    one, other = (torch.view_as_real(t) if t.is_complex() else t.double() for t in (one.detach(), other.detach()))
    if not one.numel() or not one.isfinite().all():
        return True
    size = max(float(one.abs().max()), scale or 0.0)
    return bool((one - other).abs().max() <= TOLERANCE * size + 1e-12)


def unreached(real: Passed, functional: Passed) -> list[str]:
    """Parameters that one of the two has no gradient for; else those whose gradients differ by more than rounding."""
    scale = max((float(gradient.abs().max()) for gradient in real.gradients.values() if gradient.numel()), default=0.0)
    missing = real.gradients.keys() ^ functional.gradients.keys()
    both = real.gradients.keys() & functional.gradients.keys()
    return sorted(missing or {n for n in both if not close(real.gradients[n], functional.gradients[n], scale)})


def alike(one: Passed, other: Passed) -> bool:
    """Whether two passes of one module gave the same but for rounding."""
    return close(one.loss, other.loss) and not unreached(one, other)


def same_values(one: dict[str, Plain], other: dict[str, Plain]) -> bool:
    """Whether two sets of attributes are the same."""
    return one.keys() == other.keys() and all(same(value, other[path]) for path, value in one.items())


def holds_numbers(value: Plain) -> bool:
    """Whether plain data has numbers or tensors in it, not text alone."""
    if isinstance(value, tuple):
        return any(holds_numbers(part) for part in value[1:])
    return isinstance(value, (int, float, complex, Tensor)) and not isinstance(value, bool)


def doubled(value: Tensor) -> Tensor:
    """Floating-point numbers in float64, anything else as it is."""
    return value.double() if value.is_floating_point() else value
