"""Recipes as trees: what a value is made of, and the same value made of something else.

A node is a recipe, an optimizer, a schedule, a choice, a coupled rate or a tuple; numbers, text, flags and plain ranges
are leaves. A path is the keys from a node to one below it: names of fields, and places in tuples and choices. The
number in `Recipe(optimizer=SGD(lr=0.1 * Cosine()))` is at `("optimizer", "lr", "factors", 0)`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

from lanewise.parts import schedules
from lanewise.parts.part import Part, Variable
from lanewise.parts.schedules import product

Path: TypeAlias = tuple[str | int, ...]


def children(value: Any) -> list[tuple[Path, Any]]:
    """(path from `value`, child) of all that `value` is made of, in order; nothing for a leaf.

    >>> from lanewise.parts.schedules import Cosine
    >>> [path for path, _ in children(0.1 * Cosine())]
    [('factors', 0), ('factors', 1)]
    """
    if isinstance(value, Variable):
        return [((key,), inner) for key, inner in value.inner()]
    if isinstance(value, schedules.Product):
        return [(("factors", at), factor) for at, factor in enumerate(value.factors)]
    if isinstance(value, schedules.Sequence):
        return [(("parts", at), part) for at, part in enumerate(value.parts)]
    if isinstance(value, Part):
        return [((item.name,), getattr(value, item.name)) for item in fields(value)]
    if isinstance(value, tuple):
        return [((at,), item) for at, item in enumerate(value)]
    return []


def rebuilt(value: Any, made: Sequence[Any]) -> Any:
    """`value` with the children `made`, as many as it has.

    A product in which no schedule is left becomes the number: the file of a recipe reads it back as that.
    """
    if isinstance(value, Variable):
        return value.with_inner(made)
    if isinstance(value, schedules.Product):
        return product(*made)
    if isinstance(value, schedules.Sequence):
        return replace(value, parts=tuple(made))
    if isinstance(value, Part):
        return replace(value, **{item.name: new for item, new in zip(fields(value), made, strict=True)})
    return tuple(made) if isinstance(value, tuple) else value


def map_children(value: Any, change: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    """`value`, which is at `path`, with every child replaced by `change(its path, child)`."""
    return rebuilt(value, [change((*path, *key), child) for key, child in children(value)])


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """(path, node) of `value`, which is at `path`, and of everything below it, parents first."""
    yield path, value
    for key, child in children(value):
        yield from walk(child, (*path, *key))


def at(value: Any, path: Path) -> Any:
    """What stands at `path` below `value`.

    Raises:
        KeyError: nothing does.
    """
    if not path:
        return value
    key, child = _towards(value, path)
    return at(child, path[len(key) :])


def replaced(value: Any, path: Path, new: Any) -> Any:
    """`value` with `new` at `path`.

    Raises:
        KeyError: nothing stands there. InputError: `new` is not allowed there.
    """
    if not path:
        return new
    key, _ = _towards(value, path)
    return map_children(value, lambda here, child: replaced(child, path[len(key) :], new) if here == key else child)


def _towards(value: Any, path: Path) -> tuple[Path, Any]:
    for key, child in children(value):
        if path[: len(key)] == key:
            return key, child
    raise KeyError(path)
