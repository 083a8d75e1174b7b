"""Layers that return what they are given instead of computing it, and a model that computes it for them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.compile.torch_parts import tree_flatten, tree_unflatten
from lanewise.lanes.frozen.called import call_by
from lanewise.lanes.frozen.calls import SharedCall


class Given:
    """How a layer is called whose results stand in its buffers.

    Attributes:
        calls: done since `restart`.
    """

    def __init__(self, layer: nn.Module, shared: Sequence[SharedCall]) -> None:
        self._layer, self._shared, self.calls = layer, shared, 0

    def restart(self) -> None:
        """Begin a new pass."""
        self.calls = 0

    def __call__(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = self._shared[self.calls]
        self.calls += 1
        leaves = [getattr(self._layer, name) for name in call.names]
        return tree_unflatten([leaf.clone() for leaf in leaves] if call.overwritten else leaves, call.structure)


def by_layer(calls: Sequence[SharedCall]) -> dict[str, list[SharedCall]]:
    """The calls by the path of their layer."""
    found: dict[str, list[SharedCall]] = {}
    for call in calls:
        found.setdefault(call.path, []).append(call)
    return found


def give(model: nn.Module, calls: Sequence[SharedCall]) -> list[Given]:
    """Let the layers of `calls` in `model` itself return what stands in buffers of theirs from now on."""
    found = []
    for path, shared in by_layer(calls).items():
        layer = model.get_submodule(path)
        for name in (name for call in shared for name in call.names):
            layer.register_buffer(name, torch.zeros(()), persistent=False)
        given = Given(layer, shared)
        call_by(layer, given)
        found.append(given)
    return found


class _DoneError(BaseException):
    """All calls have returned, so the rest of the pass is not needed; users' code must not catch it."""


class Computing:
    """A model that computes what `calls` return.

    Args:
        model: this object's own from now on. run: runs it once on a batch.
    """

    def __init__(self, model: nn.Module, calls: Sequence[SharedCall], run: Callable[..., object]) -> None:
        self.model, self._calls, self._run = model, calls, run
        self._found: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        self._last = {path: len(shared) for path, shared in by_layer(calls).items()}
        for path in self._last:
            call_by(model.get_submodule(path), self._kept(path))

    def _kept(self, path: str) -> Callable[..., Any]:
        needed = [call.needed for call in self._calls if call.path == path]

        def keeping(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            found = own(*args, **kwargs)
            mine = self._found[path]
            leaves, _ = tree_flatten(found)
            which = needed[len(mine)] if len(mine) < len(needed) else ()
            # A later layer may write over what this one returned; what nobody reads has a shape only.
            mine.append(
                [
                    leaf.clone() if read else leaf.new_zeros(()).expand(leaf.shape)
                    for leaf, read in zip(leaves, which, strict=False)
                ]
            )
            if all(len(self._found[path]) >= count for path, count in self._last.items()):
                raise _DoneError
            return found

        return keeping

    def __call__(self, *batch: Any) -> list[Tensor]:
        """What the calls return for a batch, one tensor after the other.

        Raises:
            InputError: the model calls a layer less often than before.
        """
        with self._lock, torch.no_grad():
            self._found = {path: [] for path in self._last}
            try:
                self._run(*batch)
            except _DoneError:
                pass
            else:
                missing = next(path for path, count in self._last.items() if len(self._found[path]) < count)
                raise InputError(
                    f"model: calls its frozen layer {missing!r} less often for some batches than for others; must "
                    "always be as often"
                )
            found, self._found = self._found, {}
        return [leaf for call in self._calls for leaf in found[call.path][call.number]]
