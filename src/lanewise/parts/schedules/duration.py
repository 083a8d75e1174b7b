"""Durations: a share of the run, epochs or steps, always with the unit written behind the number."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from lanewise.errors import InputError
from lanewise.parts.part import Variable, expression

ALLOWED = 'a share of the run ("5%", at most 100%), epochs ("3ep") or whole steps ("200st")'
PATTERN = re.compile(r"(\d+(?:\.\d+)?)(%|ep|st)")


@dataclass(frozen=True)
class RunLength:
    """How long a run is: what durations are resolved against.

    Args:
        total_steps: optimizer steps of the whole run, an integer of at least 1.
        steps_per_epoch: optimizer steps of one epoch, an integer of at least 1.
    """

    total_steps: int
    steps_per_epoch: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "total_steps", count("total_steps", self.total_steps))
        object.__setattr__(self, "steps_per_epoch", count("steps_per_epoch", self.steps_per_epoch))

    def steps(self, where: str, text: Any) -> int:
        """The number of steps the duration `text` lasts in this run.

        Rounded down, so that shares that add up to 100% always fit into the run; but a duration above zero lasts at
        least one step. None lasts no step.

        >>> RunLength(total_steps=50).steps("warmup", "5%")
        2
        >>> RunLength(total_steps=50, steps_per_epoch=10).steps("warmup", "1.5ep")
        15

        Raises:
            InputError: `text` is a variable that has no value yet.
        """
        exact = Fraction(0) if text is None else self.exact(where, text)
        return max(math.floor(exact), 1) if exact else 0

    def exact(self, where: str, text: Any) -> Fraction:
        """The duration `text` in steps, not rounded: what repeats must be counted with, or its rounding adds up.

        >>> RunLength(total_steps=50).exact("period", "25%")
        Fraction(25, 2)
        """
        if isinstance(text, Variable):
            raise InputError(f"{where} = {text}: choose a value before the schedule is evaluated")
        amount, unit = parse(text)
        return amount * {"%": Fraction(self.total_steps, 100), "ep": Fraction(self.steps_per_epoch)}.get(unit, 1)


def count(where: str, value: Any) -> int:
    """`value` as an integer of at least 1; `InputError` when it is none."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise InputError(f"{where} = {value!r}: must be an integer in [1, inf)")
    return number


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[Fraction, str]:
    """The amount and the unit of a duration; exact, so that rounding to steps is the same everywhere."""
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError
    amount, unit = Fraction(match[1]), match[2]
    if (unit == "%" and amount > 100) or (unit == "st" and amount.denominator != 1):
        raise ValueError
    return amount, unit


def check_duration(where: str, value: Any, *, positive: bool = False, optional: bool = False) -> None:
    """Raise `InputError` unless `value` is a duration (or a variable whose draws all are)."""
    if value is None and optional:
        return
    if isinstance(value, Variable):
        for extreme in value.extremes():
            check_duration(where, extreme, positive=positive, optional=optional)
        return
    allowed = ALLOWED + (", longer than zero" if positive else "")
    if not isinstance(value, str):
        raise InputError(f"{where} = {value!r}: must be {allowed}, as text with its unit")
    try:
        amount, _ = parse(value)
    except ValueError:
        raise InputError(f"{where} = {value!r}: must be {allowed}") from None
    if positive and not amount:
        raise InputError(f"{where} = {value!r}: must be {allowed}")


def duration(default: Any, *, positive: bool = False, optional: bool = False, kw_only: bool = False) -> Any:
    """A dataclass field for a duration such as "5%", "3ep" or "200st", kept as the text that was given.

    Args:
        default: its value when not given.
        positive: whether zero is refused.
        optional: whether None is allowed too.
        kw_only: whether it can be given by name only.
    """

    def check(where: str, value: Any) -> None:
        check_duration(where, value, positive=positive, optional=optional)

    return field(default=default, metadata={"check": check}, kw_only=kw_only)


def durations(default: tuple[str, ...]) -> Any:
    """A dataclass field for a tuple of durations, counted from where the schedule starts."""
    return field(default=default, metadata={"check": tuple_of(check_duration, "50%", "75%")})


def tuple_of(check: Callable[[str, Any], None], *example: Any) -> Callable[[str, Any], None]:
    """The check of a tuple whose every entry passes `check`; `example` is one, for the message."""

    def check_all(where: str, value: Any) -> None:
        if not isinstance(value, tuple) or not value:
            raise InputError(
                f"{where} = {value!r}: must be one entry or more in brackets, such as {expression(example)} in a file, "
                f"the tuple {example!r} in Python"
            )
        for index, entry in enumerate(value):
            check(f"{where}[{index}]", entry)

    return check_all
