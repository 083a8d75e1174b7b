"""Every number and duration refuses what is out of its range, whichever way it comes, and says what is allowed."""

import math
import re
from dataclasses import fields
from typing import Any

import pytest

from lanewise.errors import InputError
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD, Optimizer
from lanewise.parts.part import expression
from lanewise.parts.schedules import Constant, Linear, Schedule
from lanewise.recipe.file import load
from lanewise.recipe.language import parse
from lanewise.recipe.ranges import choice, uniform
from lanewise.recipe.recipe import Recipe
from tests.parts.table_limits import DURATIONS, KINDS, LIMITS, MOMENTS, NUMBERS, Limit, durations_of
from tests.parts.table_row import recipe
from tests.parts.table_runs import engine

every_limit = pytest.mark.parametrize("limit", LIMITS, ids=str)
DURATION_FIELDS = [(kind, name, words) for kind in KINDS.values() for name, words in durations_of(kind).items()]
every_duration = pytest.mark.parametrize(("kind", "name", "words"), DURATION_FIELDS)
BAD_DURATIONS = (
    "-5%",
    "-3ep",
    "-1st",
    "5min",
    "5 %",
    "5",
    "5 percent",
    "3epochs",
    "101%",
    "1.5st",
    "5e",
    "",
    "%",
    "nan%",
)


def given(kind: type, name: str, value: Any) -> Any:
    """A part with the field `name` set, and what it needs beside."""
    # Muon looks ahead along its momentum by default, which then must not be 0.
    beside = {"nesterov": False} if (kind.__name__, name) == ("Muon", "momentum") else {}
    return kind(**{name: value}, **beside)


def text_of(kind: Any, name: str, value: str) -> str:
    """A recipe file that gives the field `name` of `kind` as `value`."""
    if kind is Recipe:
        return f"lanewise: 1\n{name}: {value}"
    call = f"{kind.name}({name}={value})"
    own = issubclass(kind, Optimizer)
    return "lanewise: 1\noptimizer: " + (call if own else f"sgd(lr=0.1 * {call})")


def refused(limit: Limit, value: Any) -> str:
    """What the message must hold: field, value and range."""
    return re.escape(f"{limit} = {value!r}: must be ") + ".*" + re.escape(limit.interval)


@every_limit
def test_a_part_refuses_numbers_out_of_range(limit: Limit) -> None:
    kind = KINDS[limit.kind]
    wrong = [*limit.outside, math.nan, math.inf, -math.inf, "0.5", True, [0.5]]
    wrong += [] if "optional" in limit.words else [None]
    wrong += [limit.low + 1.5] if "integer" in limit.words else []
    for value in wrong:
        with pytest.raises(InputError, match=refused(limit, value)):
            given(kind, limit.name, value)


@every_limit
def test_a_part_takes_the_ends_that_belong_to_the_range(limit: Limit) -> None:
    for value in limit.inside:
        assert getattr(given(KINDS[limit.kind], limit.name, value), limit.name) == value


@every_limit
def test_a_recipe_file_refuses_numbers_out_of_range(limit: Limit) -> None:
    for value in limit.outside:
        with pytest.raises(InputError, match=r"^recipe: .*" + refused(limit, value)):
            load(text_of(KINDS[limit.kind], limit.name, expression(value)))


@every_limit
def test_a_space_refuses_ranges_that_reach_out(limit: Limit) -> None:
    inside = limit.low + (1 if math.isinf(limit.high) else (limit.high - limit.low) / 2)
    for value in limit.outside:
        if value != inside:
            for reaching in (uniform(min(inside, value), max(inside, value)), choice(inside, value)):
                with pytest.raises(InputError, match=re.escape(str(limit))):
                    given(KINDS[limit.kind], limit.name, reaching)


@every_limit
def test_a_number_takes_a_schedule_or_says_that_it_cannot(limit: Limit) -> None:
    kind = KINDS[limit.kind]
    if "fixed" not in limit.words:
        assert isinstance(getattr(given(kind, limit.name, 0.5 * Linear()), limit.name), Schedule)
        return
    with pytest.raises(
        InputError, match=re.escape(str(limit)) + ".*cannot change with the step.*" + re.escape(limit.interval)
    ):
        given(kind, limit.name, 0.5 * Linear())


@pytest.mark.parametrize("limit", [limit for limit in LIMITS if "fixed" not in limit.words], ids=str)
def test_a_cohort_refuses_a_schedule_that_leads_out_of_range(limit: Limit) -> None:
    for value in limit.outside:
        schedule = value * Constant()
        if limit.kind == "Recipe":
            lane = recipe(SGD(lr=0.1), **{limit.name: schedule})
        else:
            lane = recipe(given(KINDS[limit.kind], limit.name, schedule))
        expected = re.escape(f"{limit.name} = {schedule}: is {value:g} at step 0") + ".*" + re.escape(limit.interval)
        with pytest.raises(InputError, match=expected):
            Cohort(engine("packed", "mlp"), [lane], [0])


@every_duration
def test_a_part_refuses_durations_that_are_none(kind: type, name: str, words: str) -> None:
    wrong = [*BAD_DURATIONS, 5, 0.05, True, -1, ("5%",)]
    wrong += [] if "optional" in words else [None]
    wrong += ["0%", "0ep", "0st"] if "positive" in words else []
    for value in wrong:
        with pytest.raises(InputError, match=re.escape(f"{kind.__name__}.{name} = {value!r}: must be ") + ".*ep.*st"):
            kind(**{name: value})


@every_duration
def test_a_recipe_file_refuses_durations_that_are_none(kind: Any, name: str, words: str) -> None:
    wrong = ["-5%", "-3ep", "-1st", "5min", "3epochs", "5percent", "10steps", "101%", "1.5st", "5", "'5'"]
    wrong += ["0%", "0ep", "0st"] if "positive" in words else []
    for value in wrong:
        expected = re.escape(f"{kind.__name__}.{name} = ") + "'?" + re.escape(value.strip("'")) + ".*must be .*ep.*st"
        with pytest.raises(InputError, match=expected):
            load(text_of(kind, name, value))


@pytest.mark.parametrize(("kind", "name"), MOMENTS.items())
def test_moments_are_durations_too(kind: str, name: str) -> None:
    for value in (*BAD_DURATIONS, 5, None):
        with pytest.raises(InputError, match=re.escape(f"{kind}.{name}[0] = {value!r}: must be ")):
            KINDS[kind](**{name: (value,)})
    for value in ((), "5%", ["5%"], None):
        with pytest.raises(InputError, match=re.escape(f"{kind}.{name} = {value!r}: must be ")):
            KINDS[kind](**{name: value})
    for text in ("-1st", "5min"):
        with pytest.raises(InputError, match=re.escape(f"{kind}.{name}[0] = '{text}': must be ")):
            parse(f"{KINDS[kind].name}({name}=[{text}])")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_words_and_flags_refuse_others(kind: type) -> None:
    for item in fields(kind):
        allowed = {"flag": "true or false", "words": ", ".join(item.metadata.get("words", ()))}
        for sort in allowed.keys() & item.metadata.keys():
            for value in ("other", 1, None):
                message = re.escape(f"{kind.__name__}.{item.name} = {value!r}: must be ") + ".*" + allowed[sort]
                with pytest.raises(InputError, match=message):
                    kind(**{item.name: value})
            with pytest.raises(InputError, match=f"{item.name}.*other"):
                load(text_of(kind, item.name, "other"))


def test_the_list_of_limits_is_complete() -> None:
    for name, kind in KINDS.items():
        numbers = {item.name for item in fields(kind) if "allowed" in item.metadata}
        assert numbers == set(NUMBERS.get(name, {})), name
        known = {*durations_of(kind), *([MOMENTS[name]] if name in MOMENTS else [])}
        sorts = {item.name for item in fields(kind) if "check" in item.metadata} - {
            "shape",
            "values",
            "penalised",
            "groups",
        }
        assert sorts == known, name
    assert set(NUMBERS) | set(DURATIONS) <= set(KINDS)
