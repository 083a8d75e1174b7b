"""Inputs of one tensor or of several: a tensor, a tuple of tensors or a dict of name -> tensor, each [rows, ...]."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lanewise.data.arrays.room import empty
from lanewise.errors import InputError, a_type

Inputs: TypeAlias = Any
"""A tensor, a tuple of tensors or a dict of name -> tensor, each [rows, ...]."""

Targets: TypeAlias = Any
"""A tensor [rows, ...], or None where the user's own objective finds what it needs in the inputs."""


def branches(where: str, value: Any) -> dict[str, Any]:
    """The parts of `value`, which may be one array, a tuple of arrays or a mapping, each under the name for messages.

    A tuple is several inputs if all of it are arrays, else a nested list like any other.

    >>> list(branches("x", {"tokens": 1, "length": 2}))
    ["x['tokens']", "x['length']"]

    Raises:
        InputError: an empty tuple or mapping, a name that is no text, or a mapping in a mapping.
    """
    if isinstance(value, Mapping):
        if not value or not all(isinstance(name, str) for name in value):
            raise InputError(f"{where} has the names {list(value)}: must be at least one, all text")
        found = {f"{where}[{name!r}]": part for name, part in value.items()}
    elif is_several(value):
        found = {f"{where}[{number}]": part for number, part in enumerate(value)}
    else:
        return {where: value}
    for name, part in found.items():
        if isinstance(part, Mapping) or is_several(part):
            raise InputError(f"{name} is {a_type(part)} itself: must be one array; inputs nest one level deep")
    return found


def is_several(value: Any) -> bool:
    """Whether `value` is a tuple of arrays (None where there is nothing), as against rows written as a tuple."""
    return isinstance(value, tuple) and bool(value) and all(part is None or hasattr(part, "shape") for part in value)


def rebuilt(like: Any, parts: list[Any]) -> Any:
    """`parts` put together as `like` is: alone, as a tuple or under the names of a dict."""
    if isinstance(like, Mapping):
        return dict(zip(like, parts, strict=True))
    return tuple(parts) if is_several(like) else parts[0]


def leaves(nested: Inputs) -> list[Tensor]:
    """The tensors of `nested` in order.

    >>> import torch
    >>> [tuple(leaf.shape) for leaf in leaves({"tokens": torch.zeros(4, 9), "length": torch.ones(4)})]
    [(4, 9), (4,)]
    """
    if isinstance(nested, dict):
        return list(nested.values())
    return list(nested) if isinstance(nested, tuple) else [nested]


def mapped(function: Callable[..., Any], nested: Inputs, *others: Any) -> Any:
    """`function` of every tensor of `nested` and of what is in its place in `others`, put together in the same way."""
    if isinstance(nested, dict):
        return {name: function(leaf, *(other[name] for other in others)) for name, leaf in nested.items()}
    if isinstance(nested, tuple):
        return tuple(function(*group) for group in zip(nested, *others, strict=True))
    return function(nested, *others)


def take(nested: Inputs | None, rows: Any) -> Any:
    """`rows` (indices, a slice or a mask) of every tensor; None stays None."""
    return None if nested is None else mapped(lambda leaf: leaf[rows], nested)


def gathered(nested: Inputs | None, rows: Tensor) -> Any:
    """The rows at `rows` (int64) of every tensor, as new tensors in the order of their axes; None stays None."""

    def of_leaf(leaf: Tensor) -> Tensor:
        return torch.index_select(leaf, 0, rows, out=empty((len(rows), *leaf.shape[1:]), leaf.dtype, leaf.device))

    return None if nested is None else mapped(of_leaf, nested)


def row_count(nested: Inputs) -> int:
    """The number of rows."""
    return len(leaves(nested)[0])


def byte_count(nested: Inputs | None) -> int:
    """Bytes that the values take."""
    return 0 if nested is None else sum(leaf.numel() * leaf.element_size() for leaf in leaves(nested))


def shapes(nested: Inputs) -> Any:
    """The shape of every tensor, for messages: `[4, 9]`, `([4, 9], [4])` or `{'tokens': [4, 9]}`."""
    return mapped(lambda leaf: list(leaf.shape), nested)


def structure(nested: Inputs) -> str:
    """In words, for messages: `one array`, `a tuple of 2` or `a dict of tokens, length`."""
    if isinstance(nested, Mapping):
        return f"a dict of {', '.join(map(str, nested))}"
    return f"a tuple of {len(nested)}" if is_several(nested) else "one array"


def nesting(nested: Any) -> Any:
    """Equal for two nested things that can be worked through side by side: the names, the number, or None for one."""
    if isinstance(nested, Mapping):
        return set(nested)
    return len(nested) if is_several(nested) else None
