"""The techniques that a recipe is made of, and the recipe without one of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from lanewise.lanes.model.lane_layers import DROPOUTS
from lanewise.parts.dropout import Dropout
from lanewise.parts.norm.convert import CONVERTED
from lanewise.parts.schedules import Constant, Product, Schedule, Sequence, Shape, Warmup, product, sequence, tabulate
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.recipe.recipe import Recipe

NEAR_ONE = 0.02
"""A schedule's highest factor counts as 1 if it is that close: a warm-up may end between two steps."""
MOMENTA = {"momentum": "momentum", "beta1": "momentum (beta1)"}
"""Fields of optimizers that average gradients over steps, and what they are called."""
FREE = ("schedule_free_sgd", "schedule_free_adamw")
"""Optimizers in which momentum is no technique of its own: they need it above 0."""
OWN_NAMES = {
    "l2": "L2",
    "l1": "L1",
    "decay": "weight decay",
    "label_smoothing": "label smoothing",
    "weight_decay": "the optimizer's weight decay",
    "adam_weight_decay": "Adam's weight decay",
}


@dataclass(frozen=True)
class Technique:
    """One technique of a recipe.

    Attributes:
        name: for people. without: takes it away and leaves everything else as it is.
        rates: factors of the learning rate among which the best is looked for where this is taken away, since the
            rate was chosen with it; empty where the rate has little to do with it.
    """

    name: str
    without: Callable[[Recipe], Recipe]
    rates: tuple[float, ...] = ()


def techniques(recipe: Recipe, model: nn.Module, idle: list[str], steps: int, steps_per_epoch: int) -> list[Technique]:
    """Whatever `recipe`, or `model` by itself, has, and only that.

    Args:
        model: a new one, before the recipe changes its normalisation. idle: numbers of the recipe that no layer of it
            reads. steps: of the whole run.
    """
    return [*_of_the_rate(recipe, steps, steps_per_epoch), *_of_the_optimizer(recipe), *_of_layers(recipe, model, idle),
            *_of_the_recipe(recipe)]  # fmt: skip


def _of_the_rate(recipe: Recipe, steps: int, steps_per_epoch: int) -> Iterator[Technique]:
    lr = recipe.optimizer.lr
    if not isinstance(lr, Schedule):
        return
    if not isinstance(shape_of(without_warmup(lr)), Constant):
        top = top_rate(lr, steps, steps_per_epoch)

        def flat(given: Recipe) -> Recipe:
            return with_rate(given, constant(given.optimizer.lr, top))

        yield Technique("schedule", flat, (2.0, 1.0, 0.5, 0.25, 0.125, 0.0625))
    if without_warmup(lr) != lr:
        yield Technique("warm-up", lambda given: with_rate(given, without_warmup(given.optimizer.lr)))


def _of_the_optimizer(recipe: Recipe) -> Iterator[Technique]:
    optimizer = recipe.optimizer
    for name, words in MOMENTA.items():
        value = getattr(optimizer, name, 0.0)
        if value == 0 or optimizer.name in FREE:
            continue
        off = {name: 0.0} | ({"nesterov": False} if hasattr(optimizer, "nesterov") else {})
        # A step with momentum m is worth 1/(1 - m) without; optimizers that divide by the gradient's size know no such
        # loss.
        rates = (1.0, 2.0, 5.0, 10.0, 20.0) if optimizer.name == "sgd" else (2.0, 1.0, 0.5)
        yield Technique(words, _changing_optimizer(**off), rates)
    if getattr(optimizer, "nesterov", False):
        yield Technique("Nesterov", _changing_optimizer(nesterov=False))
    for name in ("weight_decay", "adam_weight_decay"):
        if getattr(optimizer, name, 0.0) != 0:
            yield Technique(OWN_NAMES[name], _changing_optimizer(**{name: 0.0}))
    for name in ("amsgrad", "centered"):
        if getattr(optimizer, name, False):
            yield Technique(name, _changing_optimizer(**{name: False}))


def _of_layers(recipe: Recipe, model: nn.Module, idle: list[str]) -> Iterator[Technique]:
    layers = list(model.modules())
    if recipe.norm != "identity" and any(isinstance(layer, CONVERTED) for layer in layers):
        # The other fields belong to layers that are gone.
        gone = _changing(norm="identity", ghost=None, norm_momentum=None)
        yield Technique(norm_name(recipe, layers), gone, (1.0, 0.5, 0.2, 0.1))
    if recipe.ghost is not None:
        yield Technique("ghost batches", _changing(ghost=None))
    rates = {
        "dropout": [rate_of(layer) for layer in layers if isinstance(layer, (Dropout, *DROPOUTS))
                    and not isinstance(layer, StochasticDepth)],
        "stochastic_depth": [layer.rate for layer in layers if isinstance(layer, StochasticDepth)],
    }  # fmt: skip
    for name, own in rates.items():
        given = getattr(recipe, name)
        if name not in idle and (any(own) if given is None else given != 0):
            yield Technique(name.replace("_", " "), _changing(**{name: 0.0}))


def rate_of(layer: Any) -> float:
    """The rate of a dropout layer, torch's or ours."""
    return float(layer.rate if isinstance(layer, Dropout) else layer.p)


def _of_the_recipe(recipe: Recipe) -> Iterator[Technique]:
    for name in ("l2", "l1", "decay", "label_smoothing"):
        if getattr(recipe, name) != 0:
            yield Technique(OWN_NAMES[name], _changing(**{name: 0.0}))
    # Strength 0 blends nothing, and the average with decay 0 is the last weights: so they stay in the pack.
    if recipe.mixup is not None and recipe.mixup != 0:
        yield Technique("mixup", _changing(mixup=0.0))
    if recipe.ema is not None and recipe.ema != 0:
        yield Technique("averaged weights (ema)", _changing(ema=0.0))
    if recipe.average_from is not None:
        yield Technique("averaged weights", _changing(average_from=None))
    if recipe.clip is not None:
        yield Technique("clipping", _changing(clip=None))
    for group in recipe.groups:
        rest = tuple(other for other in recipe.groups if other != group)
        yield Technique(f"numbers of {group.parameters}", _changing(groups=rest))
    # At 1 and after no step all layers are alike: so they stay in the pack.
    if recipe.layer_decay is not None and recipe.layer_decay != 1:
        yield Technique("layer-wise learning rate decay", _changing(layer_decay=1.0), (1.0, 0.5, 0.25))
    if recipe.gradual_unfreezing is not None:
        yield Technique("gradual unfreezing", _changing(gradual_unfreezing="0%"))


def _changing(**values: Any) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, **values)


def _changing_optimizer(**values: Any) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, optimizer=replace(recipe.optimizer, **values))


def with_rate(recipe: Recipe, lr: Any) -> Recipe:
    """`recipe` with another learning rate."""
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=lr))


def scaled_rate(recipe: Recipe, factor: float) -> Recipe:
    """`recipe` with `factor` times its learning rate."""
    return recipe if factor == 1 else with_rate(recipe, product(factor, recipe.optimizer.lr))


def norm_name(recipe: Recipe, layers: list[nn.Module]) -> str:
    """What the normalisation of the model is called, with what the recipe makes of it."""
    if recipe.norm != "own":
        return f"{recipe.norm} norm"
    kinds = {type(layer).__name__ for layer in layers if isinstance(layer, CONVERTED)}
    return "batch norm" if all("Batch" in kind for kind in kinds) else "normalisation"


def shape_of(lr: Any) -> Any:
    """The one schedule in a product with a number, or `lr` itself."""
    schedules = [factor for factor in lr.factors if isinstance(factor, Schedule)] if isinstance(lr, Product) else [lr]
    if len(schedules) != 1:
        return lr
    return schedules[0] if isinstance(schedules[0], Schedule) else Constant()


def top_rate(lr: Any, steps: int, steps_per_epoch: int) -> float:
    """The highest rate of the run; the number that a schedule is multiplied by where that is about the same.

    >>> from lanewise.parts.schedules import Cosine
    >>> top_rate(0.3 * Cosine(warmup="5%"), 30, 10)
    0.3
    """
    top = float(tabulate(lr, steps, steps_per_epoch).max())
    number = next((factor for factor in getattr(lr, "factors", ()) if isinstance(factor, (int, float))), 1.0)
    return number if abs(top - number) <= NEAR_ONE * abs(number) else top


def constant(lr: Any, top: float) -> Any:
    """`top` all the time, after the warm-up of `lr` if it has one.

    >>> from lanewise.parts.schedules import Cosine
    >>> str(constant(0.3 * Cosine(warmup="5%"), 0.3)), constant(0.3 * Cosine(), 0.3)
    ('0.3 * constant(warmup=5%)', 0.3)
    """
    warmup = warmup_of(lr)
    if warmup is None:
        return top
    if isinstance(warmup, Warmup):
        return product(top, sequence(warmup, Constant()))
    return product(top, Constant(warmup=warmup))


def warmup_of(lr: Any) -> Any:
    """The warm-up of a rate: its duration, or the part in front of a sequence; None where it has none."""
    if isinstance(lr, Product):
        return next((found for factor in lr.factors if (found := warmup_of(factor)) is not None), None)
    if isinstance(lr, Sequence):
        first = lr.parts[0]
        return first if isinstance(first, Warmup) else warmup_of(first)
    return getattr(lr, "warmup", None)


def without_warmup(lr: Any) -> Any:
    """The rate without its warm-up: what follows begins at once, and its schedule fills the run.

    >>> from lanewise.parts.schedules import Cosine
    >>> str(without_warmup(0.3 * Cosine(warmup="5%"))), str(without_warmup(Warmup("5%") >> Cosine()))
    ('0.3 * cosine()', 'cosine()')
    """
    if isinstance(lr, Product):
        bare = product(*map(without_warmup, lr.factors))
        # A number times the constant 1 is the number.
        return bare.factors[0] if bare.factors[1:] == (Constant(),) else bare
    if isinstance(lr, Sequence):
        if not isinstance(lr.parts[0], Warmup):
            return sequence(without_warmup(lr.parts[0]), *lr.parts[1:])
        return lr.parts[1] if len(lr.parts) == 2 else sequence(*lr.parts[1:])
    if isinstance(lr, Warmup):
        return Constant()
    if isinstance(lr, Shape) and lr.warmup is not None:
        return replace(lr, warmup=None)
    return lr
