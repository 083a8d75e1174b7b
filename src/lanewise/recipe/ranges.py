"""Values of a space that are not chosen yet: `log(1e-3, 1)`, `uniform(0, 0.5)`, `integer(1, 8)`, `choice(a, b)`.

They stand wherever a number or a part may stand, and multiply with schedules:
`log(1e-3, 1) * choice(Constant(), Cosine())`.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lanewise.errors import InputError
from lanewise.parts.part import Part, Timed, Variable, expression, extremes
from lanewise.parts.schedules import product, sequence


@dataclass(frozen=True)
class Range(Part, Variable):
    """A value that a sampler chooses; the base of the kinds below."""

    def __mul__(self, other: Any) -> Any:
        return product(self, other)

    def __rmul__(self, other: Any) -> Any:
        return product(other, self)

    def __rshift__(self, other: Any) -> Any:
        return sequence(self, other)

    def __rrshift__(self, other: Any) -> Any:
        return sequence(other, self)


@dataclass(frozen=True)
class NumberRange(Range):
    """An interval of numbers from `low` to `high`, both included."""

    low: float
    high: float

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            number = isinstance(end, (int, float)) and not isinstance(end, bool)
            if not number or not abs(end) <= sys.float_info.max:
                raise InputError(f"{self}: the ends of a range must be finite numbers, not {end!r}")
        if not self.low < self.high:
            raise InputError(f"{self}: the range is upside down or empty; the first end must be below the second")

    def __str__(self) -> str:
        return f"{self.name}({expression(self.low)}, {expression(self.high)})"

    def extremes(self) -> tuple[Any, ...]:
        # A number in between too: a field that takes whole numbers only must refuse a range of fractions.
        return (self.low, self.high, self.low - self.low / math.pi + self.high / math.pi)

    def holds(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(self.low <= value <= self.high)

    def in_whole_numbers(self) -> str:
        low, high = math.ceil(self.low), math.floor(self.high)
        return f"integer({low}, {high})" if low < high else ""


@dataclass(frozen=True)
class Uniform(NumberRange):
    """Any number between `low` and `high`, all equally likely."""

    name: ClassVar[str] = "uniform"


@dataclass(frozen=True)
class Log(NumberRange):
    """Any number between `low` > 0 and `high`, its logarithm equally likely."""

    name: ClassVar[str] = "log"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise InputError(f"{self}: a log range must start above 0, not at {self.low!r}")


@dataclass(frozen=True)
class Integer(NumberRange):
    """A whole number from `low` to `high`, both included."""

    name: ClassVar[str] = "integer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(end, int) for end in (self.low, self.high)):
            raise InputError(f"{self}: the ends of an integer range must be integers")

    def extremes(self) -> tuple[Any, ...]:
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        return isinstance(value, int) and super().holds(value)

    def in_whole_numbers(self) -> str:
        return ""


@dataclass(frozen=True)
class Choice(Range):
    """One of `options`: numbers, flags, schedules, optimizers; an option may hold ranges of its own."""

    name: ClassVar[str] = "choice"
    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise InputError(f"{self}: a choice needs at least two options; write the value itself instead")
        # Compared as they are written, for by that the sampler and the file know them.
        if len({expression(option) for option in self.options}) < len(self.options):
            raise InputError(f"{self}: the same option stands twice in a choice")

    def __str__(self) -> str:
        return f"{self.name}({', '.join(expression(option) for option in self.options)})"

    def extremes(self) -> tuple[Any, ...]:
        listed = (extremes(option) for option in self.options)
        return tuple(extreme for extremes in listed for extreme in extremes)

    def holds(self, value: Any) -> bool:
        return any(value == option for option in self.options)

    def inner(self) -> tuple[tuple[str | int, Any], ...]:
        return tuple(enumerate(self.options))

    def with_inner(self, values: Sequence[Any]) -> "Choice":
        return Choice(tuple(values))

    @property
    def of_schedules(self) -> bool:
        """Whether every option changes with the step, as a schedule does."""
        return all(isinstance(option, Timed) for option in self.options)


def uniform(low: float, high: float) -> Uniform:
    """Any number from `low` to `high`."""
    return Uniform(low, high)


def log(low: float, high: float) -> Log:
    """Any number from `low` > 0 to `high`, drawn on a logarithmic scale."""
    return Log(low, high)


def integer(low: int, high: int) -> Integer:
    """A whole number from `low` to `high`, both included."""
    return Integer(low, high)


def choice(*options: Any) -> Choice:
    """One of the options given."""
    return Choice(options)
