"""Ghost batch norm: the statistics of small virtual batches inside a large one.

Large batches lose the noise that batch norm's statistics bring; virtual batches of a fixed size keep it, whatever the
batch size. Evaluation is plain batch norm with running statistics.
"""

import torch
from torch import Tensor

from lanewise.base.torch_modules import AnyBatchNorm
from lanewise.errors import InputError
from lanewise.parts.norm.batch_norm import EPS, MOMENTUM, batch_norm, check_arguments, normalised
from lanewise.parts.part import Allowed, check_number

SIZE = Allowed(1, integer=True)


def ghost_batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float | Tensor,
    eps: float,
    training: bool,
    virtual_size: int,
    *,
    where: str = "ghost batch norm",
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Batch norm over virtual batches: rows 0 to virtual_size-1, the next virtual_size rows, and so on.

    In training every virtual batch is normalised with its own statistics, and the running statistics move once for
    each, in order, as if the virtual batches had come one after another. Rows left over make a smaller last one; where
    that would hold a single value per channel, its row joins the virtual batch before. In evaluation, without running
    statistics too, this is `batch_norm`, whose arguments, results and errors it shares.

    Args:
        x: values [N, C] or [N, C, ...].
        weight: factor per channel [C], or None for 1.
        bias: shift per channel [C], or None for 0.
        running_mean: [C], or None.
        running_var: [C], or None.
        momentum: share of each virtual batch in the running statistics, in [0, 1].
        eps: added to the variances, above 0.
        training: whether the virtual batches' own statistics normalise.
        virtual_size: rows in a virtual batch, at least 1.
        where: the layer's name, for messages.

    Source: Hoffer, Hubara and Soudry, "Train longer, generalize better", 2017, algorithm 1.

    >>> x = torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    >>> y, mean, var = ghost_batch_norm(x, None, None, torch.zeros(1), torch.ones(1), 0.5, 1e-5, True, 2)
    >>> [round(v, 3) for v in y.flatten().tolist()], mean.tolist(), var.tolist()
    ([-1.0, 1.0, -1.0, 1.0], [6.25], [4.75])
    """
    check_number(f"{where}: virtual_size", virtual_size, SIZE)
    check_arguments(x, running_mean, running_var, momentum, eps, where)
    if not training:
        return batch_norm(x, weight, bias, running_mean, running_var, momentum, eps, training, where=where)
    work = x.to(torch.promote_types(x.dtype, torch.float32))
    whole, last = virtual_batches(x.shape[0], virtual_size, x[0, :1].numel() if len(x) else 0)
    parts, means, variances = [], [], []
    if whole:
        cut = work[: whole * virtual_size].view(whole, virtual_size, *x.shape[1:])
        y, mean, var = torch.func.vmap(lambda rows: normalised(rows, weight, bias, eps, where))(cut)
        parts, means, variances = [y.flatten(0, 1)], [mean], [var]
    if last or not whole:
        y, mean, var = normalised(work[whole * virtual_size :], weight, bias, eps, where)
        parts, means, variances = [*parts, y], [*means, mean[None]], [*variances, var[None]]
    y = torch.cat(parts).to(x.dtype)
    if running_mean is None or running_var is None:
        return y, None, None
    return (
        y,
        blended(running_mean, torch.cat(means), momentum),
        blended(running_var, torch.cat(variances), momentum),
    )


def virtual_batches(rows: int, size: int, space: int) -> tuple[int, int]:
    """How many virtual batches of `size` rows, and the rows of one more of another size (0: there is none).

    `space` is the number of values a channel has in one row. A last virtual batch with one value per channel takes
    the rows of the one before.

    >>> virtual_batches(10, 4, 1), virtual_batches(9, 4, 1), virtual_batches(9, 4, 6), virtual_batches(8, 4, 1)
    ((2, 2), (1, 5), (2, 1), (2, 0))
    """
    whole, last = divmod(rows, size)
    return (whole - 1, last + size) if last * space == 1 and whole else (whole, last)


def blended(running: Tensor, batches: Tensor, momentum: float | Tensor) -> Tensor:
    """`running` [C] after one step of `momentum` towards each row of `batches` [B, C] in order."""
    keep = 1 - momentum
    for batch in batches.unbind():
        running = (keep * running + momentum * batch).to(running.dtype)
    return running


class GhostBatchNorm(AnyBatchNorm):
    """Ghost batch norm as a layer for [N, C] and [N, C, ...], with the parameters and state of `torch.nn.BatchNorm2d`.

    Args:
        num_features: number of channels C.
        virtual_size: rows in a virtual batch, at least 1; a batch of that size or smaller is one virtual batch.
        eps: added to the variances, above 0.
        momentum: share of each virtual batch in the running statistics, in [0, 1].
        affine: whether there are a weight and a bias.
        track_running_stats: whether running statistics are kept; without them evaluation uses the whole batch's.

    Raises:
        InputError: a number out of range.
    """

    def __init__(
        self,
        num_features: int,
        virtual_size: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        check_number("GhostBatchNorm: virtual_size", virtual_size, SIZE)
        check_number("GhostBatchNorm: eps", eps, EPS)
        check_number("GhostBatchNorm: momentum", momentum, MOMENTUM)
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.virtual_size = virtual_size

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` and, in training, move the running statistics."""
        if self.momentum is None:
            raise InputError(f"GhostBatchNorm: momentum = None: must be {MOMENTUM}")
        y, mean, var = ghost_batch_norm(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.momentum, self.eps, self.training,
            self.virtual_size,
        )  # fmt: skip
        if self.training:
            for buffer, new in ((self.running_mean, mean), (self.running_var, var)):
                if buffer is not None and new is not None:
                    buffer.copy_(new)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return y

    def extra_repr(self) -> str:
        """The layer's arguments, for printing the model."""
        return f"{self.num_features}, virtual_size={self.virtual_size}, eps={self.eps}, momentum={self.momentum}"
