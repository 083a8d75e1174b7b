"""What mattered: how far each setting separates the better candidates of a study from the others, beyond chance."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from lanewise.lanes.machine.streams import stream_seed
from lanewise.racing.evidence import ranks

LEAST = 20
"""Candidates below which nothing is said: even a setting that decides all would often be missed."""
SHUFFLES = 399
"""Random permutations of the places within each generation, which show what chance alone gives."""
LEVEL = 0.05
"""How often a setting without influence is said to matter."""


@dataclass(frozen=True)
class Importance:
    """How much a setting had to do with the places of the candidates.

    Attributes:
        name: as the sampler knows it. share: of what all settings explain beyond chance, which sums to 1; 0 of all
            where none explains more than chance does.
        beyond_chance: whether it explains more than in 19 of 20 deals of the places at random: a setting without any
            influence does so once in 20 times.
        candidates: how many had it; a setting inside an option does not apply to all.
    """

    name: str
    share: float
    beyond_chance: bool
    candidates: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json`."""
        return asdict(self)


def importance(trials: Sequence[FrozenTrial], seed: int, generations: Sequence[int] = ()) -> tuple[Importance, ...]:
    """What mattered among `trials`, most first; nothing where too few have a place or differ in their place.

    Every candidate counts by its place: those that finished by their score, then those that left, later ones first, by
    their score at the last rung; the diverged share the last place. Places become normal scores, less the mean of their
    generation: a sampler that learns draws better candidates and other settings later on, and what drifted with the
    generations would else seem to matter. A number explains what a parabola in its rank explains of them, a choice what
    the sums of its options do. Whether that is more than chance is tested by shuffling the places at random within
    generations.

    It takes settings one by one, so that two which matter only together get little, and it sees no more than what the
    sampler drew.

    Args:
        trials: of the whole study; those from outside the space have no settings of it and are passed over.
        seed: of the study, for the deals. generations: of each trial; by default all are of one.
    """
    of = generations if len(generations) else [0] * len(trials)
    finished = (TrialState.COMPLETE, TrialState.PRUNED)
    known = [
        (trial, at, generation)
        for trial, generation in zip(trials, of, strict=True)
        if trial.params and trial.state in finished and (at := place(trial))
    ]
    order = {at: float(number) for number, at in enumerate(sorted({at for _, at, _ in known}))}
    if len(known) < LEAST or len(order) < 2:
        return ()
    scores = normal_scores(np.array([order[at] for _, at, _ in known]))
    own = np.array([generation for _, _, generation in known])
    random = np.random.default_rng(stream_seed(seed, "importance"))
    found = []
    for name in sorted({name for trial, _, _ in known for name in trial.params}):
        having = np.array([name in trial.params for trial, _, _ in known])
        values = [trial.params[name] for trial, _, _ in known if name in trial.params]
        found.append((name, *explained(values, scores[having], own[having], random), len(values)))
    total = sum(beyond for _, beyond, _, _ in found)
    listed = (
        Importance(name, beyond / total if total > 0 else 0.0, clear, count) for name, beyond, clear, count in found
    )
    return tuple(sorted(listed, key=lambda one: (-one.share, one.name)))


def place(trial: FrozenTrial) -> tuple[int, float] | None:
    """What candidates are ordered by, best first; None for one that was never scored."""
    if trial.state == TrialState.COMPLETE:
        return (-(10**6), float(trial.values[0]))
    if trial.user_attrs.get("diverged"):
        return (1, 0.0)
    if trial.intermediate_values:
        rung = max(trial.intermediate_values)
        return (-rung, trial.intermediate_values[rung])
    return None


def normal_scores(values: np.ndarray) -> np.ndarray:
    """What a sample of a normal distribution would have at the ranks of `values`, float [n].

    >>> normal_scores(np.array([5.0, 1.0, 9.0])).round(2)
    array([ 0.  , -0.97,  0.97])
    """
    normal = statistics.NormalDist()
    return np.array([normal.inv_cdf(float(rank - 0.5) / len(values)) for rank in ranks(values)])


def explained(
    values: Sequence[Any], scores: np.ndarray, generations: np.ndarray, random: np.random.Generator
) -> tuple[float, bool]:
    """(share of the scores' variance that a setting explains beyond what it does by chance, whether it is beyond it).

    Args:
        values: of the setting, one for each score. scores: normal scores, float [n]. generations: int [n].
    """
    dealt = np.repeat(scores[:, None], SHUFFLES + 1, axis=1)
    for generation in np.unique(generations):
        own = np.flatnonzero(generations == generation)
        dealt[own] -= scores[own].mean()
        dealt[own, 1:] = random.permuted(dealt[own, 1:], axis=0)
    spread = float(dealt[:, 0] @ dealt[:, 0])
    if not spread > 0:
        return 0.0, False
    fitted, tested = (np.square(axes.T @ dealt).sum(axis=0) for axes in axes_of(values))
    # Deals that come to the same up to rounding are no less than what was found.
    chance = float(np.mean(tested >= tested[0] * (1 - 1e-9)))
    beyond = float(fitted[0] - fitted[1:].mean()) / spread
    return max(0.0, beyond), bool(tested[0] > 0 and chance <= LEVEL)


def axes_of(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(orthonormal axes of what a setting may explain, the axes that it is tested by), float [n, axes] each.

    A choice of many options is tested by the sums over its options, not the means: in these the options that were drawn
    once or twice count as much as the others, though they tell nothing.
    """
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        rank = ranks(np.array(values, float)) / (len(values) + 1) - 0.5
        columns = np.stack([np.ones(len(rank)), rank, rank**2], axis=1)
        left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
        axes = left[:, sizes > 1e-9]
        return axes, axes
    options = {option: number for number, option in enumerate(sorted({repr(value) for value in values}))}
    columns = np.zeros((len(values), len(options)))
    columns[np.arange(len(values)), [options[repr(value)] for value in values]] = 1
    if len(options) < 2:
        return columns[:, :0], columns[:, :0]
    return columns / np.sqrt(columns.sum(axis=0)), columns
