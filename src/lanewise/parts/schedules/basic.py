"""The basic shapes. t is the shape's own step, n its steps, u = t/n its progress."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import array_api_compat

from lanewise.errors import InputError
from lanewise.parts.part import numeric
from lanewise.parts.schedules.duration import RunLength, duration
from lanewise.parts.schedules.schedule import Array
from lanewise.parts.schedules.shape import Shape, between, divided, remaining


@dataclass(frozen=True)
class Constant(Shape):
    """1.

    >>> Constant(warmup="2st").table(4).tolist()
    [0.5, 1.0, 1.0, 1.0]
    """

    name: ClassVar[str] = "constant"

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        return array_api_compat.array_namespace(step).ones_like(step)


@dataclass(frozen=True)
class Linear(Shape):
    """1 - u, or down to another value: 1 - (1 - to) u.

    Args:
        to: the factor reached at the end, in [0, inf).

    >>> Linear().table(4).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """

    name: ClassVar[str] = "linear"
    to: Any = numeric(0.0, low=0.0)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        return between(1.0, self.to, remaining(step, steps))


@dataclass(frozen=True)
class Polynomial(Shape):
    """(1 - u)^power, or down to another value: to + (1 - to) (1 - u)^power.

    Args:
        power: the exponent, in (0, inf); 1 is linear, 0.9 is common in segmentation.
        to: the factor reached at the end, in [0, inf).

    >>> Polynomial(power=2).table(4).tolist()
    [1.0, 0.5625, 0.25, 0.0625]
    """

    name: ClassVar[str] = "polynomial"
    power: Any = numeric(2.0, low=0.0, low_open=True)
    to: Any = numeric(0.0, low=0.0)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        return between(1.0, self.to, raised(remaining(step, steps), self.power))


@dataclass(frozen=True)
class OneMinusSqrt(Shape):
    """1 - sqrt(u): steep at first; the cool-down that served language models best.

    Source: Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations", 2024.

    Args:
        to: the factor reached at the end, in [0, inf).

    >>> OneMinusSqrt().table(4).tolist()[:2]
    [1.0, 0.5]
    """

    name: ClassVar[str] = "one_minus_sqrt"
    to: Any = numeric(0.0, low=0.0)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        root = array_api_compat.array_namespace(step).sqrt(divided(step, steps))
        return between(1.0, self.to, remaining(step, steps) / (1.0 + root))


@dataclass(frozen=True)
class Cosine(Shape):
    """(1 + cos(arc u))/2, or down to another value: to + (1 - to) (1 + cos(arc u))/2.

    Computed as sin^2(arc/2 (pi/arc - u)), which is the same and keeps its digits near the end.
    Source: Loshchilov and Hutter, "SGDR", 2017.

    Args:
        arc: the angle passed through, in radians, in (0, 2 pi]. pi, half a turn, ends at 0; pi/2 ends at 1/2.
        to: the value in place of the cosine's 0, in [0, inf).

    >>> [round(factor, 15) for factor in Cosine().table(4).tolist()]
    [1.0, 0.853553390593274, 0.5, 0.146446609406726]
    >>> round(Cosine(arc=math.pi / 2)(4, total_steps=4), 15)
    0.5
    """

    name: ClassVar[str] = "cosine"
    arc: Any = numeric(math.pi, low=0.0, high=2.0 * math.pi, low_open=True)
    to: Any = numeric(0.0, low=0.0)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        # t is taken from where the cosine is -1, which is at the end for pi: exact there, and nothing that a compiler
        # could fuse and so round otherwise.
        angle = 0.5 * self.arc * divided(steps * (math.pi / self.arc) - step, steps)
        sine = array_api_compat.array_namespace(step).sin(angle)
        return between(1.0, self.to, sine * sine)


@dataclass(frozen=True)
class Exponential(Shape):
    """gamma^t, with t counted in steps or epochs; or to^u, which ends at the fraction `to`. Give one of the two.

    Args:
        gamma: the factor per `per`, in (0, inf).
        to: the factor reached at the end, in (0, inf).
        per: the duration over which `gamma` acts once: "1st" per step, "1ep" per epoch, continuous in between.
            For a rate that stands still within the epoch take `Staircase`.

    >>> Exponential(gamma=0.5).table(3).tolist()
    [1.0, 0.5, 0.25]
    >>> Exponential(to=0.0625).table(4).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """

    name: ClassVar[str] = "exponential"
    gamma: Any = numeric(None, low=0.0, low_open=True, optional=True)
    to: Any = numeric(None, low=0.0, low_open=True, optional=True)
    per: Any = duration("1st", positive=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.gamma is None) == (self.to is None):
            raise InputError(
                f"Exponential.gamma = {self.gamma}, Exponential.to = {self.to}: give one of the two, in (0, inf)"
            )

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        if self.gamma is None:
            return power_of(self.to, divided(step, steps))
        return power_of(self.gamma, divided(step, float(run.exact("Exponential.per", self.per))))


@dataclass(frozen=True)
class StepLinear(Shape):
    """1 - t/step, held at 0 after `step`: linear by a step length instead of the run's.

    Args:
        step: how long the decay takes, a duration above zero.

    >>> StepLinear(step="2st").table(4).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """

    name: ClassVar[str] = "step_linear"
    step: Any = duration("50%", positive=True)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        length = run.steps("StepLinear.step", self.step)
        xp = array_api_compat.array_namespace(step)
        return xp.where(step < length, remaining(step, length), 0.0)


@dataclass(frozen=True)
class InverseTime(Shape):
    """1/(1 + k t).

    Args:
        k: the decay per `per`, in [0, inf).
        per: the duration that t counts in: "1st" for steps, "1ep" for epochs, continuous in between.

    >>> InverseTime(k=1).table(4).tolist()[1:4:2]
    [0.5, 0.25]
    """

    name: ClassVar[str] = "inverse_time"
    k: Any = numeric(1.0, low=0.0)
    per: Any = duration("1st", positive=True)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        return 1.0 / (1.0 + self.k * divided(step, float(run.exact("InverseTime.per", self.per))))


@dataclass(frozen=True)
class Rising(Shape):
    """t/(t + 1): starts at 0 and comes close to 1.

    >>> Rising().table(4).tolist()
    [0.0, 0.5, 0.6666666666666666, 0.75]
    """

    name: ClassVar[str] = "rising"

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        return step / (step + 1.0)


@dataclass(frozen=True)
class InverseSqrt(Shape):
    """1/sqrt(1 + t/timescale). With a warm-up as long as the timescale: the schedule of the transformer.

    Source: Vaswani et al., "Attention is all you need", 2017, section 5.3.

    Args:
        timescale: the duration after which the factor is 1/sqrt(2), above zero.

    >>> InverseSqrt(timescale="1st").table(4).tolist()[::3]
    [1.0, 0.5]
    """

    name: ClassVar[str] = "inverse_sqrt"
    timescale: Any = duration("5%", positive=True)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        scaled = 1.0 + divided(step, run.steps("InverseSqrt.timescale", self.timescale))
        return 1.0 / array_api_compat.array_namespace(step).sqrt(scaled)


def power_of(base: float, exponent: Array) -> Array:
    """base^exponent for a plain base above zero and an array of exponents."""
    xp = array_api_compat.array_namespace(exponent)
    return xp.pow(xp.full_like(exponent, base), exponent)


def raised(base: Array, exponent: float) -> Array:
    """base^exponent for an array of bases and a plain exponent."""
    xp = array_api_compat.array_namespace(base)
    return xp.pow(base, xp.full_like(base, exponent))
