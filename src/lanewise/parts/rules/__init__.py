"""Update rules: how a gradient moves a parameter."""

from lanewise.parts.rules.adam import Adam, AdamW
from lanewise.parts.rules.lion import Lion
from lanewise.parts.rules.muon import Muon
from lanewise.parts.rules.rmsprop import RMSprop
from lanewise.parts.rules.rule import Numbers, Rule, Slots
from lanewise.parts.rules.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from lanewise.parts.rules.sgd import SGD, GradientDescent

RULES: tuple[type[Rule], ...] = (
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
    "RULES",
    "SGD",
    "Adam",
    "AdamW",
    "GradientDescent",
    "Lion",
    "Muon",
    "Numbers",
    "RMSprop",
    "Rule",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Slots",
]
