"""Warm-up of any shape, as a part of its own."""

from dataclasses import dataclass
from typing import Any, ClassVar

from lanewise.errors import InputError
from lanewise.parts.schedules.basic import Linear
from lanewise.parts.schedules.duration import RunLength, duration
from lanewise.parts.schedules.schedule import Array, Schedule, hold
from lanewise.parts.schedules.shape import shape


@dataclass(frozen=True)
class Warmup(Schedule):
    """A shape played backwards over the warm-up, so that its last step has the factor 1, held after it.

    With the linear shape the factor at step t of w is (t + 1)/w: no step has factor 0, and
    `Warmup("5%") >> Cosine()` is exactly `Cosine(warmup="5%")`.

    Args:
        duration: how long the warm-up lasts, above zero.
        shape: the schedule to play backwards; `Linear(to=0.1)` comes from a tenth, `Cosine()` is soft at both ends.

    >>> (Warmup("4st") >> Linear()).table(8).tolist()
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    name: ClassVar[str] = "warmup"
    duration: Any = duration("5%", positive=True)
    shape: Any = shape(Linear())

    def factor(self, step: Array, steps: int, run: RunLength) -> Array:
        warm = self.length(run)
        if warm > steps:
            raise InputError(f"Warmup.duration = {self.duration!r}: lasts {warm} steps; must fit into {steps}")
        backwards: Array = self.shape.factor(hold(warm - (step + 1.0), warm), warm, run)
        return backwards

    def rises(self) -> bool:
        """A warm-up leads up to what follows."""
        return True

    def length(self, run: RunLength) -> int:
        return run.steps("Warmup.duration", self.duration)

    def timeless(self) -> bool:
        return False
