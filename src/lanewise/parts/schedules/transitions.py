"""Schedules made of several stretches, each with a transition of any shape."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import array_api_compat

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number, numeric
from lanewise.parts.schedules.basic import Cosine, Linear
from lanewise.parts.schedules.duration import RunLength, duration, durations, tuple_of
from lanewise.parts.schedules.schedule import Array, Schedule, hold
from lanewise.parts.schedules.shape import Shape, between, check_shape, shape
from lanewise.parts.schedules.steps import moments


def transition(start: float, end: float, form: Schedule, step: Array, steps: int, run: RunLength) -> Array:
    """From `start` to `end` over `steps`: `form` on the way down, `form` played backwards on the way up."""
    if end <= start:
        return between(start, end, form.factor(step, steps, run))
    return between(end, start, form.factor(steps - step, steps, run))


def check_values(where: str, value: Any) -> None:
    """Raise `InputError` unless `value` is a tuple of numbers of at least 0."""
    tuple_of(lambda name, entry: check_number(name, entry, Allowed(low=0.0)), 1.0, 0.1)(where, value)


def check_optional_shape(where: str, value: Any) -> None:
    """Raise `InputError` unless `value` is None or a schedule that can give a transition its form."""
    if value is not None:
        check_shape(where, value)


@dataclass(frozen=True)
class Piecewise(Shape):
    """Given values at given moments: held until the next, or joined by a shape.

    Args:
        at: moments in the order of time, counted from the schedule's start (after its warm-up).
        values: the factors, each in [0, inf), one more than there are moments. The first holds from the start on (or
            is left from the start on), entry i + 1 is reached at moment i.
        shape: how one value goes over into the next: `Linear()`, `Cosine()` or any schedule that falls from 1 to 0,
            played backwards on the way up. None: each value holds until the next moment.

    >>> Piecewise(at=("2st", "3st"), values=(1.0, 0.5, 0.25)).table(4).tolist()
    [1.0, 1.0, 0.5, 0.25]
    >>> Piecewise(at=("2st", "4st"), values=(0.0, 1.0, 0.5), shape=Linear()).table(6).tolist()
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]
    """

    name: ClassVar[str] = "piecewise"
    at: Any = durations(("50%",))
    values: Any = field(default=(1.0, 0.1), metadata={"check": check_values})
    shape: Any = field(default=None, metadata={"check": check_optional_shape})

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.at) + 1:
            raise InputError(
                f"Piecewise.values = {self.values!r}: has {len(self.values)} entries; "
                f"must have one more than `at`, which has {len(self.at)}"
            )

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        xp = array_api_compat.array_namespace(step)
        ends = moments("Piecewise.at", self.at, steps, run)
        value = xp.full_like(step, float(self.values[-1]))
        for index in reversed(range(len(ends))):
            start = ends[index - 1] if index else 0
            before, after = float(self.values[index]), float(self.values[index + 1])
            length = ends[index] - start
            if self.shape is None or length == 0:
                piece = xp.full_like(step, before)
            else:
                piece = transition(before, after, self.shape, hold(step - start, length), length, run)
            value = xp.where(step < ends[index], piece, value)
        return value


@dataclass(frozen=True)
class OneCycle(Shape):
    """Up from `start` to 1 over `rise`, then down to `end` at the end of the run.

    For a momentum that moves the other way, take `Piecewise`. Source: Smith and Topin, "Super-convergence", 2018; the
    defaults are those of torch.optim.lr_scheduler.OneCycleLR (start 1/25, end start/10^4, rise 30%, cosine).

    Args:
        rise: how long the way up takes.
        start: the factor at step 0, in [0, 1].
        end: the factor reached at the end, in [0, 1].
        shape: the form of both ways: `Cosine()`, `Linear()`; played backwards on the way up.

    >>> OneCycle(rise="2st", start=0.5, end=0.0, shape=Linear()).table(6).tolist()
    [0.5, 0.75, 1.0, 0.75, 0.5, 0.25]
    """

    name: ClassVar[str] = "one_cycle"
    rise: Any = duration("30%")
    start: Any = numeric(0.04, low=0.0, high=1.0)
    end: Any = numeric(4e-6, low=0.0, high=1.0)
    shape: Any = shape(Cosine())

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        rise = fitting("OneCycle.rise", self.rise, steps, run)
        fall = steps - rise
        value = transition(1.0, self.end, self.shape, hold(step - rise, fall), max(fall, 1), run)
        if rise:
            up = transition(self.start, 1.0, self.shape, hold(step, rise), rise, run)
            value = array_api_compat.array_namespace(step).where(step < rise, up, value)
        return value


@dataclass(frozen=True)
class WarmupStableDecay(Shape):
    """1 until `decay` before the end, then down to `to`; with `warmup` the three phases of WSD.

    Source: Hu et al., "MiniCPM", 2024. Hägele et al., 2024, found a decay of 10% to 20% of the run in the form
    `OneMinusSqrt()` as good as a cosine.

    Args:
        decay: how long the decay at the end lasts.
        to: the factor reached at the end, in [0, 1].
        shape: the form of the decay.

    >>> WarmupStableDecay(warmup="2st", decay="2st").table(6).tolist()
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.5]
    """

    name: ClassVar[str] = "wsd"
    decay: Any = duration("20%")
    to: Any = numeric(0.0, low=0.0, high=1.0)
    shape: Any = shape(Linear())

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        decay = fitting("WarmupStableDecay.decay", self.decay, steps, run)
        if not decay:
            return array_api_compat.array_namespace(step).ones_like(step)
        return transition(1.0, self.to, self.shape, hold(step - (steps - decay), decay), decay, run)


def fitting(where: str, text: Any, steps: int, run: RunLength) -> int:
    """The duration `text` in steps; `InputError` when it is longer than the `steps` there are."""
    length = run.steps(where, text)
    if length > steps:
        raise InputError(f"{where} = {text!r}: lasts {length} steps; must fit into {steps}")
    return length
