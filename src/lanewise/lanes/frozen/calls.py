"""The calls of layers whose results are the same for every lane, found by following one pass operation by operation.

A lane's own are its trainable parameters, its numbers and what it has changed before. A layer that is computed from
nothing of them, a frozen backbone say, runs once a batch for all lanes, and the lanes are given what it returned.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.lanes.attributes.plain_values import same
from lanewise.lanes.compile.dependence import Calls, Dependence, Operation, place
from lanewise.lanes.compile.torch_parts import tree_flatten
from lanewise.lanes.frozen.called import call_by
from lanewise.task.models import generator_states


@dataclass(frozen=True, eq=False)
class SharedCall:
    """A call of a layer that returns the same to every lane.

    Attributes:
        path: of the layer. number: of the call, among those of the layer in a pass. structure: of what it returns.
        needed: of each tensor that it returns, whether the lanes look at its values; else only at its shape.
        overwritten: whether a lane writes over what it is given.
    """

    path: str
    number: int
    structure: Any
    needed: tuple[bool, ...]
    overwritten: bool

    @property
    def names(self) -> list[str]:
        """Of the buffers of the layer that hold what the call returns."""
        return [f"lane_given{self.number}_{leaf}" for leaf in range(len(self.needed))]

    @property
    def full_names(self) -> list[str]:
        """The same, as the model names them."""
        return [f"{self.path}.{name}" for name in self.names]


@dataclass(eq=False)
class _Seen:
    """A call while a pass is followed."""

    path: str
    number: int
    within: tuple[int, ...]
    shareable: bool = False
    structure: Any = None
    leaves: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Followed:
    """What a pass showed: the `calls` that all lanes can share, and the names of the tensors that it wrote to."""

    calls: tuple[SharedCall, ...]
    written: frozenset[str]


class Following:
    """Follows one pass of a model.

    Args:
        model: it is spoilt: its layers are watched from now on. own: names of tensors that each lane has its own of.
    """

    def __init__(self, model: nn.Module, own: Iterable[str], device: torch.device) -> None:
        self._model, self._seen = model, list[_Seen]()
        calls = Calls()
        self._mode = Dependence(calls)
        self._tensors: dict[str, Tensor] = dict([*model.named_parameters(), *model.named_buffers()])
        for path, layer in model.named_modules():
            _watch(layer, path, self._seen, calls, self._mode, device)
        self.follow(self._tensors[name] for name in own if name in self._tensors)

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Let whatever is computed from `tensors` be a lane's own."""
        self._mode.follow(tensors)

    def of(self, run: Callable[[], object], among: Collection[str] | None = None) -> Followed:
        """What `run()`, a pass of the model, shows; calls of the layers `among` alone where these are given."""
        before = {name: buffer.detach().clone() for name, buffer in self._model.named_buffers()}
        with torch.no_grad(), self._mode:
            run()
        now = dict([*self._model.named_parameters(), *self._model.named_buffers()])
        operations = self._mode.operations
        writes = {one for operation in operations for one in operation.writes}
        told = {name for name, tensor in self._tensors.items() if place(tensor) in writes}
        changed = {name for name, copy in before.items() if not same(self._tensors[name].detach(), copy)}
        changed |= {name for name, tensor in self._tensors.items() if now.get(name) is not tensor}
        if changed - told:
            # Written in a way that is not seen, so there is no saying by which layer.
            return Followed((), frozenset(told | changed))
        places = {place(tensor) for tensor in self._tensors.values()} - {0}
        writing = {at for operation in operations if operation.writes & places for at in operation.within}
        chosen = _outermost(self._seen, writing, among)
        return Followed(_with_needs(self._seen, chosen, operations), frozenset(told))


def _watch(
    layer: nn.Module, path: str, seen: list[_Seen], calls: Calls, mode: Dependence, device: torch.device
) -> None:
    count = 0

    def watched(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        call = _Seen(path, count, tuple(calls.inside))
        count += 1
        seen.append(call)
        calls.inside.append(len(seen) - 1)
        before = generator_states(device)
        try:
            found = forward(*args, **kwargs)
            leaves, call.structure = tree_flatten(found)
            if leaves and all(type(leaf) is Tensor for leaf in leaves):
                call.leaves = leaves
                call.shareable = not any(map(mode.depends, leaves)) and generator_states(device) == before
                mode.returned(leaves)
        finally:
            calls.inside.pop()
        return found

    call_by(layer, watched)


def _outermost(seen: list[_Seen], writing: set[int], among: Collection[str] | None) -> list[int]:
    """The calls that can be shared and are within no other such, of layers all of whose calls are so."""
    chosen: set[int] = set()
    inner: set[int] = set()
    for at, call in enumerate(seen):
        if chosen & set(call.within):
            inner.add(at)
        elif call.path and call.shareable and at not in writing and (among is None or call.path in among):
            chosen.add(at)
    mixed = {call.path for at, call in enumerate(seen) if at not in chosen} & {seen[at].path for at in chosen}
    return [at for at in sorted(chosen) if seen[at].path not in mixed]


def _with_needs(seen: list[_Seen], chosen: list[int], operations: list[Operation]) -> tuple[SharedCall, ...]:
    """The calls with what of their results is read outside of them."""
    inside = set(chosen)
    owner: dict[int, int] = {}
    read: set[tuple[int, int]] = set()
    overwritten: set[int] = set()
    for operation in operations:
        mine = next((at for at in operation.within if at in inside), None)
        if mine is None:
            read |= {(owner[one], one) for one in operation.reads if one in owner}
            overwritten |= {owner[one] for one in operation.writes if one in owner}
        else:
            owner |= dict.fromkeys(operation.makes, mine)
    found = []
    for at in chosen:
        call = seen[at]
        needed = tuple((at, place(leaf)) in read for leaf in call.leaves)
        found.append(SharedCall(call.path, call.number, call.structure, needed, at in overwritten))
    return tuple(found)


def frozen_of(model: nn.Module, calls: Collection[SharedCall]) -> set[int]:
    """The frozen parameters of the layers of `calls`, by their identities."""
    layers = [model.get_submodule(call.path) for call in calls]
    return {id(param) for layer in layers for param in layer.parameters() if not param.requires_grad}
