"""Rate and L2 drawn one by one, and by their product and ratio: which draws come nearer the best recipe.

In front of a batch norm only the product settles the speed in the long run, so good recipes should lie along it. A box
in the logarithms of product and ratio has the same volume as the one of `classic`, and the same middle. First draws at
random, in pairs that share all else; then whole races of three generations from TPE, without leaving early.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import stats

import lanewise as lw
from bench.rounds import machine, revision
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.part import Variable
from lanewise.parts.schedules import product
from lanewise.recipe.coupling import coupled
from lanewise.recipe.ranges import Choice, Log, NumberRange, log
from lanewise.recipe.recipe import Recipe, choose, variables
from lanewise.recipe.spaces import classic
from lanewise.record.candidate import rung_scores
from lanewise.sampling.sampler import Sampler, generation_sizes

PAIRS, REPEATS = 128, 3
CANDIDATES, GENERATIONS, FRESH = 48, 3, 8
"""Of a race, as by default; the pick of each is trained again on fresh repeats."""
NEAR = 0.01
"""A recipe counts whose mean validation accuracy is no more than this below the best of all."""
PRODUCT, RATIO = (-7.5, -3.5), (-0.5, 5.5)
"""Decades: 4 times 6, of which a pair of rate and penalty takes half, as `classic` has 3 times 4 around the same."""
TAKES = {"lr * l2": "lr", "lr / l2": "l2"}
"""Whose share of its range each takes in a pair."""


def natural() -> Recipe:
    """`classic` with rate and L2 drawn by their product and ratio."""
    space = classic()
    (schedule,) = (factor for factor in space.optimizer.lr.factors if isinstance(factor, Choice))
    pair = coupled(*(log(10.0**low, 10.0**high) for low, high in (PRODUCT, RATIO)))
    return replace(space, optimizer=replace(space.optimizer, lr=product(pair, schedule)), l2=coupled())


SPACES: dict[str, Callable[[], Recipe]] = {"rate and L2": classic, "product and ratio": natural}


def pairs(seed: int) -> list[list[Recipe]]:
    """The same random shares of every range, for both spaces."""
    random = np.random.default_rng(seed)
    names = [name for name, _ in variables(classic())]
    drawn: list[list[Recipe]] = [[], []]
    for shares in random.random((PAIRS, len(names))):
        known = dict(zip(names, shares.tolist(), strict=True))

        def pick(name: str, variable: Variable, known: dict[str, float] = known) -> object:
            share = known[TAKES.get(name, name)]
            if isinstance(variable, Choice):
                return variable.options[int(share * len(variable.options))]
            assert isinstance(variable, NumberRange)
            if isinstance(variable, Log):
                return min(variable.low * (variable.high / variable.low) ** share, variable.high)
            return variable.low + share * (variable.high - variable.low)

        for recipes, make in zip(drawn, SPACES.values(), strict=True):
            recipes.append(choose(make(), pick))
    return drawn


def trained(engine: Engine, recipes: list[Recipe], repeats: range) -> tuple[np.ndarray, np.ndarray]:
    """(accuracy, score as in a race, lower is better), means over the repeats; 0 and NaN for those that diverged."""
    cohort = Cohort(engine, recipes, repeats)
    cohort.advance(1.0)
    found = cohort.evaluate()
    return np.nan_to_num(found.metric, nan=0.0).mean(axis=1), rung_scores(found).mean(axis=1)


def raced(engine: Engine, space: Recipe, seed: int, repeats: range) -> tuple[list[Recipe], np.ndarray]:
    """All recipes of a race in which nobody leaves, in the order drawn, and their accuracy."""
    sampler, accuracies = Sampler(space, seed), []
    for generation, size in enumerate(generation_sizes(CANDIDATES, GENERATIONS)):
        first = len(sampler.recipes)
        accuracy, score = trained(engine, sampler.ask(size, generation), repeats)
        accuracies.append(accuracy)
        for at, value in enumerate(score.tolist()):
            sampler.tell(first + at, None if math.isnan(value) else value, diverged=math.isnan(value))
    return sampler.recipes, np.concatenate(accuracies)


def told(what: str, both: np.ndarray, unit: str, each: str) -> None:
    """Print the means of both ways [2, n], and their paired difference with its interval."""
    gain = both[1] - both[0]
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / math.sqrt(len(gain))
    print(
        f"{what}: {', '.join(f'{name} {100 * mean:.2f}' for name, mean in zip(SPACES, both.mean(axis=1), strict=True))}"
        f" {unit}; difference {100 * gain.mean():+.2f}, 95% [{100 * (gain.mean() - half):+.2f}, "
        f"{100 * (gain.mean() + half):+.2f}], n = {len(gain)} {each}",
        flush=True,
    )


def main(seeds: int = 4, races: int = 20, epochs: int = 20) -> None:
    """Measure and print; runs of `epochs` passes over the training rows."""
    print(
        f"Rate and L2 against their product and ratio, perceptron with batch norm on digits\n{machine()}; {revision()}"
    )
    engine = Engine(lw.Task("mlp", "digits"), 0, threads=1)
    begun = time.perf_counter()
    try:
        hits = []
        for seed in range(seeds):
            drawn = [[replace(recipe, epochs=epochs) for recipe in recipes] for recipes in pairs(seed)]
            accuracy, _ = trained(engine, drawn[0] + drawn[1], range(REPEATS * seed, REPEATS * (seed + 1)))
            near = (accuracy >= accuracy.max() - NEAR).reshape(2, PAIRS)
            hits.append(near)
            print(f"seed {seed}: best {accuracy.max():.2%}; near it {near[0].sum()} and {near[1].sum()}", flush=True)
        told("random draws near the best", np.concatenate(hits, axis=1).astype(float), "%", "pairs of draws")
        last, picks = [], []
        for seed in range(races):
            start = 1000 + seed * (REPEATS + FRESH)
            repeats, fresh = range(start, start + REPEATS), range(start + REPEATS, start + REPEATS + FRESH)
            both = [raced(engine, replace(make(), epochs=epochs), seed, repeats) for make in SPACES.values()]
            best = max(accuracy.max() for _, accuracy in both)
            learnt = CANDIDATES - generation_sizes(CANDIDATES, GENERATIONS)[-1]
            last.append([(accuracy[learnt:] >= best - NEAR).mean() for _, accuracy in both])
            accuracy, _ = trained(engine, [recipes[accuracy.argmax()] for recipes, accuracy in both], fresh)
            picks.append(accuracy)
        if not races:
            return
        told("draws of TPE's last generation near the best", np.array(last).T, "%", "races")
        told("accuracy of the pick on fresh repeats", np.array(picks).T, "%", "races")
    finally:
        engine.close()
    print(f"{time.perf_counter() - begun:.0f} s, one thread")
