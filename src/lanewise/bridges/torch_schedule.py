"""Schedules in a plain PyTorch loop: one scheduler for every hyperparameter of every parameter group."""

import math
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch.optim import Optimizer

from lanewise.bridges.group_schedules import (
    ScheduledNumber,
    ScheduledNumbers,
    check_attributes,
    check_not_twice,
    check_scalable,
    copied,
    times,
)
from lanewise.bridges.other_schedulers import Others
from lanewise.errors import InputError
from lanewise.parts.schedules import PlateauState, RunLength


class LRScheduler(torch.optim.lr_scheduler.LRScheduler):
    """Sets every named hyperparameter of every group from its schedule, as a pure function of the step.

    The value at a step depends on the step alone (and on the measurements given to plateaus), so resuming cannot
    drift: `last_epoch`, `load_state_dict` before or after the optimizer's, and a scheduler built on a loaded optimizer
    all lead to the same values. A schedule is a factor on the value each group was built with, which is kept in the
    group as `initial_lr`, `initial_momentum` and so on, where torch's own schedulers keep it.

    It takes part in torch's `SequentialLR` and `ChainedScheduler`, and beside `ReduceLROnPlateau`: the learning rate is
    the product of the schedule and of what other schedulers multiply it by between two steps of this one.

    Example::

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scheduler = LRScheduler(optimizer, {"lr": Cosine(warmup="5%"), "momentum": Linear(to=0.9)}, total_steps=1000)
        for x, y in batches:
            ...
            optimizer.step()
            scheduler.step()

    Args:
        optimizer: any torch optimizer.
        schedules: a schedule (of the learning rate), a mapping from hyperparameter to schedule, the same for all
            groups present and to come, or a list of either with one entry per group. A tuple of schedules stands for
            a hyperparameter that is a tuple (betas); a plain number is a constant.
        total_steps: steps of the whole run: the number of calls of `step` it is planned for, at least 1.
        steps_per_epoch: steps of one epoch; only durations in "ep" use it.
        absolute: whether schedules give the values themselves (`0.1 * Cosine()`) rather than factors.
        attributes: (object, attribute name, schedule) for numbers that live outside the optimizer, such as
            (dropout, "p", Linear()), (norm, "momentum", ...) or (loss, "label_smoothing", ...); factors on the value
            found there, or the values themselves if `absolute`.
        only_after_update: whether a call of `step` is ignored when the optimizer made no update since the last one, as
            when a gradient scaler skipped it. False counts calls, so that the schedule ends with the loop.
        last_epoch: steps done before this one, less one; -1 starts a run.

    Raises:
        InputError: a hyperparameter the group does not have, a number of entries that is not that of the groups, an
            attribute that is not there, or a schedule that does not fit into the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedules: Any,
        total_steps: int,
        steps_per_epoch: int = 1,
        *,
        absolute: bool = False,
        attributes: Sequence[tuple[Any, str, Any]] = (),
        only_after_update: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        run = RunLength(total_steps, steps_per_epoch)
        self._run = run
        self.total_steps = run.total_steps
        self.absolute = absolute
        self.only_after_update = only_after_update
        self._per_group = isinstance(schedules, (list, tuple))
        listed = schedules if self._per_group else [schedules]
        self._scheduled = [ScheduledNumbers(entry, run) for entry in listed]
        check_attributes(attributes)
        self._attributes = [(owner, name, ScheduledNumber(name, value, self._run)) for owner, name, value in attributes]
        self._attribute_bases = [getattr(owner, name) for owner, name, _ in attributes]
        for (owner, name, _), base in zip(attributes, self._attribute_bases, strict=True):
            check_scalable(f"{type(owner).__name__}.{name}", base, None)
        self._updates = 0
        self._groups_set = 0
        self._others = Others(optimizer, just_built=last_epoch == -1)
        self._begun = False
        if not absolute:
            shared = listed if self._per_group else listed * len(optimizer.param_groups)
            for entry, group in zip(shared, optimizer.param_groups, strict=False):
                check_not_twice(entry, group)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", copied(group["lr"]))
        watch(optimizer, self)
        super().__init__(optimizer, last_epoch)

    def __repr__(self) -> str:
        names = sorted({name for scheduled in self._scheduled for name in scheduled.of})
        return f"LRScheduler({', '.join(names)}; step {self.last_epoch:,} of {self.total_steps:,})"

    def step(self, metric: Any = None, *, epoch: int | None = None) -> None:  # type: ignore[override]  # metric first
        """Go to the next step; before that, a plateau in the schedules gets the `metric`, if it is given.

        Call it after `optimizer.step()`. Where metrics come less often than steps, call `step()` for each step and
        `observe(metric)` for each measurement.

        Args:
            epoch: the step to go to, as torch's schedulers take it, in place of the next.
        """
        if metric is not None:
            self._tell(metric)
        if epoch is not None:
            self._step_count += 1
            self.last_epoch = epoch
            self._set_values()
            return
        if self.only_after_update and not self._updates and not self._is_initial:
            self._set_values()
            return
        self._updates = 0
        self._step_count += 1
        self.last_epoch += 1
        self._set_values()

    def _initial_step(self) -> None:
        # torch calls it once more for the first of a sequence, whose groups it has put back to their first rates.
        if self._begun:
            self._others.forget()
        self._begun = True
        super()._initial_step()

    def _update_lr(self, epoch: int | None = None) -> None:
        """What torch's `SequentialLR` calls to begin with the schedule, at the step 0."""
        if epoch is None:
            self.last_epoch += 1
        else:
            self.last_epoch = epoch
            self._others.forget()
        self._set_values()

    def observe(self, metric: Any) -> None:
        """Give a measurement of their metric to the plateaus that are active at this step, without going on.

        A NaN or infinite metric is no improvement; it raises a RuntimeWarning.
        """
        self._tell(metric)
        self._set_values()

    def add_schedules(self, schedules: Any) -> None:
        """Give the schedules of one more parameter group, where each group has its own."""
        if not self._per_group:
            raise InputError("LRScheduler.schedules are the same for all groups, those added later too")
        self._scheduled.append(ScheduledNumbers(schedules, self._run))
        if len(self._scheduled) == len(self.optimizer.param_groups):
            self._set_values()

    def get_lr(self) -> list[Any]:
        """The learning rate of each group at this step."""
        return [copied(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def _last_lr(self) -> list[Any]:
        # Read on demand, by torch's get_last_lr among others: copying 100 groups' rates at each step would cost more
        # than setting them.
        return self.get_lr()

    @_last_lr.setter
    def _last_lr(self, rates: Any) -> None:
        """Schedulers that drive others write it; the groups hold the rates already."""

    @property
    def base_lrs(self) -> list[Any]:
        """The learning rate of each group that the schedule is a factor on: its `initial_lr`."""
        return [copied(group.get("initial_lr", group["lr"])) for group in self.optimizer.param_groups]

    @base_lrs.setter
    def base_lrs(self, rates: Sequence[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            group["initial_lr"] = copied(rate)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy watches the optimizer that was copied with it."""
        self.__dict__.update(state)
        watch(self.optimizer, self)

    def state_dict(self) -> dict[str, Any]:
        """The step, the plateaus' states and the base values: plain numbers, which `weights_only` loading takes."""
        return {
            "last_epoch": self.last_epoch,
            "_step_count": self._step_count,
            "plateaus": [asdict(state) for one in self._all_scheduled() for state in one.states],
            "bases": [
                {key: copied(value) for key, value in group.items() if key.startswith("initial_")}
                for group in self.optimizer.param_groups
            ],
            "attribute_bases": list(self._attribute_bases),
            "others": self._others.factors(self.optimizer.param_groups),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the step of a saved scheduler and set all values for it, whatever the optimizer holds.

        Raises:
            InputError: the state is not one of this class, or comes from schedules with another number of plateaus
                or attributes.
        """
        # States of versions that took part in no chain have no `others`.
        missing = sorted(self.state_dict().keys() - state_dict.keys() - {"others"})
        if missing:
            raise InputError(f"LRScheduler state: lacks {', '.join(missing)}; must come from LRScheduler.state_dict()")
        saved = [PlateauState(**state) for state in state_dict["plateaus"]]
        scheduled = self._all_scheduled()
        for what, got, expected in (
            ("plateaus", len(saved), sum(len(one.states) for one in scheduled)),
            ("attribute_bases", len(state_dict["attribute_bases"]), len(self._attribute_bases)),
        ):
            if got != expected:
                raise InputError(f"LRScheduler state: has {got} {what}; must have {expected}, as these schedules do")
        for one in scheduled:
            one.states, saved = saved[: len(one.states)], saved[len(one.states) :]
        # Groups that are only added after loading bring their own base values.
        for group, bases in zip(self.optimizer.param_groups, state_dict["bases"], strict=False):
            group.update({key: copied(value) for key, value in bases.items()})
        self._attribute_bases = list(state_dict["attribute_bases"])
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["_step_count"]
        self._updates = 0
        self._others.forget(state_dict.get("others", ()))
        self._set_values()

    def _all_scheduled(self) -> list[ScheduledNumber]:
        return [one for scheduled in self._scheduled for one in scheduled.flat()] + [
            one for *_, one in self._attributes
        ]

    def _tell(self, metric: Any) -> None:
        scheduled = [one for one in self._all_scheduled() if one.feedbacks]
        if not scheduled:
            raise InputError(f"metric = {metric}: the schedules have no plateau that uses it; call step() without it")
        number = float(metric)
        if not math.isfinite(number):
            warnings.warn(
                f"the metric at step {self.last_epoch} is {number}: counted as no improvement",
                RuntimeWarning,
                stacklevel=3,
            )
        for one in scheduled:
            one.observe(self.last_epoch, number)

    def _set_values(self) -> None:
        """Write the values of this step into every group and attribute."""
        if self.last_epoch < 0:
            return  # a sequence has not come to this scheduler yet
        groups = self.optimizer.param_groups
        if self._per_group and len(self._scheduled) != len(groups):
            raise InputError(
                f"LRScheduler.schedules has {len(self._scheduled)} entries and the optimizer {len(groups)} parameter "
                "groups; give a group that was added later its schedules with add_schedules"
            )
        for index in range(self._groups_set, len(groups)):
            self._scheduled[index if self._per_group else 0].check_group(index, groups[index])
        now = [scheduled.at(self.last_epoch) for scheduled in self._scheduled]
        others = self._others
        others.extend(len(groups))
        for index, (group, values) in enumerate(
            zip(groups, now if self._per_group else now * len(groups), strict=True)
        ):
            for name, base_name, value in values:
                held = group[name]
                if self.absolute:
                    new = value
                else:
                    if base_name not in group:
                        group[base_name] = copied(held)
                    base = group[base_name]
                    new = base * value if type(value) is float else times(base, value)
                if name == "lr":
                    new = others.take_over(index, held, new)
                if type(held) is not float and isinstance(held, torch.Tensor):
                    held.fill_(new)
                else:
                    group[name] = new
        for (owner, name, one), base in zip(self._attributes, self._attribute_bases, strict=True):
            value = one.at(self.last_epoch)
            setattr(owner, name, value if self.absolute else base * value)
        self._groups_set = len(groups)


def watch(optimizer: Optimizer, scheduler: LRScheduler) -> None:
    """Let `scheduler` see the optimizer's updates, without keeping it alive."""
    alive = weakref.ref(scheduler)

    def before(*_: Any) -> None:
        found = alive()
        # A group added since the last call of `step` must not take an update with its base values.
        if found is not None and found.last_epoch >= 0 and found._groups_set != len(found.optimizer.param_groups):
            found._set_values()

    def after(*_: Any) -> None:
        found = alive()
        # Fused optimizers are called even when the gradient scaler found an overflow, and skip inside.
        if found is not None and found.only_after_update and not getattr(optimizer, "found_inf", None):
            found._updates += 1

    def loaded(*_: Any) -> None:
        found = alive()
        if found is not None:
            found._others.overlook(found.optimizer.param_groups)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    optimizer.register_load_state_dict_post_hook(loaded)
