"""Schedules: values worked out by hand, the algebra, durations, and what is refused."""

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, Variable
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
    Product,
    Restarts,
    Rising,
    RunLength,
    Schedule,
    Sequence,
    Staircase,
    StepLinear,
    Warmup,
    WarmupStableDecay,
    product,
    sequence,
    tabulate,
)

HALF_COSINE = [1.0, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), [1, 1, 1, 1]),
        (Linear(), [1, 0.75, 0.5, 0.25]),
        (Linear(to=0.2), [1, 0.8, 0.6, 0.4]),
        (Linear(to=2.0), [1, 1.25, 1.5, 1.75]),
        (Linear(warmup="2st"), [0.5, 1, 1, 0.5]),
        (Linear(warmup="100%"), [0.25, 0.5, 0.75, 1]),
        (Linear(duration="50%"), [1, 0.5, 0, 0]),
        (Polynomial(power=2.0), [1, 0.5625, 0.25, 0.0625]),
        (OneMinusSqrt(), [1, 0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)]),
        (Exponential(gamma=0.5), [1, 0.5, 0.25, 0.125]),
        (Exponential(gamma=0.25, per="2st"), [1, 0.5, 0.25, 0.125]),
        (Exponential(to=0.0625), [1, 0.5, 0.25, 0.125]),
        (Staircase(beta=0.5, period="50%"), [1, 1, 0.5, 0.5]),
        (Milestones(at=("1st", "1st", "75%"), beta=0.5), [1, 0.25, 0.25, 0.125]),
        (StepLinear(step="2st"), [1, 0.5, 0, 0]),
        (InverseTime(k=1.0), [1, 1 / 2, 1 / 3, 1 / 4]),
        (Rising(), [0, 1 / 2, 2 / 3, 3 / 4]),
        (InverseSqrt(timescale="1st"), [1, 1 / math.sqrt(2), 1 / math.sqrt(3), 0.5]),
        (Cosine(), HALF_COSINE),
        (Cosine(arc=math.pi / 2), [(1 + math.cos(math.pi / 8 * t)) / 2 for t in range(4)]),
        (Cosine(to=0.5), [0.5 + value / 2 for value in HALF_COSINE]),
        (Restarts(period="2st", beta=0.5, shape=Linear()), [1, 0.5, 0.5, 0.25]),
        (Restarts(period="1st", growth=2.0, shape=Linear()), [1, 1, 0.5, 1]),
        (OneCycle(rise="2st", start=0.5, end=0.0, shape=Linear()), [0.5, 0.75, 1, 0.5]),
        (WarmupStableDecay(decay="50%"), [1, 1, 1, 0.5]),
        (Piecewise(at=("1st", "3st"), values=(1.0, 0.5, 0.1)), [1, 0.5, 0.5, 0.1]),
        (Piecewise(at=("2st", "4st"), values=(0.0, 1.0, 0.5), shape=Linear()), [0, 0.5, 1, 0.75]),
        (Piecewise(at=("4st",), values=(0.0, 1.0), shape=Polynomial()), [0, 1 / 16, 1 / 4, 9 / 16]),
        (Warmup("4st"), [0.25, 0.5, 0.75, 1]),
        (Warmup("2st"), [0.5, 1, 1, 1]),
        (Warmup("4st", shape=Linear(to=0.2)), [0.4, 0.6, 0.8, 1]),
        (Warmup("4st", shape=Cosine()), [*reversed(HALF_COSINE[1:]), 1]),
        (Plateau(), [1, 1, 1, 1]),
    ],
    ids=str,
)
def test_four_steps_by_hand(schedule: Schedule, expected: list[float]) -> None:
    np.testing.assert_allclose(schedule.table(4), expected, rtol=1e-15, atol=1e-15)


def test_ends_are_exact() -> None:
    assert Cosine()(1000, 1000) == 0.0
    assert Cosine()(0, 1000) == 1.0
    assert OneMinusSqrt()(1000, 1000) == 0.0
    assert Cosine(to=0.1)(1000, 1000) == 0.1
    assert OneCycle()(0, 1000) == 0.04
    assert OneCycle()(1000, 1000) == 4e-6


def test_small_values_near_the_end_keep_their_digits() -> None:
    # 1 - u = 1e-6: (1 + cos(pi u))/2 = (pi/2 * 1e-6)^2 to first order, which 1 + cos would have lost.
    assert Cosine()(999_999, 1_000_000) == pytest.approx((math.pi / 2e6) ** 2, rel=1e-11)


def test_a_step_may_lie_between_two() -> None:
    assert Linear()(0.5, 4) == 0.875


def test_operators_build_products_and_sequences() -> None:
    cosine, warmup = Cosine(), Warmup("5%")
    assert 0.1 * cosine == cosine * 0.1 == Product((0.1, cosine)) == np.float64(0.1) * cosine
    assert 0.5 * (0.2 * cosine) * 3 == Product((0.5 * 0.2 * 3, cosine))
    assert (cosine * warmup) * Linear() == Product((cosine, warmup, Linear()))
    assert (warmup >> Constant(duration="3ep")) >> cosine == Sequence((warmup, Constant(duration="3ep"), cosine))
    assert 0.1 * warmup >> 0.1 * cosine == Sequence((Product((0.1, warmup)), Product((0.1, cosine))))
    with pytest.raises(InputError, match=r"comes before >>; write 0\.1 \* \(warmup\(\) >> cosine\(\)\)"):
        _ = 0.1 * warmup >> cosine
    assert product(2, 0.5) == 1.0
    assert sequence(warmup, 0.5).table(40).tolist() == [0.5, 1.0, *[0.5] * 38]


def test_text() -> None:
    assert str(0.1 * Cosine(warmup="5%")) == "0.1 * cosine(warmup=5%)"
    assert str(Warmup("10%") >> 0.5 * Cosine()) == "warmup(duration=10%) >> 0.5 * cosine()"
    assert str(0.3 * (Warmup("5%") >> Linear()) * Cosine()) == "0.3 * (warmup() >> linear()) * cosine()"
    assert str(Milestones(at=("1ep", "2ep"))) == "milestones(at=[1ep, 2ep])"


def test_the_product_is_the_true_product() -> None:
    table = (0.3 * Cosine(warmup="10%") * Exponential(to=0.1)).table(50)
    np.testing.assert_allclose(table, 0.3 * Cosine(warmup="10%").table(50) * Exponential(to=0.1).table(50), rtol=1e-15)


def test_each_part_of_a_sequence_counts_its_own_progress() -> None:
    schedule = Linear(duration="4st") >> Polynomial(power=2.0, duration="50%") >> 0.5 * Linear()
    assert schedule.table(12).tolist() == [
        *Linear().table(4).tolist(),
        *Polynomial(power=2.0).table(6).tolist(),
        *(0.5 * Linear()).table(2).tolist(),
    ]


def test_a_product_in_a_sequence_lasts_as_long_as_its_longest_factor() -> None:
    schedule = Linear(duration="2st") * Constant(duration="4st") * Polynomial(power=1.0) >> Constant()
    assert schedule.table(8).tolist() == [1.0, 0.5 * 0.75, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_shares_that_add_up_to_the_run_fit_into_it() -> None:
    for total_steps in range(10, 200):
        schedule = Warmup("33%") >> Constant(duration="33%") >> Linear(duration="34%")
        assert len(schedule.table(total_steps)) == total_steps


@pytest.mark.parametrize(("text", "steps"), [("5%", 2), ("100%", 57), ("0.1%", 1), ("0%", 0), ("2ep", 20), ("7st", 7)])
def test_durations(text: str, steps: int) -> None:
    assert RunLength(57, 10).steps("warmup", text) == steps


@pytest.mark.parametrize("total_steps", [48, 50, 51])
def test_four_quarters_are_four_cycles_and_four_stairs(total_steps: int) -> None:
    starts = [math.floor(total_steps * quarter / 4) for quarter in range(4)]
    cosine = Restarts(period="25%").table(total_steps)
    assert np.flatnonzero(cosine == 1.0).tolist() == starts
    stairs = Staircase(beta=0.5, period="25%").table(total_steps)
    assert np.flatnonzero(np.diff(stairs, prepend=2.0)).tolist() == starts


def test_cycles_that_differ_by_a_step_all_reach_their_end() -> None:
    table = Restarts(period="25%", shape=Linear()).table(50)
    lengths = (12, 13, 12, 13)
    assert table.tolist() == [(length - step) / length for length in lengths for step in range(length)]


def test_the_end_of_the_run_is_the_end_of_a_cycle() -> None:
    assert Restarts(period="25%")(50, 50) == 0.0
    assert Restarts(period="30%")(100, 100) == Cosine()(10, 30)


def test_growing_cycles() -> None:
    table = Restarts(period="2st", growth=1.5, shape=Linear()).table(20)
    # Cycles of 2, 3, 4.5, 6.75 steps begin at 0, 2, 5, 9.5 and 16.25, rounded down.
    assert np.flatnonzero(table == 1.0).tolist() == [0, 2, 5, 9, 16]


def test_tabulate_takes_any_hyperparameter() -> None:
    assert tabulate(0.9, 3).tolist() == [0.9, 0.9, 0.9]
    assert tabulate(0.3 * Linear(), 3).tolist() == [0.3, 0.3 * (2 / 3), 0.3 * (1 / 3)]
    share = Allowed(low=0.0, high=1.0, high_open=True)
    assert tabulate(0.5 * Linear(), 2, allowed=share).tolist() == [0.5, 0.25]
    with pytest.raises(InputError, match=r"dropout = 2\.0 \* linear\(\): is 2 at step 0; must be a number in \[0, 1\)"):
        tabulate(2.0 * Linear(), 4, where="dropout", allowed=share)
    with pytest.raises(InputError, match=r"momentum = nan: must be a finite number or a schedule"):
        tabulate(math.nan, 4, where="momentum")


def test_a_negative_factor_only_when_asked() -> None:
    assert (-0.1 * Linear()).table(2).tolist() == [-0.1, -0.05]
    with pytest.raises(InputError, match=r"Linear\.to = -0\.1: must be a number in \[0, inf\)"):
        Linear(to=-0.1)


BAD_DURATIONS = ["-5%", "101%", "5", "5 %", "5h", "1.5st", "%", "", "nan%", "1e3st", 5, 0.05, None, True]


@pytest.mark.parametrize("given", ["50%", 0.5, (), ["50%"]])
def test_moments_without_brackets_are_refused_with_an_example(given: Any) -> None:
    with pytest.raises(InputError, match=r"at = .*: .* such as \[50%, 75%\] in a file, the tuple \('50%', '75%'\) in"):
        Milestones(at=given)


@pytest.mark.parametrize("bad", BAD_DURATIONS)
def test_bad_durations_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"Warmup\.duration = .*: must be a share of the run"):
        Warmup(bad)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "10", None, math.nan])
def test_bad_totals_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"total_steps = .*: must be an integer in \[1, inf\)"):
        Cosine().table(bad)
    with pytest.raises(InputError, match=r"steps_per_epoch = .*: must be an integer in \[1, inf\)"):
        Cosine()(0, 10, bad)


@pytest.mark.parametrize("bad", [-1, -0.5, math.nan, True, "3", None, np.array([3, -1])])
def test_bad_steps_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="step = "):
        Cosine()(bad, 10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Exponential(gamma=0.0), r"Exponential\.gamma = 0\.0: must be a number in \(0, inf\)"),
        (lambda: Exponential(gamma=-1), r"Exponential\.gamma = -1"),
        (lambda: Exponential(), "give one of the two"),
        (lambda: Exponential(gamma=0.9, to=0.1), "give one of the two"),
        (lambda: Polynomial(power=0.0), r"Polynomial\.power"),
        (lambda: Cosine(arc=7.0), r"Cosine\.arc"),
        (lambda: Cosine(to=math.inf), r"Cosine\.to"),
        (lambda: Cosine(to=Linear()), "cannot change with the step"),
        (lambda: Cosine(warmup="-5%"), r"Cosine\.warmup = '-5%'"),
        (lambda: Cosine(duration="0%"), r"Cosine\.duration = '0%': .*longer than zero"),
        (lambda: Staircase(period="0st"), r"Staircase\.period"),
        (lambda: Milestones(at=()), r"Milestones\.at"),
        (lambda: Milestones(at=("5%", 3)), r"Milestones\.at\[1\] = 3"),
        (lambda: Piecewise(at=("5%",), values=(1.0,)), "one more than"),
        (lambda: Piecewise(at=("5%",), values=(1.0, -1.0)), r"Piecewise\.values\[1\] = -1\.0"),
        (lambda: Piecewise(shape=0.5), r"Piecewise\.shape = 0\.5: must be a schedule"),
        (lambda: OneCycle(start=1.5), r"OneCycle\.start"),
        (lambda: Restarts(growth=0.5), r"Restarts\.growth"),
        (lambda: Warmup("5%", shape=Warmup("5%")), r"Warmup\.shape"),
        (lambda: Plateau(beta=1.0), r"Plateau\.beta"),
        (lambda: Plateau(patience=1.5), r"Plateau\.patience = 1\.5: must be an integer"),
        (lambda: Plateau(maximize=1), r"Plateau\.maximize = 1: must be true or false"),
        (lambda: Linear() >> Cosine(), r"linear\(\) >> \.\.\.: must have a duration"),
        (lambda: 0.1 >> Cosine(), r"0\.1 >> \.\.\.: must have a duration"),
        (lambda: math.inf * Cosine(), "unsupported operand"),
        (lambda: Product(("a", Cosine())), r"Product\.factors\[0\] = 'a': must be a finite number or a schedule"),
        (lambda: Product(()), "at least one"),
    ],
)
def test_what_is_out_of_range_is_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises((InputError, TypeError), match=message):
        build()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Cosine(warmup="11st"), r"Cosine\.warmup = '11st': lasts 11 steps; must fit into 10"),
        (Cosine(warmup="2ep"), r"Cosine\.warmup = '2ep': lasts 14 steps; must fit into 10"),
        (Warmup("11st"), r"Warmup\.duration = '11st': lasts 11 steps; must fit into 10"),
        (Warmup("60%") >> Constant(duration="60%"), "lasts 12 steps"),
        (Linear(duration="11st"), r"Linear\.duration"),
        (OneCycle(rise="11st"), r"OneCycle\.rise"),
        (WarmupStableDecay(warmup="6st", decay="50%"), r"WarmupStableDecay\.decay = '50%': lasts 5 steps; .* into 4"),
        (Milestones(at=("1st", "11st")), r"inside \[0, 10\]"),
        (Milestones(at=("5st", "20%")), "in order"),
        (Restarts(period="5st", shape=Linear(warmup="6st")), r"Linear\.warmup"),
        (Exponential(gamma=1e40), "overflows"),
    ],
    ids=str,
)
def test_what_does_not_fit_into_the_run_is_refused(schedule: Schedule, message: str) -> None:
    with pytest.raises(InputError, match=message):
        schedule.table(10, steps_per_epoch=7)


class Range(Variable):
    def __init__(self, *ends: Any) -> None:
        self.ends = ends

    def extremes(self) -> tuple[Any, ...]:
        return self.ends


def test_variables_are_checked_by_their_extremes() -> None:
    Cosine(arc=Range(1.0, 2.0), warmup=Range(None, "5%"), duration=Range("5%", "9%")) >> Range(Linear(), Cosine())
    with pytest.raises(InputError, match=r"Cosine\.arc = 8\.0"):
        Cosine(arc=Range(1.0, 8.0))
    with pytest.raises(InputError, match=r"Cosine\.warmup = '5'"):
        Cosine(warmup=Range("5%", "5"))
    with pytest.raises(InputError, match="must have a duration"):
        Cosine(duration=Range(None, "5%")) >> Linear()
    with pytest.raises(InputError, match=r"Product\.factors\[1\]\[1\] = 'x'"):
        Linear() * Range(1.0, "x")


def test_plot_draws_the_table() -> None:
    from matplotlib import pyplot

    axes = (0.1 * Cosine()).plot(total_steps=20)
    (line,) = axes.get_lines()
    assert line.get_ydata().tolist() == (0.1 * Cosine()).table(20).tolist()
    assert line.get_label() == "0.1 * cosine()"
    assert Linear().plot(20, axes=axes) is axes
    assert len(axes.get_lines()) == 2
    pyplot.close(axes.figure)


def test_plot_without_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"lanewise\[plot\]"):
        Cosine().plot()
