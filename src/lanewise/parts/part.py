"""What every part is: frozen data whose fields say which values they allow.

A field made by `numeric` or `flag` is checked when the part is built, whether it holds a plain number, a
schedule or a variable of a space. By the same declaration the engine knows which numbers differ by lane.
"""

import math
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

from lanewise.errors import InputError


@dataclass(frozen=True)
class Allowed:
    """The interval a numeric field accepts, and whether it may change with the step."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    integer: bool = False
    timed: bool = False
    optional: bool = False

    def __str__(self) -> str:
        kind = "an integer" if self.integer else "a number"
        low = "(" if self.low_open or math.isinf(self.low) else "["
        high = ")" if self.high_open or math.isinf(self.high) else "]"
        return f"{kind} in {low}{self.low:g}, {self.high:g}{high}"

    def holds(self, value: float) -> bool:
        """Whether the plain number `value` is finite, of the right kind and inside the interval."""
        try:
            finite = math.isfinite(value)
        except OverflowError:
            return False
        if not finite or (self.integer and not isinstance(value, int)):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


def numeric(default: Any, **allowed: Any) -> Any:
    """A dataclass field for a number; `allowed` are the arguments of `Allowed`."""
    return field(default=default, metadata={"allowed": Allowed(**allowed)})


def flag(default: bool) -> Any:
    """A dataclass field that is true or false: part of the structure, the same for a whole pack."""
    return field(default=default, metadata={"flag": True})


def word(*options: str, off: str | None = None) -> Any:
    """A dataclass field for one of a few words, the first by default: part of the structure.

    Args:
        off: the word for what people may look for as `none`.
    """
    return field(default=options[0], metadata={"words": options, "off": off})


class Variable:
    """A value not chosen yet: a range or a choice in a space (see `lanewise.recipe.ranges`)."""

    def extremes(self) -> tuple[Any, ...]:
        """The values that must all be allowed for every draw to be allowed."""
        raise NotImplementedError

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of those that may be drawn."""
        raise NotImplementedError

    def inner(self) -> tuple[tuple[str | int, Any], ...]:
        """(key, value) of what it is made of where further ranges can stand; nothing for a plain range."""
        return ()

    def with_inner(self, values: Sequence[Any]) -> Any:
        """The same made of other `values`, in the order of `inner`."""
        return self

    def in_whole_numbers(self) -> str:
        """What to write instead where only whole numbers are allowed; empty if there is no such thing."""
        return ""


class Timed:
    """A value that changes with the step: a schedule, alone or multiplied by a number."""


Value: TypeAlias = float | Timed | Variable


@dataclass(frozen=True)
class Part:
    """Frozen, serialisable data; subclasses add the formula beside it.

    `name` is what the part is called in an expression: `cosine` in `0.1 * cosine(warmup=5%)`. `str(part)` is that
    expression, with the fields that differ from their defaults; `repr(part)` is Python.
    """

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            check_field(type(self).__name__, item, getattr(self, item.name))

    def __str__(self) -> str:
        given = ((item.name, getattr(self, item.name)) for item in fields(self) if not holds_default(self, item))
        return f"{self.name}({', '.join(f'{name}={expression(value)}' for name, value in given)})"


def holds_default(part: Any, item: "Field[Any]") -> bool:
    """Whether the field `item` of `part` has its default to the letter: 1 is not 1.0, and -0.0 is not 0.0."""
    return repr(getattr(part, item.name)) == repr(item.default)


def expression(value: Any) -> str:
    """`value` in the expression language of recipe files; `lanewise.recipe.language.parse` is the inverse."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(expression(item) for item in value)}]"
    return str(value)


def check_field(owner: str, item: "Field[Any]", value: Any) -> None:
    """Raise `InputError` unless `value` is allowed for the dataclass field `item` of `owner`."""
    allowed: Allowed | None = item.metadata.get("allowed")
    if allowed is not None:
        check_number(f"{owner}.{item.name}", value, allowed)
    elif item.metadata.get("flag"):
        for extreme in extremes(value):
            if not isinstance(extreme, bool):
                raise InputError(f"{owner}.{item.name} = {extreme!r}: must be true or false")
    elif "words" in item.metadata:
        for extreme in extremes(value):
            if extreme not in item.metadata["words"]:
                allowed_words = ", ".join(item.metadata["words"])
                off = item.metadata.get("off") if extreme in (None, "none") else None
                hint = f" ({off} is what switches it off)" if off else ""
                raise InputError(f"{owner}.{item.name} = {extreme!r}: must be one of {allowed_words}{hint}")
    elif "check" in item.metadata:
        item.metadata["check"](f"{owner}.{item.name}", value)


def check_number(where: str, value: Any, allowed: Allowed) -> None:
    """Raise `InputError` unless `value` (plain, timed or variable) can only be inside `allowed`."""
    if value is None and allowed.optional:
        return
    if isinstance(value, Variable):
        if allowed.integer and (instead := value.in_whole_numbers()):
            raise InputError(f"{where} = {value}: draws fractions; must be {allowed}, such as {instead}")
        for extreme in value.extremes():
            check_number(where, extreme, allowed)
    elif isinstance(value, Timed):
        if not allowed.timed:
            raise InputError(f"{where} = {value}: cannot change with the step; must be {allowed}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not allowed.holds(value):
        raise InputError(f"{where} = {value!r}: must be {allowed}")


def extremes(value: Any) -> Sequence[Any]:
    """The values that a field given as `value` can take at its extremes; `value` alone when it is fixed."""
    return value.extremes() if isinstance(value, Variable) else (value,)
