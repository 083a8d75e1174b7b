"""A shape that starts again and again."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import array_api_compat

from lanewise.parts.part import numeric
from lanewise.parts.schedules.basic import Cosine, power_of
from lanewise.parts.schedules.duration import RunLength, duration
from lanewise.parts.schedules.schedule import Array, hold
from lanewise.parts.schedules.shape import Shape, divided, shape
from lanewise.parts.schedules.steps import repeats_begun


@dataclass(frozen=True)
class Restarts(Shape):
    """A shape started again and again, each cycle `growth` times as long and `beta` times as high as the one before.

    A cycle begins at its exact moment rounded down to a step, so that four cycles of 25% of 50 steps leave no rest.
    The run cuts the last cycle short if it ends inside it. Source: Loshchilov and Hutter, "SGDR", 2017.

    Args:
        period: how long the first cycle lasts, above zero, and at least a step.
        growth: the ratio of a cycle's length to the one before, in [1, inf).
        beta: the ratio of a cycle's height to the one before, in (0, inf).
        shape: what is restarted.

    >>> from lanewise.parts.schedules.basic import Linear
    >>> Restarts(period="2st", growth=2.0, beta=0.5, shape=Linear()).table(6).tolist()
    [1.0, 0.5, 0.5, 0.375, 0.25, 0.125]
    """

    name: ClassVar[str] = "restarts"
    period: Any = duration("25%", positive=True)
    growth: Any = numeric(1.0, low=1.0)
    beta: Any = numeric(1.0, low=0.0, low_open=True)
    shape: Any = shape(Cosine())

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        period = max(run.exact("Restarts.period", self.period), Fraction(1))
        if self.growth == 1:
            return self.equal_cycles(step, steps, period, run)
        return self.growing_cycles(step, steps, period, run)

    def equal_cycles(self, step: Array, steps: int, period: Fraction, run: RunLength) -> Array:
        """The factor when all cycles are equal: two lengths at most, one step apart."""
        xp = array_api_compat.array_namespace(step)
        # The end of the run belongs to the cycle that ends there.
        cycle = hold(repeats_begun(step, period), math.ceil(steps / period) - 1)
        start, end = (moment_of(cycle + after, period) for after in (0.0, 1.0))
        short = math.floor(period)
        value = self.shape.factor(hold(step - start, short), short, run)
        if period != short:
            longer = self.shape.factor(hold(step - start, short + 1), short + 1, run)
            value = xp.where(end - start > short, longer, value)
        return value * power_of(self.beta, cycle)

    def growing_cycles(self, step: Array, steps: int, period: Fraction, run: RunLength) -> Array:
        """The factor when each cycle is longer than the one before, so that there are few."""
        xp = array_api_compat.array_namespace(step)
        growth = int(self.growth) if self.growth == int(self.growth) else self.growth
        value = xp.zeros_like(step)
        height, position, length = 1.0, Fraction(0), period
        while math.floor(position) < steps:
            start, end = math.floor(position), math.floor(position + length)
            here = height * self.shape.factor(hold(step - start, end - start), end - start, run)
            value = xp.where(step < start, value, here)
            height, position, length = height * self.beta, position + length, length * growth
        return value


def moment_of(cycle: Array, period: Fraction) -> Array:
    """The step at which each cycle begins: cycle * period, rounded down."""
    xp = array_api_compat.array_namespace(cycle)
    return xp.floor(divided(cycle * float(period.numerator), float(period.denominator)))
