"""The most memory that a piece of work takes."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lanewise.lanes.compile.torch_parts import DispatchMode, tree_leaves


class _Tensors(DispatchMode):
    """Counts the bytes of the tensors made while it is on, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes that tensors made by `work()` took at any moment.

    >>> 8000 <= peak_bytes(lambda: torch.ones(1000, dtype=torch.float64) + 1) <= 16000
    True
    """
    with _Tensors() as tensors:
        work()
    return int(tensors.peak)
