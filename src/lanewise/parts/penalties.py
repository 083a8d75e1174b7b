"""L2, L1 and decoupled decay for one tensor: the gradients, the proximal step, the value and the count of zeros."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number
from lanewise.parts.reals import as_before, as_reals

Number: TypeAlias = "Tensor | float"
DecayBy: TypeAlias = Literal["rate", "independent"]
Per: TypeAlias = Literal["mean", "row"]
DECAY_BY: tuple[DecayBy, ...] = ("rate", "independent")
PER: tuple[Per, ...] = ("mean", "row")


def penalty_gradient(param: Tensor, l2: Number, l1: Number) -> Tensor:
    """The gradient of l2/2 ||theta||^2 + l1 ||theta||_1: l2 theta + l1 sign(theta).

    At theta = 0, where L1 has no gradient, sign(0) = 0 is the subgradient taken. A complex theta counts as two reals,
    here and in all that follows.

    Args:
        param: theta, any shape.
        l2: strength of L2, >= 0.
        l1: strength of L1, >= 0.

    >>> penalty_gradient(torch.tensor([2.0, -1.0, 0.0]), l2=0.5, l1=0.25).tolist()
    [1.25, -0.75, 0.0]
    """
    if param.is_complex():
        return as_before(penalty_gradient(as_reals(param), l2, l1), param)
    return l2 * param + l1 * torch.sign(param)


def proximal_l1(param: Tensor, threshold: Number) -> Tensor:
    """The soft threshold sign(theta) max(|theta| - threshold, 0): exact zeros inside the threshold.

    It minimises 1/2 ||x - theta||^2 + threshold ||x||_1 over x. After a step at the rate lr, an L1 penalty of strength
    l1 has the threshold lr * l1.

    Args:
        param: theta after the step, any shape.
        threshold: >= 0, in the unit of theta.

    >>> proximal_l1(torch.tensor([2.0, -1.0, 0.25]), 0.5).tolist()
    [1.5, -0.5, 0.0]

    Source: Parikh and Boyd, Proximal algorithms, 2014, section 6.5.2.
    """
    if param.is_complex():
        return as_before(proximal_l1(as_reals(param), threshold), param)
    limit = torch.as_tensor(threshold, dtype=param.dtype, device=param.device)
    return param - torch.clamp(param, -limit, limit)


def decayed(param: Tensor, decay: Number, lr: Number, by: DecayBy) -> Tensor:
    """Weights after one step of decoupled decay, which no running average of the optimizer sees.

    `by="rate"`: theta - lr decay theta, as in AdamW: the learning rate's schedule scales the decay too.
    `by="independent"`: theta - decay theta: the decay does not depend on the learning rate; it can have a schedule of
    its own.

    Args:
        param: theta, any shape.
        decay: >= 0.
        lr: learning rate of this step, >= 0.
        by: "rate" or "independent".

    Raises:
        InputError: `by` is neither.

    >>> decayed(torch.tensor([2.0]), 0.5, 0.5, "rate").tolist()
    [1.5]
    >>> decayed(torch.tensor([2.0]), 0.5, 0.5, "independent").tolist()
    [1.0]

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019: their eta_t lambda is "independent".
    """
    if by not in DECAY_BY:
        raise InputError(f"decay_by = {by!r}: must be one of {', '.join(DECAY_BY)}")
    return param * (1 - (lr * decay if by == "rate" else decay))


def penalty_value(params: Iterable[Tensor], l2: Number, l1: Number) -> Tensor:
    """l2/2 ||theta||^2 + l1 ||theta||_1 summed over `params`, a 0-d tensor; 0 without parameters.

    >>> penalty_value([torch.tensor([3.0, -4.0])], l2=2.0, l1=1.0).item()
    32.0
    """
    total = torch.zeros(())
    for param in map(as_reals, params):
        total = total.to(param) + l2 / 2 * torch.sum(param * param) + l1 * torch.sum(torch.abs(param))
    return total


def strength(value: Number, per: Per, rows: int | None = None) -> Number:
    """The strength beside a mean loss: `value` per "mean", `value / rows` per "row".

    Some texts write the penalty inside the mean over the m training rows, as lambda/m; `per="row"` is theirs.

    Args:
        value: lambda, >= 0.
        per: "mean" or "row".
        rows: number of training rows m, >= 1; needed for "row".

    Raises:
        InputError: `per` is neither, or rows are missing, fewer than 1 or no integer.

    >>> strength(0.5, "mean"), strength(0.5, "row", rows=100)
    (0.5, 0.005)
    """
    if per not in PER:
        raise InputError(f"per = {per!r}: must be one of {', '.join(PER)}")
    if per == "mean":
        return value
    if rows is None:
        raise InputError('rows = None: must be an integer in [1, inf) when per = "row"')
    check_number("rows", rows, Allowed(low=1, integer=True))
    return value / rows


class Sparsity(NamedTuple):
    """How many entries are exactly zero, and of how many."""

    zeros: int
    total: int


def sparsity(params: Iterable[Tensor]) -> Sparsity:
    """The number of exact zeros in `params`.

    >>> sparsity([torch.tensor([0.0, 1.0]), torch.zeros(2, 2)])
    Sparsity(zeros=5, total=6)
    """
    counts = [(int(torch.count_nonzero(param)), param.numel()) for param in params]
    total = sum(size for _, size in counts)
    return Sparsity(total - sum(nonzero for nonzero, _ in counts), total)
