"""The rows of the schedules."""

import math
from dataclasses import replace
from typing import Any

from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Milestones,
    OneCycle,
    OneMinusSqrt,
    Piecewise,
    Plateau,
    Polynomial,
    Restarts,
    Rising,
    Shape,
    Staircase,
    StepLinear,
    Warmup,
    WarmupStableDecay,
)
from tests.parts.table_row import LIVELY, Row, recipe


def schedule_row(name: str, *schedules: Any) -> Row:
    """A schedule on the rate, with a base value of its own in each lane; once more with a warm-up and an early end."""
    first = schedules[0]
    early = (replace(first, warmup="5%", duration="90%"),) if isinstance(first, Shape) else ()
    rates = (0.2, 0.12, 0.07, 0.04)[: len(schedules) + len(early)]
    lanes = tuple(
        recipe(SGD(lr=rate * schedule, momentum=0.5), **LIVELY)
        for rate, schedule in zip(rates, (*schedules, *early), strict=True)
    )
    return Row(name, lanes, recipe(SGD(lr=rates[0], momentum=0.5), **LIVELY))


SCHEDULE_ROWS = (
    schedule_row("constant", Constant(warmup="20%"), Constant(), Constant(warmup="1ep")),
    schedule_row("linear", Linear(), Linear(to=0.1), Linear(to=0.5, warmup="7%")),
    schedule_row("polynomial", Polynomial(), Polynomial(power=0.3), Polynomial(power=3.0, to=0.1, warmup="2ep")),
    schedule_row("one_minus_sqrt", OneMinusSqrt(), OneMinusSqrt(to=0.2), OneMinusSqrt(warmup="9st")),
    schedule_row("exponential", Exponential(gamma=0.95), Exponential(gamma=0.7, per="1ep"), Exponential(to=0.01)),
    schedule_row("staircase", Staircase(), Staircase(beta=0.5, period="2ep"), Staircase(beta=0.8, period="7st")),
    schedule_row(
        "milestones", Milestones(), Milestones(at=("3ep", "80%"), beta=0.3), Milestones(at=("11st",), warmup="10%")
    ),
    schedule_row("step_linear", StepLinear(), StepLinear(step="40st"), StepLinear(step="3ep", warmup="3st")),
    schedule_row("inverse_time", InverseTime(), InverseTime(k=0.1), InverseTime(k=0.5, per="1ep", warmup="5%")),
    schedule_row("rising", Rising(), 0.5 * Rising(), Rising() * Linear()),
    schedule_row(
        "inverse_sqrt", InverseSqrt(), InverseSqrt(timescale="10st"), InverseSqrt(timescale="10%", warmup="10%")
    ),
    schedule_row("cosine", Cosine(), Cosine(arc=math.pi / 2), Cosine(arc=5.0, to=0.1, warmup="5%")),
    schedule_row(
        "restarts", Restarts(), Restarts(period="9st", growth=1.7, beta=0.8), Restarts(period="2ep", shape=Linear())
    ),
    schedule_row("one_cycle", OneCycle(), OneCycle(rise="11st", start=0.2, end=0.0), OneCycle(shape=Linear())),
    schedule_row(
        "wsd",
        WarmupStableDecay(),
        WarmupStableDecay(warmup="5%", decay="50%", shape=OneMinusSqrt()),
        WarmupStableDecay(decay="2ep", to=0.1),
    ),
    schedule_row(
        "piecewise",
        Piecewise(),
        Piecewise(at=("30%", "60%"), values=(1.0, 0.5, 0.1)),
        Piecewise(at=("2ep", "40st"), values=(0.0, 1.0, 0.2), shape=Cosine()),
    ),
    schedule_row("warmup", Warmup("20%"), Warmup("7st", shape=Linear(to=0.1)), Warmup("2ep", shape=Cosine())),
    # Before the first measurement a plateau is 1; what it does afterwards is the matter of test_table_plateau.py.
    schedule_row(
        "plateau",
        Plateau(warmup="20%"),
        Plateau(beta=0.5, patience=3, threshold=0.01, relative=False),
        Plateau(maximize=True, cooldown=2, floor=0.1) * Cosine(),
    ),
    schedule_row(
        "product", Linear() * Cosine(), 0.5 * Exponential(gamma=0.99) * Milestones(), Cosine() * Linear(warmup="5%")
    ),
    schedule_row(
        "sequence",
        Warmup("10%") >> Cosine(),
        Constant(duration="30%") >> Linear(duration="20%", to=0.5) >> (0.5 * Cosine()),
        Warmup("1ep") >> Plateau(),
    ),
)
