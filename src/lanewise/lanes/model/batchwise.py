"""Layers whose results depend on which rows are evaluated together: batch norm without running statistics.

Such a model is evaluated in parts of nearly the batch size that it trains with, in lanes and alone, so that its scores
are the same in both, and those of the batches it knows.
"""

from torch import nn

from lanewise.base.torch_modules import AnyBatchNorm
from lanewise.errors import InputError

ONE_VALUE = "more than 1 value per channel"
"""What torch says of a batch that has no variance."""


def batchwise(model: nn.Module) -> list[str]:
    """The names of the layers of `model` that normalise by the rows they are given in evaluation too.

    >>> batchwise(nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)))
    ['1']
    """
    return [
        name for name, layer in model.named_modules() if isinstance(layer, AnyBatchNorm) and layer.running_mean is None
    ]


def refuse_one_row(error: Exception, layers: list[str], what: str) -> None:
    """Raise `InputError` if `error` is what torch says where one row reaches a layer of `layers` alone."""
    if isinstance(error, InputError) or ONE_VALUE not in str(error):
        return
    raise InputError(
        f"{what}: has 1 row, and batch norm {layers[0]!r} has no running statistics: it must be given at least 2 rows "
        "at a time; give more rows, or track_running_stats=True"
    ) from error
