"""Whether a forward pass looks at values, so that what it does next may depend on them."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lanewise.lanes.compile.torch_parts import DispatchMode

LOOKS = {
    getattr(Tensor, name)
    for name in (
        "item", "tolist", "numpy", "__array__", "__bool__", "__float__", "__int__", "__index__", "__contains__",
        "__complex__", "__dlpack__", "__repr__", "__format__", "__reduce_ex__", "data_ptr", "storage",
        "untyped_storage",
    )
} | {torch.equal, Tensor.equal, torch.allclose, Tensor.allclose, torch.is_nonzero, Tensor.is_nonzero}  # fmt: skip
LOOKING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten._assert_async.default,
    torch.ops.aten._assert_async.msg,
}
SHAPED = torch.Tag.dynamic_output_shape
"""Of operations such as `nonzero`: values decide the shape of what they give, which Python code may go by."""
CHECKING = {torch._C._nn.one_hot}
"""Functions that look at values in order to refuse some, and at nothing else."""


def looks(function: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation gives Python code something that depends on values other than more values."""
    if function in LOOKING:
        return True
    if function is torch.ops.aten.index.Tensor:
        masks = (torch.bool, torch.uint8)
        return any(index is not None and index.dtype in masks for index in args[1])
    # The lengths of CTC are seen by nobody.
    return SHAPED in getattr(function, "tags", ()) and function._schema.name != "aten::_ctc_loss"


class _Calls(TorchFunctionMode):
    """Notes calls from Python, of which some never come to the dispatcher (`tolist`)."""

    def __init__(self, reads: "Reads") -> None:
        self._reads = reads

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in LOOKS:
            self._reads.note()
        before = self._reads.found, self._reads.where
        found = function(*args, **(kwargs or {}))
        if function in CHECKING and classes_given(*args[1:], **(kwargs or {})):
            self._reads.found, self._reads.where = before
        return found


def classes_given(num_classes: int = -1, **others: Any) -> bool:
    """Whether `one_hot` was given the number of classes, so that its shape does not depend on values."""
    return num_classes != -1


class _Operations(DispatchMode):
    """Notes operations, whoever calls them."""

    def __init__(self, reads: "Reads") -> None:
        super().__init__()
        self._reads = reads

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if looks(function, args):
            self._reads.note()
        return function(*args, **(kwargs or {}))


class Reads:
    """Within it, `found` becomes true once a value of a tensor is looked at, or a shape that depends on values made.

    >>> with Reads() as reads:
    ...     _ = torch.ones(2) if torch.zeros(()) > 0 else None
    >>> reads.found
    True
    """

    def __init__(self) -> None:
        self.found, self.where = False, ""
        self._place: Callable[[], str | None] = str
        self._modes: tuple[Any, ...] = (_Calls(self), _Operations(self))
        self._stack = contextlib.ExitStack()

    def at(self, place: Callable[[], str | None]) -> "Reads":
        """Let `where` be what `place` gives at the first look; where it gives None, looks are none."""
        self._place = place
        return self

    def note(self) -> None:
        """Take down that a value is looked at."""
        place = self._place()
        if place is not None and not self.found:
            self.found, self.where = True, place

    def __enter__(self) -> "Reads":
        for mode in self._modes:
            self._stack.enter_context(mode)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()
