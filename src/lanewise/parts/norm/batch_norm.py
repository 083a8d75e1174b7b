"""Batch normalisation of one lane as a pure function, with a momentum that may be a tensor.

`torch.nn.functional.batch_norm` takes the momentum as a Python float and writes into the running statistics. Under
`torch.func.vmap` a lane's momentum is a 0-d tensor and nothing may be written in place, so the formula stands here.
"""

import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number

MOMENTUM = Allowed(0.0, 1.0)
EPS = Allowed(0.0, low_open=True)


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float | Tensor,
    eps: float,
    training: bool,
    *,
    where: str = "batch norm",
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Normalise each channel of `x` and return the result with the new running statistics.

    In training, with m values per channel (over rows and space):

        mean = 1/m sum x,   var = 1/m sum (x - mean)^2
        y = weight (x - mean) / sqrt(var + eps) + bias
        running_mean' = (1 - momentum) running_mean + momentum mean
        running_var'  = (1 - momentum) running_var + momentum var m/(m - 1)

    In evaluation `running_mean` and `running_var` take the place of mean and var, and come back as they were. Without
    running statistics (both None) the batch's own are used in both modes, as `torch.nn.BatchNorm2d` does.

    Args:
        x: values [N, C] or [N, C, ...].
        weight: factor per channel [C], or None for 1.
        bias: shift per channel [C], or None for 0.
        running_mean: [C], or None.
        running_var: [C], or None together with `running_mean`.
        momentum: share of the new batch in the running statistics, in [0, 1]; a 0-d tensor is not checked. torch's
            `momentum=None` (the average of all batches so far) is `cumulative_momentum(num_batches_tracked)`.
        eps: added to the variance, above 0.
        training: whether the batch's own statistics normalise and are averaged.
        where: the layer's name, for messages.

    Returns:
        y [as x], running mean [C] and running variance [C] (None where there were none), all without a graph but y.

    Raises:
        InputError: a momentum or eps out of range, a shape that does not fit, or one value per channel in training.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithms 1 and 2.

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> y, mean, var = batch_norm(x, None, None, torch.zeros(1), torch.ones(1), 0.5, 1e-5, True)
    >>> [round(v, 4) for v in y.flatten().tolist()], mean.tolist(), var.tolist()
    ([-1.0, 1.0], [1.0], [1.5])
    """
    check_arguments(x, running_mean, running_var, momentum, eps, where)
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    if running_mean is not None and running_var is not None and not training:
        y = scaled(work - running_mean.view(shape), weight, bias, inverse_root(running_var + eps), shape)
        return y.to(x.dtype), running_mean, running_var
    y, mean, var = normalised(work, weight, bias, eps, where)
    if running_mean is None or running_var is None:
        return y.to(x.dtype), None, None
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * var
    return y.to(x.dtype), new_mean.to(running_mean.dtype), new_var.to(running_var.dtype)


def normalised(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, where: str
) -> tuple[Tensor, Tensor, Tensor]:
    """`x` [N, C, ...] normalised with its own statistics; its mean and its unbiased variance, both without a graph.

    With the mean's value as a constant s, var = 1/m sum (x - s)^2 - (mean - s)^2 and x - mean = (x - s) + (s - mean).
    Both hold for every s: nothing cancels, derivatives of every order are exact, and the gradient comes out in its
    closed form, with one pass over the data for both of its sums. (Derived from x - mean it has a second pass, for a
    sum that is zero. A mean that is merely detached would falsify second derivatives.)
    """
    count = check_count(x, where)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    dims = [0, *range(2, x.ndim)]
    mean = x.sum(dims) * (1 / count)
    constant = mean.detach()
    centred = x - constant.view(shape)
    drift = constant - mean
    var = (centred * centred).sum(dims) * (1 / count) - drift * drift
    y = scaled(centred, weight, bias, inverse_root(var + eps), shape, drift)
    return y, constant, var.detach() * (count / (count - 1))


def scaled(
    centred: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    inverse_std: Tensor,
    shape: tuple[int, ...],
    drift: Tensor | None = None,
) -> Tensor:
    """(centred + drift) weight inverse_std + bias, as one product and one sum per value."""
    scale = inverse_std if weight is None else inverse_std * weight
    shift = bias if drift is None else (drift * scale if bias is None else drift * scale + bias)
    y = centred * scale.view(shape)
    return y if shift is None else y + shift.view(shape)


def inverse_root(v: Tensor) -> Tensor:
    """1 / sqrt(v) for v > 0.

    The branch for v <= 0 (which gives NaN, as rsqrt does) is never taken. It is there for Inductor, which keeps the
    result of a logarithm in memory, and would otherwise repeat root and division for every value of the batch, forward
    and backward: batch norm as a whole takes half as long again.
    """
    return torch.rsqrt(torch.where(v > 0, v, torch.log(v.detach())))


def cumulative_momentum(num_batches_tracked: int | Tensor) -> float | Tensor:
    """The momentum that makes the running statistics the plain average of all batches: 1 / (batches before + 1).

    >>> cumulative_momentum(3)
    0.25
    """
    return 1.0 / (num_batches_tracked + 1)


def check_arguments(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, momentum: object, eps: object, where: str
) -> None:
    """Raise `InputError` for arguments that no batch norm can use."""
    if x.ndim < 2:
        raise InputError(f"{where}: input of shape {tuple(x.shape)}: must be [N, C] or [N, C, ...]")
    if (running_mean is None) != (running_var is None):
        raise InputError(f"{where}: running_mean and running_var must be given both or neither")
    for name, given in (("running_mean", running_mean), ("running_var", running_var)):
        if given is not None and given.shape != (x.shape[1],):
            raise InputError(f"{where}: {name} of shape {tuple(given.shape)}: must be ({x.shape[1]},), one a channel")
    if momentum is None:
        raise InputError(
            f"{where}: momentum = None: must be {MOMENTUM}; for the average of all batches so far pass "
            "cumulative_momentum(num_batches_tracked)"
        )
    if not isinstance(momentum, Tensor):
        check_number(f"{where}: momentum", momentum, MOMENTUM)
    check_number(f"{where}: eps", eps, EPS)


def check_count(x: Tensor, where: str) -> int:
    """Number of values per channel of `x`, or `InputError` where that leaves no variance to divide by."""
    count = x.numel() // x.shape[1] if x.shape[1] else 0
    if count < 2:
        raise InputError(
            f"{where}: {count} value(s) per channel in training (input {tuple(x.shape)}): must be at least "
            "2; take larger batches, drop the last short batch, or replace batch norm by layer norm"
        )
    return count
