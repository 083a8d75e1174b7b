"""Inputs of mean 0 and standard deviation 1, by the statistics of the training rows alone."""

from dataclasses import dataclass
from typing import Any

import torch

from lanewise.data.arrays.checks import is_mask, row_blocks
from lanewise.data.arrays.large import is_large
from lanewise.data.arrays.moments import mean_and_std
from lanewise.data.arrays.nested import Inputs, leaves, mapped, nesting, structure
from lanewise.data.arrays.room import empty
from lanewise.data.rows.rows import Rows, sample, tensor_rows
from lanewise.errors import InputError

INDICES = (torch.int32, torch.int64)
"""The types that `torch.nn.Embedding` takes: numbers of things, which have no mean."""

Wanted = Any
"""What users say of an input: True, False, None for the default, or int8 [features] of 1, 0 and -1 likewise."""


def is_tokens(x: torch.Tensor) -> bool:
    """Whether `x` [rows, ...] holds tokens or other indices, which are given to the model as they are.

    int32 and int64 are, but four axes are images, whatever the type.
    """
    return x.dtype in INDICES and x.ndim < 4


def keeps_type(x: torch.Tensor, wanted: Wanted, alone: bool) -> bool:
    """Whether the model is given `x` in the type it is stored in: tokens, and truth values beside other inputs.

    A mask of truth values selects rows or entries only in its own type; alone, truth values are features.
    """
    left = wanted is None or wanted is False
    return left and (is_tokens(x) or (x.dtype is torch.bool and not alone))


def as_given(x: Inputs, wanted: Any = None) -> Inputs:
    """`x` in the types that models are given, float32 for all but what keeps its own; nothing scaled."""
    alone = isinstance(x, torch.Tensor)
    wishes = mapped(lambda _: None, x) if wanted is None else wanted
    return mapped(lambda leaf, wish: leaf if keeps_type(leaf, wish, alone) else leaf.float(), x, wishes)


@dataclass(frozen=True, eq=False)
class Standardise:
    """The map x -> (x - mean) / std, for each channel of an image, feature of a row or of a series, or the one number.

    mean = sum of x / n and std = sqrt(sum of (x - mean)^2 / n), over the n training values of the channel or feature.
    A constant one has std 1, so that it becomes 0. NaN stands for a missing number: it does not count, and becomes 0,
    which is the mean of the training rows. What is no measurement has mean 0 and std 1 and so keeps its values:
    features of 0 and 1 only, truth values, and bytes of two values that are one of several inputs. Tokens (`is_tokens`)
    and truth values among several inputs keep their type, too.

    Attributes:
        mean: float64, [channels, 1, 1] for images, [features] for flat rows, [1, features] for series [rows, time,
            features], [] for one number a row, or for an input that keeps its values; None for one that keeps its type.
            Nested as the inputs are.
        std: shaped as `mean`, above 0.

    >>> rows = torch.tensor([[1.0, 5.0], [3.0, 5.0], [99.0, 7.0]])
    >>> scale = Standardise.fit(rows, torch.tensor([0, 1]))
    >>> scale.mean, scale.std
    (tensor([2., 5.], dtype=torch.float64), tensor([1., 1.], dtype=torch.float64))
    >>> scale.apply(rows)
    tensor([[-1.,  0.],
            [ 1.,  0.],
            [97.,  2.]])
    >>> both = {"tokens": torch.tensor([[7, 8], [9, 7]]), "age": torch.tensor([20.0, 40.0])}
    >>> Standardise.fit(both).apply(both)
    {'tokens': tensor([[7, 8], [9, 7]]), 'age': tensor([-1.,  1.])}
    >>> Standardise.fit(torch.tensor([[1.0, 1.0, 4.0], [1.0, 0.0, 8.0]])).mean
    tensor([0., 0., 6.], dtype=torch.float64)
    """

    mean: Any
    std: Any

    def __repr__(self) -> str:
        parts = leaves(self.mean) if self.mean is not None else [None]
        told = ("as they are" if mean is None else f"{mean.numel():,} mean(s) and std(s)" for mean in parts)
        return f"Standardise({', '.join(told)})"

    @classmethod
    def fit(cls, x: Inputs, rows: torch.Tensor | None = None, wanted: Any = None) -> "Standardise":
        """Measure `x` at `rows` (int64) or, by default, at all rows.

        Two passes in float64 (one over large inputs), block by block, so that memory stays at a few megabytes.

        Args:
            wanted: of every input, what `Wanted` says, nested as `x`; None for the default.

        Raises:
            InputError: no rows, or values so large that their spread overflows float64.
        """
        alone = isinstance(x, torch.Tensor)
        wishes = mapped(lambda _: None, x) if wanted is None else wanted
        pairs = mapped(lambda leaf, wish: measured(leaf, rows, wish, alone), x, wishes)
        return cls(*(mapped(lambda _, pair, which=which: pair[which], x, pairs) for which in (0, 1)))

    @classmethod
    def of_rows(cls, rows: Rows, index: torch.Tensor, wanted: Any = None) -> "Standardise":
        """Measure the inputs of the rows `index`; where they are not in memory, those of a sample of them."""
        held = tensor_rows(rows, index)
        if held is not None:
            held[0].check()
            return cls.fit(held[0].x, held[1], wanted)
        return cls.fit(sample(rows, index)[0], None, wanted)

    def apply(self, x: Inputs, dtype: torch.dtype = torch.float32) -> Inputs:
        """(x - mean) / std as new tensors of type `dtype`, block by block; tokens as they are.

        Bytes are computed in `dtype` itself, which holds them exactly. All else is computed in float64: a feature of
        large values and small spread would lose its digits otherwise.

        Raises:
            InputError: rows of another shape than those measured.
        """
        if nesting(x) != nesting(self.mean):
            raise InputError(f"x is {structure(x)}: must be {structure(self.mean)}, as measured")
        return mapped(lambda leaf, mean, std: scaled(leaf, mean, std, dtype), x, self.mean, self.std)


def measured(
    x: torch.Tensor, rows: torch.Tensor | None, wanted: Wanted, alone: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """(mean, std) of one tensor of the inputs at `rows`; (None, None) where it keeps its type."""
    if keeps_type(x, wanted, alone):
        return None, None
    if wanted is False or (wanted is None and (x.dtype is torch.bool or is_mask(x, alone))):
        return torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    count = len(x) if rows is None else len(rows)
    if count == 0:
        raise InputError("no training rows to standardise by: must be at least one")
    kept = kept_axis(x)
    axes = tuple(axis for axis in range(x.ndim) if axis != kept)
    shape = tuple(size if axis == kept else 1 for axis, size in enumerate(x.shape))

    left = torch.full(shape, wanted is not True, device=x.device)
    if isinstance(wanted, torch.Tensor):
        left = (wanted < 1).reshape(shape)

    def block(at: slice) -> torch.Tensor:
        return (x[at] if rows is None else x.index_select(0, rows[at])).to(torch.float64)

    def seen(part: torch.Tensor) -> None:
        nonlocal left
        if bool(left.any()):
            left = left & unmeasured(part, axes)

    mean, std = mean_and_std(block, list(row_blocks(x, count)), axes, shape, seen, x.device, once=is_large(x))
    if isinstance(wanted, torch.Tensor):
        left = left | (wanted == 0).reshape(shape)
    mean, std = torch.where(left, 0.0, mean), torch.where(left, 1.0, std)
    if not bool((torch.isfinite(mean) & torch.isfinite(std)).all()):
        raise InputError("x spreads too widely: its mean or standard deviation overflows float64")
    return mean[0], std[0]


def unmeasured(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Where features of `x` are 0 or 1 in all rows, the other axes kept at length 1."""
    return ((x == 0) | (x == 1)).all(dim=axes, keepdim=True) if axes else (x == 0) | (x == 1)


def features_left(x: torch.Tensor, wanted: Wanted, alone: bool) -> torch.Tensor:
    """Which features of `x` keep their values, bool [features]; a single one where all or none do."""
    if wanted is False or (wanted is None and (is_tokens(x) or x.dtype is torch.bool or is_mask(x, alone))):
        return torch.ones(1, dtype=torch.bool)
    if wanted is True:
        return torch.zeros(1, dtype=torch.bool)
    kept = kept_axis(x)
    axes = tuple(axis for axis in range(x.ndim) if axis != kept)
    left = torch.ones(tuple(size if axis == kept else 1 for axis, size in enumerate(x.shape)), dtype=torch.bool)
    for at in row_blocks(x):
        left &= unmeasured(x[at], axes)
        if not bool(left.any()):
            break
    left = left.flatten()
    return left if wanted is None else torch.where(wanted < 0, left, wanted == 0)


def kept_axis(x: torch.Tensor) -> int | None:
    """The axis of features or channels: the last of rows and of series, the second of images, none of one number."""
    return None if x.ndim == 1 else x.ndim - 1 if x.ndim < 4 else 1


def scaled(x: torch.Tensor, mean: torch.Tensor | None, std: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """One tensor of the inputs by its statistics."""
    if mean is None or std is None:
        if not is_tokens(x) and x.dtype is not torch.bool:
            raise InputError(f"x is {x.dtype}: must be whole numbers (tokens) or truth values, as those measured")
        return x
    if mean.ndim == 0 and x.ndim != 1 and float(mean) == 0 and float(std) == 1:
        same = x.to(dtype, copy=True)
        return same.nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf) if x.is_floating_point() else same
    kept = kept_axis(x)
    if x.ndim != mean.ndim + 1 or (kept is not None and x.shape[kept] != mean.numel()):
        wanted = f"the {mean.numel()} channels or features measured" if mean.ndim else "one number a row, as measured"
        raise InputError(f"x has shape {list(x.shape)}: must have {wanted}")
    work = torch.promote_types(dtype, torch.float32) if x.dtype is torch.uint8 else torch.float64
    mean, std = mean.to(x.device, work), std.to(x.device, work)
    out = empty(x.shape, dtype, x.device)
    blocks = list(row_blocks(x))
    # In place, in one block that serves all: memory that is taken and left at every block would not come back whole.
    room = out if work is dtype or not blocks else empty(out[blocks[0]].shape, work, x.device)
    for at in blocks:
        values = room[at] if work is dtype else room[: len(out[at])]
        values.copy_(x[at]).sub_(mean).div_(std)
        if x.is_floating_point():
            values.nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        if work is not dtype:
            out[at] = values
    return out
