"""Optuna's samplers by name, and the points of a grid."""

import contextlib
import importlib.util
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from lanewise.errors import InputError, a_type
from lanewise.lanes.machine.streams import stream_seed
from lanewise.parts.part import Variable, expression
from lanewise.recipe.ranges import Choice, Integer, Log, NumberRange
from lanewise.recipe.recipe import Recipe, choose, variables
from lanewise.sampling.tpe import GenerationTPE

STARTUP_TRIALS = 16
"""Candidates drawn at random before the sampler learns from the scores: the first generation of a default race."""
STARTUP_FINISHED = 4
"""The same for a sampler that learns from those alone that finished the race, a quarter of a generation."""
SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid")
OWN = "own: "
"""What the record of a sampler of the user's own begins with; its class or function follows."""
LARGEST_GRID = 10_000

OwnSampler: TypeAlias = BaseSampler | Callable[[int], BaseSampler]
"""A sampler for all generations, or a function that makes one for a generation from its seed."""


class WholeSpaceQMC(QMCSampler):
    """A scrambled Sobol sequence over all variables, from the first candidate on.

    Optuna's own draws at random until it has seen which variables there are. A variable that does not apply to a
    candidate has its coordinate all the same.
    """

    def __init__(self, space: Recipe, seed: int) -> None:
        super().__init__(seed=seed, scramble=True, warn_independent_sampling=False)
        self._space = {name: distribution(variable) for name, variable in variables(space)}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space


def check_sampler(kind: Any, own: OwnSampler | None = None) -> None:
    """Raise `InputError` unless `kind` is the name of a sampler that can be made."""
    where = f"sampler = {kind!r}"
    if isinstance(kind, str) and kind.startswith(OWN):
        if own is None:
            raise InputError(f"{where}: is not recorded with its code; give the sampler itself, in Python")
    elif not isinstance(kind, str) or kind not in SAMPLERS:
        raise InputError(f"{where}: must be one of {', '.join(SAMPLERS)}, or in Python a sampler of Optuna's kind")
    if kind == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise InputError(f"{where}: needs the package cmaes: pip install cmaes")


def own_name(own: Any) -> str:
    """What a sampler of the user's own is recorded as.

    Raises:
        InputError: it is no sampler and nothing that makes one.
    """
    if not (isinstance(own, BaseSampler) or callable(own)):
        check_sampler(own)
    known = type(own) if isinstance(own, BaseSampler) else own
    return f"{OWN}{getattr(known, '__module__', '?')}.{getattr(known, '__qualname__', type(known).__qualname__)}"


def sampler_for(
    kind: str, space: Recipe, seed: int, generation: int, size: int, own: OwnSampler | None = None
) -> BaseSampler:
    """The sampler of a generation of `size` candidates, seeded by (study, generation).

    Args:
        kind: a name in `SAMPLERS`. own: takes its place; a sampler that is no function keeps the seed it has.
    """
    drawn = stream_seed(seed, "sampler", generation) % 2**32
    if isinstance(own, BaseSampler):
        return own
    if own is not None:
        made = own(drawn)
        if not isinstance(made, BaseSampler):
            raise InputError(f"sampler: gave {a_type(made)}: must give an optuna.samplers.BaseSampler")
        return made
    if kind == "tpe":
        return GenerationTPE(seed=drawn, n_startup_trials=STARTUP_TRIALS, constant_liar=True)
    if kind == "gp":
        return GPSampler(seed=drawn, n_startup_trials=STARTUP_FINISHED, warn_independent_sampling=False)
    if kind == "cmaes":
        # An update waits for as many as its population; half a generation is there even when some diverged.
        return CmaEsSampler(
            seed=drawn, popsize=max(4, size // 2), consider_pruned_trials=True, warn_independent_sampling=False
        )
    if kind == "qmc":
        # One sequence through all generations: each goes on where the one before has ended.
        return WholeSpaceQMC(space, stream_seed(seed, "sampler") % 2**32)
    return RandomSampler(seed=drawn)


def distribution(variable: Variable) -> BaseDistribution:
    """What Optuna calls `variable`; an option is known by the way it is written."""
    if isinstance(variable, Choice):
        return CategoricalDistribution([expression(option) for option in variable.options])
    if isinstance(variable, Integer):
        return IntDistribution(int(variable.low), int(variable.high))
    if isinstance(variable, NumberRange):
        return FloatDistribution(variable.low, variable.high, log=isinstance(variable, Log))
    raise TypeError(f"no way to sample {a_type(variable)}")


def grid(space: Recipe, seed: int) -> list[dict[str, Any]]:
    """All choices that `space` allows, by name, in an order that is drawn: a part of them is no corner of the grid.

    Raises:
        InputError: it holds a range without points, or there are more than `LARGEST_GRID`.
    """
    found = []
    for point in points(space):
        found.append(point)
        if len(found) > LARGEST_GRID:
            raise InputError(f"sampler = 'grid': this space has more than {LARGEST_GRID:,} points; leave choices out")
    random.Random(stream_seed(seed, "grid")).shuffle(found)
    return found


def points(space: Recipe) -> Iterator[dict[str, Any]]:
    """All choices that `space` allows, the last one changing fastest; what does not apply is not counted twice."""
    following = [0]
    while following:
        taken: list[tuple[int, int]] = []
        point: dict[str, Any] = {}

        def pick(name: str, variable: Variable) -> Any:
            if isinstance(variable, Integer):
                values: Any = range(int(variable.low), int(variable.high) + 1)
            elif isinstance(variable, Choice):
                values = variable.options
            else:
                raise InputError(
                    f"sampler = 'grid': {name} = {variable} has no points; write them: "
                    f"choice({expression_of(variable)})"
                )
            at = following[len(taken)] if len(taken) < len(following) else 0  # noqa: B023
            taken.append((at, len(values)))  # noqa: B023
            point[name] = values[at]  # noqa: B023
            return values[at]

        choose(space, pick)
        yield point
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        following = [at for at, _ in taken]
        if following:
            following[-1] += 1


def expression_of(variable: Variable) -> str:
    """Three numbers of a range, for a message: its ends and the middle, on its own scale."""
    low, high = variable.low, variable.high  # type: ignore[attr-defined]
    middle = (low * high) ** 0.5 if isinstance(variable, Log) else (low + high) / 2
    return ", ".join(f"{number:.3g}" for number in (low, middle, high))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's log lines and its notes on experimental features out of the user's terminal."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
