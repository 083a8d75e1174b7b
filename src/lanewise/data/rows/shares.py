"""Whether the workers that read an iterable dataset share its rows out among them, or all read the same ones."""

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from lanewise.data.rows.items import seed_all
from lanewise.data.rows.rows import EVALUATION_SEED


class AlikeWorkers:
    """The `worker_init_fn` that starts every worker with the same random numbers, so that equal rows come out equal."""

    def __init__(self, own: Callable[[int], None] | None) -> None:
        self.own = own

    def __call__(self, worker: int) -> None:
        if self.own is not None:
            self.own(worker)
        seed_all(EVALUATION_SEED)


def digests(items: list[Any]) -> tuple[int, list[int]]:
    """(number of the worker, a number for each of its items that differs between different items)."""
    info = get_worker_info()
    return 0 if info is None else info.id, [digest(item) for item in items]


def digest(item: Any) -> int:
    """A number that follows from the values of `item`, in whatever process it was made.

    >>> one = digest((torch.ones(2), 1))
    >>> one == digest((torch.ones(2), 1)), one == digest((torch.ones(2), 2))
    (True, False)
    """
    found = hashlib.blake2b(digest_size=8)
    add(found.update, item)
    return int.from_bytes(found.digest(), "big")


def add(update: Callable[[bytes], None], item: Any) -> None:
    """Give the bytes of `item` and of all that is in it to `update`."""
    if isinstance(item, torch.Tensor):
        add(update, item.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        update(f"{item.dtype}{list(item.shape)}".encode())
    elif isinstance(item, np.ndarray) and item.dtype.kind != "O":
        update(f"{item.dtype}{item.shape}".encode() + item.tobytes())
    elif isinstance(item, Mapping):
        add(update, list(item.items()))
    elif isinstance(item, (list, tuple, np.ndarray)):
        update(f"{type(item).__name__}{len(item)}".encode())
        for part in item:
            add(update, part)
    elif isinstance(item, (str, bytes, int, float, complex, np.generic, type(None))):
        update(f"{type(item).__name__}:{item!r};".encode())
    elif hasattr(item, "tobytes"):
        update(item.tobytes())
    else:
        update(pickle.dumps(item))


def in_several(streams: Mapping[int, list[int]]) -> int:
    """How many different rows came from more than one worker."""
    workers = Counter(row for stream in streams.values() for row in set(stream))
    return sum(1 for count in workers.values() if count > 1)
