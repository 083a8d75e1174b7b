"""Schedules for the common tests: at least one example of each part, and random compositions of them."""

import math
from typing import Any

from hypothesis import strategies as st

from lanewise.parts.schedules import (
    SCHEDULES,
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
    Schedule,
    Staircase,
    StepLinear,
    Warmup,
    WarmupStableDecay,
)

VARIANTS: tuple[Schedule, ...] = (
    Constant(),
    Constant(warmup="3ep"),
    Linear(),
    Linear(to=0.1, warmup="7%"),
    Polynomial(power=0.3),
    Polynomial(power=2.0, to=0.01),
    OneMinusSqrt(to=0.2),
    Exponential(gamma=0.97),
    Exponential(gamma=0.9, per="1ep", warmup="20st"),
    Exponential(to=0.01),
    Staircase(beta=0.7, period="7st"),
    Staircase(beta=0.5, period="13%"),
    Milestones(at=("10%", "5ep", "120st"), beta=0.3),
    StepLinear(step="40%"),
    InverseTime(k=0.1),
    InverseTime(k=0.5, per="1ep"),
    Rising(),
    InverseSqrt(timescale="10st", warmup="10st"),
    Cosine(),
    Cosine(arc=math.pi / 2),
    Cosine(arc=5.0, to=0.1, warmup="5%"),
    Restarts(),
    Restarts(period="9st", growth=1.7, beta=0.8, shape=Linear(warmup="2st")),
    OneCycle(),
    OneCycle(rise="11st", start=0.0, end=0.0, shape=Linear()),
    WarmupStableDecay(warmup="5%", decay="20%", shape=OneMinusSqrt()),
    Piecewise(at=("30%", "60%"), values=(1.0, 0.5, 0.1)),
    Piecewise(at=("30%", "60%"), values=(0.0, 1.0, 0.2), shape=Cosine()),
    Warmup("20%"),
    Warmup("20%", shape=Exponential(to=0.01)),
    Plateau(patience=3),
)
EXAMPLES = (*VARIANTS, *(kind() for kind in SCHEDULES if kind not in map(type, VARIANTS)))

# Long enough that every duration above fits: the first of the two numbers is the run's steps.
TOTAL_STEPS, STEPS_PER_EPOCH = 211, 10

fractions = st.floats(0.0, 1.0).map(lambda value: round(value, 4))
above_zero = st.floats(0.001, 1.0).map(lambda value: round(value, 4))


def durations(most: int) -> st.SearchStrategy[str]:
    """Durations above zero of at most `most` percent of a run of at least 100 steps."""
    return st.one_of(
        st.floats(0.01, most).map(lambda value: f"{round(value, 2)}%"),
        st.integers(1, most).map(lambda value: f"{value}st"),
    )


def shapes(**timing: Any) -> st.SearchStrategy[Schedule]:
    """Any basic shape, given `timing` for its warm-up and duration."""
    return st.one_of(
        st.builds(Constant, **timing),
        st.builds(Linear, to=fractions, **timing),
        st.builds(Polynomial, power=st.floats(0.1, 5.0), to=fractions, **timing),
        st.builds(OneMinusSqrt, to=fractions, **timing),
        st.builds(Exponential, gamma=st.floats(0.5, 1.01), per=durations(20), **timing),
        st.builds(Exponential, to=above_zero, **timing),
        st.builds(Staircase, beta=above_zero, period=durations(20), **timing),
        st.builds(StepLinear, step=durations(20), **timing),
        st.builds(InverseTime, k=fractions, per=durations(20), **timing),
        st.builds(Rising, **timing),
        st.builds(InverseSqrt, timescale=durations(20), **timing),
        st.builds(Cosine, arc=st.floats(0.1, 2 * math.pi), to=fractions, **timing),
        st.builds(Restarts, period=durations(20), growth=st.floats(1.0, 3.0), beta=above_zero, **timing),
        st.builds(OneCycle, rise=durations(20), start=fractions, end=fractions, **timing),
        st.builds(WarmupStableDecay, decay=durations(20), to=fractions, **timing),
        st.builds(
            Piecewise,
            at=st.tuples(durations(9), st.just("10%")),
            values=st.tuples(fractions, fractions, fractions),
            shape=st.sampled_from([None, Linear(), Cosine(), Polynomial()]),
            **timing,
        ),
    )


single = st.one_of(
    shapes(),
    shapes(warmup=durations(30)),
    st.builds(Warmup, duration=durations(30), shape=st.sampled_from([Linear(), Cosine(), Polynomial()])),
    st.builds(Plateau),
)
sequences = st.builds(
    lambda first, second, last: first >> second >> last,
    st.builds(Warmup, duration=durations(20)),
    shapes(duration=st.just("40%"), warmup=durations(10)),
    single.filter(lambda schedule: not isinstance(schedule, Warmup)),
)
products = st.builds(lambda rate, first, second: rate * first * second, above_zero, single, sequences | single)
compositions: st.SearchStrategy[Schedule] = st.one_of(single, sequences, products)
runs = st.tuples(st.integers(100, 400), st.integers(1, 30))
