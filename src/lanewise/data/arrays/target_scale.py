"""Numeric targets of mean 0 and standard deviation 1, and back."""

from dataclasses import dataclass

import torch

from lanewise.data.arrays.checks import row_blocks
from lanewise.data.arrays.labels import has_labels
from lanewise.data.arrays.large import is_large
from lanewise.data.arrays.moments import mean_and_std
from lanewise.data.arrays.targets import short
from lanewise.errors import InputError


@dataclass(frozen=True, eq=False)
class TargetScale:
    """The map y -> (y - mean) / std of numeric targets, and back; mean and std are those of the training rows.

    Targets that are 0 or 1 in all rows are labels and no measurements: they have mean 0 and std 1.

    Attributes:
        mean: float64, [] for one number a row, [k] for k; all the same for maps [rows, ...] of three axes or more.
        std: shaped as `mean`, above 0 (1 where all are equal).

    >>> scale = TargetScale.fit(torch.tensor([10.0, 30.0, 99.0]), torch.tensor([0, 1]))
    >>> scale.mean.item(), scale.std.item()
    (20.0, 10.0)
    >>> scale.apply(torch.tensor([40.0])), scale.invert(torch.tensor([2.0]))
    (tensor([2.]), tensor([40.]))
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __repr__(self) -> str:
        return f"TargetScale(mean={short(self.mean)}, std={short(self.std)})"

    @classmethod
    def fit(cls, y: torch.Tensor, rows: torch.Tensor | None = None) -> "TargetScale":
        """Measure `y` [rows] or [rows, k] at `rows` (int64), by default at all.

        Raises:
            InputError: no rows, whole numbers, or values that overflow float64.
        """
        if not y.is_floating_point():
            raise InputError(f"y is {y.dtype}: only floating targets are scaled")
        if not len(y if rows is None else rows):
            raise InputError("no training rows to scale targets by: must be at least one")
        shape = y.shape[1:]
        labels = label_columns(y) if y.ndim < 3 else torch.tensor(has_labels(y)).expand(shape)
        if is_large(y):
            return cls(*in_blocks(y, rows, labels))
        values = (y if rows is None else y[rows]).to(torch.float64)
        if y.ndim > 2:
            # One scale for a whole map: places must not weigh by how little they vary.
            values = values.flatten()
        low, high = values.amin(0), values.amax(0)
        unit = torch.where(low == high, 1.0, high - low)
        mean = torch.where(low == high, low, values.mean(0))
        std = torch.where(low == high, 1.0, unit * ((values - mean) / unit).square().mean(0).sqrt())
        return cls(*finite(mean.expand(shape), std.expand(shape), labels))

    def apply(self, y: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """(y - mean) / std in type `dtype`, computed in float64."""
        return ((y.to(torch.float64) - self.mean.to(y.device)) / self.std.to(y.device)).to(dtype)

    def invert(self, y: torch.Tensor) -> torch.Tensor:
        """Mean + std * y: scaled numbers or outputs in the unit of the data, in the type of `y`."""
        return (self.mean.to(y.device) + self.std.to(y.device) * y.to(torch.float64)).to(y.dtype)


def label_columns(y: torch.Tensor) -> torch.Tensor:
    """Which columns of `y` [rows] or [rows, k] are 0 or 1 in all rows, bool [] or [k]."""
    found = torch.ones(y.shape[1:], dtype=torch.bool, device=y.device)
    for at in row_blocks(y):
        found &= ((y[at] == 0) | (y[at] == 1)).all(0)
    return found


def in_blocks(y: torch.Tensor, rows: torch.Tensor | None, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, std) of targets that are too large for a copy."""
    axes = (0,) if y.ndim < 3 else tuple(range(y.ndim))
    shape = (1, *y.shape[1:]) if y.ndim < 3 else (1,) * y.ndim

    def block(at: slice) -> torch.Tensor:
        return (y[at] if rows is None else y.index_select(0, rows[at])).to(torch.float64)

    blocks = list(row_blocks(y, None if rows is None else len(rows)))
    mean, std = mean_and_std(block, blocks, axes, shape, lambda part: None, y.device, once=True)
    return finite(mean[0].expand(y.shape[1:]), std[0].expand(y.shape[1:]), labels)


def finite(mean: torch.Tensor, std: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`mean` and `std` but for labels, which keep their values; `InputError` where they overflow."""
    mean, std = torch.where(labels, 0.0, mean), torch.where(labels, 1.0, std)
    if not bool((torch.isfinite(mean) & torch.isfinite(std)).all()):
        raise InputError("y spreads too widely: its mean or standard deviation overflows float64")
    return mean, std
