"""Which operations a program calls, on what: a name for all programs that are compiled to the same code."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lanewise.lanes.compile.torch_parts import DispatchMode, tree_map


class _Operations(DispatchMode):
    """Writes down every operation with its arguments; tensors by the order in which they came up."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        # All are held until the end: the identity of a tensor that is gone would be given to another.
        self._seen: dict[int, tuple[int, Tensor]] = {}
        for tensor in given:
            self._number(tensor)
            self._write(_lying(tensor))

    def _write(self, text: str) -> None:
        self.digest.update(text.encode() + b"\n")

    def _number(self, tensor: Tensor) -> int:
        return self._seen.setdefault(id(tensor), (len(self._seen), tensor))[0]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}

        def named(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if id(leaf) not in self._seen:
                # Neither given nor computed: its values become a part of the code.
                self._write(f"{_lying(leaf)} {hashlib.sha256(_bytes(leaf)).hexdigest()}")
            return f"%{self._number(leaf)}"

        self._write(f"{function} {tree_map(named, (args, kwargs))!r}")
        made = function(*args, **kwargs)
        tree_map(lambda leaf: self._number(leaf) if isinstance(leaf, Tensor) else None, made)
        return made

    def returned(self, made: Sequence[Tensor]) -> None:
        """Write down which tensors the program returns."""
        self._write(repr([(self._number(tensor), _lying(tensor)) for tensor in made]))


def _lying(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.stride()} {tensor.dtype} {tensor.device}"


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def operations(program: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]) -> tuple[str, list[Tensor]]:
    """(a digest of what `program` does with tensors like `examples`, what it returns for these).

    Two programs with one digest call the same operations in the same order, with the same numbers, on the same tensors:
    whatever is compiled for one does for the other. Found by one call, without what capturing a graph has to import.
    """
    mode = _Operations(examples)
    with torch.no_grad(), mode:
        made = list(program(*examples))
    mode.returned(made)
    return mode.digest.hexdigest(), made
