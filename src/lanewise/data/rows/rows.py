"""Rows, wherever they come from: in memory, read from a Dataset by workers, or streamed."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from lanewise.data.arrays.checks import widened
from lanewise.data.arrays.large import MappedFile
from lanewise.data.arrays.nested import Inputs, Targets, byte_count, gathered, mapped, row_count, take
from lanewise.data.rows.items import Batch, joined
from lanewise.errors import InputError

EVALUATION_SEED = 0
"""The epoch seed under which rows are read to be evaluated, measured or kept: the same every time."""

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""


def untold(done: int, total: int) -> None:
    """Progress that is shown nowhere."""


class Rows(Protocol):
    """Rows of data with their targets, as stored, on the CPU.

    Attributes:
        replayable: whether the same rows under the same epoch seed are known to be the same values every time.
        in_memory: whether any rows, in any order, cost no more than a copy.
    """

    @property
    def replayable(self) -> bool: ...

    @property
    def in_memory(self) -> bool: ...

    def __len__(self) -> int: ...

    def take(self, index: torch.Tensor) -> Batch:
        """(x, y) of the rows `index` (int64), in this order, as one batch; read under `EVALUATION_SEED`."""
        ...

    def batches(self, indices: Sequence[torch.Tensor], epoch_seed: int, *, start: int = 0) -> Iterator[Batch]:
        """(x, y) of every one of `indices` in order.

        Args:
            indices: the rows of each batch, int64.
            epoch_seed: what augmentation draws follows from it and from the row, and from nothing else.
            start: how many rows the epoch has given before; only rows that are read in order need it.
        """
        ...

    def close(self) -> None:
        """End the workers, if there are any; reading again starts new ones."""
        ...


@dataclass(frozen=True, eq=False)
class TensorRows:
    """Rows held in memory, or in files that are mapped into it.

    Attributes:
        files: those that are mapped, which are checked before they are read.

    >>> rows = TensorRows(torch.tensor([10.0, 20.0, 30.0]), torch.tensor([0, 1, 1]))
    >>> rows.take(torch.tensor([2, 0]))
    (tensor([30., 10.]), tensor([1, 0]))
    """

    x: Inputs
    y: Targets
    replayable: bool = True
    in_memory: bool = True
    files: tuple[MappedFile, ...] = ()

    def __len__(self) -> int:
        return row_count(self.x)

    def check(self) -> None:
        """Raise `InputError` if a file is shorter than what is mapped of it: reading on would kill the process."""
        for file in self.files:
            file.check()

    def take(self, index: torch.Tensor) -> Batch:
        self.check()
        return mapped(widened, gathered(self.x, index)), gathered(self.y, index)

    def batches(self, indices: Sequence[torch.Tensor], epoch_seed: int, *, start: int = 0) -> Iterator[Batch]:
        return (self.take(index) for index in indices)

    def close(self) -> None:
        """Nothing runs."""


@dataclass(frozen=True, eq=False)
class SubsetRows:
    """Some rows of others, numbered anew from 0."""

    rows: Rows
    index: torch.Tensor

    @property
    def replayable(self) -> bool:
        return self.rows.replayable

    @property
    def in_memory(self) -> bool:
        return self.rows.in_memory

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: torch.Tensor) -> Batch:
        return self.rows.take(self.index[index])

    def batches(self, indices: Sequence[torch.Tensor], epoch_seed: int, *, start: int = 0) -> Iterator[Batch]:
        return self.rows.batches([self.index[index] for index in indices], epoch_seed, start=start)

    def close(self) -> None:
        self.rows.close()


@dataclass(frozen=True, eq=False)
class ChainedRows:
    """The rows of one source, then those of another: training rows and the validation rows given with them."""

    first: Rows
    second: Rows

    @property
    def replayable(self) -> bool:
        return self.first.replayable and self.second.replayable

    @property
    def in_memory(self) -> bool:
        return self.first.in_memory and self.second.in_memory

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def take(self, index: torch.Tensor) -> Batch:
        """(x, y) of the rows `index`, which may be of both."""
        early = index < len(self.first)
        parts = [(self.first, index[early]), (self.second, index[~early] - len(self.first))]
        x, y = joined([rows.take(of_part) for rows, of_part in parts if len(of_part)])
        places = torch.cat([early.nonzero(), (~early).nonzero()]).flatten().argsort()
        return take(x, places), take(y, places)

    def batches(self, indices: Sequence[torch.Tensor], epoch_seed: int, *, start: int = 0) -> Iterator[Batch]:
        """(x, y) of every one of `indices`, each of which must be of one of the two."""
        for late, group in itertools.groupby(indices, key=lambda index: bool(index[0] >= len(self.first))):
            rows, offset = (self.second, len(self.first)) if late else (self.first, 0)
            lists = list(group)
            if any(bool(((index >= len(self.first)) != late).any()) for index in lists):
                raise InputError("a batch mixes training and validation rows, which were given apart")
            yield from rows.batches([index - offset for index in lists], epoch_seed, start=start)

    def close(self) -> None:
        self.first.close()
        self.second.close()


def tensor_rows(rows: Rows, index: torch.Tensor) -> tuple[TensorRows, torch.Tensor] | None:
    """The tensors that hold the rows `index` of `rows`, and where in them they are; None where no tensors do."""
    if isinstance(rows, SubsetRows):
        return tensor_rows(rows.rows, rows.index[index])
    return (rows, index) if isinstance(rows, TensorRows) else None


def targets_of(rows: Rows, index: torch.Tensor) -> Targets:
    """The targets of the rows `index`, without their inputs where these are apart."""
    held = tensor_rows(rows, index)
    return rows.take(index)[1] if held is None else gathered(held[0].y, held[1])


def in_blocks(index: torch.Tensor, size: int) -> list[torch.Tensor]:
    """`index` cut into pieces of `size` rows; the last may be shorter."""
    return list(torch.split(index, size)) if len(index) else []


def sample(rows: Rows, index: torch.Tensor, most_bytes: int = 2**28, block: int = 64) -> Batch:
    """Evenly spaced rows of `index` that take at most `most_bytes`: all of them if they fit.

    For statistics of rows that are read from elsewhere, such as those of `Standardise`.
    """
    x, y = rows.take(index[:1])
    fitting = max(1, most_bytes // max(1, byte_count(x) + byte_count(y)))
    if fitting < len(index):
        index = index[torch.arange(fitting) * len(index) // fitting]
    return joined(list(rows.batches(in_blocks(index, block), EVALUATION_SEED)))
