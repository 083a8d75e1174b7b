"""Recipes in words short enough for a line, a headline or a cell of a table."""

import math
from dataclasses import fields
from typing import Any

from lanewise.parts.groups import ParameterGroup, Times
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

TIMES = "\N{MULTIPLICATION SIGN}"

LABELS = {
    "lr": "learning rate",
    "l2": "L2",
    "l1": "L1",
    "nesterov": "Nesterov",
    "amsgrad": "AMSGrad",
    "decay": "decoupled weight decay",
    "norm_momentum": "BatchNorm momentum",
    "norm_groups": "normalisation groups",
    "ghost": "ghost batch size",
    "clip": "gradient clipping",
    "accumulate": "accumulated batches",
    "ema": "EMA of weights",
    "average_from": "weights averaged from",
    "l1_step": "L1 step",
    "penalty_per": "penalties per",
    "layer_decay": "layer-wise learning rate decay",
    "gradual_unfreezing": "gradual unfreezing over",
}
"""What numbers are called where their own name would not do."""

PHRASES = {
    ("l1_step", "proximal"): "proximal L1",
    ("decay_by", "independent"): "decay independent of the learning rate",
    ("penalty_per", "row"): "penalties per training example",
    ("norm", "identity"): "no normalisation",
}
OPTIMIZERS = {
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "rmsprop": "RMSprop",
    "lion": "Lion",
    "muon": "Muon",
    "schedule_free_sgd": "schedule-free SGD",
    "schedule_free_adamw": "schedule-free AdamW",
}
"""Optimizers as papers write them; all others by their own name."""
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
    """The recipe in one line: the optimizer and its learning rate, then whatever differs from the default.

    >>> from lanewise.parts.optimizers import SGD
    >>> describe(Recipe(optimizer=SGD(lr=0.92 * Cosine(), momentum=0.8123), l2=6.51e-6, dropout=0.01))
    'SGD · cosine learning rate from 0.92 · momentum 0.81 · L2 6.5e-06 · dropout 0.01'
    """
    if recipe.is_space:
        return str(recipe)
    optimizer = recipe.optimizer
    return " · ".join(
        [
            optimizer_words(optimizer),
            learning_rate_words(optimizer.lr),
            *_given(optimizer, ("lr", *_kinds(optimizer))),
            *_given(recipe, ("optimizer",)),
        ]
    )


def headline_words(recipe: Recipe) -> str:
    """What matters most about a recipe, for a headline.

    >>> from lanewise.parts.optimizers import SGD
    >>> headline_words(Recipe(optimizer=SGD(lr=0.79 * Cosine(), momentum=0.9)))
    'SGD, cosine learning rate from 0.79'
    """
    return f"{optimizer_words(recipe.optimizer)}, {learning_rate_words(recipe.optimizer.lr)}"


def brief(recipe: Recipe) -> str:
    """The same in brackets: `Adam, 0.001`."""
    return f"{optimizer_words(recipe.optimizer)}, {value_words(recipe.optimizer.lr)}"


def optimizer_words(optimizer: Optimizer) -> str:
    """The optimizer's name and what is special about its kind: `SGD (Nesterov)`."""
    name = OPTIMIZERS.get(optimizer.name, optimizer.name.replace("_", " "))
    kinds = _given(optimizer, [item.name for item in timed_fields(optimizer)])
    return f"{name} ({', '.join(kinds)})" if kinds else name


def learning_rate_words(value: Any) -> str:
    """A learning rate, with its schedule if it has one.

    >>> learning_rate_words(0.1), learning_rate_words(0.05 * Linear(to=0.1, warmup="5%"))
    ('learning rate 0.1', 'linear learning rate from 0.05 to 10% after 5% warm-up')
    """
    found, words = _scaled(value), value_words(value)
    if found is None:
        return f"learning rate {words}"
    kind = found[1].name.replace("_", " ")
    return f"{kind} learning rate{words.removeprefix(kind)}"


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
    if (found := _scaled(value)) is not None:
        scale, one = found
        start = "" if isinstance(one, Constant) else "from "
        return f"{one.name.replace('_', ' ')} {start}{short(scale)}{_details(one)}"
    factors = value.factors if isinstance(value, Product) else (value,)
    # Nothing else than the first factor of a product is a plain number; the others are schedules.
    scale = factors[0] if isinstance(factors[0], (int, float)) else 1.0
    first = next(factor for factor in factors if isinstance(factor, Schedule))
    inner = f"({value_words(first)})" if isinstance(first, Sequence) else shape_words(value)
    return inner if scale == 1 else f"{short(scale)} {TIMES} {inner}"


def _scaled(value: Any) -> tuple[float, Schedule] | None:
    """(number, schedule) where the value is a number times one schedule that starts at 1; else None."""
    factors = value.factors if isinstance(value, Product) else (value,)
    schedules = [factor for factor in factors if isinstance(factor, Schedule)]
    if len(schedules) != 1 or not isinstance(schedules[0], (Constant, *FALLING)):
        return None
    return (factors[0] if isinstance(factors[0], (int, float)) else 1.0), schedules[0]


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
    if name == "groups":
        return "; ".join(map(group_words, value))
    if name == "epochs":
        return f"{value:,} epoch{'s' * (value != 1)}"
    if isinstance(value, bool):
        return label(name) if value else f"no {label(name)}"
    if isinstance(value, (int, float)) and value == 0:
        return f"no {label(name)}"
    return f"{label(name)} {value_words(value)}"


def group_words(group: ParameterGroup) -> str:
    """A group of parameters in words.

    >>> group_words(ParameterGroup("head.*", lr=0.2, decay=0, freeze="30%"))
    'head.*: learning rate 0.2, no weight decay, frozen for 30%'
    """
    words = []
    for name in group.given:
        value = getattr(group, name)
        named = "weight decay" if name == "decay" else label(name)
        if name == "freeze":
            words.append(f"frozen for {value}")
        elif isinstance(value, Times):
            words.append(f"{named} {TIMES}{value_words(value.factor)}")
        else:
            words.append(f"no {named}" if value == 0 else f"{named} {value_words(value)}")
    return f"{group.parameters}: {', '.join(words)}"


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
