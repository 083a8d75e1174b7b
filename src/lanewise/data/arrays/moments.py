"""Mean and standard deviation of rows that come in blocks: in two passes, or in one where they are too large for two.

Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983:
for two sets of n_a and n_b values, M = M_a + M_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b), where M is the sum of
squared deviations from the mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def mean_and_std(
    block: Callable[[slice], Tensor],
    blocks: Sequence[slice],
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    seen: Callable[[Tensor], None],
    device: torch.device,
    once: bool = False,
) -> tuple[Tensor, Tensor]:
    """(mean, std) over `axes` of the values that are not NaN, float64 of `shape`.

    A constant feature has std 1, and one without values mean 0.

    Args:
        block: the rows at one of `blocks`, float64, on `device`. seen: is given every block once.
        once: read the blocks once, unless squares overflow or vanish.

    >>> x = torch.tensor([[1.0], [2.0], [6.0], [torch.nan]], dtype=torch.float64)
    >>> halves = [slice(0, 2), slice(2, 4)]
    >>> mean_and_std(lambda at: x[at], halves, (0,), (1, 1), lambda part: None, x.device, once=True)
    (tensor([[3.]], dtype=torch.float64), tensor([[2.1602]], dtype=torch.float64))
    """
    if once:
        found = moments(block, blocks, axes, shape, seen, device)
        if found.sound:
            constant = found.low >= found.high
            mean = torch.where(found.values == 0, 0.0, torch.where(constant, found.low, found.mean))
            return mean, torch.where(constant, 1.0, (found.squares / found.values).sqrt())
    return in_two_passes(block, blocks, axes, shape, seen, device)


def in_two_passes(
    block: Callable[[slice], Tensor],
    blocks: Sequence[slice],
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    seen: Callable[[Tensor], None],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """What `mean_and_std` says, whatever the unit of the values."""
    total = torch.zeros(shape, dtype=torch.float64, device=device)
    values, low, high = torch.zeros_like(total), total + torch.inf, total - torch.inf
    for at in blocks:
        part = block(at)
        gone = torch.isnan(part)
        values += (~gone).sum(axes, keepdim=True)
        total += part.masked_fill(gone, 0.0).sum(axes, keepdim=True)
        low = torch.minimum(low, part.masked_fill(gone, torch.inf).amin(axes, keepdim=True))
        high = torch.maximum(high, part.masked_fill(gone, -torch.inf).amax(axes, keepdim=True))
        seen(part)
    constant = low >= high
    # A feature that no training row has is 0, whatever its value in others.
    mean = torch.where(values == 0, 0.0, torch.where(constant, low, total / values))
    # In units of the range, squares neither overflow nor vanish, whatever the unit of the feature.
    unit = torch.where(constant, 1.0, high - low)
    squares = torch.zeros_like(total)
    for at in blocks:
        part = block(at)
        squares += ((part - mean) / unit).square().masked_fill(torch.isnan(part), 0.0).sum(axes, keepdim=True)
    return mean, torch.where(constant, 1.0, unit * (squares / values).sqrt())


@dataclass(frozen=True, eq=False)
class Moments:
    """What one pass finds of every feature or channel, float64, the other axes kept at length 1.

    Attributes:
        values: how many are not NaN. low, high: the extremes of these; inf and -inf where there are none.
        mean: of these, 0 where there are none. squares: the sum of squared deviations from the mean.
    """

    values: Tensor
    mean: Tensor
    squares: Tensor
    low: Tensor
    high: Tensor

    @property
    def sound(self) -> bool:
        """Whether squares neither overflowed nor vanished, as those of numbers beyond 1e150 and below 1e-150 do."""
        varies = self.low < self.high
        exact = torch.isfinite(self.mean) & torch.isfinite(self.squares) & (self.squares > 0)
        return bool((exact | ~varies).all())


ENDS = (torch.inf, -torch.inf)
"""The extremes of no values."""


def moments(
    block: Callable[[slice], Tensor],
    blocks: Sequence[slice],
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    seen: Callable[[Tensor], None],
    device: torch.device,
) -> Moments:
    """The moments over `axes` of the rows that come in `blocks`.

    >>> parts = torch.tensor([[1.0], [2.0]]), torch.tensor([[6.0], [torch.nan]])
    >>> found = joined(*(of_block(part.double(), (0,)) for part in parts))
    >>> [float(of) for of in (found.values, found.mean, found.squares, found.low, found.high)]
    [3.0, 3.0, 14.0, 1.0, 6.0]
    """
    extremes = (torch.full(shape, end, dtype=torch.float64, device=device) for end in ENDS)
    total = Moments(*torch.zeros(3, *shape, dtype=torch.float64, device=device), *extremes)
    for at in blocks:
        part = block(at)
        seen(part)
        total = joined(total, of_block(part, axes))
    return total


def of_block(part: Tensor, axes: tuple[int, ...]) -> Moments:
    """The moments of one block."""
    gone = torch.isnan(part)
    if bool(gone.any()):
        values = (~gone).sum(axes, keepdim=True).to(torch.float64)
        low = part.masked_fill(gone, torch.inf).amin(axes, keepdim=True)
        high = part.masked_fill(gone, -torch.inf).amax(axes, keepdim=True)
        mean = part.masked_fill(gone, 0.0).sum(axes, keepdim=True) / values.clamp(min=1)
        return Moments(values, mean, (part - mean).square().masked_fill(gone, 0.0).sum(axes, keepdim=True), low, high)
    mean = part.mean(axes, keepdim=True)
    values = torch.full_like(mean, part.numel() / max(1, mean.numel()))
    squares = (part - mean).square_().sum(axes, keepdim=True)
    return Moments(values, mean, squares, part.amin(axes, keepdim=True), part.amax(axes, keepdim=True))


def joined(one: Moments, other: Moments) -> Moments:
    """The moments of both sets of rows together."""
    values = one.values + other.values
    share = other.values / values.clamp(min=1)
    away = other.mean - one.mean
    return Moments(
        values,
        one.mean + away * share,
        one.squares + other.squares + away.square() * one.values * share,
        torch.minimum(one.low, other.low),
        torch.maximum(one.high, other.high),
    )
