"""What the basic shapes share: an optional linear warm-up in front, and an optional duration."""

from dataclasses import dataclass, field
from typing import Any

import array_api_compat

from lanewise.errors import InputError
from lanewise.parts.part import Variable
from lanewise.parts.schedules.duration import RunLength, duration
from lanewise.parts.schedules.schedule import Array, Schedule, hold


@dataclass(frozen=True)
class Shape(Schedule):
    """A curve over its own progress, with a warm-up in front if asked.

    Args:
        warmup: a duration; over its w steps the factor is (t + 1)/w, so that no step has factor 0, and the curve's
            own progress starts after it. None: no warm-up.
        duration: how long the shape lasts, warm-up included, so that another part can follow it (`>>`). None: all
            the steps it is given. Past its end a shape holds its end value.
    """

    warmup: Any = duration(None, optional=True, kw_only=True)
    duration: Any = duration(None, optional=True, positive=True, kw_only=True)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        """The factor after the warm-up, at the curve's own step, held inside 0 .. `steps` (at least 1)."""
        raise NotImplementedError

    def factor(self, step: Array, steps: int, run: RunLength) -> Array:
        """(t + 1)/w in the warm-up, the curve after it."""
        xp = array_api_compat.array_namespace(step)
        total = self.length(run)
        if total is None:
            total = steps
        elif total > steps:
            raise InputError(
                f"{type(self).__name__}.duration = {self.duration!r}: lasts {total} steps; must fit into {steps}"
            )
        warm = run.steps(f"{type(self).__name__}.warmup", self.warmup)
        if warm > total:
            raise InputError(
                f"{type(self).__name__}.warmup = {self.warmup!r}: lasts {warm} steps; must fit into {total}"
            )
        rest = total - warm
        after = self.curve(hold(step - warm, rest), max(rest, 1), run)
        return xp.where(step < warm, divided(step + 1.0, warm), after) if warm else after

    def length(self, run: RunLength) -> int | None:
        """The duration in steps, if it has one."""
        return None if self.duration is None else run.steps(f"{type(self).__name__}.duration", self.duration)

    def timeless(self) -> bool:
        """Whether no duration is given (or, of a variable's draws, one is None)."""
        if isinstance(self.duration, Variable):
            return None in self.duration.extremes()
        return self.duration is None


def divided(step: Array, steps: float) -> Array:
    """step/steps, correctly rounded in every library, so that its floor is right too."""
    if array_api_compat.is_jax_array(step):
        # XLA turns x/c into x * (1/c), by which 49/49 falls below 1; a divisor it cannot take for a constant is safe.
        return step / (steps + 0.0 * step)
    return step / steps


def remaining(step: Array, steps: int) -> Array:
    """1 - u, computed as (n - t)/n so that it is exact near the end, where 1 - t/n has lost its digits."""
    return divided(steps - step, steps)


def between(start: float, end: float, falling: Array) -> Array:
    """From `start` where `falling` is 1 to `end` where it is 0; exact at both ends."""
    return start * falling + end * (1.0 - falling) if end else start * falling


def check_shape(where: str, value: Any) -> None:
    """Raise `InputError` unless `value` is a schedule without a duration, or a variable whose draws all are."""
    if isinstance(value, Variable):
        for extreme in value.extremes():
            check_shape(where, extreme)
    elif not isinstance(value, Schedule) or not value.timeless():
        raise InputError(f"{where} = {value}: must be a schedule without a duration of its own, such as Linear()")


def shape(default: Schedule) -> Any:
    """A dataclass field for the schedule that gives a transition its form: 1 at its start, lower at its end."""
    return field(default=default, metadata={"check": check_shape})
