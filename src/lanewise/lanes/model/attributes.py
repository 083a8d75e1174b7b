"""What a model keeps beside parameters and buffers, and may change in a forward pass: read, compared, put back.

These are plain attributes of its modules, the lists and objects that they hold, what its functions close over, and the
globals and class attributes that its methods name. `torch.func.functional_call` knows none of them.
"""

import ast
import contextlib
import dis
import io
import itertools
import random
import types
from collections import deque
from collections.abc import Iterator, MutableMapping, MutableSequence, MutableSet
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from lanewise.errors import InputError

Plain: TypeAlias = Any
"""Values of which `plain` makes trees of numbers, text, tuples and tensors: what `torch.load` reads without code."""

OF_TORCH = frozenset(vars(nn.Module()))
SIMPLE = (type(None), bool, int, float, complex, str, bytes)
OTHERS = (
    *("torch", "numpy", "lanewise", "builtins", "threading", "_thread", "logging", "functools", "typing", "abc"),
    "contextlib",
)
"""Packages whose objects are not looked into."""
DEEPEST = 8
MOST_SLOTS = 20_000
INDEXED = (dict, list, deque)
LARGEST = 64 * 2**20
"""Bytes of a tensor beyond which it is taken for a constant, and no copy is made of it."""


class NotPlainError(TypeError):
    """A value that cannot be written down as plain data."""


@dataclass(frozen=True, eq=False)
class Slot:
    """A place that holds a plain value: `holder[key]`, whatever kind of holder it is.

    Attributes:
        holder: a dict, a list, a cell, a class, a function or an object with slots; or the place of a tuple.
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


def plain(value: Any, registered: frozenset[int] = frozenset(), copied: bool = True) -> Plain:
    """`value` as plain data.

    Args:
        registered: storages of parameters and buffers; what lies in them is not written down.
        copied: whether its tensors are copies.

    Raises:
        NotPlainError: it holds functions, modules or other objects.
    """
    kind = type(value)
    if kind in SIMPLE:
        return value
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.nbytes > LARGEST:
            raise NotPlainError
        if value.untyped_storage().data_ptr() in registered:
            raise NotPlainError
        return ("tensor", value.detach().clone() if copied else value.detach())
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufc" or value.nbytes > LARGEST:
            raise NotPlainError
        return ("array", torch.from_numpy(value.copy()))
    if isinstance(value, np.generic):
        return ("number", value.item())
    if kind in (list, tuple, torch.Size):
        of = "list" if kind is list else "tuple"
        return (of, tuple(plain(item, registered, copied) for item in value))
    if kind is deque:
        return ("deque", tuple(plain(item, registered, copied) for item in value), value.maxlen)
    if isinstance(value, (set, frozenset)):
        return ("set", tuple(sorted((plain(item, registered, copied) for item in value), key=repr)))
    if isinstance(value, dict):
        return ("dict", tuple((plain(k, registered, copied), plain(v, registered, copied)) for k, v in value.items()))
    if isinstance(value, torch.Generator):
        return ("generator", value.get_state())
    if kind is random.Random:
        return ("random", value.getstate())
    if isinstance(value, np.random.Generator):
        return ("numpy generator", plain(value.bit_generator.state))
    if isinstance(value, np.random.RandomState):
        return ("numpy state", plain(value.get_state(legacy=False)))
    raise NotPlainError


def same(one: Plain, other: Plain) -> bool:
    """Whether two values are the same plain data; NaN equals itself."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
            return False
        if torch.equal(one, other):
            return True
        floating = one.is_floating_point() or one.is_complex()
        return floating and torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def rebuilt(value: Plain) -> Any:
    """A new object of plain data."""
    if not isinstance(value, tuple):
        return value
    kind, content, *rest = value
    if kind in ("list", "tuple", "set"):
        return {"list": list, "tuple": tuple, "set": set}[kind](rebuilt(item) for item in content)
    if kind == "deque":
        return deque(map(rebuilt, content), *rest)
    if kind == "dict":
        return {rebuilt(key): rebuilt(item) for key, item in content}
    if kind == "tensor":
        return content.clone()
    if kind == "array":
        return content.numpy().copy()
    if kind == "number":
        return content
    raise NotPlainError(kind)


@torch.no_grad()
def overwrite(old: Any, value: Plain) -> bool:
    """Let the object `old` hold `value` from now on, whoever else knows it; False where it cannot."""
    kind, content = value[:2] if isinstance(value, tuple) else ("", value)
    if kind == "tensor" and isinstance(old, Tensor) and (old.is_leaf or not old.requires_grad):
        if old.shape != content.shape or old.dtype != content.dtype:
            return False
        old.copy_(content)
    elif kind == "array" and isinstance(old, np.ndarray) and old.shape == tuple(content.shape):
        old[...] = content.numpy()
    elif kind in ("list", "deque") and isinstance(old, MutableSequence):
        old.clear()
        old.extend(map(rebuilt, content))
    elif kind == "tuple" and type(old) is tuple and len(old) == len(content):
        pairs = zip(old, content, strict=True)
        return all(same(plain(item, copied=False), new) or overwrite(item, new) for item, new in pairs)
    elif kind == "set" and isinstance(old, MutableSet):
        old.clear()
        old.update(map(rebuilt, content))  # type: ignore[attr-defined]
    elif kind == "dict" and isinstance(old, MutableMapping):
        old.clear()
        old.update({rebuilt(key): rebuilt(item) for key, item in content})
    elif kind == "generator" and isinstance(old, torch.Generator):
        old.set_state(content)
    elif kind == "random" and isinstance(old, random.Random):
        old.setstate(content)
    elif kind == "numpy generator" and isinstance(old, np.random.Generator):
        old.bit_generator.state = rebuilt(content)
    elif kind == "numpy state" and isinstance(old, np.random.RandomState):
        old.set_state(rebuilt(content))
    else:
        return False
    return True


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
        for hooks in (module._forward_pre_hooks, module._forward_hooks, module._backward_hooks):
            for hook in list(hooks.values()):
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
            for store in (value._parameters, value._buffers):
                for key, tensor in store.items():
                    if tensor is not None:
                        yield from self._value(f"{path}.{key}", store, key, tensor, depth)
            for key, child in value._modules.items():
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
    """The attributes of objects of a class that stand in slots."""
    every = (vars(each).get("__slots__", ()) for each in kind.__mro__)
    names = [name for slots in every for name in ((slots,) if isinstance(slots, str) else tuple(slots))]
    return tuple(name for name in names if name not in ("__dict__", "__weakref__") and not name.startswith("__"))


@cache
def globals_of(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals in a function and in those that are defined within it."""
    own = {at.argval for at in dis.get_instructions(code) if at.opname in ("LOAD_GLOBAL", "STORE_GLOBAL")}
    inner = (name for part in code.co_consts if isinstance(part, types.CodeType) for name in globals_of(part))
    return tuple(sorted({*own, *inner}))


class Attributes:
    """What a model kept beside its parameters and buffers when this was made, and what has become of it.

    Attributes:
        model: whose they are. unregistered: tensors that a gradient could reach, and that no optimizer is given.
        iterators: paths of iterators.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        walk = Walk(model)
        self._first = {slot.path: (slot, slot.value, plain(slot.value, walk.registered)) for slot in walk.slots()}
        self.unregistered, self.iterators = walk.unregistered, walk.iterators

    @property
    def first(self) -> dict[str, Plain]:
        """What they were at first, by their paths."""
        return {path: value for path, (_, _, value) in self._first.items()}

    def changed(self) -> dict[str, Plain]:
        """Those that are no longer as at first, by their paths, with what they are now."""
        walk = Walk(self.model)
        found = {}
        for slot in walk.slots():
            now = plain(slot.value, walk.registered)
            if slot.path not in self._first or not same(self._first[slot.path][2], now):
                found[slot.path] = now
        return found

    def lost(self) -> list[str]:
        """Paths of what is there no longer, or has become something that is no plain data."""
        now = {slot.path for slot in Walk(self.model).slots()}
        return [path for path in self._first if path not in now]

    def put(self, values: dict[str, Plain]) -> None:
        """Let them be as at first, but for `values`, which `changed` gave."""
        walk = Walk(self.model)
        there = {slot.path: slot for slot in walk.slots()}
        for path, slot in reversed(there.items()):
            if path not in self._first and path not in values:
                slot.remove()
        for path, (slot, held, first) in self._first.items():
            value = values.get(path, first)
            now = there.get(path, slot)
            if path in there and same(plain(now.value, walk.registered, copied=False), value):
                continue
            if overwrite(held, value) or value is first:
                now.assign(held)
            else:
                now.assign(rebuilt(value))
        for path, value in values.items():
            if path not in self._first:
                if path in there:
                    there[path].assign(rebuilt(value))
                else:
                    place_of(path, walk.holders).assign(rebuilt(value))


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


def packed(values: dict[str, Plain]) -> Tensor:
    """Plain data as bytes, uint8."""
    file = io.BytesIO()
    torch.save(values, file)
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def unpacked(content: Tensor) -> dict[str, Plain]:
    """What `packed` was given; nothing but plain data is read."""
    found: dict[str, Plain] = torch.load(io.BytesIO(content.cpu().numpy().tobytes()), weights_only=True)
    return found
