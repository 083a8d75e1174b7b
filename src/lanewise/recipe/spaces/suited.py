"""The space that suits a task: optimizers with ranges of their own, and techniques that the task has a use for.

A choice begins with its usual option: the first programs are those of the usual options, and later ones vary the best
(`lanewise.recipe.structures`). What costs no program of its own (dropout, momentum, label smoothing) is always a
number, so that it never splits a pack.
"""

from dataclasses import dataclass
from typing import Any

from lanewise.parts.groups import times
from lanewise.parts.optimizers import SGD, AdamW, Muon, Optimizer, ScheduleFreeAdamW
from lanewise.parts.schedules import Constant, Cosine, Linear, OneCycle, WarmupStableDecay
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces.facts import UNBALANCED, Facts

AVERAGED = (0.01, 0.1)
"""Shares of a run over which an average of the weights (EMA) reaches back."""
LEAST_STEPS_TO_AVERAGE = 100
"""Shorter runs are not averaged: the average starts from the initial weights and would still hold them."""

LEAST_LAYERS = 3
"""Pretrained models with fewer layers have no layer-wise rates: with two, the group of the head says it all."""
LAYER_DECAY = (0.6, 0.95)
"""Of pretrained models; 0.65 to 0.9 is usual for transformers of 12 to 24 layers (Bao et al., 2021)."""
NEW_PARTS = (1.0, 30.0)
"""Times the learning rate of the pretrained weights that those have which are drawn anew."""


@dataclass(frozen=True)
class Rates:
    """Ranges of the learning rate of each optimizer, from the least to the most."""

    adamw: tuple[float, float]
    sgd: tuple[float, float]
    muon: tuple[float, float]
    schedule_free: tuple[float, float]


FRESH = Rates(adamw=(5e-4, 3e-2), sgd=(1e-2, 1.0), muon=(3e-3, 1e-1), schedule_free=(1e-3, 5e-2))
SEQUENCE = Rates(adamw=(2e-4, 1e-2), sgd=(1e-2, 1.0), muon=(2e-3, 5e-2), schedule_free=(5e-4, 2e-2))
PRETRAINED = Rates(adamw=(1e-5, 1e-3), sgd=(1e-4, 3e-2), muon=(1e-4, 5e-3), schedule_free=(2e-5, 2e-3))


def suited(facts: Facts) -> Recipe:
    """The space that suits a task with these `facts`."""
    fields: dict[str, Any] = {
        "optimizer": choice(*optimizers(facts)),
        "l2": choice(0.0, log(1e-6, 1e-2)),
        "batch_size": one_of(facts.batch_sizes),
        "epochs": facts.epochs,
    }
    if facts.dropout:
        fields["dropout"] = choice(0.0, uniform(0.05, 0.5))
    if facts.depth:
        fields["stochastic_depth"] = choice(0.0, uniform(0.05, 0.3))
    if facts.norm_momentum and None not in facts.norm_momentum:
        fields["norm_momentum"] = log(0.02, 0.5)
    if facts.converts and not facts.pretrained:
        fields["norm"] = choice("own", "layer")
    if facts.smooths:
        fields["label_smoothing"] = choice(0.0, uniform(0.02, 0.2))
    if facts.pictures and facts.mixes:
        fields["mixup"] = choice(None, uniform(0.1, 0.4))
    if facts.sequence:
        fields["clip"] = log(0.25, 4.0)
    if facts.pretrained and facts.layers >= LEAST_LAYERS:
        fields["layer_decay"] = choice(1.0, uniform(*LAYER_DECAY))
    if facts.new_parts:
        fields["groups"] = {name: {"lr": times(log(*NEW_PARTS))} for name in facts.new_parts}
    if facts.steps >= LEAST_STEPS_TO_AVERAGE:
        least, most = (1 - 1 / (share * facts.steps) for share in AVERAGED)
        fields["ema"] = choice(None, uniform(max(0.0, round(least, 4)), round(most, 4)))
    return Recipe(**fields)


def optimizers(facts: Facts) -> list[Optimizer]:
    """The optimizers that the space chooses from, the usual one first.

    Muon comes last: its steps cost several times those of the others in small models, so small races try it late.
    """
    rates = PRETRAINED if facts.pretrained else SEQUENCE if facts.sequence else FRESH
    schedules = choice(
        Cosine(warmup="5%"),
        Linear(warmup="5%"),
        OneCycle(),
        WarmupStableDecay(warmup="5%", decay="30%"),
        Constant(warmup="5%"),
    )
    found: list[Optimizer] = [
        AdamW(lr=log(*rates.adamw) * schedules, weight_decay=log(1e-4, 1.0)),
        SGD(lr=log(*rates.sgd) * schedules, momentum=uniform(0.6, 0.97)),
    ]
    found.append(
        ScheduleFreeAdamW(
            lr=log(*rates.schedule_free) * Constant(warmup="5%"),
            beta1=uniform(0.8, 0.98),
            weight_decay=log(1e-4, 1.0),
        )
    )
    if facts.matrices:
        found.append(
            Muon(
                lr=log(*rates.muon) * schedules,
                weight_decay=log(1e-4, 1.0),
                adam_lr=log(*rates.adamw) * Cosine(warmup="5%"),
            )
        )
    return found


def one_of(options: tuple[int, ...]) -> Any:
    """A choice of `options`, or the only one."""
    return choice(*options) if len(options) > 1 else options[0]


def told(facts: Facts, name: str) -> list[str]:
    """The space in a few plain lines, and what it leaves out.

    Args:
        name: of the space, such as auto.
    """
    names = ["AdamW", "SGD with momentum", "schedule-free AdamW", *["Muon"] * facts.matrices]
    space = suited(facts)
    what = {
        "dropout": "dropout",
        "stochastic_depth": "stochastic depth",
        "norm_momentum": "batch norm momentum",
        "label_smoothing": "label smoothing",
        "clip": "gradient clipping",
        "layer_decay": "layer-wise learning rate decay",
    }
    choices = {"norm": "layer norm instead of batch norm", "mixup": "mixup", "ema": "averaged weights (EMA)"}
    numbers = [words for field, words in what.items() if getattr(space, field) != getattr(Recipe(), field)]
    options = [words for field, words in choices.items() if getattr(space, field) != getattr(Recipe(), field)]
    kinds = {
        "vision": "pictures",
        "text": "a model of sequences",
        "table": "a table or other numbers",
        "finetune": "pretrained weights (the same for every seed)",
    }
    sizes = " or ".join(map(str, facts.batch_sizes))
    lines = [
        f"space {name}, for {kinds[facts.kind]} and {facts.rows:,} training examples: "
        f"{', '.join(names[:-1])} or {names[-1]}; five schedules, most with warm-up",
        f"  weight decay, L2{''.join(f', {words}' for words in numbers)}; batch size {sizes}",
    ]
    if facts.new_parts:
        lines.append(
            f"  {', '.join(facts.new_parts)}: drawn anew for each seed, so with up to {NEW_PARTS[1]:.0f} times the "
            "learning rate of the pretrained weights"
        )
    if options:
        lines.append(f"  as choices, the usual is none: {', '.join(options)}")
    if facts.imbalance >= UNBALANCED and not facts.weighed:
        lines.append(
            f"  the largest class has {facts.imbalance:.0f} times the examples of the smallest; class weights belong "
            "to the objective, so they are no choice of the space: class_weights = balanced"
        )
    return lines
