"""What is read back from a record, checked: that every value is of its kind, before anything is made of it.

A record may have been damaged, or written by somebody else. What it would make of the code that uses it cannot be
foreseen case by case, so whatever goes wrong while one is being read says that the record is damaged.
"""

import contextlib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from lanewise.errors import InputError, one_line

Record = TypeVar("Record")


@contextlib.contextmanager
def undamaged(where: str) -> Iterator[None]:
    """Turn whatever goes wrong while a record is being read into one line that begins with `where`."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{where}: is damaged: it asks for more memory than there is") from None
    except Exception as error:
        raise InputError(f"{where}: is damaged: {one_line(error)}") from None


def checked(record: Record) -> Record:
    """`record`, a dataclass made of plain data, if every field in it is of the kind that its annotation names.

    An annotation of `float` admits whole numbers, as JSON writes some; an array must hold one number or more, of any
    shape; `Any` admits everything.

    Raises:
        TypeError: one is not; it names the field.
    """
    for name, kind in get_type_hints(type(record)).items():
        if name in {item.name for item in fields(record)}:  # type: ignore[arg-type]
            _check(name, getattr(record, name), kind)
    return record


def check_kinds(data: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise `TypeError` or `KeyError` unless `data` holds a value of the given kind by every name."""
    for name, kind in kinds.items():
        _check(name, data[name], kind)


def _check(name: str, value: Any, kind: Any) -> None:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if origin in (Union, types.UnionType):
        if not any(_fits(name, value, one) for one in inner):
            raise TypeError(f"{name} = {value!r}: must be {' or '.join(map(_called, inner))}")
    elif origin in (tuple, list):
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{name} = {value!r}: must be a list")
        if origin is tuple and inner[-1] is not Ellipsis:
            for one, of_one in zip(value, inner, strict=True):
                _check(name, one, of_one)
        else:
            for one in value:
                _check(name, one, inner[0])
    elif origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"{name} = {value!r}: must be a mapping")
        for key, one in value.items():
            _check(name, key, inner[0])
            _check(f"{name}.{key}", one, inner[1])
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} = {value!r}: must be a number")
        # A whole number may have any size in JSON.
        float(value)
    elif kind is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} = {value!r}: must be a whole number")
        whole(name, value)
    elif kind is np.ndarray or origin is np.ndarray:
        if not isinstance(value, np.ndarray) or not value.ndim or not value.size or value.dtype.kind not in "fiub":
            raise TypeError(f"{name}: must be numbers, one or more")
    elif isinstance(kind, type):
        if not isinstance(value, kind):
            raise TypeError(f"{name} = {value!r}: must be {_called(kind)}")
        if is_dataclass(value):
            checked(value)


def _fits(name: str, value: Any, kind: Any) -> bool:
    try:
        _check(name, value, kind)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _called(kind: Any) -> str:
    return "nothing" if kind is type(None) else getattr(kind, "__name__", str(kind))


def whole(name: str, value: Any, low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """`value` if it is a whole number in [low, high]; `TypeError` or `ValueError` names it otherwise.

    By default the range is that of int64: tables, tensors and arrays hold no larger numbers.
    """
    if type(value) is not int:
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    if not low <= value <= high:
        raise ValueError(f"{name} = {value}: must be in [{low}, {high}]")
    return value


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` if it is a number in [low, high], or NaN where both are infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} = {value!r}: must be a number")
    if not low <= value <= high and not (math.isnan(value) and low == -math.inf):
        raise ValueError(f"{name} = {value}: must be in [{low}, {high}]")
    return float(value)


def several(name: str, value: Any, length: int | None = None) -> list[Any]:
    """`value` if it is a list (or a tuple, which JSON makes a list of), of `length` items where that is given."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} = {value!r}: must be a list")
    if length is not None and len(value) != length:
        raise ValueError(f"{name}: has {len(value)} items; must have {length}")
    return list(value)


def vector(name: str, value: Any) -> np.ndarray:
    """float64 [n] of a list of numbers, in which None stands for NaN, as JSON has none."""
    found = np.array(several(name, value), dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"{name}: must be numbers, not lists of numbers")
    return found
