"""A peak rate and a decay that are drawn together, by their product and their ratio.

In front of a batch norm the product sets the speed in the long run (`docs/cards/effective-rate.md`), so that good pairs
lie along a ridge. `SGD(lr=coupled(product=log(1e-7, 1e-3), ratio=log(1, 1e5)) * Cosine())` beside `l2=coupled()` draws
along it and across it. What is drawn is an ordinary recipe, with lr = sqrt(product ratio), l2 = sqrt(product / ratio).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from lanewise.errors import InputError
from lanewise.parts.groups.group import ParameterGroup, Times
from lanewise.parts.optimizers import Optimizer
from lanewise.parts.part import Part, Variable, extremes
from lanewise.parts.schedules import Product, Schedule
from lanewise.recipe.ranges import Choice, Log, Range, Uniform
from lanewise.recipe.tree import children

RATE = "lr"
DECAYS = ("l2", "decay")
"""Fields of a recipe that make a pair with the rate of its optimizer."""
OWN_DECAY = "weight_decay"
"""The same field of an optimizer that has its own."""
ROUNDING = 1e-9
"""Relative error up to which a product or ratio counts as the drawn value."""
PLACES = (
    "must stand where a pair does: coupled(product=..., ratio=...) for the learning rate, coupled() for "
    "l2, decay or weight_decay; both alone or times schedules, outside of choices and groups"
)


@dataclass(frozen=True)
class CoupledRate(Range):
    """A rate that is drawn together with a decay.

    Args:
        product: of both; a log or uniform range, a choice or a number, above 0. ratio: rate / decay, as `product`.
    """

    name: ClassVar[str] = "coupled"
    product: Any
    ratio: Any

    def __post_init__(self) -> None:
        for item in fields(self):
            for leaf in leaves(getattr(self, item.name)):
                number = isinstance(leaf, (int, float)) and not isinstance(leaf, bool)
                if not (number and 0 < leaf < math.inf) and not (isinstance(leaf, (Log, Uniform)) and leaf.low > 0):
                    raise InputError(
                        f"{self}: {item.name} = {leaf}: must be a range such as log(1e-7, 1e-3), a choice or a number, "
                        "and above 0"
                    )
        if not any(isinstance(value, Variable) for value in (self.product, self.ratio)):
            rate, decay = rate_and_decay(self.product, self.ratio)
            raise InputError(f"{self}: leaves nothing to draw; write the rate, {rate:g}, and the decay, {decay:g}")

    def extremes(self) -> tuple[Any, ...]:
        return tuple(rate for rate, _ in self.corners())

    def holds(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and min(self.extremes()) <= value <= max(self.extremes())

    def inner(self) -> tuple[tuple[str | int, Any], ...]:
        return ("product", self.product), ("ratio", self.ratio)

    def with_inner(self, values: Sequence[Any]) -> "CoupledRate":
        return CoupledRate(*values)

    def corners(self) -> list[tuple[float, float]]:
        """(rate, decay) at every end of both ranges."""
        ends = [extremes(value) for value in (self.product, self.ratio)]
        return [rate_and_decay(product, ratio) for product in ends[0] for ratio in ends[1]]


@dataclass(frozen=True)
class CoupledDecay(Range):
    """The decay that is drawn together with the rate."""

    name: ClassVar[str] = "coupled"

    def extremes(self) -> tuple[Any, ...]:
        # The ranges stand at the rate, where `Recipe` looks at both; every field of a decay allows 0.
        return (0.0,)

    def holds(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and value > 0


def coupled(product: Any = None, ratio: Any = None) -> Range:
    """A learning rate and a decay drawn by their product and their ratio, rate / decay.

    `coupled(product=..., ratio=...)` stands for the rate, `coupled()` for the decay.
    """
    if product is None and ratio is None:
        return CoupledDecay()
    for name, value in (("product", product), ("ratio", ratio)):
        if value is None:
            raise InputError(
                f"coupled: {name} is missing; must be coupled(product=..., ratio=...) for the rate, and coupled() for "
                "the decay"
            )
    return CoupledRate(product, ratio)


def rate_and_decay(product: float, ratio: float) -> tuple[float, float]:
    """The pair that has this product and this ratio, both above 0.

    >>> rate_and_decay(product=1e-4, ratio=100)
    (0.1, 0.001)
    """
    return math.sqrt(product) * math.sqrt(ratio), math.sqrt(product) / math.sqrt(ratio)


def leaves(value: Any) -> Iterator[Any]:
    """`value`, or every option of a choice."""
    if isinstance(value, Choice):
        for option in value.options:
            yield from leaves(option)
    else:
        yield value


def nearest(value: Any, number: float) -> float | None:
    """`number`, or the value of a range or the plain number that differs from it by rounding alone; None if none does.

    >>> nearest(Log(1e-7, 1e-3), 0.0010000000000000002), nearest(Log(1e-7, 1e-3), 0.1), nearest(2, 1.9999999999999998)
    (0.001, None, 2)
    """
    inside = min(max(number, value.low), value.high) if isinstance(value, (Log, Uniform)) else value
    return inside if math.isclose(inside, number, rel_tol=ROUNDING) else None


def rate_of(optimizer: Optimizer) -> CoupledRate | None:
    """The coupled rate of `optimizer`, if it stands where one may."""
    found = _alone(getattr(optimizer, RATE, None))
    return found if isinstance(found, CoupledRate) else None


def decay_of(part: Any) -> str | None:
    """The field of `part`, an optimizer or a recipe, whose decay is coupled, if it stands where one may."""
    names = (OWN_DECAY,) if isinstance(part, Optimizer) else DECAYS
    return next((name for name in names if isinstance(_alone(getattr(part, name, None)), CoupledDecay)), None)


def scale(value: Any) -> float | None:
    """The number in a decay such as `0.1 * linear()`; None where there is none."""
    first = value.factors[0] if isinstance(value, Product) else value
    return first if isinstance(first, (int, float)) and not isinstance(first, bool) else None


def check_coupling(recipe: Part) -> None:
    """Raise `InputError` unless every coupled rate of `recipe` makes a pair with one decay, and the other way round."""
    nodes = list(_coupled(recipe, "Recipe"))
    if not nodes:
        return
    for where, value in nodes:
        good = [f".{RATE}"] if isinstance(value, CoupledRate) else [f"Recipe.{name}" for name in DECAYS]
        if not where.endswith((*good, f".{OWN_DECAY}" if isinstance(value, CoupledDecay) else good[0])):
            raise InputError(f"{where} = {value}: {PLACES}")
    shared = [f"Recipe.{name}" for name in DECAYS if isinstance(_alone(getattr(recipe, name)), CoupledDecay)]
    for optimizer in leaves(recipe.optimizer):  # type: ignore[attr-defined]
        rate, name = rate_of(optimizer), type(optimizer).__name__
        decays = shared + ([f"{name}.{OWN_DECAY}"] if isinstance(optimizer, Optimizer) and decay_of(optimizer) else [])
        if len(decays) > 1:
            raise InputError(f"{' and '.join(decays)} are both coupled(): must be one; a rate has one partner")
        if rate and not decays:
            own = f", or for {OWN_DECAY} of {optimizer.name}" if hasattr(optimizer, OWN_DECAY) else ""
            raise InputError(f"{name}.{RATE} = {rate}: its partner is missing; write coupled() for l2 or decay{own}")
        if decays and not rate:
            raise InputError(
                f"{decays[0]} = coupled(): the rate in {optimizer} is not coupled to it; must be such as "
                f"lr=coupled(product=log(1e-7, 1e-3), ratio=log(1, 1e5))"
            )


def _alone(value: Any) -> Any:
    """What is coupled in `value`, where it stands alone or times schedules; None else."""
    if not isinstance(value, Product):
        return value if isinstance(value, (CoupledRate, CoupledDecay)) else None
    found = [factor for factor in value.factors if isinstance(factor, (CoupledRate, CoupledDecay))]
    others = [factor for factor in value.factors if factor not in found]
    timed = all(isinstance(factor, Schedule) or getattr(factor, "of_schedules", False) for factor in others)
    return found[0] if len(found) == 1 and timed else None


def _coupled(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """(field it stands in, what is coupled) of all there is in `value`."""
    if isinstance(value, (CoupledRate, CoupledDecay)):
        yield where, value
        return
    if isinstance(value, Choice):
        # By another name than the field's own: inside a choice is no place for it.
        where = where if all(isinstance(option, Optimizer) for option in leaves(value)) else f"{where} (in a choice)"
    elif isinstance(value, Product):
        where = where if _alone(value) is not None else f"{where} (in a product)"
    for key, child in children(value):
        if not isinstance(child, (Part, tuple)):
            # Numbers, words and durations: most of a recipe.
            continue
        inner = where
        if isinstance(value, ParameterGroup):
            # By another name than the field's own here, too.
            inner = f"groups[{value.parameters!r}].{key[0]} (in a group)"
        elif isinstance(value, Part) and not isinstance(value, (Product, Times, Variable)):
            inner = f"{type(value).__name__}.{key[0]}"
        yield from _coupled(child, inner)
