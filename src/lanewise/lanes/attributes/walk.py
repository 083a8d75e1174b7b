"""Every place of a model that holds a value beside its parameters and buffers."""

import ast
import contextlib
import dis
import itertools
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import all_hooks, own_buffers, own_children, own_parameters
from lanewise.errors import InputError
from lanewise.lanes.attributes.plain_values import OTHERS, NotPlainError, plain

OF_TORCH = frozenset(vars(nn.Module()))
DEEPEST = 8
MOST_SLOTS = 20_000
INDEXED = (dict, list, deque)


@dataclass(frozen=True, eq=False)
class Slot:
    """A place that holds a plain value: `holder[key]`, whatever kind of holder it is.

    Attributes:
        holder: a dict, a list, a cell, a class, a function or an object with `__slots__`; or the place of a tuple.
    """

    path: str
    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        """What stands there now."""
        if isinstance(self.holder, Slot):
            return self.holder.value[self.key]
        if isinstance(self.holder, types.CellType):
            return self.holder.cell_contents
        if isinstance(self.holder, type):
            return vars(self.holder)[self.key]
        return self.holder[self.key] if isinstance(self.holder, INDEXED) else getattr(self.holder, self.key)

    def assign(self, value: Any) -> None:
        """Put another value there."""
        if isinstance(self.holder, Slot):
            items = list(self.holder.value)
            items[self.key] = value
            kind = type(self.holder.value)
            self.holder.assign(kind._make(items) if hasattr(kind, "_make") else tuple(items))
        elif isinstance(self.holder, types.CellType):
            self.holder.cell_contents = value
        elif isinstance(self.holder, (list, deque)) and self.key == len(self.holder):
            self.holder.append(value)
        elif isinstance(self.holder, INDEXED):
            self.holder[self.key] = value
        else:
            setattr(self.holder, self.key, value)

    def remove(self) -> None:
        """Take out what was not there at first; of a list the last items first."""
        if isinstance(self.holder, types.CellType):
            del self.holder.cell_contents
        elif isinstance(self.holder, dict):
            self.holder.pop(self.key, None)
        elif isinstance(self.holder, (list, deque)):
            del self.holder[self.key]
        elif not isinstance(self.holder, Slot):
            delattr(self.holder, self.key)


class Walk:
    """One walk through all that a model refers to.

    Attributes:
        unregistered: tensors that a gradient could reach, and that no optimizer is given. iterators: paths of those.
        holders: by their paths, what a value may be added to.
    """

    def __init__(self, model: nn.Module) -> None:
        own = [*model.parameters(), *model.buffers()]
        self.registered = frozenset(
            tensor.untyped_storage().data_ptr() for tensor in own if tensor.layout == torch.strided
        ) - {0}
        self.unregistered: dict[str, Tensor] = {}
        self.iterators: list[str] = []
        self.holders: dict[str, Any] = {}
        self._seen: set[int] = {id(module) for module in model.modules()}
        self._globals: set[tuple[int, str]] = set()
        self._model = model

    def slots(self) -> Iterator[Slot]:
        """Every place that holds a plain value."""
        taken: dict[str, int] = {}
        for slot in itertools.islice(self._all(), MOST_SLOTS):
            taken[slot.path] = count = taken.get(slot.path, 0) + 1
            yield slot if count == 1 else replace(slot, path=f"{slot.path} ({count})")

    def _all(self) -> Iterator[Slot]:
        for name, module in self._model.named_modules():
            yield from self._module(name, module, 0)

    def _module(self, name: str, module: nn.Module, depth: int) -> Iterator[Slot]:
        prefix = f"{name}." if name else ""
        self.holders[name] = vars(module)
        for key, value in list(vars(module).items()):
            if key not in OF_TORCH:
                yield from self._value(f"{prefix}{key}", vars(module), key, value, depth)
        for hook in all_hooks(module):
            yield from self._inside(f"{prefix}hook", hook, depth)
        for kind in type(module).__mro__:
            yield from self._class(kind, depth)

    def _class(self, kind: type, depth: int) -> Iterator[Slot]:
        if id(kind) in self._seen or kind.__module__.partition(".")[0] in OTHERS:
            return
        self._seen.add(id(kind))
        self.holders[f"class {kind.__name__}"] = kind
        for key, value in list(vars(kind).items()):
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            elif isinstance(value, property):
                value = value.fget
            if isinstance(value, types.FunctionType):
                # What only the making of a model uses is not changed by a forward pass.
                if key != "__init__":
                    yield from self._inside(f"{kind.__name__}.{key}", value, depth)
            elif not key.startswith("__") and not isinstance(value, (str, type)):
                yield from self._value(f"class {kind.__name__}.{key}", kind, key, value, depth)

    def _value(self, path: str, holder: Any, key: Any, value: Any, depth: int) -> Iterator[Slot]:
        if isinstance(value, Tensor) and value.requires_grad and value.is_leaf:
            if value.untyped_storage().data_ptr() in self.registered:
                return
            self.unregistered.setdefault(path, value)
        try:
            plain(value, self.registered, copied=False)
        except NotPlainError:
            if isinstance(value, tuple):
                yield from self._tuple(Slot(path, holder, key), value, depth + 1)
            else:
                yield from self._inside(path, value, depth + 1)
        else:
            yield Slot(path, holder, key)

    def _tuple(self, place: Slot, value: tuple[Any, ...], depth: int) -> Iterator[Slot]:
        if depth <= DEEPEST:
            for at, item in enumerate(value):
                yield from self._value(f"{place.path}[{at}]", place, at, item, depth)

    def _inside(self, path: str, value: Any, depth: int) -> Iterator[Slot]:
        if depth > DEEPEST or id(value) in self._seen or isinstance(value, (type, types.ModuleType, Tensor)):
            return
        self._seen.add(id(value))
        if isinstance(value, nn.Module):
            for store in (own_parameters(value), own_buffers(value)):
                for key, tensor in store.items():
                    if tensor is not None:
                        yield from self._value(f"{path}.{key}", store, key, tensor, depth)
            for key, child in own_children(value).items():
                yield from self._inside(f"{path}.{key}", child, depth)
            yield from self._module(path, value, depth)
        elif isinstance(value, types.FunctionType):
            yield from self._function(path, value, depth)
        elif isinstance(value, types.MethodType):
            yield from self._inside(path, value.__self__, depth)
            yield from self._inside(path, value.__func__, depth)
        elif isinstance(value, partial):
            for at, part in enumerate((value.func, *value.args)):
                yield from self._inside(f"{path}.args[{at}]", part, depth + 1)
            for key, part in value.keywords.items():
                yield from self._value(f"{path}.{key}", value.keywords, key, part, depth)
        elif isinstance(value, dict):
            self.holders[path] = value
            for key, item in list(value.items()):
                yield from self._value(f"{path}[{key!r}]", value, key, item, depth)
        elif isinstance(value, (list, deque)):
            self.holders[path] = value
            for at, item in enumerate(list(value)):
                yield from self._value(f"{path}[{at}]", value, at, item, depth)
        elif isinstance(value, (tuple, set, frozenset)):
            for at, item in enumerate(value):
                yield from self._inside(f"{path}[{at}]", item, depth + 1)
        elif isinstance(value, STANDING):
            self.iterators.append(path)
        elif type(value).__module__.partition(".")[0] not in OTHERS:
            self.holders[path] = value
            for key, item in list(getattr(value, "__dict__", {}).items()):
                yield from self._value(f"{path}.{key}", vars(value), key, item, depth)
            for key in slots_of(type(value)):
                if hasattr(value, key):
                    yield from self._value(f"{path}.{key}", value, key, getattr(value, key), depth)

    def _function(self, path: str, function: types.FunctionType, depth: int) -> Iterator[Slot]:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                found = cell.cell_contents
            except ValueError:
                continue
            if id(cell) not in self._seen:
                self._seen.add(id(cell))
                yield from self._value(f"{path}.{name}", cell, name, found, depth)
        if (function.__module__ or "").partition(".")[0] in OTHERS:
            return
        self.holders[path] = function
        for key, item in list(vars(function).items()):
            yield from self._value(f"{path}.{key}", vars(function), key, item, depth)
        for key in ("__defaults__", "__kwdefaults__"):
            if (given := getattr(function, key)) is not None:
                yield from self._value(f"{path}.{key}", function, key, given, depth)
        known = function.__globals__
        for name in globals_of(function.__code__):
            place = id(known), name
            self.holders.setdefault(f"global {name}", known)
            value = known.get(name)
            if name not in known or place in self._globals or isinstance(value, (bytes, type, types.ModuleType)):
                continue
            if isinstance(value, types.FunctionType) and value.__module__ != function.__module__:
                continue
            self._globals.add(place)
            yield from self._value(f"global {name}", known, name, value, depth)


STANDING = (
    types.GeneratorType,
    zip,
    map,
    filter,
    enumerate,
    *(getattr(itertools, name) for name in ("count", "cycle", "chain", "islice", "repeat", "starmap", "product")),
    type(iter(())),
    type(iter([])),
    type(iter(range(0))),
)
"""Iterators: where they stand can neither be read nor put back."""


def slots_of(kind: type) -> tuple[str, ...]:
    """The attributes that a class and its bases name in `__slots__`."""
    every = (vars(each).get("__slots__", ()) for each in kind.__mro__)
    names = [name for slots in every for name in ((slots,) if isinstance(slots, str) else tuple(slots))]
    return tuple(name for name in names if name not in ("__dict__", "__weakref__") and not name.startswith("__"))


@cache
def globals_of(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals in a function and in those that are defined within it."""
    own = {at.argval for at in dis.get_instructions(code) if at.opname in ("LOAD_GLOBAL", "STORE_GLOBAL")}
    inner = (name for part in code.co_consts if isinstance(part, types.CodeType) for name in globals_of(part))
    return tuple(sorted({*own, *inner}))


def place_of(path: str, holders: dict[str, Any]) -> Slot:
    """The place of a value that is not there yet.

    Raises:
        InputError: nothing that could hold it is there.
    """
    if path.startswith("global ") and path in holders:
        return Slot(path, holders[path], path.removeprefix("global "))
    owner, dot, name = path.rpartition(".")
    if (owner if dot else "") in holders and name.isidentifier():
        return Slot(path, holders[owner], name)
    owner, _, written = path.removesuffix("]").rpartition("[")
    with contextlib.suppress(ValueError, SyntaxError):
        if owner in holders:
            return Slot(path, holders[owner], ast.literal_eval(written))
    raise InputError(
        f"model: a forward pass adds {path}, which cannot be kept for each lane: must be there from the start"
    )
