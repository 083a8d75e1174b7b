"""Races without training in which one setting of `classic` is made to matter, to test importance on."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from optuna.trial import FrozenTrial

from lanewise.racing import PRUNERS, RUNGS, compute_for
from lanewise.recipe.recipe import Recipe
from lanewise.sampling.sampler import Sampler

Effect: TypeAlias = Callable[[Mapping[str, Any]], float]
"""What a candidate loses by its settings; 1 is the standard deviation over random draws."""

RUNG_NOISE = (0.8, 0.6, 0.4)
"""Standard deviation of what a rung's score, the mean of the repeats, says wrongly about the end."""
GENERATION = 16


def valley(settings: Mapping[str, Any]) -> float:
    """A rate that is best at 0.06: the loss rises to both sides with its logarithm."""
    return abs(float(np.log10(settings["lr"])) + 1.2) / 0.51


def slope(settings: Mapping[str, Any]) -> float:
    """The more momentum the better."""
    return -float(settings["momentum"]) / 0.274


def edge(settings: Mapping[str, Any]) -> float:
    """Only the top quarter of L2, on a log scale, hurts."""
    return max(0.0, float(np.log10(settings["l2"])) + 3) / 0.26


def category(settings: Mapping[str, Any]) -> float:
    """The schedules that stay or fall in steps are worse than the others."""
    return float(settings["lr.schedule"].startswith(("constant", "staircase"))) / 0.47


MATTERS: dict[str, tuple[str, Effect]] = {
    "valley": ("lr", valley),
    "slope": ("momentum", slope),
    "edge": ("l2", edge),
    "category": ("lr.schedule", category),
}
"""Shape of the effect -> (the setting that matters, the effect)."""


def race(
    space: Recipe, effect: Effect | None, share: float, seed: int, candidates: int = 48, kind: str = "tpe"
) -> tuple[list[FrozenTrial], list[int]]:
    """(the trials of a race by the default pruner, the generation of each) in which nothing but `effect` matters.

    Args:
        effect: None if nothing matters. share: of the variance of what candidates are worth at the end, among random
            draws; the rest is luck. kind: of the sampler.
    """
    sampler, luck = Sampler(space, seed, None, kind), np.random.default_rng([seed, 7])
    rungs, generations = np.array(RUNGS), []
    for generation in range(-(-candidates // GENERATION)):
        first, size = len(generations), min(GENERATION, candidates - len(generations))
        sampler.ask(size, generation)
        generations += [generation] * size
        drawn = sampler.study.trials[first:]
        lost = np.array([0.0 if effect is None else effect(trial.params) for trial in drawn])
        end = np.sqrt(share) * lost + np.sqrt(1 - share) * luck.normal(size=size)
        live, seen = np.arange(size), np.full((0, size, 1), np.nan)
        for rung, noise in enumerate(RUNG_NOISE):
            now = np.full((1, size, 1), np.nan)
            # Scores fall as training goes on, by as much for all.
            now[0, live, 0] = end[live] + 3 - rung + noise * luck.normal(size=len(live))
            seen = np.concatenate([seen, now])
            for at in live:
                sampler.report(first + int(at), rung + 1, float(now[0, at, 0]))
            live = PRUNERS["lanewise"](seen, rungs, live, compute_for(RUNGS))
        for at in range(size):
            sampler.tell(first + at, float(end[at]) if at in live else None, diverged=False)
    return sampler.study.get_trials(deepcopy=False), generations
