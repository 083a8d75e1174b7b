"""The plots of the schedules: each curve is the table of a real schedule."""

import math
from functools import partial

import numpy as np

import lanewise as lw
from docs.plots.style import GREY, Axes, Plot
from lanewise.parts.schedules import OneMinusSqrt, Schedule, feedbacks

STEPS = 100


def curves(*schedules: Schedule) -> Plot:
    """A plot of the schedules' factors over a run."""
    return partial(draw_curves, schedules=schedules)


def draw_curves(axes: Axes, schedules: tuple[Schedule, ...]) -> None:
    """Each schedule as `schedule.plot` draws it, with its expression as the label."""
    for schedule in schedules:
        schedule.plot(STEPS, steps_per_epoch=10, axes=axes)
    axes.set_ylabel("factor")
    axes.set_ylim(-0.03, 1.05)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0))


def plateau(axes: Axes) -> None:
    """A metric that stops improving, and what two plateaus make of it."""
    metric = np.maximum(np.exp(-np.arange(STEPS) / 12), 0.3)
    for schedule in (lw.Plateau(beta=0.5, patience=10), lw.Linear(warmup="10%") * lw.Plateau(beta=0.5, patience=10)):
        (feedback,) = feedbacks(schedule, STEPS)
        state, values = feedback.plateau.init(), []
        for step, factor in enumerate(schedule.table(STEPS)):
            values.append(factor * state.factor)
            state = feedback.plateau.update(state, metric[step])
        axes.step(range(STEPS), values, where="post", label=str(schedule))
    axes.plot(metric, color=GREY, linestyle=":", label="the metric, which stops falling at step 15")
    axes.set_xlabel("step")
    axes.set_ylabel("factor")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0))


PLOTS: dict[str, Plot] = {
    "constant": curves(lw.Constant(), lw.Constant(warmup="10%")),
    "linear": curves(lw.Linear(), lw.Linear(to=0.2), lw.StepLinear(step="50%")),
    "polynomial": curves(lw.Polynomial(power=0.5), lw.Polynomial(power=1.0), lw.Polynomial(), lw.Polynomial(power=4.0)),
    "exponential": curves(lw.Exponential(to=0.1), lw.Exponential(to=0.01), lw.Exponential(gamma=0.9, per="1ep")),
    "staircase": curves(lw.Staircase(beta=0.5, period="20%"), lw.Milestones()),
    "inverse-time": curves(lw.InverseTime(k=0.1), lw.InverseTime(k=0.1, per="1ep"), lw.Rising()),
    "inverse-sqrt": curves(lw.InverseSqrt(), lw.InverseSqrt(timescale="10%", warmup="10%")),
    "cosine": curves(lw.Cosine(), lw.Cosine(arc=math.pi / 2), lw.Cosine(to=0.1), lw.Cosine(warmup="10%")),
    "restarts": curves(lw.Restarts(), lw.Restarts(period="10%", growth=2.0, beta=0.8)),
    "one-cycle": curves(lw.OneCycle(), lw.OneCycle(shape=lw.Linear())),
    "wsd": curves(lw.WarmupStableDecay(warmup="5%"), lw.WarmupStableDecay(decay="40%", shape=OneMinusSqrt())),
    "piecewise": curves(
        lw.Piecewise(at=("30%", "60%"), values=(1.0, 0.4, 0.1)),
        lw.Piecewise(at=("30%", "100%"), values=(0.95, 0.85, 0.95), shape=lw.Cosine()),
    ),
    "warmup": curves(
        lw.Warmup("30%") >> lw.Constant(),
        lw.Warmup("30%", shape=lw.Cosine()) >> lw.Linear(),
        lw.Warmup("30%", shape=lw.Linear(to=0.1)) >> lw.Linear(),
    ),
    "plateau": plateau,
    "algebra": curves(
        lw.Cosine() * lw.Staircase(beta=0.5, period="50%"),
        lw.Constant(warmup="10%", duration="50%") >> lw.Exponential(to=0.01),
    ),
}
