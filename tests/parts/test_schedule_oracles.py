"""Schedules against Keras, Optax and Transformers over a whole run, and on JAX arrays and tracers.

Keras computes with floatx float64 and JAX in x64 mode. Their warm-ups give t/w, from 0 on; ours (t + 1)/w, so that
ours at step t is theirs at t + 1. `FROM_ZERO` is their form, in our parts.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
import torch
import transformers.optimization as hub
from hypothesis import given, settings
from keras.optimizers import schedules as k
from keras.src.backend.common import dtypes

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
    Polynomial,
    Restarts,
    Schedule,
    Staircase,
    Warmup,
    WarmupStableDecay,
)
from tests.parts.schedule_draws import EXAMPLES, STEPS_PER_EPOCH, TOTAL_STEPS, compositions
from tests.parts.test_schedule_properties import apart

pytestmark = pytest.mark.oracle

T, W = 240, 48
FROM_ZERO = Piecewise(at=("48st",), values=(0.0, 1.0), shape=Linear(), duration="48st")


@pytest.fixture(autouse=True)
def _double_precision(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    # Keras' own promotion turns float64 into float32 in `cos` on JAX, whatever floatx says.
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    with jax.enable_x64(True):
        yield
    keras.config.set_floatx(before)


KERAS: list[tuple[str, Callable[[], Any], Schedule]] = [
    ("exponential", lambda: k.ExponentialDecay(1.0, 30, 0.7), Exponential(gamma=0.7, per="30st")),
    # Not 49: on JAX Keras (and Optax) fall one step late then, as XLA's 49 * (1/49) is below 1.
    ("staircase", lambda: k.ExponentialDecay(1.0, 48, 0.7, staircase=True), Staircase(beta=0.7, period="48st")),
    ("polynomial", lambda: k.PolynomialDecay(1.0, T, 0.1, power=2.5), Polynomial(power=2.5, to=0.1)),
    ("inverse time", lambda: k.InverseTimeDecay(1.0, 30, 0.7), InverseTime(k=0.7, per="30st")),
    # Keras still gives the old value at the boundary itself.
    (
        "piecewise",
        lambda: k.PiecewiseConstantDecay([49, 119], [1.0, 0.5, 0.1]),
        Piecewise(at=("50st", "120st"), values=(1.0, 0.5, 0.1)),
    ),
    ("cosine", lambda: k.CosineDecay(1.0, T, alpha=0.1), Cosine(to=0.1)),
    (
        "cosine with warm-up",
        lambda: k.CosineDecay(0.0, T - W, alpha=0.1, warmup_target=1.0, warmup_steps=W),
        FROM_ZERO >> Cosine(to=0.1),
    ),
    (
        "restarts",
        lambda: k.CosineDecayRestarts(1.0, 32, t_mul=1.0, m_mul=0.8),
        Restarts(period="32st", beta=0.8),
    ),
    # Not doubled: Keras finds the cycle by a logarithm, and log(8)/log(2) is below 3 on JAX.
    (
        "growing restarts",
        lambda: k.CosineDecayRestarts(1.0, 20, t_mul=3.0, alpha=0.1),
        Restarts(period="20st", growth=3.0, shape=Cosine(to=0.1)),
    ),
]


@pytest.mark.parametrize(("build", "schedule"), [case[1:] for case in KERAS], ids=[case[0] for case in KERAS])
def test_keras(build: Callable[[], Any], schedule: Schedule) -> None:
    values = jax.vmap(build())(jnp.arange(T, dtype=jnp.float64))
    assert values.dtype == jnp.float64
    np.testing.assert_allclose(schedule.table(T), np.array(values), rtol=1e-12, atol=1e-12)


OPTAX: list[tuple[str, Callable[[], Any], Schedule]] = [
    ("linear", lambda: optax.linear_schedule(1.0, 0.1, T), Linear(to=0.1)),
    (
        "linear, later",
        lambda: optax.linear_schedule(1.0, 0.0, T - W, transition_begin=W),
        Constant(duration="48st") >> Linear(),
    ),
    ("polynomial", lambda: optax.polynomial_schedule(1.0, 0.1, 2.5, T), Polynomial(power=2.5, to=0.1)),
    ("exponential", lambda: optax.exponential_decay(1.0, 30, 0.7), Exponential(gamma=0.7, per="30st")),
    ("staircase", lambda: optax.exponential_decay(1.0, 48, 0.7, staircase=True), Staircase(beta=0.7, period="48st")),
    (
        "milestones",
        lambda: optax.piecewise_constant_schedule(1.0, {50: 0.3, 120: 0.3}),
        Milestones(at=("50st", "120st"), beta=0.3),
    ),
    (
        "linear pieces",
        lambda: optax.piecewise_interpolate_schedule("linear", 0.5, {50: 2.0, 120: 0.1}),
        Piecewise(at=("50st", "120st"), values=(0.5, 1.0, 0.1), shape=Linear()),
    ),
    (
        "cosine pieces",
        lambda: optax.piecewise_interpolate_schedule("cosine", 0.5, {50: 2.0, 120: 0.1}),
        Piecewise(at=("50st", "120st"), values=(0.5, 1.0, 0.1), shape=Cosine()),
    ),
    ("cosine", lambda: optax.cosine_decay_schedule(1.0, T, alpha=0.1), Cosine(to=0.1)),
    ("cosine squared", lambda: optax.cosine_decay_schedule(1.0, T, exponent=2.0), Cosine() * Cosine()),
    ("one cycle", lambda: optax.cosine_onecycle_schedule(T, 1.0), OneCycle()),
    (
        "one linear cycle",
        lambda: optax.linear_onecycle_schedule(T, 1.0),
        Piecewise(at=("30%", "85%", "100%"), values=(0.04, 1.0, 0.04, 4e-6), shape=Linear()),
    ),
    ("warm-up, constant", lambda: optax.warmup_constant_schedule(0.0, 1.0, W), FROM_ZERO >> Constant()),
    ("warm-up, cosine", lambda: optax.warmup_cosine_decay_schedule(0.0, 1.0, W, T, 0.1), FROM_ZERO >> Cosine(to=0.1)),
    (
        "warm-up, exponential",
        lambda: optax.warmup_exponential_decay_schedule(0.0, 1.0, W, 30, 0.7),
        FROM_ZERO >> Exponential(gamma=0.7, per="30st"),
    ),
    (
        "restarts",
        lambda: optax.sgdr_schedule(
            [
                {"init_value": 1.0, "peak_value": height, "decay_steps": steps, "warmup_steps": 0}
                for height, steps in ((1.0, 34), (0.5, 68), (0.25, 136), (0.125, 272))
            ]
        ),
        Restarts(period="34st", growth=2.0, beta=0.5),
    ),
    (
        "joined",
        lambda: optax.join_schedules([lambda _: jnp.float64(0.5), optax.cosine_decay_schedule(1.0, T - 50)], [50]),
        0.5 * Constant(duration="50st") >> Cosine(),
    ),
]


@pytest.mark.parametrize(("build", "schedule"), [case[1:] for case in OPTAX], ids=[case[0] for case in OPTAX])
def test_optax(build: Callable[[], Any], schedule: Schedule) -> None:
    values = jax.vmap(build())(jnp.arange(T))
    assert values.dtype == jnp.float64
    np.testing.assert_allclose(schedule.table(T), np.array(values), rtol=1e-12, atol=1e-12)


TRANSFORMERS: list[tuple[str, Callable[[Any], Any], Schedule]] = [
    ("constant", lambda o: hub.get_constant_schedule_with_warmup(o, W), FROM_ZERO >> Constant()),
    ("linear", lambda o: hub.get_linear_schedule_with_warmup(o, W, T), FROM_ZERO >> Linear()),
    ("cosine", lambda o: hub.get_cosine_schedule_with_warmup(o, W, T), FROM_ZERO >> Cosine()),
    (
        "quarter turn",
        lambda o: hub.get_cosine_schedule_with_warmup(o, W, T, num_cycles=0.25),
        FROM_ZERO >> Cosine(arc=math.pi / 2),
    ),
    (
        "restarts",
        lambda o: hub.get_cosine_with_hard_restarts_schedule_with_warmup(o, W, T, num_cycles=4),
        FROM_ZERO >> Restarts(period="48st"),
    ),
    (
        "polynomial",
        lambda o: hub.get_polynomial_decay_schedule_with_warmup(o, W, T, lr_end=0.1, power=2.5),
        FROM_ZERO >> Polynomial(power=2.5, to=0.1),
    ),
    (
        "inverse square root",
        lambda o: hub.get_inverse_sqrt_schedule(o, W),
        FROM_ZERO >> InverseSqrt(timescale="48st"),
    ),
    (
        "cosine to a tenth",
        lambda o: hub.get_cosine_with_min_lr_schedule_with_warmup(o, W, T, min_lr_rate=0.1),
        FROM_ZERO >> Cosine(to=0.1),
    ),
    (
        "stable, linear decay",
        lambda o: hub.get_wsd_schedule(o, W, 50, T, decay_type="linear", min_lr_ratio=0.0),
        FROM_ZERO >> WarmupStableDecay(decay="50st"),
    ),
    (
        "stable, decay by 1 - sqrt",
        lambda o: hub.get_wsd_schedule(o, 0, 50, T, decay_type="1-sqrt", min_lr_ratio=0.1),
        WarmupStableDecay(decay="50st", to=0.1, shape=OneMinusSqrt()),
    ),
]


def of_the_hub(build: Callable[[Any], Any], steps: int) -> np.ndarray:
    """The factors of a Transformers schedule at steps 0 .. steps - 1."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    scheduler = build(torch.optim.SGD([parameter], lr=1.0))
    return np.array([scheduler.lr_lambdas[0](step) for step in range(steps)])


@pytest.mark.parametrize(
    ("build", "schedule"), [case[1:] for case in TRANSFORMERS], ids=[case[0] for case in TRANSFORMERS]
)
def test_transformers(build: Callable[[Any], Any], schedule: Schedule) -> None:
    np.testing.assert_allclose(schedule.table(T), of_the_hub(build, T), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "shape"), [("linear", Linear()), ("cosine", Cosine()), ("1-sqrt", OneMinusSqrt())], ids=str
)
def test_warmup_of_any_shape_is_that_of_transformers_one_step_on(kind: str, shape: Schedule) -> None:
    theirs = of_the_hub(lambda o: hub.get_wsd_schedule(o, W, 50, T, warmup_type=kind), W + 1)
    np.testing.assert_allclose(Warmup("48st", shape=shape).table(W), theirs[1:], rtol=1e-12)


def test_the_one_warmup_of_transformers_that_is_ours() -> None:
    build = hub.get_cosine_with_min_lr_schedule_with_warmup_lr_rate
    theirs = of_the_hub(lambda o: build(o, W, T, min_lr_rate=0.1), T)
    ours = Cosine(warmup="48st", to=0.1)(np.arange(T + 1), T)
    np.testing.assert_allclose(ours[:W], theirs[:W], rtol=1e-15)
    # After the warm-up theirs is one step ahead.
    np.testing.assert_allclose(ours[W + 1 :], theirs[W:], rtol=1e-12)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_jax_arrays_and_tracers(example: Schedule) -> None:
    def traced(step: Any) -> Any:
        return example(step, TOTAL_STEPS, STEPS_PER_EPOCH)

    table = example.table(TOTAL_STEPS, STEPS_PER_EPOCH)
    steps = jnp.arange(TOTAL_STEPS)
    assert apart(table, np.array(traced(steps))) <= 4
    assert apart(table, np.array(jax.jit(traced)(steps))) <= 4
    assert apart(table, np.array(jax.jit(jax.vmap(traced))(steps))) <= 4
    with jax.enable_x64(False):
        single = traced(jnp.arange(TOTAL_STEPS))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(np.array(single), table, rtol=2e-4, atol=1e-6)


@settings(max_examples=25)
@given(compositions)
def test_jax_agrees_with_numpy_on_compositions(schedule: Schedule) -> None:
    values = jax.jit(lambda steps: schedule(steps, 128, 10))(jnp.arange(128))
    assert apart(schedule.table(128, 10), np.array(values)) <= 4
