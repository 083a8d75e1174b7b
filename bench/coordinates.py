"""Random draws of rate and L2 one by one, and by their product and ratio: how many come near the best recipe of all.

In front of a batch norm only the product settles the speed in the long run, so good recipes should lie along it. A box
in the logarithms of product and ratio has the same volume as the one of `classic`, and the same middle.
"""

import math
from dataclasses import replace

import numpy as np

import lanewise as lw
from bench.rounds import machine, revision
from lanewise.lanes.cohort import Cohort
from lanewise.lanes.engine import Engine
from lanewise.parts.schedules import product
from lanewise.spaces import classic
from lanewise.study.sampling import Sampler

PAIRS, REPEATS = 128, 3
NEAR = 0.01
"""A recipe counts whose mean validation accuracy is no more than this below the best of all."""
RATE, PENALTY = (-3.0, 0.0), (-6.0, -2.0)
"""The ends of `classic`, in decades: 12 square decades around 10^-1.5 and 10^-4."""
PRODUCT, RATIO = (-7.5, -3.5), (-0.5, 5.5)
"""The same volume: 4 times 6, of which a pair of rate and penalty takes two."""


def pairs(seed: int) -> tuple[list[lw.Recipe], list[lw.Recipe]]:
    """Recipes with rate and penalty drawn one by one, and the same ones with product and ratio drawn instead."""
    random = np.random.default_rng(seed)
    apart, natural = [], []
    for recipe in Sampler(classic(), seed, None, "random").ask(PAIRS, 0):
        first, second = random.random(2)
        schedule = recipe.rule.lr.factors[1:]
        rate, penalty = between(RATE, first), between(PENALTY, second)
        by_product, by_ratio = between(PRODUCT, first), between(RATIO, second)
        for drawn, decades in (
            (apart, (rate, penalty)),
            (natural, ((by_product + by_ratio) / 2, (by_product - by_ratio) / 2)),
        ):
            lr, l2 = (10.0**power for power in decades)
            drawn.append(replace(recipe, rule=replace(recipe.rule, lr=product(lr, *schedule)), l2=l2))
    return apart, natural


def between(ends: tuple[float, float], share: float) -> float:
    """The number that lies at `share` of the way between the two."""
    return ends[0] + share * (ends[1] - ends[0])


def main(seeds: int = 2) -> None:
    """Measure and print."""
    print(
        f"Rate and L2 against their product and ratio, perceptron with batch norm on digits\n{machine()}; {revision()}"
    )
    task, hits = lw.Task("mlp", "digits"), []
    for seed in range(seeds):
        apart, natural = pairs(seed)
        engine = Engine(task, seed)
        try:
            cohort = Cohort(engine, [*apart, *natural], range(REPEATS))
            cohort.advance(1.0)
            found = cohort.evaluate()
        finally:
            engine.close()
        accuracy = np.nan_to_num(found.metric.mean(axis=1), nan=0.0)
        near = accuracy >= accuracy.max() - NEAR
        hits.append(np.stack([near[:PAIRS], near[PAIRS:]]))
        print(
            f"seed {seed}: best {accuracy.max():.2%}; near it {near[:PAIRS].sum()} and {near[PAIRS:].sum()}", flush=True
        )
    both = np.concatenate(hits, axis=1).astype(float)
    gain = both[1] - both[0]
    half = 1.96 * gain.std(ddof=1) / math.sqrt(len(gain))
    for name, share in zip(("rate and L2", "product and ratio"), both.mean(axis=1), strict=True):
        print(f"{name}: {share:.1%} within {NEAR:.0%} of the best")
    print(
        f"difference {100 * gain.mean():+.1f} points, 95% [{100 * (gain.mean() - half):.1f}, "
        f"{100 * (gain.mean() + half):.1f}], n = {len(gain)} pairs of {REPEATS} repeats"
    )


if __name__ == "__main__":
    main()
