"""Recipes and spaces for the common tests: every field of every part, as its own declaration allows it."""

import math
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.groups import times
from lanewise.parts.optimizers import OPTIMIZERS, SGD, Adam
from lanewise.parts.part import Allowed, Part, expression
from lanewise.parts.schedules import SCHEDULES, Exponential, Linear, Piecewise, Schedule, product, sequence
from lanewise.recipe.coupling import coupled
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe

EXTREME = (0, 1, 0.0, 1.0, 5e-324, 1e-300, 1e-8, 1 / 3, 0.1 + 0.2, 1e16, 1e22, 1e300)
"""Numbers whose text is easily read as something else."""
NEEDS_MORE: dict[type, Part] = {Exponential: Exponential(to=0.01)}
"""What stands in for a part whose fields do not go together."""

durations = st.one_of(
    st.sampled_from(["5%", "0.5%", "100%", "3ep", "1.5ep", "200st"]), st.integers(1, 10**6).map(lambda n: f"{n}st")
)


@cache
def numbers(allowed: Allowed) -> st.SearchStrategy[Any]:
    """Plain numbers that a field accepts."""
    if allowed.integer:
        return st.integers(int(allowed.low), int(min(allowed.high, 10**6)))
    low, high = (None if math.isinf(end) else float(end) for end in (allowed.low, allowed.high))
    floats = st.floats(
        low, high, exclude_min=allowed.low_open, exclude_max=allowed.high_open, allow_nan=False, allow_infinity=False
    )
    return st.sampled_from([number for number in EXTREME if allowed.holds(number)]) | floats


@st.composite
def intervals(draw: st.DrawFn, allowed: Allowed) -> Any:
    """Ranges all of whose numbers a field accepts."""
    low, high = sorted(draw(st.lists(numbers(allowed), min_size=2, max_size=2, unique=True)))
    if allowed.integer:
        return integer(low, high)
    return draw(st.sampled_from([uniform, log] if low > 0 else [uniform]))(low, high)


def choices(options: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A choice between different options."""
    return st.lists(options, min_size=2, max_size=4, unique_by=expression).map(lambda listed: choice(*listed))


def with_choices(options: st.SearchStrategy[Any], space: bool) -> st.SearchStrategy[Any]:
    """An option, or in a space a choice between some, maybe of choices."""
    if not space:
        return options
    return options | choices(options) | choices(choices(options) | options)


@cache
def values(allowed: Allowed, depth: int, space: bool) -> st.SearchStrategy[Any]:
    """Whatever a numeric field accepts: plain, scheduled, and in a space not chosen yet."""
    options = numbers(allowed) | intervals(allowed) if space else numbers(allowed)
    if allowed.timed and depth:
        options |= timed(depth - 1, space)
    options = with_choices(options, space)
    return options | st.none() if allowed.optional else options


@cache
def timed(depth: int, space: bool) -> st.SearchStrategy[Any]:
    """Schedules, sequences and products of them with numbers and ranges."""
    one = with_choices(st.sampled_from(SCHEDULES).flatmap(lambda kind: parts(kind, depth, space)), space)
    # Of these no product overflows; 5e-324 times another is 0, which is as good a number.
    modest = Allowed(low=0.0, high=1e100)
    number = numbers(modest) | intervals(modest) if space else numbers(modest)
    lasting = st.builds(Linear, to=numbers(modest), warmup=st.none() | durations, duration=durations)
    after = st.lists(one, min_size=1, max_size=2)
    in_turn = st.builds(lambda first, rest: sequence(first, *lasting_all(rest)), lasting, after)
    factors = st.lists(number | one | in_turn, min_size=1, max_size=3)
    return one | in_turn | st.builds(lambda first, rest: product(first, *rest), one | in_turn, factors)


def lasting_all(parts: list[Any]) -> list[Any]:
    """`parts` with something that lasts in the place of all but the last."""
    return [Linear(to=0.5, duration="7st")] * (len(parts) - 1) + parts[-1:]


def names_of_parameters() -> st.SearchStrategy[str]:
    """Names as a person writes them, and any other text."""
    names = st.sampled_from(["head.*", "*.weight", "0", "none", "5%", "x2", "\x85"])
    return names | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@st.composite
def group_numbers(draw: st.DrawFn, depth: int, space: bool) -> dict[str, Any]:
    """The numbers of a group: plain ones, factors, schedules and a duration."""
    allowed = Allowed(low=0.0, high=1e100, timed=True)
    factor = values(allowed, depth, space).map(times)
    # A decay of its own could stand for one of two, where the recipe has both.
    given = {name: draw(factor | values(allowed, depth, space)) for name in ("lr", "l2", "l1")}
    given |= {"decay": draw(factor | st.just(0)), "freeze": draw(durations)}
    kept = draw(st.sets(st.sampled_from(sorted(given)), min_size=1))
    return {name: given[name] for name in sorted(kept)}


@cache
def field_values(owner: type[Part], name: str, depth: int, space: bool) -> st.SearchStrategy[Any]:
    """What the field `name` of `owner` accepts."""
    field = owner.__dataclass_fields__[name]
    metadata = field.metadata
    if owner is Recipe and name == "decay":
        # At most 1, so that it goes with both kinds of decay.
        return values(Allowed(low=0.0, high=1.0, timed=True), depth, space)
    if "allowed" in metadata:
        return values(metadata["allowed"], depth, space)
    if "flag" in metadata:
        return with_choices(st.booleans(), space)
    if "words" in metadata:
        return with_choices(st.sampled_from(metadata["words"]), space)
    if name == "shape":
        return with_choices(
            st.sampled_from([Linear(), Linear(to=0.1), Exponential(to=0.01), Linear(warmup="2%")]), space
        )
    if name == "penalised":
        return st.lists(names_of_parameters(), min_size=1, max_size=2).map(tuple)
    if name == "groups":
        return st.dictionaries(
            names_of_parameters().filter(str.strip), group_numbers(depth, space), min_size=1, max_size=2
        )
    if name == "at":
        return st.lists(durations, min_size=1, max_size=3).map(tuple)
    return with_choices(durations, space) | (st.none() if field.default is None else st.nothing())


@cache
def parts(kind: type[Part], depth: int, space: bool) -> st.SearchStrategy[Any]:
    """Parts of the type `kind`, with any of their fields given."""
    return built_parts(kind, depth, space)


@st.composite
def built_parts(draw: st.DrawFn, kind: type[Part], depth: int, space: bool) -> Any:
    given: dict[str, Any] = {}
    for item in fields(kind):
        if item.name != "values" and draw(st.booleans()):
            given[item.name] = draw(field_values(kind, item.name, depth, space))
    if kind is Piecewise:
        entries = len(given.setdefault("at", ("50%",))) + 1
        given["values"] = tuple(draw(st.lists(numbers(Allowed(low=0.0)), min_size=entries, max_size=entries)))
    try:
        return kind(**given)
    except InputError:
        return NEEDS_MORE.get(kind) or kind()


@cache
def optimizers(space: bool) -> st.SearchStrategy[Any]:
    """Optimizers, or in a space choices of them."""
    return with_choices(st.sampled_from(OPTIMIZERS).flatmap(lambda kind: parts(kind, 1, space)), space)


@st.composite
def pairs(draw: st.DrawFn) -> dict[str, Any]:
    """An optimizer and a decay that are drawn together, so small that both kinds of decay allow it."""
    product, ratio = draw(intervals(Allowed(low=1e-9, high=1.0))), draw(intervals(Allowed(low=1.0, high=1e9)))
    rate = coupled(product, ratio)
    optimizers = choice(SGD(lr=rate), Adam(lr=rate * Linear())) if draw(st.booleans()) else SGD(lr=Linear() * rate)
    decay, other = draw(st.permutations(["l2", "decay"]))
    return {"optimizer": optimizers, decay: coupled() * Linear() if draw(st.booleans()) else coupled(), other: 0.0}


@st.composite
def recipes(draw: st.DrawFn, space: bool = False) -> Recipe:
    """A recipe, or a space."""
    given: dict[str, Any] = {"optimizer": draw(optimizers(space))}
    for item in fields(Recipe):
        if item.name != "optimizer" and draw(st.integers(0, 3)) == 0:
            given[item.name] = draw(field_values(Recipe, item.name, 1, space))
    if space and draw(st.integers(0, 3)) == 0:
        given |= draw(pairs())
    # Weights are averaged one way.
    if given.get("ema") is not None:
        given.pop("average_from", None)
    return Recipe(**given)


def complaint(read: Callable[..., Any], *given: Any) -> str:
    """The message with which `read` refuses what it is given, or nothing."""
    try:
        read(*given)
    except InputError as error:
        return str(error)
    return ""


def named(schedule_or_optimizer: type[Part]) -> str:
    """The part's name in the language, for the identity of a test."""
    return schedule_or_optimizer.name


PARTS: tuple[type[Schedule] | type[Part], ...] = (*SCHEDULES, *OPTIMIZERS)
