"""Optimizers: how a gradient moves a parameter."""

from lanewise.parts.optimizers.adam import Adam, AdamW
from lanewise.parts.optimizers.lion import Lion
from lanewise.parts.optimizers.muon import Muon
from lanewise.parts.optimizers.optimizer import Numbers, Optimizer, State
from lanewise.parts.optimizers.rmsprop import RMSprop
from lanewise.parts.optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from lanewise.parts.optimizers.sgd import SGD, GradientDescent

OPTIMIZERS: tuple[type[Optimizer], ...] = (
    GradientDescent,
    SGD,
    Adam,
    AdamW,
    RMSprop,
    Lion,
    Muon,
    ScheduleFreeSGD,
    ScheduleFreeAdamW,
)

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "AdamW",
    "GradientDescent",
    "Lion",
    "Muon",
    "Numbers",
    "Optimizer",
    "RMSprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "State",
]
