"""The schedules of a parameter group, and where each stands."""

from collections.abc import Mapping
from typing import Any

import torch

from lanewise.errors import InputError
from lanewise.parts.schedules import Product, RunLength, Schedule, feedbacks, tabulate


class ScheduledNumber:
    """One hyperparameter over the run: its table, and the state of the plateaus in it.

    Args:
        where: what the hyperparameter is called in messages.
        value: a schedule or a plain number.
        run: how long the run is.
    """

    def __init__(self, where: str, value: Any, run: RunLength) -> None:
        table = tabulate(value, run.total_steps, run.steps_per_epoch, where=where).tolist()
        end = value(run.total_steps, run.total_steps, run.steps_per_epoch) if isinstance(value, Schedule) else value
        self.table: list[float] = [*table, float(end)]
        self.feedbacks = feedbacks(value, run.total_steps, run.steps_per_epoch)
        self.states = [feedback.plateau.init() for feedback in self.feedbacks]

    def at(self, step: int) -> float:
        """The value at `step`; past the run's end the end value holds."""
        value = self.table[step] if step < len(self.table) else self.table[-1]
        if self.states:
            for feedback, state in zip(self.feedbacks, self.states, strict=True):
                if feedback.active(step):
                    value *= state.factor
        return value

    def observe(self, step: int, metric: float) -> None:
        """Give a measurement of the metric to the plateaus that are active at `step`."""
        for index, feedback in enumerate(self.feedbacks):
            if feedback.active(step):
                self.states[index] = feedback.plateau.update(self.states[index], metric)


class ScheduledNumbers:
    """The scheduled of one parameter group, or of several that share them; betas have a one each."""

    def __init__(self, schedules: Any, run: RunLength) -> None:
        named = schedules if isinstance(schedules, Mapping) else {"lr": schedules}
        self.of: dict[str, ScheduledNumber | tuple[ScheduledNumber, ...]] = {
            name: tuple(ScheduledNumber(f"{name}[{index}]", entry, run) for index, entry in enumerate(value))
            if isinstance(value, (tuple, list))
            else ScheduledNumber(name, value, run)
            for name, value in named.items()
        }
        if not self.of:
            raise InputError("LRScheduler.schedules = {}: must name at least one hyperparameter")

    def flat(self) -> list[ScheduledNumber]:
        """All scheduled, in a fixed order."""
        return [one for one in self.of.values() for one in (one if isinstance(one, tuple) else (one,))]

    def at(self, step: int) -> list[tuple[str, str, Any]]:
        """Name, name of the base value in the group, and factor or value at `step`, of each hyperparameter."""
        return [
            (
                name,
                f"initial_{name}",
                one.at(step) if isinstance(one, ScheduledNumber) else tuple(c.at(step) for c in one),
            )
            for name, one in self.of.items()
        ]

    def check_group(self, index: int, group: dict[str, Any]) -> None:
        """Raise `InputError` unless the group has every hyperparameter, as a number or a tuple as long as ours."""
        for name, one in self.of.items():
            where = f"LRScheduler.schedules[{name!r}]: param_groups[{index}]"
            if name not in group:
                known = (key for key in group if key != "params" and not key.startswith("initial_"))
                raise InputError(f"{where} has no such hyperparameter; it has {', '.join(known)}")
            check_scalable(f"{where}[{name!r}]", group[name], None if isinstance(one, ScheduledNumber) else len(one))


def check_attributes(attributes: Any) -> None:
    """Raise `InputError` unless `attributes` lists (object, name of an attribute it has, schedule)."""
    form = '(object, "attribute", schedule), such as (layer, "p", Linear())'
    if not isinstance(attributes, (list, tuple)):
        raise InputError(f"LRScheduler.attributes = {attributes!r}: must be a list of {form}")
    for index, entry in enumerate(attributes):
        where = f"LRScheduler.attributes[{index}]"
        if not isinstance(entry, (tuple, list)) or len(entry) != 3 or not isinstance(entry[1], str):
            raise InputError(f"{where} = {entry!r}: must be {form}")
        owner, name, _ = entry
        if not hasattr(owner, name):
            raise InputError(f"{where}: {type(owner).__name__} has no attribute {name!r}")


def check_scalable(where: str, value: Any, entries: int | None) -> None:
    """Raise `InputError` unless `value` is a number or, with `entries`, a tuple of that many numbers."""
    numbers = [value] if entries is None else value if isinstance(value, (tuple, list)) else []
    if len(numbers) != (entries or 1) or not all(isinstance(one, (int, float, torch.Tensor)) for one in numbers):
        expected = "a number" if entries is None else f"a tuple of {entries} numbers"
        raise InputError(f"{where} = {value!r}: must be {expected} for its schedule")
    if any(isinstance(one, bool) for one in numbers):
        raise InputError(f"{where} = {value!r}: a switch cannot take a schedule")


def check_not_twice(schedules: Any, group: Mapping[str, Any]) -> None:
    """Raise `InputError` for `0.1 * Cosine()` on a group whose value is 0.1 already: it would train at 0.01."""
    for name, value in (schedules if isinstance(schedules, Mapping) else {"lr": schedules}).items():
        if isinstance(value, Product) and value.factors[0] == group.get(f"initial_{name}", group.get(name)):
            raise InputError(
                f"LRScheduler.schedules: {name} = {value}, on a group whose {name} is {value.factors[0]} already: "
                "schedules are factors on the group's value; leave the number out, or pass absolute=True"
            )


def times(base: Any, factor: Any) -> Any:
    """`base` times `factor`, entry by entry where the hyperparameter is a tuple."""
    if isinstance(factor, tuple):
        return tuple(one * by for one, by in zip(base, factor, strict=True))
    return base * factor


def copied(value: Any) -> Any:
    """`value`, a copy of it if it is a tensor."""
    return value.clone() if isinstance(value, torch.Tensor) else value
