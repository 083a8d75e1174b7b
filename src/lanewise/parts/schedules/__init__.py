"""Schedules: factors that change with the step, and their algebra."""

from lanewise.parts.schedules.basic import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    OneMinusSqrt,
    Polynomial,
    Rising,
    StepLinear,
)
from lanewise.parts.schedules.duration import RunLength, duration, durations
from lanewise.parts.schedules.plateau import Feedback, Plateau, PlateauState, feedbacks
from lanewise.parts.schedules.restarts import Restarts
from lanewise.parts.schedules.schedule import Product, Schedule, Sequence, product, sequence, tabulate
from lanewise.parts.schedules.shape import Shape
from lanewise.parts.schedules.steps import Milestones, Staircase
from lanewise.parts.schedules.transitions import OneCycle, Piecewise, WarmupStableDecay
from lanewise.parts.schedules.warmup import Warmup

SCHEDULES: tuple[type[Schedule], ...] = (
    Constant,
    Linear,
    Polynomial,
    OneMinusSqrt,
    Exponential,
    Staircase,
    Milestones,
    StepLinear,
    InverseTime,
    Rising,
    InverseSqrt,
    Cosine,
    Restarts,
    OneCycle,
    WarmupStableDecay,
    Piecewise,
    Warmup,
    Plateau,
)
"""Every schedule that has a name in the expression language."""

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "Exponential",
    "Feedback",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "Milestones",
    "OneCycle",
    "OneMinusSqrt",
    "Piecewise",
    "Plateau",
    "PlateauState",
    "Polynomial",
    "Product",
    "Restarts",
    "Rising",
    "RunLength",
    "Schedule",
    "Sequence",
    "Shape",
    "Staircase",
    "StepLinear",
    "Warmup",
    "WarmupStableDecay",
    "duration",
    "durations",
    "feedbacks",
    "product",
    "sequence",
    "tabulate",
]
