"""Schedules against torch.optim.lr_scheduler, over a whole run.

torch computes most rates from the one before, so its own rounding adds up: hence 1e-12 and not less.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as theirs
from torch.optim.lr_scheduler import LRScheduler

from lanewise.parts.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Milestones,
    OneCycle,
    Piecewise,
    Plateau,
    PlateauState,
    Polynomial,
    Restarts,
    Schedule,
    Staircase,
)

T = 240


def optimizer(**numbers: Any) -> torch.optim.SGD:
    """An optimizer with rate 1, so that the rates are factors; it has nothing to do."""
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], **{"lr": 1.0, "momentum": 0.9} | numbers)


def run(build: Callable[[torch.optim.Optimizer], LRScheduler], name: str = "lr") -> np.ndarray:
    """The values a torch scheduler gives the hyperparameter called `name` at steps 0 .. T - 1."""
    chosen = optimizer()
    scheduler = build(chosen)
    values = []
    for _ in range(T):
        values.append(chosen.param_groups[0][name])
        chosen.step()
        scheduler.step()
    return np.array(values)


CASES: list[tuple[str, Callable[[Any], LRScheduler], Schedule]] = [
    ("constant", lambda o: theirs.ConstantLR(o, 1.0), Constant()),
    (
        "constant, then 1",
        lambda o: theirs.ConstantLR(o, 0.3, total_iters=50),
        Piecewise(at=("50st",), values=(0.3, 1.0)),
    ),
    ("linear", lambda o: theirs.LinearLR(o, 1.0, 0.1, total_iters=T), Linear(to=0.1)),
    (
        "linear warm-up",
        lambda o: theirs.LinearLR(o, 0.25, 1.0, total_iters=60),
        Piecewise(at=("60st",), values=(0.25, 1.0), shape=Linear()),
    ),
    ("polynomial", lambda o: theirs.PolynomialLR(o, T, power=0.7), Polynomial(power=0.7)),
    ("polynomial, shorter", lambda o: theirs.PolynomialLR(o, 100, power=3), Polynomial(power=3.0, duration="100st")),
    ("exponential", lambda o: theirs.ExponentialLR(o, 0.98), Exponential(gamma=0.98)),
    ("multiplicative", lambda o: theirs.MultiplicativeLR(o, lambda _: 0.98), Exponential(gamma=0.98)),
    ("step", lambda o: theirs.StepLR(o, 49, gamma=0.3), Staircase(beta=0.3, period="49st")),
    (
        "milestones",
        lambda o: theirs.MultiStepLR(o, [30, 80, 81], gamma=0.3),
        Milestones(at=("30st", "80st", "81st"), beta=0.3),
    ),
    ("cosine", lambda o: theirs.CosineAnnealingLR(o, T), Cosine()),
    ("cosine to a tenth", lambda o: theirs.CosineAnnealingLR(o, T, eta_min=0.1), Cosine(to=0.1)),
    ("restarts", lambda o: theirs.CosineAnnealingWarmRestarts(o, 30), Restarts(period="30st")),
    (
        "growing restarts",
        lambda o: theirs.CosineAnnealingWarmRestarts(o, 13, T_mult=2, eta_min=0.1),
        Restarts(period="13st", growth=2.0, shape=Cosine(to=0.1)),
    ),
    # torch reaches the end at its last step, so one of T + 1 steps is ours of T, and its peak lies one step early.
    ("one cycle", lambda o: theirs.OneCycleLR(o, 1.0, total_steps=T + 1, pct_start=61 / (T + 1)), OneCycle(rise="25%")),
    (
        "one linear cycle",
        lambda o: theirs.OneCycleLR(
            o, 1.0, total_steps=T + 1, pct_start=61 / (T + 1), anneal_strategy="linear", div_factor=10
        ),
        OneCycle(rise="25%", start=0.1, end=1e-5, shape=Linear()),
    ),
    (
        "one cycle in three phases",
        lambda o: theirs.OneCycleLR(o, 1.0, total_steps=T + 1, pct_start=81 / (T + 1), three_phase=True),
        Piecewise(at=("80st", "160st", "240st"), values=(0.04, 1.0, 0.04, 4e-6), shape=Cosine()),
    ),
    (
        "cyclic",
        lambda o: theirs.CyclicLR(o, 0.2, 1.0, step_size_up=20, cycle_momentum=False),
        Restarts(period="40st", shape=Piecewise(at=("20st", "40st"), values=(0.2, 1.0, 0.2), shape=Linear())),
    ),
    (
        "sequence",
        lambda o: theirs.SequentialLR(
            o, [theirs.LinearLR(o, 0.1, 1.0, total_iters=40), theirs.CosineAnnealingLR(o, T - 40)], [40]
        ),
        Piecewise(at=("40st",), values=(0.1, 1.0), shape=Linear(), duration="40st") >> Cosine(),
    ),
    (
        "product",
        lambda o: theirs.ChainedScheduler(
            [theirs.ExponentialLR(o, 0.99), theirs.MultiStepLR(o, [100], gamma=0.5)], optimizer=o
        ),
        Exponential(gamma=0.99) * Milestones(at=("100st",), beta=0.5),
    ),
]


@pytest.mark.parametrize(("build", "schedule"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_agrees_over_a_whole_run(build: Callable[[Any], LRScheduler], schedule: Schedule) -> None:
    np.testing.assert_allclose(schedule.table(T), run(build), rtol=1e-12, atol=1e-12)


def test_the_momentum_of_one_cycle() -> None:
    momentum = run(lambda o: theirs.OneCycleLR(o, 1.0, total_steps=T + 1, pct_start=61 / (T + 1)), "momentum")
    schedule = 0.95 * Piecewise(at=("60st", "240st"), values=(1.0, 0.85 / 0.95, 1.0), shape=Cosine())
    np.testing.assert_allclose(schedule.table(T), momentum, rtol=1e-12)


def test_our_warmup_is_theirs_one_step_on() -> None:
    warmup = run(lambda o: theirs.LambdaLR(o, lambda step: min(step / 20, 1.0)))
    np.testing.assert_allclose(Constant(warmup="20st").table(T - 1), warmup[1:], rtol=1e-15)


METRICS = np.random.default_rng(3).normal(size=400).cumsum() * 0.1 + 5


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("patience", "cooldown", "floor"), [(0, 0, 0.0), (3, 0, 0.0), (2, 4, 0.0), (1, 2, 0.05)])
def test_plateau_reduces_when_theirs_does(
    maximize: bool, relative: bool, patience: int, cooldown: int, floor: float
) -> None:
    chosen = optimizer()
    scheduler = theirs.ReduceLROnPlateau(
        chosen,
        mode="max" if maximize else "min",
        factor=0.5,
        patience=patience,
        threshold=0.02,
        threshold_mode="rel" if relative else "abs",
        cooldown=cooldown,
        min_lr=floor,
        eps=0.0,
    )
    plateau = Plateau(
        beta=0.5,
        patience=patience,
        threshold=0.02,
        relative=relative,
        maximize=maximize,
        cooldown=cooldown,
        floor=floor,
    )
    state, factors, expected = plateau.init(), [], []
    for metric in METRICS.tolist():
        state = plateau.update(state, metric)
        scheduler.step(metric)
        factors.append(state.factor)
        expected.append(chosen.param_groups[0]["lr"])
    assert factors == expected
    assert len(set(factors)) > 4


def test_a_metric_that_is_no_number_is_no_improvement() -> None:
    plateau = Plateau(beta=0.5, patience=1)
    state = plateau.init()
    for metric in (math.nan, 2.0, math.nan, -math.inf):
        state = plateau.update(state, metric)
    assert state == PlateauState(factor=0.5, best=2.0, waited=0, cooldown_left=0, rejected=3)
    assert plateau.update(state, 1.0).best == 1.0


def test_torch_takes_a_worse_negative_metric_for_an_improvement_and_we_do_not() -> None:
    plateau, chosen = Plateau(beta=0.5, patience=0, threshold=0.1), optimizer()
    scheduler = theirs.ReduceLROnPlateau(chosen, factor=0.5, patience=0, threshold=0.1)
    state = plateau.init()
    for metric in (-1.0, -0.95):
        state = plateau.update(state, metric)
        scheduler.step(metric)
    assert chosen.param_groups[0]["lr"] == 1.0
    assert (state.factor, state.best) == (0.5, -1.0)
