"""Reduce on plateau: feedback from a metric, kept as explicit state beside the table of a schedule."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import array_api_compat

from lanewise.parts.part import flag, numeric
from lanewise.parts.schedules.duration import RunLength
from lanewise.parts.schedules.schedule import Array, Product, Sequence
from lanewise.parts.schedules.shape import Shape


@dataclass(frozen=True)
class PlateauState:
    """What one lane's plateau remembers between two measurements.

    Args:
        factor: what the schedule is multiplied by, in [0, 1].
        best: the best finite metric so far; None before the first.
        waited: measurements in a row without improvement.
        cooldown_left: measurements of the cooldown still to come.
        rejected: measurements that were NaN or infinite: no improvement, and reported.
    """

    factor: float = 1.0
    best: float | None = None
    waited: int = 0
    cooldown_left: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Plateau(Shape):
    """1 in the table, and times `beta` whenever the metric has not improved for more than `patience` measurements.

    As a schedule it is a factor like any other: `0.1 * Cosine() * Plateau()`, `Warmup("5%") >> Plateau()`. It only
    is active while its part of the run lasts. The method is that of torch's ReduceLROnPlateau, except that with a
    negative best value a relative threshold still asks for a better one (torch then takes worse ones).

    Args:
        beta: the factor of each reduction, in (0, 1).
        patience: measurements without improvement that are put up with, an integer in [0, inf); one more reduces. The
            default is torch's, for a measurement an epoch over a long run. A race and `lanewise train` measure 4, 8 or
            16 times a run, from 4 epochs on never more than once an epoch: 2 or 3 fits there, and 10 never reduces a
            run of less than 16 epochs.
        threshold: by how much a measurement must be better to count, in [0, inf).
        relative: whether `threshold` is a fraction of the best value rather than in the metric's unit.
        maximize: whether higher is better.
        cooldown: measurements after a reduction that are not counted, an integer in [0, inf).
        floor: the factor never falls below it, in [0, 1].

    >>> plateau = Plateau(beta=0.5, patience=1)
    >>> state = plateau.init()
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     state = plateau.update(state, loss)
    >>> state.factor, state.best
    (0.5, 0.9)
    """

    name: ClassVar[str] = "plateau"
    beta: Any = numeric(0.1, low=0.0, high=1.0, low_open=True, high_open=True)
    patience: Any = numeric(10, low=0, integer=True)
    threshold: Any = numeric(1e-4, low=0.0)
    relative: Any = flag(True)
    maximize: Any = flag(False)
    cooldown: Any = numeric(0, low=0, integer=True)
    floor: Any = numeric(0.0, low=0.0, high=1.0)

    def curve(self, step: Array, steps: int, run: RunLength) -> Array:
        return array_api_compat.array_namespace(step).ones_like(step)

    def init(self) -> PlateauState:
        """The state before the first measurement."""
        return PlateauState()

    def update(self, state: PlateauState, metric: float) -> PlateauState:
        """The state after a measurement of the metric; NaN and infinities count as no improvement."""
        usable = math.isfinite(metric)
        if usable and self.improves(metric, state.best):
            state = replace(state, best=metric, waited=0)
        else:
            state = replace(state, waited=state.waited + 1, rejected=state.rejected + (not usable))
        if state.cooldown_left:
            state = replace(state, cooldown_left=state.cooldown_left - 1, waited=0)
        if state.waited > self.patience:
            factor = max(state.factor * self.beta, min(self.floor, state.factor))
            state = replace(state, factor=factor, waited=0, cooldown_left=self.cooldown)
        return state

    def improves(self, metric: float, best: float | None) -> bool:
        """Whether a finite `metric` is better than `best` by more than the threshold."""
        if best is None:
            return True
        margin: float = self.threshold * (abs(best) if self.relative else 1.0)
        return metric > best + margin if self.maximize else metric < best - margin


class Feedback(NamedTuple):
    """A plateau inside a schedule and the steps during which it is active: start <= t < stop.

    stop is None for a plateau that lasts to the end of the run and past it.
    """

    plateau: Plateau
    start: int
    stop: int | None

    def active(self, step: int) -> bool:
        """Whether the plateau is active at `step`."""
        return self.start <= step and (self.stop is None or step < self.stop)


def feedbacks(value: Any, total_steps: int, steps_per_epoch: int = 1) -> tuple[Feedback, ...]:
    """The plateaus in a hyperparameter's value, from left to right; none for a plain number.

    The value at step t is the table's, times `state.factor` of each feedback that is active at t. A measurement taken
    after step t goes to those that are active at t.
    """
    run = RunLength(total_steps, steps_per_epoch)
    return tuple(collect(value, 0, run.total_steps, None, run))


def collect(value: Any, start: int, steps: int, stop: int | None, run: RunLength) -> list[Feedback]:
    """The plateaus in `value`, which is given `steps` steps from `start` on and counts until `stop`."""
    if isinstance(value, Plateau):
        return [Feedback(value, start, stop)]
    if isinstance(value, Product):
        return [found for part in value.factors for found in collect(part, start, steps, stop, run)]
    if isinstance(value, Sequence):
        last = len(value.parts) - 1
        return [
            found
            for index, (part, (begin, length)) in enumerate(zip(value.parts, value.spans(steps, run), strict=True))
            for found in collect(part, start + begin, length, stop if index == last else start + begin + length, run)
        ]
    return []
