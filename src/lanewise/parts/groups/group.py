"""A group of parameters: which they are, and the numbers that they have in place of the recipe's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, Part, Value, check_number, expression, extremes, holds_default, numeric
from lanewise.parts.schedules.duration import duration

FACTOR = re.compile(r"x(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)")
"""A factor as it is written: x2, x0.1."""
WHOLE_RUN = "100%"
OWN_NUMBERS = ("lr", "decay", "l2", "l1")
"""The numbers that a group may have to itself."""


@dataclass(frozen=True)
class Times(Part):
    """A factor on a number of the recipe; it is written `x2`, or `times(linear())`.

    Args:
        factor: >= 0; a number, a schedule or a range.

    >>> str(Times(2)), str(Times(0.5))
    ('x2', 'x0.5')
    """

    name: ClassVar[str] = "times"
    factor: Value = numeric(1.0, low=0.0, timed=True)

    def __str__(self) -> str:
        plain = isinstance(self.factor, (int, float))
        return f"x{self.factor}" if plain else f"{self.name}({expression(self.factor)})"


def times(factor: Any) -> Times:
    """A factor on a number of the recipe, for a group of parameters: `lr=times(0.1)`.

    Raises:
        InputError: the factor is below 0 or no number, schedule or range.
    """
    return Times(factor)


def own_number() -> Any:
    """A dataclass field for a number in place of the recipe's, or a factor on it."""

    def check(where: str, value: Any) -> None:
        for extreme in () if value is None else extremes(value):
            if isinstance(extreme, (str, tuple)) or extreme is None:
                raise InputError(f"{where} = {extreme!r}: must be a number in [0, inf) or a factor such as x2")
            if not isinstance(extreme, Times):
                check_number(where, extreme, Allowed(0.0, timed=True))

    return field(default=None, metadata={"check": check})


@dataclass(frozen=True)
class ParameterGroup(Part):
    """Parameters that have numbers of their own.

    Args:
        parameters: their names, `*` standing for anything: `head.*`.
        lr: learning rate in place of the optimizer's, >= 0, or a factor on it, `times(0.1)`.
        decay: decoupled weight decay in place of the recipe's, or of the optimizer's own (`weight_decay`) where the
            recipe has none; or a factor on both.
        l2: in place of the recipe's L2, or a factor on it. l1: in place of the recipe's L1, or a factor on it.
        freeze: how long they do not train from the start of the run, a duration such as "30%", "3ep" or "200st"; true
            for the whole run. Until then they have no gradient, as with `requires_grad = False`: they do not count for
            `clip`, and the optimizer begins with them when they begin to train.

    Every number may be a schedule or a range, and `x2` in text stands for `times(2)`.

    >>> str(ParameterGroup("head.*", lr="x2", decay=0))
    "group('head.*', lr=x2, decay=0)"
    """

    name: ClassVar[str] = "group"
    parameters: str
    lr: Any = own_number()
    decay: Any = own_number()
    l2: Any = own_number()
    l1: Any = own_number()
    freeze: Any = duration(None, optional=True)

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, str) or not self.parameters.strip():
            raise InputError(f"groups: {self.parameters!r}: must be a name of parameters such as head.*")
        for name in OWN_NUMBERS:
            object.__setattr__(self, name, as_factor(getattr(self, name)))
        if isinstance(self.freeze, bool):
            object.__setattr__(self, "freeze", WHOLE_RUN if self.freeze else None)
        where = f"groups[{self.parameters!r}]"
        if not self.given:
            raise InputError(f"{where}: changes nothing; must have one of {', '.join((*OWN_NUMBERS, 'freeze'))}")
        for item in fields(self)[1:]:
            item.metadata["check"](f"{where}.{item.name}", getattr(self, item.name))

    def __str__(self) -> str:
        given = (f"{name}={expression(getattr(self, name))}" for name in self.given)
        return f"{self.name}({', '.join([repr(self.parameters), *given])})"

    @property
    def given(self) -> tuple[str, ...]:
        """The fields that the group has to itself."""
        return tuple(item.name for item in fields(self)[1:] if not holds_default(self, item))


def as_factor(value: Any) -> Any:
    """`x2` as the factor that it stands for; anything else as it is."""
    found = FACTOR.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    number = found[1]
    return Times(int(number) if number.isdigit() else float(number))


def check_groups(where: str, value: Any) -> None:
    """Raise `InputError` unless `value` is a tuple of groups with different names."""
    if not isinstance(value, tuple) or not all(isinstance(group, ParameterGroup) for group in value):
        raise InputError(
            f'{where} = {value!r}: must map names of parameters to their numbers, such as {{"head.*": {{"lr": "x2"}}}}'
        )
    names = [group.parameters for group in value]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}: {name!r} is given twice")


def as_groups(value: Any) -> Any:
    """`{"head.*": {"lr": "x2"}}` as a tuple of groups; anything else as it is.

    Raises:
        InputError: a group is no mapping, or has a field that there is not.
    """
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, Mapping):
        return value
    known = [item.name for item in fields(ParameterGroup)[1:]]
    for name, numbers in value.items():
        if isinstance(numbers, ParameterGroup):
            continue
        if not isinstance(numbers, Mapping):
            raise InputError(f"groups[{name!r}] = {numbers!r}: must map fields to values; fields: {', '.join(known)}")
        for own in numbers:
            if own not in known:
                raise InputError(f"groups[{name!r}]: unknown field {own!r}; allowed: {', '.join(known)}")
    return tuple(
        numbers if isinstance(numbers, ParameterGroup) else ParameterGroup(name, **numbers)
        for name, numbers in value.items()
    )
