"""Mixup: every input is blended with another row of its batch, and the loss is blended alike.

All lanes of a repeat share the partners and the two uniform numbers; a lane's strength turns these into its own
weight. Mixup draws the weight from Beta(a, a). Its quantile has no closed form, but the symmetric Beta has an exact
polar generator, two uniforms in and elementary functions of `a`, valid for every a > 0, which is used here.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number

STRENGTH = Allowed(0.0)


def mixing_weight(strength: float | Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Weight of a row itself, in [1/2, 1]: the larger of B and 1 - B, where B follows Beta(strength, strength).

        g = (u^(-1/a) - 1) cos(2 pi v)^2,   weight = (1 + 1/sqrt(1 + 1/g)) / 2

    sqrt(2a g) is the size of a Student t variable with 2a degrees of freedom (Bailey's polar method), and
    (1 + t/sqrt(2a + t^2)) / 2 follows Beta(a, a). Taking the larger of B and 1 - B changes nothing but the order of the
    rows: with random partners, weight 1 - B is weight B with the inverse permutation. So strength 0 is no mixup at all
    (weight exactly 1), and from one draw a stronger lane never keeps more of a row than a weaker one.

    Args:
        strength: the paper's alpha, at least 0; a 0-d tensor (a lane's own) is not checked.
        u: draw in [0, 1), 0-d, the same for all lanes.
        v: another draw in [0, 1), 0-d, the same for all lanes.

    Returns:
        The weight, 0-d.

    Raises:
        InputError: `strength` is a Python number that is negative or not finite.

    Source: Zhang et al., "mixup", 2018; Bailey, "Polar Generation of Random Variates with the t-Distribution", 1994.

    >>> round(mixing_weight(1.0, torch.tensor(0.5), torch.tensor(0.0)).item(), 4)  # g = 1
    0.8536
    >>> mixing_weight(0.0, torch.tensor(0.5), torch.tensor(0.1)).item()
    1.0
    """
    if not isinstance(strength, Tensor):
        check_number("mixup: strength", strength, STRENGTH)
        strength = torch.as_tensor(strength, dtype=u.dtype, device=u.device)
    g = torch.expm1(-torch.log(u) / strength) * torch.cos(2 * math.pi * v).square()
    return 0.5 + 0.5 * torch.rsqrt(1 + 1 / g)


def mix(x: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """weight x_i + (1 - weight) x_partner(i) for every row i.

    Args:
        x: inputs [N, ...], floating point.
        partner: a permutation of the rows, [N], the same for all lanes (`torch.randperm`).
        weight: from `mixing_weight`, 0-d.

    >>> mix(torch.tensor([0.0, 4.0]), torch.tensor([1, 0]), torch.tensor(0.75)).tolist()
    [1.0, 3.0]
    """
    if not x.is_floating_point() or partner.shape != x.shape[:1]:
        raise InputError(
            f"mixup: input {tuple(x.shape)} of type {x.dtype} and {tuple(partner.shape)} partners: must be of a "
            "floating-point type, with one partner a row"
        )
    return weight.to(x.dtype) * x + (1 - weight).to(x.dtype) * x[partner]


def mixed_loss(
    loss: Callable[[Tensor, Tensor], Tensor], output: Tensor, target: Tensor, partner: Tensor, weight: Tensor
) -> Tensor:
    """weight loss(output, target) + (1 - weight) loss(output, target of the partner).

    For cross entropy, smoothed too, this is the loss against the blended label distributions.

    Args:
        loss: a function of output and target.
        output: what the model made of the mixed inputs, [N, ...].
        target: labels or values of the unmixed rows, [N, ...].
        partner: as given to `mix`.
        weight: as given to `mix`.

    >>> difference = lambda output, target: (output - target).mean()
    >>> mixed_loss(difference, torch.zeros(1), torch.ones(1), torch.tensor([0]), torch.tensor(0.5)).item()
    -1.0
    """
    return weight * loss(output, target) + (1 - weight) * loss(output, target[partner])
