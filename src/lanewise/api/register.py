"""`@lanewise.register`: a schedule, an optimizer, a pruner or a metric of the user's own, by name."""

import inspect
import keyword
import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, overload

import torch

from lanewise.base.registry import remember, same_place
from lanewise.errors import InputError, a_type, one_line
from lanewise.metrics import Metric
from lanewise.metrics.names import register_metric, taken_metric
from lanewise.parts.optimizers import Optimizer
from lanewise.parts.part import Part
from lanewise.parts.schedules import Schedule, Shape
from lanewise.racing import PRUNERS
from lanewise.racing.own_pruner import OWN, OwnPruner
from lanewise.recipe.language import CONSTANTS, WORDS

PRUNER_ARGUMENTS, METRIC_ARGUMENTS = 4, 2
ALLOWED = (
    "a subclass of lanewise.Schedule or lanewise.Optimizer, a pruner (scores, progress, live, compute), a metric "
    "(outputs, targets) or a lanewise.Metric"
)
AnyPart = TypeVar("AnyPart")


@overload
def register(part: AnyPart, /) -> AnyPart: ...
@overload
def register(
    part: None = None,
    /,
    *,
    name: str | None = None,
    kind: str | None = None,
    greater_is_better: bool | None = None,
    fraction: bool | None = None,
) -> Callable[[AnyPart], AnyPart]: ...
@overload
def register(
    part: AnyPart,
    /,
    *,
    name: str | None = None,
    kind: str | None = None,
    greater_is_better: bool | None = None,
    fraction: bool | None = None,
) -> AnyPart: ...
def register(
    part: Any = None,
    /,
    *,
    name: str | None = None,
    kind: str | None = None,
    greater_is_better: bool | None = None,
    fraction: bool | None = None,
) -> Any:
    """Make a part of your own known by its name: in recipe files, in expressions and on the command line.

    On the command line its module must be imported first: `lanewise race --import my_parts --pruner my_pruner`. Records
    hold the name of the part and of its module; `lanewise resume` asks for `--import` and imports nothing by itself.

    Args:
        part: a frozen dataclass that subclasses `lanewise.Schedule` (with `factor`) or `lanewise.Optimizer` (with
            `update`, and `init` where it has a state); a function `(scores, progress, live, compute) -> kept`, a pruner
            (see `lanewise.Pruner`); a function `(outputs, targets)` -> one score a row, or one for them all, a metric;
            or a `lanewise.Metric`.
        name: what it is called; by default the `name` of the class, its own name in small letters with `_`, or the
            name of the function.
        kind: `pruner` or `metric`, for a function whose number of arguments is ambiguous.
        greater_is_better: of a metric that is a function; true by default. fraction: whether all its scores are in
            [0, 1], as accuracy is, and are shown in percent; false by default.

    Returns:
        The part itself, so that it decorates, with or without arguments.

    Raises:
        InputError: a name that is taken or no identifier, or a part that cannot be used.

    For example, in `my_parts.py`; `0.1 * ramp(floor=0.2)` is then a learning rate::

        @lanewise.register
        @dataclass(frozen=True)
        class Ramp(lanewise.Schedule):
            floor: float = lanewise.numeric(0.1, low=0.0, high=1.0)

            def factor(self, step, steps, run):
                return self.floor + (1 - self.floor) * step / steps
    """
    if part is None:
        return lambda given: register(
            given, name=name, kind=kind, greater_is_better=greater_is_better, fraction=fraction
        )
    found = kind_of(part, kind)
    if found != "metric" or isinstance(part, Metric):
        for option, given in (("greater_is_better", greater_is_better), ("fraction", fraction)):
            if given is not None:
                raise InputError(f"register: {option} = {given}: must be given for a metric that is a function only")
    called = name if name is not None else name_of(part)
    code = part.function if isinstance(part, Metric) else part
    check_name(found, called, code)
    if found in ("schedule", "optimizer"):
        check_class(part)
        before = part.name
        part.name = called
        try:
            check_formula(part)
        except BaseException:
            part.name = before
            raise
        WORDS[called] = kept = part
    elif found == "pruner":
        PRUNERS[called] = kept = OwnPruner(called, part)
    else:
        kept = (
            part if isinstance(part, Metric) else Metric(called, part, greater_is_better is not False, bool(fraction))
        )
        if kept.name != called:
            raise InputError(f"register: name = {called!r}: must be {kept.name!r}, the name of the metric itself")
        register_metric(kept)
    remember(found, called, kept, code)
    return part


def kind_of(part: Any, kind: str | None = None) -> str:
    """What `part` is: schedule, optimizer, pruner or metric; a function is classified by its number of arguments."""
    if isinstance(part, type) and issubclass(part, (Schedule, Optimizer)):
        found = "schedule" if issubclass(part, Schedule) else "optimizer"
    elif isinstance(part, Metric):
        found = "metric"
    elif isinstance(part, (type, Part)) or not callable(part):
        what = part.__name__ if isinstance(part, type) else a_type(part)
        raise InputError(f"register: {what}: must be {ALLOWED}")
    elif kind is not None:
        found = kind if kind in ("pruner", "metric") else ""
    else:
        found = {PRUNER_ARGUMENTS: "pruner", METRIC_ARGUMENTS: "metric"}.get(arguments_of(part), "")
        if not found:
            raise InputError(
                f"register: {name_of(part)} takes {arguments_of(part)} arguments: must be a pruner "
                "(scores, progress, live, compute) or a metric (outputs, targets); kind='pruner' or 'metric' says which"
            )
    if kind not in (None, found):
        allowed = "must be pruner or metric" if not found else f"is a {found}"
        raise InputError(f"register: kind = {kind!r}: {name_of(part)} {allowed}")
    return found


def arguments_of(function: Callable[..., Any]) -> int:
    """How many arguments `function` must be given; -1 where that cannot be known."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return -1
    return sum(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in given
    )


def name_of(part: Any) -> str:
    """The name of a part by itself.

    >>> name_of(type("WarmRestartsV2", (Schedule,), {}))
    'warm_restarts_v2'
    """
    if isinstance(part, type) and issubclass(part, Part):
        own = vars(part).get("name")
        return own if own else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part.__name__).lower()
    known = part.name if isinstance(part, Metric) else getattr(part, "__name__", type(part).__name__)
    return str(known)


def check_name(kind: str, name: Any, code: Any) -> None:
    """Raise `InputError` unless `name` can be the name of a new part of this kind."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"register: name = {name!r}: must be a Python identifier, such as my_{kind}; give name=...")
    if same_place(kind, name, code):
        return
    if kind == "metric":
        taken = taken_metric(name)
    else:
        taken = name in (PRUNERS if kind == "pruner" else WORDS.keys() | CONSTANTS.keys())
    if taken:
        raise InputError(f"register: name = {name!r}: is taken; give another one with name=...")


def check_class(part: type[Part]) -> None:
    """Raise `InputError` unless `part` is a frozen dataclass that says what it does."""
    name = part.__name__
    parameters = vars(part).get("__dataclass_params__")
    if not is_dataclass(part) or parameters is None or not parameters.frozen:
        raise InputError(f"register: {name}: must be a frozen dataclass; write @dataclass(frozen=True) above the class")
    if issubclass(part, Optimizer):
        formula, missing = "update", part.update is Optimizer.update
    elif issubclass(part, Shape):
        formula, missing = "curve", part.curve is Shape.curve and part.factor is Shape.factor
    else:
        formula, missing = "factor", part.factor is Schedule.factor  # type: ignore[attr-defined]
    if missing:
        raise InputError(f"register: {name}: has no {formula}; must be the formula of the {kind_of(part)}")
    bare = [item.name for item in fields(part) if item.default is MISSING and item.default_factory is MISSING]
    if bare:
        raise InputError(f"register: {name}.{bare[0]}: has no default; every field must have one")


def check_formula(part: type[Any]) -> None:
    """Try the formula once, with the defaults: what it raises would otherwise end a race."""
    name = part.__name__
    try:
        made = part()
        if isinstance(made, Schedule):
            made(0, 100, 10)
            return
        theta = torch.ones(2, 3)
        state = made.init(theta)
        numbers = {
            key: float(value(0, 100)) if isinstance(value, Schedule) else value for key, value in made.numbers().items()
        }
        after, memory = made.update(theta, torch.ones_like(theta), state, numbers, 0)
    except Exception as error:
        raise InputError(f"register: {name}: its formula raised {one_line(error)}") from error
    if after.shape != theta.shape or set(memory) != set(state):
        raise InputError(
            f"register: {name}.update: returned a tensor of shape {list(after.shape)} and a state of "
            f"{sorted(memory)}: must be {list(theta.shape)}, as the parameter, and {sorted(state)}, as init gives"
        )


def adopted(pruner: Any) -> Any:
    """The name of `pruner` in `PRUNERS`: a function gets one there if it has none; all else is left as it is."""
    if isinstance(pruner, str) or not callable(pruner):
        return pruner
    for name, known in PRUNERS.items():
        if pruner is known or (isinstance(known, OwnPruner) and not name.startswith(OWN) and known.function is pruner):
            return name
    name = name_of(pruner)
    PRUNERS[OWN + name] = OwnPruner(name, pruner)
    return OWN + name
