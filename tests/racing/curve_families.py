"""Families of synthetic learning curves with decaying schedules, to replay pruners of the race on.

`FAMILIES[name](candidates, repeats, seed)` gives (curves, points): curves float [point, candidate, repeat], lower is
better, NaN from the point at which a run diverged; points, the progress at which they were scored, end with 1. Unit:
one point of error. Repeats are paired: all candidates of a repeat share a part of the noise.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Curves: TypeAlias = tuple[np.ndarray, np.ndarray]
Family: TypeAlias = Callable[[int, int, int], Curves]

POINTS = np.arange(1, 33) / 32
STEPS = 320


def decays(kinds: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The factor of the rate of each candidate at each progress, float [step, candidate], by kind 0 to 5."""
    t = at[:, None]
    shapes = [
        np.ones_like(t),
        1 - t,
        (1 + np.cos(np.pi * t)) / 2,
        0.01**t,
        0.1 ** np.floor(t * 3),
        np.minimum(1.0, (1 - t) / 0.2),
    ]
    return np.concatenate(shapes, axis=1)[:, kinds]


def quadratic(rates: np.ndarray, kinds: np.ndarray, noise: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Expected loss of gradient descent with noisy gradients on a quadratic bowl, float [point, candidate].

    In the direction of curvature l the mean square distance m from the bottom follows
    m <- (1 - r l)^2 m + r^2 noise^2 l with r the rate at that step: a high rate is fast, and noisy until it decays.

    Source: Zhang et al., "Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic
    model", 2019.
    """
    curvature = np.logspace(-3, 0, 12)[:, None]
    distance = np.ones((12, len(rates))) * start / 12 / curvature
    table = decays(kinds, (np.arange(STEPS) + 0.5) / STEPS) * rates
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        for step, rate in enumerate(table, start=1):
            distance = (1 - rate * curvature) ** 2 * distance + rate**2 * noise**2 * curvature
            if step % (STEPS // len(POINTS)) == 0:
                losses.append((curvature * distance).sum(axis=0))
    return np.array(losses)


def observed(loss: np.ndarray, repeats: int, generator: np.random.Generator, own: float, shared: float) -> Curves:
    """Runs of these expected losses: each repeat shifts all candidates alike, each run and each point for itself."""
    points, candidates = loss.shape
    runs = loss[:, :, None] + shared * generator.normal(size=(1, 1, repeats))
    runs = runs + own * (
        generator.normal(size=(1, candidates, repeats)) + 0.5 * generator.normal(size=(points, candidates, repeats))
    )
    bad = np.cumsum(~np.isfinite(runs) | (runs > 1e4), axis=0) > 0
    return np.where(bad, np.nan, runs), POINTS


def rates_and_schedules(candidates: int, repeats: int, seed: int) -> Curves:
    """Rates over three decades, all six schedules: the best are fast and noisy, and look bad until they decay."""
    generator = np.random.default_rng([seed, 1])
    rates = 10 ** generator.uniform(-2, 0.25, candidates)
    kinds = generator.integers(0, 6, candidates)
    loss = quadratic(rates, kinds, generator.uniform(0.5, 1.5, candidates), 10.0 * np.ones(candidates))
    return observed(5 + 2 * loss, repeats, generator, own=0.1, shared=0.5)


def high_rates(candidates: int, repeats: int, seed: int) -> Curves:
    """Only decaying schedules at rates that are all high, with other differences that stay: the middle misleads."""
    generator = np.random.default_rng([seed, 2])
    rates = 10 ** generator.uniform(-1, 0.1, candidates)
    kinds = generator.choice([1, 2, 3, 5], candidates)
    loss = quadratic(rates, kinds, 2.0 * np.ones(candidates), generator.uniform(5, 15, candidates))
    stays = 0.6 * generator.normal(size=candidates)
    return observed(5 + loss + stays - 0.8 * np.log10(rates), repeats, generator, own=0.15, shared=0.3)


def overfitting(candidates: int, repeats: int, seed: int) -> Curves:
    """Validation scores that rise again where little is regularised; the regularised start slowly and end best."""
    generator = np.random.default_rng([seed, 3])
    strength = generator.uniform(0, 1, candidates)
    rates = 10 ** generator.uniform(-1.5, 0, candidates)
    kinds = generator.integers(0, 4, candidates)
    loss = quadratic(rates, kinds, 0.7 * np.ones(candidates), 10 * (1 + strength))
    t = POINTS[:, None]
    gap = 4 * (1 - strength) ** 2 * t * np.sqrt(rates / rates.max()) + 2.5 * np.maximum(strength - 0.7, 0)
    return observed(8 + loss + gap, repeats, generator, own=0.2, shared=0.3)


def power_laws(candidates: int, repeats: int, seed: int) -> Curves:
    """Crossing curves e + a t^-b : a fast start goes with an early end of progress, and decay brings the last bit."""
    generator = np.random.default_rng([seed, 4])
    asymptote = generator.gamma(2.0, 1.5, candidates)
    exponent = np.exp(generator.normal(-0.7, 0.4, candidates)) * (1 + 0.15 * asymptote)
    heat = generator.gamma(2.0, 1.0, candidates)
    t = POINTS[:, None]
    loss = 3 + asymptote + 2 * (t + 0.02) ** -exponent * (1 / (1 + 0.3 * asymptote))
    loss = loss + heat * (np.minimum(1, 3 * t) - np.maximum(0, t - 0.5) / 0.5) - 0.4 * heat
    return observed(loss, repeats, generator, own=0.25, shared=0.5)


def steady(candidates: int, repeats: int, seed: int) -> Curves:
    """Curves that hardly cross: what is best early stays best, as with few choices that matter much."""
    generator = np.random.default_rng([seed, 5])
    quality = generator.normal(size=candidates)
    wander = np.cumsum(generator.normal(size=(len(POINTS), candidates)), axis=0) / np.sqrt(len(POINTS))
    loss = 10 + 3 * quality + 8 * POINTS[:, None] ** -0.5 + 0.6 * wander
    return observed(loss, repeats, generator, own=0.2, shared=0.5)


def heavy_tails(candidates: int, repeats: int, seed: int) -> Curves:
    """Half of the candidates fail or diverge, far above the rest, among which early scores tell little."""
    generator = np.random.default_rng([seed, 6])
    rates = 10 ** generator.uniform(-2.5, 0.6, candidates)
    kinds = generator.integers(0, 6, candidates)
    loss = quadratic(rates, kinds, generator.uniform(0.5, 3, candidates), 8 * np.ones(candidates))
    fails = np.where(generator.uniform(size=candidates) < 0.25, generator.pareto(1.0, candidates) * 10, 0)
    drift = generator.normal(size=(2, candidates))
    t = POINTS[:, None]
    return observed(6 + loss + fails + drift[0] * (1 - t) + 0.7 * drift[1] * t, repeats, generator, 0.1, 0.5)


def wandering(candidates: int, repeats: int, seed: int) -> Curves:
    """Curves that drift without end, so that a score tells less the longer the run goes on."""
    generator = np.random.default_rng([seed, 7])
    steps = generator.standard_t(4, size=(len(POINTS), candidates))
    loss = 15 + generator.normal(size=candidates) + 10 * np.exp(-3 * POINTS[:, None]) + 0.35 * np.cumsum(steps, axis=0)
    return observed(loss, repeats, generator, own=0.2, shared=0.5)


def warm_up(candidates: int, repeats: int, seed: int) -> Curves:
    """Half of the candidates warm up and start late, then catch up; nine of ten decay."""
    generator = np.random.default_rng([seed, 8])
    rates = 10 ** generator.uniform(-1.3, 0.2, candidates)
    late = np.where(generator.uniform(size=candidates) < 0.5, generator.uniform(0.02, 0.2, candidates), 0.0)
    kinds = generator.choice([2, 1, 5, 0], candidates, p=[0.5, 0.2, 0.2, 0.1])
    full = quadratic(rates, kinds, generator.uniform(0.7, 2, candidates), 12 * np.ones(candidates))
    slowed = np.array(
        [np.interp(np.clip((POINTS - d) / (1 - d), 0, 1), np.r_[0, POINTS], np.r_[24, one])
         for d, one in zip(late, full.T, strict=True)]
    ).T  # fmt: skip
    bonus = 0.8 * (late > 0) + 0.5 * generator.normal(size=candidates)
    return observed(6 + slowed - bonus, repeats, generator, own=0.15, shared=0.4)


def plateaus(candidates: int, repeats: int, seed: int) -> Curves:
    """Curves that stay at chance until training takes hold, each at its time, as recurrent networks do; many never do.

    What takes hold early ends a little better, so a rung is silent about all for whom it comes too soon.
    """
    generator = np.random.default_rng([seed, 9])
    speed = generator.normal(size=candidates)
    onset = 0.25 * np.exp(-0.8 * speed + 0.3 * generator.normal(size=candidates))
    floor = 14 - 1.5 * speed + 3 * generator.gamma(1.0, 1.0, candidates)
    t = POINTS[:, None]
    fallen = 1 - np.exp(-np.maximum(0, t - onset) / 0.12)
    return observed(50 - (50 - floor) * fallen, repeats, generator, own=0.3, shared=0.3)


FAMILIES: dict[str, Family] = {
    "rates and schedules": rates_and_schedules,
    "high rates": high_rates,
    "overfitting": overfitting,
    "power laws": power_laws,
    "steady": steady,
    "heavy tails": heavy_tails,
    "wandering": wandering,
    "warm-up": warm_up,
    "plateaus": plateaus,
}
