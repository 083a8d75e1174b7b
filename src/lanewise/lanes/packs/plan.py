"""How lanes of one structure run: packed or looped, compiled or eager, how wide, on how many threads. Measured."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch

from lanewise.errors import InputError
from lanewise.lanes.step.step import LaneStep

EAGER_WIDTH, ACCELERATED_WIDTH = 32, 256
"""Lanes to an eager block, at most: beyond them a processor gains nothing, while a GPU is filled by hundreds. (Not
measured: no GPU has been at hand. What wins is decided by trials.)"""
MOST = 1024
"""Of workers, threads and lanes to a block, in a plan that is read."""
NARROWEST_PACK = 2
"""A pack of one lane rounds differently from all wider ones, so packs are padded to two."""


@dataclass(frozen=True)
class Plan:
    """The way chosen for one structure.

    Attributes:
        packed: lanes stacked by vmap, or one after another. compiled: fused by Inductor, or eager.
        width: lanes to a block (1 when looped). workers: blocks run side by side. threads: torch threads of each.
        why: one sentence on the choice. timings: microseconds a lane-step of every way tried, by its description.
        channels_last: images and weights of convolutions in channels-last format; for loops only.
        real: lane after lane in a real module, by plain autograd, for models that `torch.func` cannot take.
    """

    packed: bool
    compiled: bool
    width: int
    workers: int
    threads: int
    why: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    channels_last: bool = False
    real: bool = False

    def __str__(self) -> str:
        way = describe(self.packed, self.compiled, self.width) + ", channels last" * self.channels_last
        way += ", in a real module" * self.real
        return f"{way}, {self.workers} worker(s) of {self.threads} thread(s)"

    @property
    def least_width(self) -> int:
        """Lanes that a block must have: a compiled program takes one width only, an eager pack two lanes or more."""
        return self.width if self.compiled else NARROWEST_PACK if self.packed else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `engine.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any, where: str) -> "Plan":
        """The plan that `to_dict` gave; `InputError` where something else stands."""
        kinds = {"packed": bool, "compiled": bool, "width": int, "workers": int, "threads": int}
        if isinstance(data, dict):
            # Plans written before there was a choice have none.
            data = {"channels_last": False, "real": False} | data
            kinds |= {"channels_last": bool, "real": bool}
        if not isinstance(data, dict) or any(type(data.get(name)) is not kind for name, kind in kinds.items()):
            raise InputError(f"{where}: a plan must hold {', '.join(f'{n} ({k.__name__})' for n, k in kinds.items())}")
        if not isinstance(data.get("why", ""), str):
            raise InputError(f"{where}: why = {data['why']!r}: must be text")
        timings = data.get("timings", {})
        costs: list[Any] = list(timings.values()) if isinstance(timings, dict) else [math.nan]
        if not all(type(cost) in (int, float) and 0 <= cost < math.inf for cost in costs):
            raise InputError(f"{where}: timings = {timings!r}: must map ways to microseconds, numbers in [0, inf)")
        least = NARROWEST_PACK if data["packed"] else 1
        if min(data["width"] - least, data["workers"] - 1, data["threads"] - 1) < 0:
            raise InputError(f"{where}: workers and threads must be at least 1, and the width at least {least}")
        if max(data["width"], data["workers"], data["threads"]) > MOST:
            raise InputError(f"{where}: workers, threads and width must be at most {MOST}")
        if not data["packed"] and data["width"] > 1:
            raise InputError(f"{where}: width = {data['width']}: must be 1 where lanes run one after another")
        if data["packed"] and data["channels_last"]:
            raise InputError(f"{where}: channels_last = True: must be False where lanes are packed")
        if data["real"] and (data["packed"] or data["compiled"] or data["workers"] > 1):
            raise InputError(f"{where}: real = True: must be False where lanes are packed, compiled or shared out")
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def widest_block(device: torch.device) -> int:
    """Lanes that an eager block may have on `device`, at most, by speed."""
    return EAGER_WIDTH if device.type == "cpu" else ACCELERATED_WIDTH


def describe(packed: bool, is_compiled: bool, width: int) -> str:
    """The way in words."""
    how = "compiled" if is_compiled else "eager"
    return f"{how} packs of {'' if is_compiled else 'up to '}{width} lanes" if packed else f"{how} loop over lanes"


def check_draws(plan: Plan, step: LaneStep) -> None:
    """Raise `InputError` unless a model that draws random numbers itself runs eagerly, one lane at a time.

    torch's global generator can serve one lane at a time, and Inductor would draw other numbers.
    """
    if step.draws_itself and (plan.packed or plan.compiled or plan.workers > 1):
        raise InputError(
            f"the engine plan given ({plan}) does not fit: the model draws random numbers itself (F.dropout?), so its "
            "lanes must run one after another, eager, on 1 worker"
        )


def fitted(plan: Plan, step: LaneStep) -> Plan:
    """`plan`, or the one way that is right for a model which it does not fit."""
    traits = step.traits
    if traits.real:
        if (plan.packed, plan.compiled, plan.workers, plan.real) == (False, False, 1, True):
            return plan
        return Plan(False, False, 1, 1, plan.threads, traits.real, real=True)
    if plan.real:
        return replace(plan, real=False, why="the model needs no real module here")
    if traits.apart and (plan.packed or plan.compiled):
        return Plan(False, False, 1, 1 if step.draws_itself else plan.workers, plan.threads, traits.apart)
    return plan


Survivors = Sequence[tuple[float, float]]
"""(share of the lanes, share of the steps) of each stage of a race: `((1, 0.25), (0.5, 0.25), (0.25, 0.5))`."""
