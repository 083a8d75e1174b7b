"""What other schedulers of one optimizer do to the learning rate that a scheduler of ours sets."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer


class Others:
    """What other schedulers of the same optimizer multiply each group's learning rate by.

    What a rate was changed by since it was last written is taken for a factor, as torch's chained schedulers take it;
    a loaded optimizer, and a rate of 0, are no sign of one.

    Args:
        just_built: whether a scheduler built before on this optimizer, and not followed by an update, counts.
    """

    def __init__(self, optimizer: Optimizer, just_built: bool) -> None:
        self._factors: list[float] = []
        self._written: list[float | None] = []
        # torch marks the step of an optimizer that has a scheduler, and the optimizer once it has made an update.
        marked = hasattr(optimizer.step, "_wrapped_by_lr_sched") and not getattr(optimizer, "_opt_called", False)
        if just_built and marked:
            self.extend(len(optimizer.param_groups))
            for index, group in enumerate(optimizer.param_groups):
                self._written[index] = plain_rate(group.get("initial_lr"))
                self._hear(index, group["lr"])
            self.overlook(optimizer.param_groups)

    def extend(self, groups: int) -> None:
        """Count with so many groups."""
        new = groups - len(self._factors)
        self._factors += [1.0] * new
        self._written += [None] * new

    def _hear(self, index: int, held: Any) -> None:
        written = self._written[index]
        if written and held is not written:
            rate = plain_rate(held)
            if rate and rate != written:
                self._factors[index] *= rate / written

    def take_over(self, index: int, held: Any, new: Any) -> Any:
        """The rate to write to the group `index`, which holds `held`, where the schedule says `new`."""
        self._hear(index, held)
        if self._factors[index] != 1.0:
            new = new * self._factors[index]
        self._written[index] = plain_rate(new)
        return new

    def factors(self, groups: Sequence[Mapping[str, Any]]) -> list[float]:
        """The factor of each group, up to now."""
        self.extend(len(groups))
        found = copy.deepcopy(self)
        for index, group in enumerate(groups):
            found._hear(index, group["lr"])
        return found._factors

    def forget(self, factors: Sequence[float] = ()) -> None:
        """Begin anew, with the `factors` that are known."""
        self._factors, self._written = list(factors), [None] * len(factors)

    def overlook(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Take the rates that the groups hold now for those written last."""
        self.extend(len(groups))
        self._written = [plain_rate(group["lr"]) for group in groups]


def plain_rate(value: Any) -> float | None:
    """A rate as a number; None for one on an accelerator, which would have to be waited for."""
    if type(value) is float:
        return value
    if isinstance(value, torch.Tensor):
        return float(value) if value.device.type == "cpu" else None
    return None if value is None else float(value)
