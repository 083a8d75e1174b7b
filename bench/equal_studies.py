"""Real studies of equal candidates, each with weights, order and masks of its own: how often is a difference declared?

All candidates of a study are one recipe, on the same splits of digits, so whatever the verdict declares is an error.
(Run as a race runs them, equal candidates would share all random numbers and be the same lane twice, which proves
nothing.) The same runs, with some of a second recipe, give the magnitudes that `python -m bench coverage` simulates.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

import lanewise as lw
from bench.rounds import machine, revision
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.training.cohort import Cohort
from lanewise.statistics.differences import chances_of_best, with_best
from lanewise.statistics.paired_means import paired_means
from lanewise.statistics.row_scores import RowScores

STUDIES, CANDIDATES, REPEATS, EPOCHS = 20, 4, 5, 6
MOST_DECLARED = 3
TWO_RECIPES = 8
"""Studies in which the second recipe is trained, too."""
STRIDE = 10**6
"""Repeats whose numbers differ by a multiple of it have one split, and streams of their own."""
RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.1 * lw.Cosine(), momentum=0.9), dropout=0.2, batch_size=64, epochs=EPOCHS)
OTHER = replace(RECIPE, optimizer=lw.Adam(lr=0.01 * lw.Linear()))


class OwnStreams(Engine):
    """An engine whose repeat `k * STRIDE + r` is split as repeat r, and draws all else by itself."""

    def repeat(self, index: int) -> Repeat:
        """The repeat, on the split of the repeat it stands for."""
        own = super().repeat(index % STRIDE)
        return replace(own, index=index)


def scored(engine: Engine, recipe: lw.Recipe, lanes: int, splits: range, first: int = 0) -> RowScores:
    """Every validation row of `lanes` lanes of `recipe` on each of `splits`, all lanes with streams of their own."""
    repeats = [(first + lane) * STRIDE + split for lane in range(lanes) for split in splits]
    cohort = Cohort(engine, [recipe], repeats)
    cohort.advance(1.0)
    rows = cohort.valid_rows([0])
    assert rows is not None
    values, repeat, row = rows
    one = repeat < len(splits)
    return RowScores(values.reshape(lanes, -1), repeat[one], row[one])


@dataclass(frozen=True)
class Magnitudes:
    """How correctness varies, as correlations of a normal score whose sign says right or wrong.

    Attributes:
        accuracy: the mean. row: between two runs of one recipe on one row. other: between runs of two recipes on one.
        run: between two rows in one run, beyond what they have in common by chance.
    """

    accuracy: float
    row: float
    other: float
    run: float


def correlation(accuracy: float, covariance: float) -> float:
    """The correlation of two normal scores whose signs, each right with the chance `accuracy`, have this covariance."""
    bound = stats.norm.ppf(accuracy)

    def beyond(rho: float) -> float:
        both = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([bound, bound])
        return float(both - accuracy**2 - covariance)

    return float(optimize.brentq(beyond, -0.5, 0.999)) if beyond(0.0) < 0 else 0.0


def magnitudes(own: list[RowScores], others: list[RowScores]) -> Magnitudes:
    """From runs of one recipe and, on the splits of the first of them, of another."""
    accuracy = float(np.mean([one.values.mean() for one in own]))
    same, crossed, excess = [], [], []
    for one, other in zip(own, others, strict=False):
        centred, away = one.values - one.values.mean(), other.values - other.values.mean()
        crossed.append(float((centred.mean(axis=0) * away.mean(axis=0)).mean()))
    for one in own:
        centred = one.values - one.values.mean()
        lanes = len(centred)
        # Lanes on one split score the same rows, in runs of their own.
        total = centred.sum(axis=0)
        same.append(float(((total**2 - (centred**2).sum(axis=0)) / (lanes * (lanes - 1))).mean()))
        # Differences of lanes on one split: their means vary by rows that differ by chance, and by the run.
        splits = one.repeat.max() + 1
        size = len(one.repeat) / splits
        run = one.means - one.means.mean(axis=0)
        rest = centred - centred.mean(axis=0)
        excess.append(float((run**2).sum() / splits / (lanes - 1) - (rest**2).mean() * lanes / (lanes - 1) / size))
    return Magnitudes(
        accuracy,
        correlation(accuracy, float(np.mean(same))),
        correlation(accuracy, float(np.mean(crossed))),
        correlation(accuracy, max(0.0, float(np.mean(excess)))),
    )


def main() -> None:
    """Run the studies, print what was declared, and the magnitudes."""
    print(
        f"{STUDIES} studies of {CANDIDATES} equal candidates on digits, {REPEATS} repeats of {EPOCHS} epochs, every "
        f"lane with weights, order and masks of its own\n{machine()}; {revision()}"
    )
    engine = OwnStreams(lw.Task("mlp", "digits"), seed=0, threads=1, note=lambda line: print(f"  {line}"))
    own, others, declared, chances = [], [], 0, []
    for study in range(STUDIES):
        splits = range(study * REPEATS, (study + 1) * REPEATS)
        rows = scored(engine, RECIPE, CANDIDATES, splits)
        own.append(rows)
        if study < TWO_RECIPES:
            others.append(scored(engine, OTHER, 2, splits, first=CANDIDATES))
        means = paired_means(rows.means, rows=rows)
        best = int(means.mean.argmax())
        found = any(interval.low > 0 for interval in with_best(means, best))
        declared += found
        chances.append(float(chances_of_best(means).max()))
        shown = ", ".join(f"{score:.2%}" for score in rows.means.mean(axis=1))
        print(f"  study {study + 1}: {shown}{'  a difference is declared' if found else ''}", flush=True)
    low, high = stats.binomtest(declared, STUDIES).proportion_ci(0.95, "exact")
    print(f"a difference declared in {declared} of {STUDIES} studies: {declared / STUDIES:.0%}, exact 95% interval")
    print(f"{low:.1%} to {high:.1%}; at most {MOST_DECLARED} were to be: {declared <= MOST_DECLARED}")
    print(f"probability given to the leader being the best of {CANDIDATES}: mean {np.mean(chances):.0%}")
    second = np.mean([one.values.mean() for one in others])
    print(f"the second recipe, to tell rows that are hard for one recipe alone: accuracy {second:.2%}")
    print(magnitudes(own, others))
