"""The fields of a recipe by the names that the sampler knows them by, and recipes in which one field is another.

`momentum` is the optimizer's, `l2` the recipe's own; `lr` is the number in `0.1 * cosine(warmup=5%)`, `lr.schedule` the
schedule beside it, `lr.cosine.warmup` a field inside it, `optimizer` the whole optimizer; `head.*.lr` is the number of
the group of parameters `head.*`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lanewise.errors import InputError
from lanewise.parts.groups import ParameterGroup, Times
from lanewise.parts.optimizers import Optimizer
from lanewise.parts.part import Part, Timed
from lanewise.parts.schedules import Product, Schedule, Sequence, product
from lanewise.recipe.language import did_you_mean
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.tree import Path, at, children, replaced

NUMBER = "number"
"""The place of the plain number that a schedule is multiplied by where none is written."""
SHRINKING = ("l2", "l1", "decay", "weight_decay", "dropout", "stochastic_depth", "mixup", "label_smoothing")
"""Fields of which more holds the model back more: for these the one-standard-error rule takes the largest."""


@dataclass(frozen=True)
class Place:
    """A value in a recipe: where it is, what it is called, and what it is now.

    `whole` is where a schedule goes that takes the place of a number and of the schedule beside it.
    """

    path: Path
    name: str
    value: Any
    whole: Path


def places(recipe: Recipe) -> dict[str, Place]:
    """Every value of `recipe` that can be another, by name.

    >>> from lanewise.parts.optimizers import SGD
    >>> from lanewise.parts.schedules import Cosine
    >>> found = places(Recipe(optimizer=SGD(lr=0.1 * Cosine(), momentum=0.9)))
    >>> [(name, found[name].value) for name in ("lr", "momentum", "lr.cosine.to", "l2")]
    [('lr', 0.1), ('momentum', 0.9), ('lr.cosine.to', 0.0), ('l2', 0.0)]
    """
    found: dict[str, Place] = {}
    for path, name, value, whole in _inside(recipe, (), ""):
        unique = next(
            each for n in range(1, len(found) + 2) if (each := name if n == 1 else f"{name}#{n}") not in found
        )
        found[unique] = Place(path, unique, value, whole)
    return found


def find(recipe: Recipe, field: Any) -> Place:
    """The place called `field`; `optimizer.momentum` is understood for `momentum`.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    known = places(recipe)
    name = field.removeprefix("optimizer.") if isinstance(field, str) else field
    if name not in known:
        raise InputError(
            f"field {field!r}: unknown in this recipe{did_you_mean(field, known)}; must be one of {', '.join(known)}"
        )
    return known[name]


def with_value(recipe: Recipe, place: Place, value: Any) -> Recipe:
    """`recipe` with `value` at `place`; a schedule for `lr` takes the place of number and schedule together.

    Raises:
        InputError: the value is not allowed there.
    """
    path, new = place.whole if isinstance(value, Timed) else place.path, value
    if path and path[-1] == NUMBER:
        path = path[:-1]
        new = product(value, at(recipe, path))
    changed: Recipe = replaced(recipe, path, new)
    return changed


def _walk(value: Any, path: Path, name: str) -> Iterator[tuple[Path, str, Any, Path]]:
    """(path, name, value, path of the whole) of all there is below `value`."""
    if isinstance(value, Product):
        numbered = isinstance(value.factors[0], (int, float))
        yield (*path, "factors", 0) if numbered else (*path, NUMBER), name, value.factors[0] if numbered else 1.0, path
        schedules = [((*path, *key), child) for key, child in children(value) if isinstance(child, Schedule)]
        if len(schedules) == 1:
            ((here, schedule),) = schedules
            yield here, f"{name}.schedule", schedule, here
        for here, schedule in schedules:
            yield from _inside(schedule, here, name)
    elif isinstance(value, Sequence):
        for key, part in children(value):
            here = (*path, *key)
            if isinstance(part, Schedule) and not isinstance(part, Product):
                # A number for this part alone would leave a step between it and the next.
                yield here, f"{name}.schedule", part, here
                yield from _inside(part, here, name)
            else:
                yield from _walk(part, here, name)
    elif isinstance(value, Schedule):
        yield (*path, NUMBER), name, 1.0, path
        yield path, f"{name}.schedule", value, path
        yield from _inside(value, path, name)
    else:
        yield path, name, value, path


def _inside(part: Part, path: Path, name: str) -> Iterator[tuple[Path, str, Any, Path]]:
    """The fields of `part`, which is called `name`."""
    if isinstance(part, Sequence):
        yield from _walk(part, path, name)
        return
    for key, value in children(part):
        here, field = (*path, *key), str(key[0])
        if isinstance(part, Schedule):
            yield here, f"{name}.{part.name}.{field}", value, here
        elif isinstance(value, Optimizer):
            yield here, field, value, here
            yield from _inside(value, here, "")
        elif isinstance(part, Recipe) and field == "groups":
            yield from _of_groups(value, here)
        else:
            yield from _walk(value, here, field)


def _of_groups(groups: tuple[ParameterGroup, ...], path: Path) -> Iterator[tuple[Path, str, Any, Path]]:
    """The numbers of groups of parameters: `head.*.lr` is a learning rate, or the factor on the recipe's."""
    for at_group, group in enumerate(groups):
        for own in group.given:
            value, here = getattr(group, own), (*path, at_group, own)
            if isinstance(value, Times):
                value, here = value.factor, (*here, "factor")
            yield from _walk(value, here, f"{group.parameters}.{own}")
