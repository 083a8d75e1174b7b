"""What a schedule is, and the algebra: product and sequence.

A schedule is a pure function of the step that returns a factor. Nothing is remembered from step to step, so a run
can be evaluated at any step, in any order, and resumed from the step alone.
"""

import math
import sys
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, Part, Timed, Variable
from lanewise.parts.schedules.duration import RunLength
from lanewise.parts.schedules.plot import draw

Array: TypeAlias = Any
"""A NumPy array, torch tensor or JAX array (or tracer) of any shape."""


@dataclass(frozen=True)
class Schedule(Part, Timed):
    """A factor that changes with the step; `0.1 * schedule` is a hyperparameter.

    A subclass gives `factor`, and `length` where it has a duration of its own.
    """

    # NumPy numbers then leave `number * schedule` to `__rmul__`.
    __array_ufunc__ = None

    def __call__(self, step: Any, total_steps: int, steps_per_epoch: int = 1) -> Any:
        """The factor at `step`.

        Args:
            step: steps taken before this one, from 0: a Python number, or an array or tensor of any shape. Integers
                are computed in float64 (JAX: in its default precision), floats in their own precision. Past the end
                of the run the end value holds.
            total_steps: steps of the whole run, at least 1.
            steps_per_epoch: steps of one epoch, at least 1; only durations in "ep" use it.

        Returns:
            A Python float for a Python number, otherwise an array of the kind and shape of `step`.

        Raises:
            InputError: a step below 0 (where it can be seen without waiting for a device), a total below 1, a
                duration that does not fit into the run, a variable that has no value yet, a factor that overflows.
        """
        run = RunLength(total_steps, steps_per_epoch)
        require_chosen(self)
        if isinstance(step, (bool, str)) or step is None:
            raise InputError(f"step = {step!r}: must be a number or an array in [0, inf)")
        if isinstance(step, (int, float)):
            # In an array of one entry, so that NumPy rounds as it does in a table.
            return float(factor_in_numpy(self, np.array([step], dtype=np.float64), run)[0])
        if array_api_compat.is_numpy_array(step):
            return factor_in_numpy(self, step, run)
        return self.factor(hold(floating(step), run.total_steps), run.total_steps, run)

    def table(self, total_steps: int, steps_per_epoch: int = 1) -> NDArray[np.float64]:
        """The run as a float64 array of shape [total_steps]: the factor at t = 0 .. total_steps - 1."""
        run = RunLength(total_steps, steps_per_epoch)
        values: NDArray[np.float64] = self(np.arange(run.total_steps, dtype=np.float64), total_steps, steps_per_epoch)
        return values

    def plot(self, total_steps: int = 1000, steps_per_epoch: int = 1, axes: Any = None) -> Any:
        """Draw the table with matplotlib, into `axes` if given; returns the axes. Needs the extra `plot`."""
        return draw(self.table(total_steps, steps_per_epoch), str(self), axes)

    def factor(self, step: Array, steps: int, run: RunLength) -> Array:
        """The factor at local steps 0 .. `steps`, an array of floats already held inside that interval."""
        raise NotImplementedError

    def length(self, run: RunLength) -> int | None:
        """Steps the schedule lasts in `run`; None when it fills the steps it is given."""
        return None

    def timeless(self) -> bool:
        """Whether the schedule has no duration of its own, so that nothing can follow it in a sequence."""
        return True

    def rises(self) -> bool:
        """Whether this is a warm-up, which leads up to what follows."""
        return False

    def __mul__(self, other: Any) -> "Product":
        return product(self, other) if is_operand(other) else NotImplemented

    def __rmul__(self, other: Any) -> "Product":
        return product(other, self) if is_operand(other) else NotImplemented

    def __rshift__(self, other: Any) -> "Sequence":
        return sequence(self, other) if is_operand(other) else NotImplemented

    def __rrshift__(self, other: Any) -> "Sequence":
        return sequence(other, self) if is_operand(other) else NotImplemented


def check_operands(where: str, value: Any) -> None:
    """Raise `InputError` unless `value` is a tuple of numbers, schedules and variables."""
    if not isinstance(value, tuple) or not value:
        raise InputError(f"{where} = {value!r}: must be a tuple of numbers and schedules, at least one")
    for index, entry in enumerate(value):
        if not is_operand(entry):
            raise InputError(f"{where}[{index}] = {entry!r}: must be a finite number or a schedule")
        if isinstance(entry, Variable):
            check_operands(f"{where}[{index}]", entry.extremes())


@dataclass(frozen=True)
class Product(Schedule):
    """The true product of its factors: schedules and plain numbers.

    Kept in one form: products inside it are opened, and its plain numbers are multiplied into one that comes first.
    It lasts as long as the longest factor; a shorter one holds its end value.
    """

    factors: tuple[Any, ...] = field(metadata={"check": check_operands})

    def __post_init__(self) -> None:
        super().__post_init__()
        opened = [part for entry in self.factors for part in (entry.factors if isinstance(entry, Product) else [entry])]
        numbers = [entry for entry in opened if isinstance(entry, (int, float))]
        others = [entry for entry in opened if not isinstance(entry, (int, float))]
        first = (math.prod(numbers),) if numbers else ()
        if not all(map(is_operand, first)):
            raise InputError(f"{' * '.join(map(str, numbers))}: is no finite number")
        object.__setattr__(self, "factors", (*first, *others))

    def factor(self, step: Array, steps: int, run: RunLength) -> Array:
        """The factors' product."""
        value = part_factor(self.factors[0], step, steps, run)
        for part in self.factors[1:]:
            value = value * part_factor(part, step, steps, run)
        return value

    def length(self, run: RunLength) -> int | None:
        """The longest factor's length."""
        lengths = (part.length(run) for part in self.factors if isinstance(part, Schedule))
        return max((length for length in lengths if length is not None), default=None)

    def rises(self) -> bool:
        """Whether a factor is a warm-up."""
        return any(part.rises() for part in self.factors if isinstance(part, Schedule))

    def timeless(self) -> bool:
        """Whether no factor has a duration."""
        return all(is_timeless(part) for part in self.factors)

    def __str__(self) -> str:
        return " * ".join(f"({part})" if isinstance(part, Sequence) else str(part) for part in self.factors)


@dataclass(frozen=True)
class Sequence(Schedule):
    """One part after the other; each but the last has a duration, and the last fills the rest of the run.

    Durations in % are shares of the whole run, whatever the part's place. Each part counts its own progress from 0.
    """

    parts: tuple[Any, ...] = field(metadata={"check": check_operands})

    def __post_init__(self) -> None:
        super().__post_init__()
        opened = [part for entry in self.parts for part in (entry.parts if isinstance(entry, Sequence) else [entry])]
        object.__setattr__(self, "parts", tuple(opened))
        scaled = [isinstance(part, Product) and isinstance(part.factors[0], (int, float)) for part in opened]
        if scaled[0] and not any(scaled[1:]) and opened[0].rises():
            number, rest = opened[0].factors[0], " >> ".join(map(str, (*opened[0].factors[1:], *opened[1:])))
            raise InputError(
                f"{self}: rises to {number} and goes on from 1, since * comes before >>; write {number} * ({rest})"
            )
        for part in opened[:-1]:
            if is_timeless(part):
                raise InputError(
                    f'{part} >> ...: must have a duration, such as duration="30%", for another part to follow it'
                )

    def spans(self, steps: int, run: RunLength) -> list[tuple[int, int]]:
        """First step and number of steps of each part, when the sequence is given `steps` steps.

        Raises:
            InputError: the parts together last longer than `steps`.
        """
        spans: list[tuple[int, int]] = []
        start = 0
        for part in self.parts:
            length = part.length(run) if isinstance(part, Schedule) else None
            if length is None:
                length = steps - start
            if start + length > steps:
                raise InputError(f"{self}: lasts {start + length} steps with {part}; must fit into {steps} steps")
            spans.append((start, length))
            start += length
        return spans

    def factor(self, step: Array, steps: int, run: RunLength) -> Array:
        """The factor of the part whose turn it is."""
        xp = array_api_compat.array_namespace(step)
        value = None
        for part, (start, length) in zip(self.parts, self.spans(steps, run), strict=True):
            here = part_factor(part, hold(step - start, length), length, run)
            value = here if value is None else xp.where(step < start, value, here)
        return value

    def length(self, run: RunLength) -> int | None:
        """The parts' lengths together; None when the last fills the rest."""
        lengths = [part.length(run) if isinstance(part, Schedule) else None for part in self.parts]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) else None

    def timeless(self) -> bool:
        """Whether the last part has no duration."""
        return is_timeless(self.parts[-1])

    def __str__(self) -> str:
        return " >> ".join(map(str, self.parts))


def product(*factors: Any) -> Any:
    """The product of numbers, schedules and variables; a plain number when all are numbers.

    >>> product(0.1, product(2, 0.5))
    0.1
    """
    flat = Product(factors)
    return flat.factors[0] if len(flat.factors) == 1 else flat


def sequence(*parts: Any) -> "Sequence":
    """The parts one after the other; each but the last must have a duration."""
    return Sequence(parts)


def tabulate(
    value: Any, total_steps: int, steps_per_epoch: int = 1, *, where: str = "value", allowed: Allowed | None = None
) -> NDArray[np.float64]:
    """Any hyperparameter over the run as a float64 array of shape [total_steps]: a plain number or a schedule.

    Args:
        value: a finite number, or a schedule whose table holds the run's absolute values (`0.3 * Linear()`).
        total_steps: steps of the whole run, at least 1.
        steps_per_epoch: steps of one epoch, at least 1.
        where: what the hyperparameter is called in messages.
        allowed: the interval every value of the run must lie in; None allows any finite number.

    Raises:
        InputError: the value is no number or schedule, or leaves `allowed` at some step.
    """
    run = RunLength(total_steps, steps_per_epoch)
    if isinstance(value, Schedule):
        table = value.table(total_steps, steps_per_epoch)
    elif isinstance(value, (int, float)) and is_operand(value):
        table = np.full(run.total_steps, float(value))
    else:
        raise InputError(f"{where} = {value}: must be a finite number or a schedule")
    if allowed is not None:
        for extreme in (table.argmin(), table.argmax()):
            if not allowed.holds(float(table[extreme])):
                raise InputError(f"{where} = {value}: is {table[extreme]:g} at step {extreme}; must be {allowed}")
    return table


def is_operand(value: Any) -> bool:
    """Whether `value` can stand in a product or sequence: a finite number, a schedule or a variable."""
    if isinstance(value, bool):
        return False
    return isinstance(value, (Schedule, Variable)) or (
        isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
    )


def is_timeless(value: Any) -> bool:
    """Whether a part of a sequence, or one of the draws of a variable, has no duration of its own."""
    if isinstance(value, Variable):
        return any(is_timeless(extreme) for extreme in value.extremes())
    return value.timeless() if isinstance(value, Schedule) else True


def part_factor(part: Any, step: Array, steps: int, run: RunLength) -> Array:
    """The factor of a schedule or of a plain number."""
    if isinstance(part, Schedule):
        return part.factor(step, steps, run)
    return array_api_compat.array_namespace(step).full_like(step, float(part))


def hold(step: Array, steps: int) -> Array:
    """`step` kept inside [0, steps], so that a shape holds its start and end value outside."""
    xp = array_api_compat.array_namespace(step)
    return xp.where(step < 0.0, 0.0, xp.where(step > float(steps), float(steps), step))


def floating(step: Array) -> Array:
    """`step` as floats: integers become float64, or JAX's default precision."""
    xp = array_api_compat.array_namespace(step)
    if xp.isdtype(step.dtype, "real floating"):
        return step
    return step * 1.0 if array_api_compat.is_jax_array(step) else xp.astype(step, xp.float64)


def factor_in_numpy(schedule: Schedule, step: Array, run: RunLength) -> Array:
    """The factor for a NumPy array, with the checks that need its values."""
    if not np.all(step >= 0):
        raise InputError(f"step = {np.min(step)}: must be in [0, inf)")
    with np.errstate(all="ignore"):
        value = schedule.factor(hold(floating(step), run.total_steps), run.total_steps, run)
    if not np.all(np.isfinite(value)):
        raise InputError(f"{schedule}: overflows within the run; must stay finite")
    return value


def require_chosen(value: Any, where: str = "") -> None:
    """Raise `InputError` if a variable of a space is left anywhere in a part."""
    if isinstance(value, Variable):
        raise InputError(f"{where} = {value}: choose a value before the schedule is evaluated")
    if isinstance(value, tuple):
        for index, entry in enumerate(value):
            require_chosen(entry, f"{where}[{index}]")
    elif isinstance(value, Part):
        for item in fields(value):
            require_chosen(getattr(value, item.name), f"{type(value).__name__}.{item.name}")
