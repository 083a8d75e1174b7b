"""Memory for batches, used again as soon as nobody holds them.

The C library does not find room for an aligned block of megabytes in one of the same size that was freed before, so the
process would grow with every chunk of batches.
"""

import math
import mmap
import weakref
from collections.abc import Sequence

import numpy as np
import torch

SMALLEST = 2**20
"""Bytes below which the C library serves as well."""

MOST_FREE = 2**26
"""Bytes that are kept for later."""

CPU = torch.device("cpu")

_free: dict[int, mmap.mmap] = {}


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device = CPU) -> torch.Tensor:
    """A tensor as `torch.empty` makes it, in memory that was used before where there is some.

    >>> empty((2, 3), torch.float32).shape
    torch.Size([2, 3])
    """
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size < SMALLEST or device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    room = _found(size)
    held = np.frombuffer(room, np.uint8, size)
    # Called when the last tensor that shares the memory is gone.
    weakref.finalize(held, _give_back, room).atexit = False
    return torch.from_numpy(held).view(dtype).view(tuple(shape))


def _found(size: int) -> mmap.mmap:
    """Free memory of `size` bytes or a little more; new, where there is none."""
    # Of a copy, which is taken in one go: memory may be given back, by any thread, while a dict is walked.
    for key, room in sorted(_free.copy().items(), key=lambda item: len(item[1])):
        # Two threads may find the same; one of them gets it.
        if size <= len(room) <= 2 * size and (mine := _free.pop(key, None)) is not None:
            return mine
    # Shared memory, the default, would count against limits of its own.
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _give_back(room: mmap.mmap) -> None:
    _free[id(room)] = room
    spare = sum(map(len, _free.copy().values())) - MOST_FREE
    for key, oldest in _free.copy().items():
        # Batches of another size may have come since.
        if spare > 0 and _free.pop(key, None) is not None:
            spare -= len(oldest)
