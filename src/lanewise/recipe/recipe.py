"""The recipe: everything around the model that decides how well it learns, as frozen data.

A recipe in which some values are ranges or choices is a space; `choose` draws a recipe from it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

from lanewise.errors import InputError
from lanewise.parts.groups.group import ParameterGroup, Times, as_groups, check_groups
from lanewise.parts.optimizers import SGD, Optimizer
from lanewise.parts.part import Allowed, Part, Value, Variable, check_number, expression, extremes, numeric, word
from lanewise.parts.roles import check_names
from lanewise.parts.schedules import Cosine, Product, Schedule, Sequence
from lanewise.parts.schedules.duration import duration
from lanewise.recipe.coupling import (
    CoupledDecay,
    CoupledRate,
    check_coupling,
    decay_of,
    nearest,
    rate_and_decay,
    rate_of,
    scale,
)
from lanewise.recipe.group_numbers import check_decays
from lanewise.recipe.ranges import Choice
from lanewise.recipe.tree import Path, children, map_children

INDEPENDENT_DECAY = Allowed(0.0, 1.0, timed=True)
"""More than 1 would turn weights over: they are multiplied by 1 - decay."""


LARGEST_WIDTH = 65_536
"""A larger number is a slip of the finger."""

SIZES = ("width", "rank")
"""What a recipe says of the model's size, each an argument of the function that makes it."""


@dataclass(frozen=True)
class Recipe(Part):
    """One training recipe, or a space of them where values are ranges.

    Args:
        optimizer: optimizer with its learning rate, `SGD(lr=0.1 * Cosine(), momentum=0.9)`.
        l2: lambda of + lambda/2 ||theta||^2 on weights (not on biases and normalisation parameters), >= 0.
        l1: lambda of + lambda ||theta||_1 on weights, >= 0.
        l1_step: `subgradient` adds lambda sign(theta) to the gradient; `proximal` soft-thresholds after the step
            by rate * lambda and gives exact zeros.
        decay: decoupled weight decay, >= 0.
        decay_by: `rate` multiplies the decay by the learning rate, as AdamW does; `independent` does not.
        penalty_per: `mean` takes lambda as it is, `row` divides it by the number of training rows.
        penalised: names of the parameters that penalties apply to, `*` standing for anything (`head.*`); none for
            weights: not biases, normalisation parameters or embeddings.
        groups: numbers of their own for parameters by their names, `{"head.*": {"lr": "x2", "decay": 0}}`; see
            `lanewise.ParameterGroup`.
        layer_decay: learning rates are multiplied by this to the power of the layer's depth below the output (see
            `lanewise.layer_depths`), in (0, 1]; none is off.
        gradual_unfreezing: a duration such as "30%": the last layer trains from the start, the others join it one after
            another, and the first layer after so long; none is off.
        dropout: rate of every dropout layer of the model, in [0, 1); none keeps the model's own rates.
        stochastic_depth: rate of every `StochasticDepth` layer of the model, in [0, 1); none keeps its own.
        norm: `own` leaves the model's normalisation as it is; `batch`, `layer` or `group` converts it, `identity`
            removes it.
        norm_groups: groups of channels for `norm=group`.
        norm_momentum: momentum of every batch norm layer, in (0, 1]; none keeps the model's own.
        ghost: rows of a virtual batch of every batch norm layer, at least 2; none normalises whole batches.
        mixup: strength of blending every input with another of its batch, >= 0; none is off.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        clip: norm of the gradient of all parameters together beyond which it is made shorter, > 0; penalties
            are added after it; none is off.
        accumulate: batches whose mean gradient makes one step; batch norm normalises and counts each of them.
        ema: decay of an exponential average of the weights, in [0, 1), which is evaluated in place of the last
            weights, with batch norm statistics of its own; it starts from the initial weights; none is off.
        average_from: fraction of the run after which weights are averaged evenly, in [0, 1); none is off.
        early_stopping: a duration such as "25%", "3ep" or "200st": training ends once the validation loss has not
            improved for so long, and the weights of the best evaluation count in place of the last; none is off.
        width: units of the model's first hidden layer, or channels of its first convolution, the others in proportion;
            a model of one's own is called with it as `width`; none builds the model as it is.
        rank: of the low-rank adapters of a model of one's own, which is called with it as `rank` and hands it to
            `lanewise.lora`; none builds the model as it is.
        lora_alpha: of the adapters that `lanewise.lora` put into the model, >= 0; none keeps the model's own.
        batch_size: rows per batch. epochs: passes over the training rows.

    Every number may change with the step, `dropout=0.3 * Linear()`, but not `average_from`, `accumulate`,
    `early_stopping`, `gradual_unfreezing`, `width`, `rank`, `batch_size` and `epochs`.
    """

    name: ClassVar[str] = "recipe"
    optimizer: Any = SGD(lr=0.1 * Cosine(warmup="5%"), momentum=0.9)
    l2: Value = numeric(0.0, low=0, timed=True)
    l1: Value = numeric(0.0, low=0, timed=True)
    l1_step: Any = word("subgradient", "proximal")
    decay: Value = numeric(0.0, low=0, timed=True)
    decay_by: Any = word("rate", "independent")
    penalty_per: Any = word("mean", "row")
    penalised: tuple[str, ...] | None = field(default=None, metadata={"check": check_names})
    groups: Any = field(default=(), metadata={"check": check_groups})
    layer_decay: Value | None = numeric(None, low=0, high=1, low_open=True, timed=True, optional=True)
    gradual_unfreezing: Any = duration(None, optional=True)
    dropout: Value | None = numeric(None, low=0, high=1, high_open=True, timed=True, optional=True)
    stochastic_depth: Value | None = numeric(None, low=0, high=1, high_open=True, timed=True, optional=True)
    norm: Any = word("own", "batch", "layer", "group", "identity", off="identity")
    norm_groups: int = numeric(32, low=1, integer=True)
    norm_momentum: Value | None = numeric(None, low=0, high=1, low_open=True, timed=True, optional=True)
    ghost: int | None = numeric(None, low=2, integer=True, optional=True)
    mixup: Value | None = numeric(None, low=0, timed=True, optional=True)
    label_smoothing: Value = numeric(0.0, low=0, high=1, high_open=True, timed=True)
    clip: Value | None = numeric(None, low=0, low_open=True, timed=True, optional=True)
    accumulate: int = numeric(1, low=1, integer=True)
    ema: Value | None = numeric(None, low=0, high=1, high_open=True, timed=True, optional=True)
    average_from: float | None = numeric(None, low=0, high=1, high_open=True, optional=True)
    early_stopping: Any = duration(None, positive=True, optional=True)
    width: int | None = numeric(None, low=1, high=LARGEST_WIDTH, integer=True, optional=True)
    rank: int | None = numeric(None, low=1, high=LARGEST_WIDTH, integer=True, optional=True)
    lora_alpha: Value | None = numeric(None, low=0, timed=True, optional=True)
    batch_size: int = numeric(64, low=1, integer=True)
    epochs: int = numeric(20, low=1, integer=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", as_groups(self.groups))
        check_coupling(self)
        super().__post_init__()
        check_decays(self)
        kinds = extremes(self.decay_by)
        independent = "independent" in kinds
        if independent:
            check_number("Recipe.decay", self.decay, INDEPENDENT_DECAY)
        if self.ema is not None and self.average_from is not None:
            raise InputError(
                f"Recipe.ema = {self.ema} and Recipe.average_from = {self.average_from}: must not be given both; "
                "weights are averaged one way"
            )
        for optimizer in extremes(self.optimizer):
            if not isinstance(optimizer, Optimizer):
                raise InputError(f"Recipe.optimizer = {optimizer!r}: must be an optimizer such as sgd(lr=0.1)")
            if independent and decay_of(self) == "decay" and (rate := rate_of(optimizer)):
                for _, decay in rate.corners():
                    check_number(f"{rate}: Recipe.decay", decay, INDEPENDENT_DECAY)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{str(self).removeprefix(self.name)}"

    @cached_property
    def named(self) -> dict[tuple[Any, ...], tuple[str, Variable]]:
        """(name, variable) of all that is not chosen yet, by its structural path: found once, for many draws."""
        named: dict[tuple[Any, ...], tuple[str, Variable]] = {}
        taken: dict[tuple[Any, ...], str] = {}
        for path, variable, name in _walk(self, (), "", ""):
            taken[path] = _unique(name, taken)
            named[path] = taken[path], variable
        return named

    @property
    def is_space(self) -> bool:
        """Whether some value is still a range or a choice."""
        return bool(self.named)

    def numbers(self) -> dict[str, Value]:
        """Numbers that may differ by lane and change with the step, by name: the optimizer's, then the recipe's own."""
        optimizer = {item.name: getattr(self.optimizer, item.name) for item in timed_fields(self.optimizer)}
        own = {item.name: getattr(self, item.name) for item in timed_fields(self)}
        return optimizer | {name: value for name, value in own.items() if value is not None}

    def allowed(self, number: str) -> Allowed:
        """The interval that the number called `number` in `numbers()` must stay in at every step."""
        if number == "decay" and self.decay_by == "independent":
            return INDEPENDENT_DECAY
        for part in (self.optimizer, self):
            for item in timed_fields(part):
                if item.name == number:
                    allowed: Allowed = item.metadata["allowed"]
                    return allowed
        raise KeyError(number)

    @property
    def sizes(self) -> dict[str, int]:
        """What the function that makes the model is called with."""
        return {name: getattr(self, name) for name in SIZES if getattr(self, name) is not None}

    def structure(self) -> tuple[Any, ...]:
        """What lanes must share to run as one program: everything but the numbers that may differ by lane."""
        flags = tuple((f.name, getattr(self.optimizer, f.name)) for f in fields(self.optimizer) if not _is_timed(f))
        # Plans are stored under this name, also by versions that did not have all sizes.
        apart = ["optimizer", "average_from", "early_stopping", "groups", "gradual_unfreezing"]
        apart += [name for name in SIZES if getattr(self, name) is None]
        own = tuple((f.name, getattr(self, f.name)) for f in fields(self) if f.name not in apart and not _is_timed(f))
        whole_run = [name for name in ("average_from", "gradual_unfreezing") if getattr(self, name) is not None]
        groups = tuple((group.parameters, group.given) for group in self.groups)
        return (self.optimizer.name, flags, own, (*self.numbers(), *whole_run), *([groups] if groups else []))


def _is_timed(item: Any) -> bool:
    allowed = item.metadata.get("allowed")
    return allowed is not None and allowed.timed


def timed_fields(part: Any) -> list[Any]:
    """The dataclass fields of `part` that hold a number which may change with the step."""
    return [item for item in fields(part) if _is_timed(item)]


def variables(space: Recipe) -> Iterator[tuple[str, Variable]]:
    """Every range and choice of `space`, those inside options too, with the name the sampler knows it by."""
    yield from space.named.values()


Pair = tuple[float, float]
"""A rate and its decay."""


def choose(
    space: Recipe, pick: Callable[[str, Variable], Any], pair: Callable[[float, float], Pair] = rate_and_decay
) -> Recipe:
    """The recipe in which `pick(name, variable)` has chosen every range and choice that applies.

    Args:
        pair: (rate, decay) of a product and a ratio.
    """
    named, drawn = space.named, dict[str, float]()

    def chosen(value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, Choice):
            option = pick(*named[path])
            written = [expression(each) for each in value.options]
            return chosen(option, (*path, written.index(expression(option))))
        if isinstance(value, CoupledRate):
            numbers = (chosen(getattr(value, inner), (*path, inner)) for inner in ("product", "ratio"))
            # Optimizers come first in a recipe, and the rate in an optimizer.
            rate, drawn["decay"] = pair(*numbers)
            return rate
        if isinstance(value, CoupledDecay):
            return drawn["decay"]
        if isinstance(value, Variable):
            return pick(*named[path])
        return map_children(value, lambda place, child: chosen(child, place), path)

    recipe: Recipe = chosen(space, ())
    return recipe


def parameters_of(space: Recipe, recipe: Recipe) -> dict[str, Any] | None:
    """By name what must be chosen in `space` to get `recipe`; None if no choice gives it.

    The inverse of `choose`, which calls the names; a choice is given as the option that stands in the space. A product
    and a ratio are those of the recipe's rate and decay, as near as rounding allows.
    """
    named, picked = space.named, dict[str, Any]()
    # The optimizer of the space that is looked at, and the one in its place.
    optimizers: list[tuple[Optimizer, Optimizer]] = []
    # Of the recipe, where they were drawn together.
    pair: list[Pair] = []

    def pick_option(choice: Choice, found: Any, path: tuple[Any, ...], matches: Callable[..., bool]) -> bool:
        for at, option in enumerate(choice.options):
            if matches(option, found, (*path, at)):
                picked[named[path][0]] = option
                return True
        return False

    def fits(value: Any, found: Any, path: tuple[Any, ...]) -> bool:
        if isinstance(value, Choice):
            return pick_option(value, found, path, fits)
        if isinstance(value, CoupledRate):
            own = decay_of(optimizers[-1][0])
            rate, decay = (
                scale(found),
                scale(getattr(optimizers[-1][1], own) if own else getattr(recipe, decay_of(space) or "")),
            )
            if isinstance(found, Product) or not (rate and decay and rate > 0 and decay > 0):
                return False
            pair[:] = [(rate, decay)]
            numbers = ((value.product, rate * decay, "product"), (value.ratio, rate / decay, "ratio"))
            return all(comes_near(inner, number, (*path, name)) for inner, number, name in numbers)
        if isinstance(value, CoupledDecay):
            return not isinstance(found, Product) and scale(found) is not None
        if isinstance(value, Variable):
            picked[named[path][0]] = found
            return value.holds(found)
        if isinstance(value, (Part, tuple)):
            if isinstance(value, Optimizer):
                optimizers.append((value, found))
            pairs = list(zip(children(value), children(found), strict=False))
            alike = type(value) is type(found) and len(children(value)) == len(children(found))
            return alike and all(fits(child, other, (*path, *key)) for (key, child), (_, other) in pairs)
        return bool(value == found) and isinstance(value, bool) == isinstance(found, bool)

    def comes_near(value: Any, number: float, path: tuple[Any, ...]) -> bool:
        if isinstance(value, Choice):
            return pick_option(value, number, path, comes_near)
        inside = nearest(value, number)
        if inside is not None and isinstance(value, Variable):
            picked[named[path][0]] = inside
        return inside is not None

    if not fits(space, recipe, ()):
        return None
    # Values that were found in an option that did not fit are left out.
    used: dict[str, Any] = {}

    def pick(name: str, variable: Variable) -> Any:
        used[name] = picked[name]
        return picked[name]

    return used if choose(space, pick, lambda product, ratio: pair[-1]) == recipe else None


def _unique(name: str, taken: dict[tuple[Any, ...], str]) -> str:
    candidates = (name if n == 1 else f"{name}#{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken.values())


def _walk(value: Any, path: tuple[Any, ...], name: str, decay: str) -> Iterator[tuple[tuple[Any, ...], Variable, str]]:
    """(structural path, variable, name) of all variables below `value`.

    Names read as a person would say them: `lr` for the number in `log(...) * choice(...)`, `lr.schedule` for the
    choice beside it, `lr.polynomial.power` for a range inside one of its options, `lr * l2` for the product of a rate
    and the decay that is coupled to it, which is called `decay`.
    """
    if isinstance(value, Variable) and not isinstance(value, (CoupledRate, CoupledDecay)):
        is_schedule = isinstance(value, Choice) and value.of_schedules
        yield path, value, f"{name}.schedule" if is_schedule else name
    elif isinstance(value, (Optimizer, Recipe)):
        decay = decay_of(value) or decay
    for key, child in children(value):
        yield from _walk(child, (*path, *key), _called(value, key, child, name, decay), decay)


def _called(value: Any, key: Path, child: Any, name: str, decay: str) -> str:
    """The name of `child`, which stands at `key` in `value`, which is called `name`."""
    if isinstance(value, CoupledRate):
        return f"{name} {'*' if key == ('product',) else '/'} {decay}"
    if isinstance(value, Choice):
        return _dotted(name, child.name) if isinstance(child, Optimizer) else name
    if isinstance(child, ParameterGroup):
        return child.parameters
    if isinstance(value, (Product, Sequence, Times)):
        return name
    if isinstance(value, Part):
        inner = _dotted(name, value.name) if isinstance(value, Schedule) else name
        return inner if isinstance(child, Optimizer) and key == ("optimizer",) else _dotted(inner, str(key[0]))
    return f"{name}.{int(key[0]) + 1}"


def _dotted(*words: str) -> str:
    return ".".join(word for word in words if word)
