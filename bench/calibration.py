"""Is what the verdict says beside its intervals true? Chances of the winner, and what would separate a tie.

Candidates' expected accuracies are drawn from a normal distribution about that measured on digits, with the noise
measured there (see `bench.coverage`). Said: the mean chance given to the winner. Right: how often it is the best.
"""

from itertools import pairwise

import numpy as np

from bench import separating
from bench.coverage import MEASURED, Simulation
from bench.rounds import machine, revision
from bench.studies import analysed
from lanewise.statistics.differences import chances_of_best, with_best
from lanewise.statistics.power import needed_to_separate

STUDIES, TIES, AGAIN = 500, 120, 3
APART = (0.1, 0.2, 0.4, 1.0)
BINS = (0.0, 0.5, 0.7, 0.9, 1.0)
MOST_REPEATS = 60


def expected(generator: np.random.Generator, candidates: int, points: float) -> np.ndarray:
    """Accuracies that lie `points` percentage points apart."""
    return np.clip(MEASURED.accuracy + points / 100 * generator.standard_normal(candidates), 0.5, 0.999)


def chances() -> None:
    """How often the winner is the best, beside what is said."""
    print(f"\nChance of the winner, {STUDIES} studies in each line; then (said, right, studies) by what is said")
    print(f"{'of':>3}{'repeats':>8}{'points apart':>13}{'said':>7}{'right':>7}   by what is said, from {BINS}")
    for candidates in (2, 4):
        for repeats in (3, 8):
            for points in APART:
                generator, simulation = np.random.default_rng(0), Simulation(MEASURED, repeats, 0)
                said, right = [], []
                for number in range(STUDIES // 5):
                    truth = expected(generator, candidates, points)
                    for _, means in analysed(simulation.studies(number, 5, truth)[0]):
                        said.append(chances_of_best(means)[means.mean.argmax()])
                        right.append(means.mean.argmax() == truth.argmax())
                claims, held = np.array(said), np.array(right)
                cells = []
                for low, high in pairwise(BINS):
                    inside = (claims > low) & (claims <= high)
                    if inside.any():
                        cells.append(f"({claims[inside].mean():.0%}, {held[inside].mean():.0%}, {inside.sum()})")
                line = f"{candidates:>3}{repeats:>8}{points:>13}{claims.mean():>7.0%}{held.mean():>7.0%}"
                print(f"{line}   {' '.join(cells)}", flush=True)


def needed() -> None:
    """How often as many more repeats as are advised do settle it."""
    print(f"\nTies of the best two in {TIES} studies, each tried {AGAIN} times with as many repeats as were advised,")
    print(f"at most {MOST_REPEATS}: share settled if the lead seen is the true one; with the true lead (either way)")
    for candidates, repeats in ((2, 3), (4, 3), (4, 8)):
        for points in (0.4, 1.0):
            generator = np.random.default_rng(1)
            advised, if_seen, if_true = [], [], []
            for number in range(TIES):
                truth = expected(generator, candidates, points)
                ((_, means),) = analysed(Simulation(MEASURED, repeats, number, splits=1).studies(0, 1, truth)[0])
                best, second = (int(at) for at in np.argsort(-means.mean)[:2])
                place = second - (second > best)
                if with_best(means, best)[place].low > 0:
                    continue
                more = needed_to_separate(means, best, second).repeats
                if more is None or more > MOST_REPEATS:
                    continue
                advised.append(more)
                seen = truth.copy()
                seen[second] = seen[best] - (means.mean[best] - means.mean[second])
                for of, found in ((seen, if_seen), (truth, if_true)):
                    again = Simulation(MEASURED, repeats + more, 1000 + number, splits=1).studies(0, AGAIN, of)[0]
                    for _, later in analysed(again):
                        interval = with_best(later, best)[place]
                        found.append(interval.low > 0 if of is seen else interval.excludes_zero)
            print(
                f"{candidates} candidates, {repeats} repeats, {points} points apart: {len(advised)} advised (median "
                f"{np.median(advised):.0f} more), settled {np.mean(if_seen):.0%}; {np.mean(if_true):.0%}",
                flush=True,
            )


def main() -> None:
    """Simulate and print."""
    print(f"What the verdict says beside its intervals, {machine()}; {revision()}")
    chances()
    needed()
    separating.main()
