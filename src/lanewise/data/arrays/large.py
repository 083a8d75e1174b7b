"""Arrays that are too large to copy, and the files that some of them are maps of."""

import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lanewise.data.arrays.nested import Inputs, byte_count
from lanewise.errors import InputError

LARGE_BYTES = 2**26
"""Smaller arrays are cheap to copy, and faster in an order of their own; larger ones stay where they are."""

MEASURED_ONCE = 2**28
"""Bytes of inputs from which statistics are those of the pool, taken once, instead of those of every repeat."""


def is_large(nested: Inputs | None) -> bool:
    """Whether the tensors take `LARGE_BYTES` together."""
    return is_much(byte_count(nested))


def is_much(size: int) -> bool:
    """Whether that many bytes are `LARGE_BYTES` or more."""
    return size >= LARGE_BYTES


@dataclass(frozen=True, eq=False)
class MappedFile:
    """A file whose bytes an array is a map of: reading past its end would kill the process.

    Attributes:
        name: of the array, for messages. wanted: bytes that the map needs. map: Python's own, which knows the file
            even when its name is gone; or None. path: the file, where only that is known.
    """

    name: str
    wanted: int
    map: mmap.mmap | None
    path: str = ""

    def check(self) -> None:
        """Raise `InputError` if the file is shorter than the map."""
        try:
            size = os.stat(self.path).st_size if self.map is None else self.map.size()
        except (OSError, ValueError):
            # The name of a file may go; what is mapped stays as long as it is mapped.
            return
        if size < self.wanted:
            raise InputError(
                f"{self.name} is a map of a file that was cut short while it was in use: {self.wanted:,} bytes were"
                f" mapped, {size:,} are left; load it again"
            )


def mapped_files(named: Iterable[tuple[str, Any]]) -> tuple[MappedFile, ...]:
    """The files that arrays (name, array) are maps of, as far as they can be known."""
    found = []
    for name, array in named:
        base = array
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap):
            found.append(MappedFile(name, len(base), base))
        elif isinstance(array, torch.Tensor) and array.layout is torch.strided and array.device.type == "cpu":
            storage = array.untyped_storage()
            if path := storage.filename:
                found.append(MappedFile(name, storage.nbytes(), None, path))
    return tuple(found)
