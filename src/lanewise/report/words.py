"""Recipes, numbers and times in words short enough for a line or a cell of a table."""

import math
from collections.abc import Sequence as Sequential
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lanewise.parts.optimizers import Optimizer
from lanewise.parts.part import Part, expression, holds_default
from lanewise.parts.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Milestones,
    OneMinusSqrt,
    Polynomial,
    Product,
    Restarts,
    Schedule,
    Sequence,
    Staircase,
    StepLinear,
)
from lanewise.recipe.recipe import Recipe, timed_fields
from lanewise.statistics.intervals import middle_of
from lanewise.statistics.rounding import mean_of
from lanewise.statistics.score_kind import ScoreKind, plain_numbers
from lanewise.verdict.phrases import MINUS, lead_words, signed

__all__ = [
    "MINUS",
    "NOTHING",
    "TIMES",
    "counted",
    "describe",
    "label",
    "lead_unit",
    "lead_words",
    "loss_words",
    "optimizer_words",
    "peak",
    "score_column",
    "score_words",
    "shape_words",
    "short",
    "signed",
    "time_words",
    "value_words",
]

TIMES, NOTHING = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"

LABELS = {
    "lr": "rate",
    "l2": "L2",
    "l1": "L1",
    "norm_momentum": "norm momentum",
    "l1_step": "L1 step",
    "penalty_per": "penalties per",
    "batch_size": "batch",
}
"""What numbers are called where there is no room for more; all others by their own name."""

PHRASES = {
    ("l1_step", "proximal"): "proximal L1",
    ("decay_by", "independent"): "decay independent of the rate",
    ("penalty_per", "row"): "penalties per row",
    ("norm", "identity"): "no norm",
}
FALLING = (
    Linear,
    Polynomial,
    OneMinusSqrt,
    Exponential,
    Staircase,
    Milestones,
    StepLinear,
    InverseTime,
    InverseSqrt,
    Cosine,
    Restarts,
)
"""Schedules that start at their highest value, so that `cosine from 0.1` says where they start."""


def describe(recipe: Recipe) -> str:
    """The recipe in one line: the optimizer and its rate, then whatever differs from the default.

    >>> from lanewise.parts.optimizers import SGD
    >>> describe(Recipe(optimizer=SGD(lr=0.92 * Cosine(), momentum=0.8123), l2=6.51e-6, dropout=0.01))
    'sgd · cosine from 0.92 · momentum 0.81 · L2 6.5e-06 · dropout 0.01'
    """
    if recipe.is_space:
        return str(recipe)
    optimizer = recipe.optimizer
    rate = value_words(optimizer.lr) if isinstance(optimizer.lr, Schedule) else f"rate {value_words(optimizer.lr)}"
    return " · ".join(
        [
            optimizer_words(optimizer),
            rate,
            *_given(optimizer, ("lr", *_kinds(optimizer))),
            *_given(recipe, ("optimizer",)),
        ]
    )


def optimizer_words(optimizer: Optimizer) -> str:
    """The optimizer's name and what is special about its kind: `sgd nesterov`."""
    name = optimizer.name.replace("_", " ")
    return " ".join([name, *_given(optimizer, [item.name for item in timed_fields(optimizer)])])


def label(name: str) -> str:
    """What the number or field called `name` is called in a table."""
    return LABELS.get(name, name.replace("_", " "))


def value_words(value: Any) -> str:
    """A number, or a schedule with the value it starts from.

    >>> value_words(0.05 * Exponential(to=0.01, warmup="5%"))
    'exponential from 0.05 to 1% after 5% warm-up'
    """
    if not isinstance(value, Schedule):
        return short(value)
    if isinstance(value, Sequence):
        return ", then ".join(value_words(part) for part in value.parts)
    factors = value.factors if isinstance(value, Product) else (value,)
    # Nothing else than the first factor of a product is a plain number; the others are schedules.
    scale = factors[0] if isinstance(factors[0], (int, float)) else 1.0
    schedules = [factor for factor in factors if isinstance(factor, Schedule)]
    first = schedules[0]
    if len(schedules) > 1 or not isinstance(first, (Constant, *FALLING)):
        inner = f"({value_words(first)})" if isinstance(first, Sequence) else shape_words(value)
        return inner if scale == 1 else f"{short(scale)} {TIMES} {inner}"
    words = f"{first.name.replace('_', ' ')} {'' if isinstance(first, Constant) else 'from '}{short(scale)}"
    return words + _details(first)


def shape_words(value: Any) -> str:
    """A schedule without the number it is multiplied by: `cosine after 5% warm-up`; `fixed` for a number.

    >>> shape_words(0.3 * Exponential(to=0.1, warmup="2ep"))
    'exponential to 10% after 2ep warm-up'
    """
    if isinstance(value, Sequence):
        return ", then ".join(shape_words(part) for part in value.parts)
    if isinstance(value, Product):
        schedules = [factor for factor in value.factors if isinstance(factor, Schedule)]
        return f" {TIMES} ".join(shape_words(schedule) for schedule in schedules)
    return value.name.replace("_", " ") + _details(value) if isinstance(value, Schedule) else "fixed"


def peak(value: Any) -> float:
    """The number that a schedule is multiplied by, or the number itself; the largest of a sequence's parts.

    >>> peak(0.3 * Cosine()), peak(Linear()), peak(0.1)
    (0.3, 1.0, 0.1)
    """
    if isinstance(value, Product):
        numbers = [factor for factor in value.factors if isinstance(factor, (int, float))]
        inner = [peak(factor) for factor in value.factors if isinstance(factor, Sequence)]
        return math.prod([*numbers, *inner])
    if isinstance(value, Sequence):
        return max(peak(part) for part in value.parts)
    return 1.0 if isinstance(value, Schedule) else float(value)


def short(value: Any) -> str:
    """A number with the two digits that matter, more where it comes close to 1 from below; other values as they are.

    >>> short(0.81234), short(0.9951), short(6.51e-6), short(128), short(0.0)
    ('0.81', '0.9951', '6.5e-06', '128', '0')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return expression(value)
    if not math.isfinite(value) or value == int(value):
        return f"{value:g}"
    if 0.95 < value < 1:
        return f"{value:.{1 - math.floor(math.log10(1 - value))}f}".rstrip("0")
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def loss_words(loss: float) -> str:
    """A loss with the same number of decimals as others of its size, so that a column of them can be compared.

    >>> loss_words(0.07871), loss_words(2.3), loss_words(31622.8)
    ('0.0787', '2.3000', '3.16e+04')
    """
    return f"{loss:.4f}" if abs(loss) < 100 else f"{loss:.3g}"


def score_words(scores: NDArray[np.float64], kind: ScoreKind, mean: float | None = None) -> str:
    """The mean of scores over repeats, or how many of the repeats diverged.

    Args:
        mean: the one that the scores are compared by, if it is known; else that of those that count, see `middle_of`.

    >>> score_words(np.array([0.97, 0.98]), ScoreKind()), score_words(np.array([0.97, np.nan]), ScoreKind())
    ('97.50%', '1 of 2 diverged')
    """
    lost = int(np.isnan(scores).sum())
    if lost:
        return f"{lost} of {len(scores)} diverged"
    return kind.words(mean_of(scores if kind.fraction else middle_of(scores)) if mean is None else mean, 2)


def score_column(rows: Sequential[tuple[NDArray[np.float64], float | None]], kind: ScoreKind) -> list[str]:
    """`score_words` of several recipes below each other, all with the same decimals.

    Args:
        rows: the scores of each over repeats [repeats], and the mean that they are compared by, if it is known.
    """
    if kind.fraction:
        return [score_words(scores, kind, mean) for scores, mean in rows]
    means = [mean_of(middle_of(scores)) if mean is None else mean for scores, mean in rows]
    sound = [bool(np.isfinite(scores).all()) for scores, _ in rows]
    shown = iter(plain_numbers([mean for mean, whole in zip(means, sound, strict=True) if whole]))
    return [next(shown) if whole else score_words(scores, kind) for (scores, _), whole in zip(rows, sound, strict=True)]


def lead_unit(kind: ScoreKind) -> str:
    """What follows the word `lead` in the head of a column."""
    return ", points" if kind.fraction else ""


def time_words(seconds: float) -> str:
    """A time for people: `4 s`, `2 min 05 s`, `3 h 07 min`.

    >>> time_words(4.2), time_words(125), time_words(3600 * 3 + 400)
    ('4 s', '2 min 05 s', '3 h 06 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 recipe`, `2 recipes`; thousands are set apart.

    >>> counted(1, "recipe"), counted(40560, "lane-step")
    ('1 recipe', '40,560 lane-steps')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def _kinds(optimizer: Optimizer) -> list[str]:
    """The fields of `optimizer` that are not numbers: `optimizer_words` names those."""
    numbers = {item.name for item in timed_fields(optimizer)}
    return [item.name for item in fields(optimizer) if item.name not in numbers]


def _given(part: Part, besides: Any) -> list[str]:
    """The fields of `part` that differ from their defaults, in words, but for those named in `besides`."""
    given = [item for item in fields(part) if item.name not in besides and not holds_default(part, item)]
    return [_field_words(item.name, getattr(part, item.name)) for item in given]


def _field_words(name: str, value: Any) -> str:
    if (name, value) in PHRASES:
        return PHRASES[name, value]
    if name == "norm":
        return f"{value} norm"
    if name == "epochs":
        return counted(value, "epoch")
    if isinstance(value, bool):
        return label(name) if value else f"no {label(name)}"
    if isinstance(value, (int, float)) and value == 0:
        return f"no {label(name)}"
    return f"{label(name)} {value_words(value)}"


def _details(schedule: Schedule) -> str:
    """What sets `schedule` apart from the plain one of its name, warm-up last; begins with a space or a comma."""
    words, told = "", ["warmup", "duration"]
    if isinstance(schedule, Staircase):
        words, told = f" {TIMES}{short(schedule.beta)} every {schedule.period}", [*told, "beta", "period"]
    elif isinstance(schedule, Milestones):
        words, told = f" {TIMES}{short(schedule.beta)} at {', '.join(map(str, schedule.at))}", [*told, "beta", "at"]
    elif to := getattr(schedule, "to", None):
        words, told = f" to {100 * to:.3g}%", [*told, "to"]
    given = [item for item in fields(schedule) if item.name not in told and not holds_default(schedule, item)]
    words += "".join(f", {label(item.name)} {_detail(getattr(schedule, item.name))}" for item in given)
    duration, warmup = getattr(schedule, "duration", None), getattr(schedule, "warmup", None)
    return words + (f" for {duration}" if duration else "") + (f" after {warmup} warm-up" if warmup else "")


def _detail(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_detail, value))}]"
    return str(value) if isinstance(value, Schedule) else short(value)
