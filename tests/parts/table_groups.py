"""What groups of parameters change in a plain run, worked out anew: by names, depths and durations written here."""

import math
from fnmatch import fnmatch
from typing import Any

from torch import nn

from lanewise.parts.groups import Times

DEPTHS = {
    "mlp": {"0": 1, "1": 1, "4": 0},
    "residual": {"stem": 2, "conv": 1, "norm": 1, "head": 0},
}
"""Depth of every layer of the models in `table_models.py` that the table's rows by depth train."""
BOTH_RATES = {"muon": ("lr", "adam_lr")}
OWN_DECAYS = {"adamw": ("weight_decay",), "muon": ("weight_decay", "adam_weight_decay")}


class ParameterGroups:
    """The numbers of each parameter under `recipe`."""

    def __init__(self, recipe: Any, model: nn.Module, total_steps: int, steps_per_epoch: int, rows: int) -> None:
        self.recipe, self.steps, self.epoch = recipe, total_steps, steps_per_epoch
        self.depths = DEPTHS["residual" if hasattr(model, "stem") else "mlp"]

    def values(self, name: str, values: dict[str, float], step: int) -> dict[str, float]:
        """Of the parameter called `name` at `step`."""
        own = dict(values)
        optimizer = self.recipe.optimizer.name
        for group in self.recipe.groups:
            if not fnmatch(name, group.parameters):
                continue
            of = {"lr": BOTH_RATES.get(optimizer, ("lr",)), "l2": ("l2",), "l1": ("l1",)}
            decays = OWN_DECAYS.get(optimizer, ())
            of["decay"] = decays if decays and self.recipe.decay == 0 else ("decay", *decays)
            for field, numbers in of.items():
                given = getattr(group, field)
                for number in numbers if given is not None else ():
                    factor = isinstance(given, Times)
                    value = self.value(given.factor if factor else given, step)
                    own[number] = value * values[number] if factor else value
        if "layer_decay" in values:
            share = values["layer_decay"] ** self.depths[name.split(".")[0]]
            for number in BOTH_RATES.get(optimizer, ("lr",)):
                own[number] *= share
        return own

    def value(self, given: Any, step: int) -> float:
        """A number or a schedule at `step`."""
        return float(given.table(self.steps, self.epoch)[step]) if hasattr(given, "table") else given

    def is_frozen(self, name: str, step: int) -> bool:
        """Whether the parameter called `name` waits at `step`."""
        waits = [self.long(group.freeze) for group in self.recipe.groups if fnmatch(name, group.parameters)]
        if self.recipe.gradual_unfreezing is not None:
            depth = self.depths[name.split(".")[0]]
            waits.append(self.long(self.recipe.gradual_unfreezing) * depth / max(self.depths.values()))
        return any(step < wait for wait in waits)

    def long(self, duration: str | None) -> int:
        """Steps of a duration, rounded down, but one at least where it is not 0."""
        if duration is None:
            return 0
        unit = {"%": self.steps / 100, "ep": self.epoch, "st": 1}
        amount = next(float(duration.removesuffix(one)) * size for one, size in unit.items() if duration.endswith(one))
        return max(1, math.floor(amount + 1e-9)) if amount else 0
