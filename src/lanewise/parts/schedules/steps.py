"""Schedules that stand still and fall in steps."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import array_api_compat

from lanewise.errors import InputError
from lanewise.parts.part import numeric
from lanewise.parts.schedules.basic import power_of
from lanewise.parts.schedules.duration import RunLength, duration, durations
from lanewise.parts.schedules.schedule import Array
from lanewise.parts.schedules.shape import Shape, divided


@dataclass(frozen=True)
class Staircase(Shape):
    """beta^floor(t/period), each stair beginning at its exact moment rounded down to a step.

    Args:
        beta: the factor of each step down, in (0, inf); 0.1 is the classic of image classification.
        period: how long each stair is, above zero, and at least a step; "1ep" decays once an epoch.

    >>> Staircase(beta=0.5, period="2st").table(5).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    name: ClassVar[str] = "staircase"
    beta: Any = numeric(0.1, low=0.0, low_open=True)
    period: Any = duration("30%", positive=True)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        period = max(run.exact("Staircase.period", self.period), Fraction(1))
        return power_of(self.beta, repeats_begun(step, period))


@dataclass(frozen=True)
class Milestones(Shape):
    """beta^(number of milestones reached).

    Source of the default: He et al., "Deep residual learning", 2016 (a tenth at 50% and 75% on CIFAR-10).

    Args:
        at: when the factor falls, in the order of time, counted from the shape's start (after its warm-up).
        beta: the factor of each step down, in (0, inf).

    >>> Milestones(at=("1st", "3st"), beta=0.5).table(4).tolist()
    [1.0, 0.5, 0.5, 0.25]
    """

    name: ClassVar[str] = "milestones"
    at: Any = durations(("50%", "75%"))
    beta: Any = numeric(0.1, low=0.0, low_open=True)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        xp = array_api_compat.array_namespace(step)
        reached = xp.zeros_like(step)
        for moment in moments("Milestones.at", self.at, steps, run):
            reached = xp.where(step < moment, reached, reached + 1.0)
        return power_of(self.beta, reached)


def repeats_begun(step: Array, period: Fraction) -> Array:
    """How many repeats have begun after the first, where repeat k begins at k * period rounded down to a step.

    With 12.5 steps the first four begin at 0, 12, 25 and 37.
    """
    xp = array_api_compat.array_namespace(step)
    begun = (xp.floor(step) + 1.0) * float(period.denominator)
    return xp.ceil(divided(begun, float(period.numerator))) - 1.0


def moments(where: str, at: tuple[Any, ...], steps: int, run: RunLength) -> list[int]:
    """The steps of the durations `at`; `InputError` unless they are in order and inside the `steps` there are."""
    resolved = [run.steps(f"{where}[{index}]", entry) for index, entry in enumerate(at)]
    if sorted(resolved) != resolved or resolved[-1] > steps:
        raise InputError(f"{where} = {at!r}: are the steps {resolved}; must be in order and inside [0, {steps}]")
    return resolved
