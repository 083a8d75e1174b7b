"""What frozen layers return for every example of a study, computed once and kept."""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

BLOCK_ROWS = 64
"""Examples that are computed together: always the same ones, so that their bits do not depend on which came first."""


def is_stored(leaf: Tensor) -> bool:
    """Whether `leaf` has values, not a shape only."""
    return leaf.ndim == 0 or any(leaf.stride())


def row_bytes(leaves: Sequence[Tensor]) -> int:
    """Bytes that `leaves`, each [rows, ...], take for a row."""
    return sum(leaf[0].numel() * leaf.element_size() for leaf in leaves if is_stored(leaf))


class Features:
    """Rows of features, filled block by block.

    Args:
        like: what the layers return for some rows, each [rows, ...]. rows: how many there are in all.
        folder: where they are kept in a file, or None for memory.

    Raises:
        OSError: the folder is full or cannot be written to.
    """

    def __init__(self, like: Sequence[Tensor], rows: int, folder: Path | None = None) -> None:
        self._rows, self._lock = rows, threading.Lock()
        self._known = torch.zeros(-(-rows // BLOCK_ROWS), dtype=torch.bool)
        self._kept: list[Tensor | None] = []
        self._shapes = [(leaf.shape[1:], leaf.dtype, leaf.device) for leaf in like]
        for leaf in like:
            shape = torch.Size((rows, *leaf.shape[1:]))
            if not is_stored(leaf):
                self._kept.append(None)
            elif folder is None:
                self._kept.append(torch.empty(shape, dtype=leaf.dtype, device=leaf.device))
            else:
                self._kept.append(in_file(folder, shape, leaf.dtype))

    def of(self, rows: Tensor, compute: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
        """The features of `rows` (int64).

        Args:
            compute: gives those of other rows, in the order in which it is given their numbers.
        """
        with self._lock:
            for block in torch.unique(rows // BLOCK_ROWS).tolist():
                if not self._known[block]:
                    first = block * BLOCK_ROWS
                    numbers = torch.arange(first, min(first + BLOCK_ROWS, self._rows))
                    for kept, leaf in zip(self._kept, compute(numbers), strict=True):
                        if kept is not None:
                            kept[first : first + BLOCK_ROWS] = leaf
                    self._known[block] = True
        found = []
        for kept, (shape, dtype, device) in zip(self._kept, self._shapes, strict=True):
            if kept is None:
                found.append(torch.zeros((), dtype=dtype, device=device).expand(len(rows), *shape))
            else:
                found.append(kept[rows.to(kept.device)].to(device))
        return found


def in_file(folder: Path, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """A tensor whose values lie in a file of `folder` that ends with this process."""
    descriptor, path = tempfile.mkstemp(prefix="features-", suffix=".cache", dir=folder)
    try:
        # Writing to a map of a file for which there is no room ends the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, max(1, shape.numel() * dtype.itemsize))
        return torch.from_file(path, shared=True, size=shape.numel(), dtype=dtype).view(shape)
    finally:
        os.close(descriptor)
        os.unlink(path)
