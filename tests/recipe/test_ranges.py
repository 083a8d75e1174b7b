"""Ranges and choices: what they accept, what they must allow, how they combine."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD, Muon
from lanewise.parts.schedules import Constant, Cosine, Linear, Product, Sequence, Warmup
from lanewise.recipe.ranges import Choice, choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe


@pytest.mark.parametrize("kind", [uniform, log, integer])
@pytest.mark.parametrize("ends", [(2, 1), (1, 1)])
def test_a_range_upside_down_or_empty_is_refused(kind: Any, ends: tuple[int, int]) -> None:
    with pytest.raises(
        InputError, match=rf"^{kind.__name__}\({ends[0]}, {ends[1]}\): the range is upside down or empty"
    ):
        kind(*ends)


@pytest.mark.parametrize("kind", [uniform, log, integer])
@pytest.mark.parametrize("end", [math.nan, math.inf, 10**400, True, "5%", None, Linear(), [1]])
def test_the_ends_of_a_range_are_finite_numbers(kind: Any, end: Any) -> None:
    for ends in ((end, 2), (1, end)):
        with pytest.raises(InputError, match="the ends of a range must be finite numbers"):
            kind(*ends)


@pytest.mark.parametrize("low", [0, -1.0])
def test_a_log_range_starts_above_zero(low: float) -> None:
    with pytest.raises(InputError, match=rf"log\({low}, 1\): a log range must start above 0, not at {low}"):
        log(low, 1)


def test_an_integer_range_has_integer_ends() -> None:
    with pytest.raises(InputError, match="must be integers"):
        integer(1, 2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [(), (1,)])
def test_a_choice_has_two_options_at_least(options: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least two options"):
        choice(*options)


@pytest.mark.parametrize(
    "options", [(1, 1), (Linear(), 1, Linear()), (Linear(to=0), Linear(to=0)), ("5%", "5%"), ("none", None)]
)
def test_an_option_stands_once(options: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="the same option stands twice"):
        choice(*options)


@pytest.mark.parametrize("options", [(1, 1.0), (1, True), (0.0, None), (Linear(), Linear(to=0.1))])
def test_options_that_are_written_differently_are_different(options: tuple[Any, ...]) -> None:
    assert choice(*options).options == options


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_extremes_lie_inside_and_reach_the_ends(low: float, high: float) -> None:
    if low < high:
        extremes = uniform(low, high).extremes()
        assert extremes[:2] == (low, high)
        assert all(low * (1 - 1e-12) <= extreme <= high * (1 + 1e-12) for extreme in extremes)


def test_the_extremes_of_a_choice_are_those_of_its_options() -> None:
    assert choice(0, integer(1, 8), choice(9, integer(10, 11))).extremes() == (0, 1, 8, 9, 10, 11)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dropout", uniform(0, 1)),
        ("dropout", uniform(-0.1, 0.5)),
        ("dropout", choice(0.1, uniform(0.5, 1.5))),
        ("norm_momentum", uniform(0, 1)),
        ("l2", uniform(-1, 1)),
        ("l2", choice(0, choice(1, -1))),
        ("batch_size", integer(0, 8)),
        ("batch_size", uniform(16, 128)),
        ("batch_size", log(16, 128)),
        ("ghost", choice(None, log(2, 64))),
        ("epochs", choice(Linear(), Cosine())),
        ("norm", choice("own", "none")),
        ("norm", uniform(0, 1)),
        ("norm", choice("own", choice("layer", "none"))),
        ("optimizer", uniform(0, 1)),
        ("optimizer", choice(SGD(), Cosine())),
    ],
)
def test_a_range_stays_inside_what_its_field_allows(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^Recipe.{field} = .*must be"):
        Recipe(**{field: value})


@pytest.mark.parametrize(
    ("optimizer", "given", "message"),
    [
        (SGD, {"momentum": uniform(0.5, 1.0)}, "SGD.momentum = 1.0: must be a number in"),
        (SGD, {"lr": choice(0.1, -0.1)}, "SGD.lr = -0.1"),
        (SGD, {"nesterov": integer(0, 1)}, "SGD.nesterov = 0: must be true or false"),
        (SGD, {"nesterov": choice(True, False), "momentum": uniform(0.0, 0.9)}, "SGD.momentum = uniform"),
        (Muon, {"nesterov": choice(True, 1)}, "Muon.nesterov = 1: must be true or false"),
    ],
)
def test_a_range_stays_inside_what_a_optimizer_allows(optimizer: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        optimizer(**given)


def test_choices_stand_inside_choices() -> None:
    space = Recipe(
        optimizer=choice(SGD(), choice(SGD(lr=0.2), Muon())),
        norm=choice("own", choice("layer", "batch")),
        dropout=choice(0.1, choice(None, uniform(0.2, 0.3))),
    )
    assert space.is_space


def test_ranges_multiply_with_numbers_and_schedules_in_any_order() -> None:
    rate = log(1e-3, 1)
    for value in (rate * Cosine(), Cosine() * rate):
        assert isinstance(value, Product)
        assert set(value.factors) == {rate, Cosine()}
    assert (2 * rate * Cosine()).factors == (2, rate, Cosine())
    assert (rate * choice(Constant(), Cosine())).factors == (rate, choice(Constant(), Cosine()))


def test_choices_stand_in_sequences() -> None:
    shapes = choice(Linear(), Cosine())
    assert Warmup("5%") >> shapes == Sequence((Warmup("5%"), shapes))
    first = choice(Warmup("5%"), Linear(duration="10%"))
    assert first >> 0.5 == Sequence((first, 0.5))
    with pytest.raises(InputError, match="must have a duration"):
        shapes >> Linear()


@pytest.mark.parametrize("other", ["a", None, True, math.nan, [1]])
def test_ranges_do_not_multiply_with_anything_else(other: Any) -> None:
    with pytest.raises(InputError, match="must be a finite number or a schedule"):
        uniform(0, 1) * other


def test_a_choice_knows_whether_it_is_between_schedules() -> None:
    assert choice(Linear(), 0.1 * Cosine()).of_schedules
    assert not choice(Linear(), 0.1).of_schedules
    assert isinstance(choice(1, 2), Choice)
