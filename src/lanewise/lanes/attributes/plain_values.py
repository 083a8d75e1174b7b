"""Values that can be compared, copied and written down: numbers, text, tensors, and containers of these."""

import io
import random
from collections import deque
from collections.abc import MutableMapping, MutableSequence, MutableSet
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

SIMPLE = (type(None), bool, int, float, complex, str, bytes)
OTHERS = (
    *("torch", "numpy", "lanewise", "builtins", "threading", "_thread", "logging", "functools", "typing", "abc"),
    "contextlib",
)
"""Packages whose objects are not looked into."""
LARGEST = 64 * 2**20
"""Bytes of a tensor beyond which it is taken for a constant, and no copy is made of it."""


Plain: TypeAlias = Any
"""Values of which `plain` makes trees of numbers, text, tuples and tensors: what `torch.load` reads without code."""


class NotPlainError(TypeError):
    """A value that cannot be written down as plain data."""


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


def packed(values: dict[str, Plain]) -> Tensor:
    """Plain data as bytes, uint8."""
    file = io.BytesIO()
    torch.save(values, file)
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def unpacked(content: Tensor) -> dict[str, Plain]:
    """What `packed` was given; nothing but plain data is read."""
    found: dict[str, Plain] = torch.load(io.BytesIO(content.cpu().numpy().tobytes()), weights_only=True)
    return found
