"""Inputs of mean 0 and standard deviation 1, by the statistics of the training rows alone."""

from dataclasses import dataclass

import torch

from lanewise.data.arrays import row_blocks
from lanewise.errors import InputError


@dataclass(frozen=True, eq=False)
class Standardise:
    """The map x -> (x - mean) / std, per channel of an image and per feature of a flat row.

    mean = sum of x / n and std = sqrt(sum of (x - mean)^2 / n), over the n training values of the channel or feature.
    A constant one has std 1, so that it becomes 0.

    Attributes:
        mean: float64, [channels, 1, 1] for images, [features] for flat rows.
        std: float64, shaped as `mean`, above 0.

    >>> rows = torch.tensor([[1.0, 5.0], [3.0, 5.0], [99.0, 7.0]])
    >>> scale = Standardise.fit(rows, torch.tensor([0, 1]))
    >>> scale.mean, scale.std
    (tensor([2., 5.], dtype=torch.float64), tensor([1., 1.], dtype=torch.float64))
    >>> scale.apply(rows)
    tensor([[-1.,  0.],
            [ 1.,  0.],
            [97.,  2.]])
    """

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def fit(cls, x: torch.Tensor, rows: torch.Tensor | None = None) -> "Standardise":
        """Measure `x` [N, features] or [N, channels, height, width], at `rows` (int64) or, by default, at all rows.

        Two passes in float64, block by block, so that memory stays at a few megabytes.

        Raises:
            InputError: no rows, another number of axes, or values so large that their spread overflows float64.
        """
        if x.ndim not in (2, 4):
            raise InputError(f"x has shape {list(x.shape)}: must be [rows, features] or images, channels first")
        count = len(x) if rows is None else len(rows)
        if count == 0:
            raise InputError("no training rows to standardise by: must be at least one")
        axes = (0,) if x.ndim == 2 else (0, 2, 3)
        shape = (1, *x.shape[1:2], *(1 for _ in axes[1:]))
        values = count * x[0, 0].numel()

        def block(at: slice) -> torch.Tensor:
            return (x[at] if rows is None else x[rows[at]]).to(torch.float64)

        blocks = list(row_blocks(x, count))
        total = torch.zeros(shape, dtype=torch.float64, device=x.device)
        low, high = total + torch.inf, total - torch.inf
        for at in blocks:
            part = block(at)
            total += part.sum(axes, keepdim=True)
            low = torch.minimum(low, part.amin(axes, keepdim=True))
            high = torch.maximum(high, part.amax(axes, keepdim=True))
        constant = low == high
        mean = torch.where(constant, low, total / values)
        # In units of the range, squares neither overflow nor vanish, whatever the unit of the feature.
        unit = torch.where(constant, 1.0, high - low)
        squares = torch.zeros_like(total)
        for at in blocks:
            squares += ((block(at) - mean) / unit).square().sum(axes, keepdim=True)
        std = torch.where(constant, 1.0, unit * (squares / values).sqrt())
        if not bool((torch.isfinite(mean) & torch.isfinite(std)).all()):
            raise InputError("x spreads too widely: its mean or standard deviation overflows float64")
        return cls(mean[0], std[0])

    def apply(self, x: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """(x - mean) / std as a new tensor of type `dtype`, block by block.

        Bytes are computed in `dtype` itself, which holds them exactly. All else is computed in float64: a feature of
        large values and small spread would lose its digits otherwise.

        Raises:
            InputError: rows of another shape than those measured.
        """
        if x.ndim != self.mean.ndim + 1 or x.shape[1] != self.mean.shape[0]:
            raise InputError(
                f"x has shape {list(x.shape)}: must have the {len(self.mean)} channels or features measured"
            )
        work = torch.promote_types(dtype, torch.float32) if x.dtype is torch.uint8 else torch.float64
        mean, std = self.mean.to(x.device, work), self.std.to(x.device, work)
        out = torch.empty(x.shape, dtype=dtype, device=x.device)
        for at in row_blocks(x):
            out[at] = (x[at].to(work) - mean) / std
        return out
