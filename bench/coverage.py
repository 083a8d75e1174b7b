"""Simulated studies: how often are equal candidates declared different, and do intervals hold the truth they name?

The truth is the expected score over new runs and new rows. A study is simulated as a real one goes: a pool of 1,438
rows, of which each repeat draws a quarter to validate on, so that repeats share rows; 359 test rows. Of candidate c,
run r and row m, the score is right where

    bound + row[m] + own[c, m] + run[c, r] + rest[c, r, m] > 0,

all of them normal. Their sizes are those measured in real studies of digits by `python -m bench equal-studies`, and
these with more noise of the seeds, or of the rows.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from bench import coverage_grid, tails
from bench.equal_studies import Magnitudes
from bench.rounds import machine, revision
from bench.studies import analysed, declared
from lanewise.statistics.differences import lead_of
from lanewise.statistics.intervals import fraction_interval, resampled_interval
from lanewise.statistics.row_scores import RowScores

POOL, TEST, SHARE = 1438, 359, 0.25
STUDIES, INTERVALS, POWER_STUDIES = 10_000, 2_000, 1_000
REPEATS = (3, 5, 10)
CANDIDATES = 4
BATCH, SPLITS = 50, 200
"""So many studies are drawn at once, on one set of splits; of these there are so many, in turn."""
MEASURED = Magnitudes(accuracy=0.974, row=0.962, other=0.956, run=0.00046)
SCENARIOS = {
    "as measured": MEASURED,
    "seed noise 3 times": replace(MEASURED, run=9 * MEASURED.run),
    "own row noise 2 times": replace(MEASURED, other=MEASURED.row - 4 * (MEASURED.row - MEASURED.other)),
}


@dataclass(frozen=True)
class Sizes:
    """Standard deviations of the parts of a score; their squares add up to 1."""

    row: float
    own: float
    run: float
    rest: float

    @classmethod
    def of(cls, given: Magnitudes) -> "Sizes":
        """The sizes that give these correlations."""
        parts = (given.other, given.row - given.other, given.run, 1 - given.row - given.run)
        return cls(*np.sqrt(parts))


class Simulation:
    """Studies of candidates whose expected scores are known."""

    def __init__(self, given: Magnitudes, repeats: int, seed: int, splits: int = SPLITS) -> None:
        self.sizes, self.repeats = Sizes.of(given), repeats
        self.generator = np.random.default_rng(seed)
        self.valid = round(SHARE * POOL)
        self.splits = [
            np.concatenate([self.generator.permutation(POOL)[: self.valid] for _ in range(repeats)])
            for _ in range(splits)
        ]
        self.repeat = np.repeat(np.arange(repeats), self.valid)

    def studies(self, number: int, count: int, expected: np.ndarray, test: int = 0) -> tuple[RowScores, np.ndarray]:
        """(validation rows, values [studies, candidates, observations]; test rows [studies, test, repeats, rows]).

        Args:
            number: of the set of splits. expected: of each candidate, the expected score. test: so many of the first
                candidates are scored on test rows.
        """
        bound = stats.norm.ppf(expected).astype(np.float32)
        run = self.sizes.run * self._normal(count, len(expected), self.repeats)
        rows = self.splits[number % len(self.splits)]
        score = self._rows(count, len(expected), POOL)[:, :, rows]
        score += bound[:, None] + run[:, :, self.repeat]
        score += self.sizes.rest * self._normal(*score.shape)
        tested = self._rows(count, test, TEST)[:, :, None, :] + bound[:test, None, None] + run[:, :test, :, None]
        tested = tested + self.sizes.rest * self._normal(*tested.shape)
        return RowScores((score > 0).astype(np.float32), self.repeat, rows), (tested > 0).astype(np.float64)

    def _rows(self, studies: int, candidates: int, rows: int) -> np.ndarray:
        common = self.sizes.row * self._normal(studies, 1, rows)
        return common + self.sizes.own * self._normal(studies, candidates, rows)

    def _normal(self, *shape: int) -> np.ndarray:
        return self.generator.standard_normal(shape, dtype=np.float32)


def declared_by_means(scores: np.ndarray) -> bool:
    """Whether Nadeau and Bengio's intervals over repeats alone, corrected after Bonferroni, declare a difference."""
    best = int(scores.mean(axis=1).argmax())
    pairs = len(scores) * (len(scores) - 1) / 2
    overlap = SHARE / (1 - SHARE)
    others = (scores[best] - scores[at] for at in range(len(scores)) if at != best)
    return any(resampled_interval(each, overlap, 1 - 0.05 / pairs).low > 0 for each in others if np.ptp(each) > 0)


def equal_candidates() -> None:
    """Error rates and coverage."""
    most = 0.05 + 2 * np.sqrt(0.05 * 0.95 / STUDIES)
    print(f"\n{CANDIDATES} equal candidates, {STUDIES:,} studies in each line; declared should be at most {most:.2%}")
    print(f"coverage of 95% intervals (should be 93% to 97%): the last two of {INTERVALS:,} studies, on test rows")
    heads = f"{'declared':>10}{'lead of one':>13}{'test score':>12}{'test lead':>11}{'seconds':>9}"
    print(f"{'noise':24}{'repeats':>8}{heads}")
    for seed, (name, given) in enumerate(SCENARIOS.items()):
        for repeats in REPEATS:
            begun = time.perf_counter()
            simulation = Simulation(given, repeats, seed)
            expected = np.full(CANDIDATES, given.accuracy)
            wrong = held = score_held = lead_held = tested_studies = 0
            for number in range(STUDIES // BATCH):
                both = 2 if number < INTERVALS // BATCH else 0
                rows, tested = simulation.studies(number, BATCH, expected, both)
                for _, means in analysed(rows):
                    wrong += bool(declared(means))
                    error, df = means.spread(0, 1)
                    held += abs(means.mean[0] - means.mean[1]) <= quantile(df) * error
                for one, other in tested if both else ():
                    score, lead = fraction_interval(one), lead_of(one, other)
                    score_held += score.low <= given.accuracy <= score.high
                    lead_held += lead.low <= 0 <= lead.high
                    tested_studies += 1
            shares = f"{wrong / STUDIES:>10.2%}{held / STUDIES:>13.1%}"
            shares += f"{score_held / tested_studies:>12.1%}{lead_held / tested_studies:>11.1%}"
            print(f"{name:24}{repeats:>8}{shares}{time.perf_counter() - begun:>9.0f}", flush=True)


def quantile(df: float) -> float:
    """Student's, of a 95% interval."""
    return float(np.interp(1 / df, INVERSE, QUANTILES))


INVERSE = np.linspace(1e-4, 1.0, 2000)
QUANTILES = stats.t.ppf(0.975, 1 / INVERSE)


def power() -> None:
    """How often a true difference is declared."""
    print(
        f"\nOne candidate better than all others by so many points, noise as measured, {POWER_STUDIES:,} studies each:"
    )
    print("share in which it wins and one other, named beforehand, is declared worse; in brackets: any difference is")
    print("declared by intervals over repeats alone (Nadeau and Bengio), corrected after Bonferroni")
    print(f"{'candidates':>10}{'repeats':>9}" + "".join(f"{f'{points} points':>20}" for points in (0.5, 1, 2)))
    for candidates in (2, CANDIDATES):
        for repeats in REPEATS:
            cells = []
            for points in (0.5, 1.0, 2.0):
                simulation = Simulation(MEASURED, repeats, seed=100)
                expected = np.full(candidates, MEASURED.accuracy - points / 100)
                expected[0] = MEASURED.accuracy
                found = before = 0
                for number in range(POWER_STUDIES // BATCH):
                    rows, _ = simulation.studies(number, BATCH, expected)
                    for scores, means in analysed(rows):
                        told = declared(means)
                        found += told[:1] == [0] and 1 in told
                        before += declared_by_means(scores)
                cells.append(f"{found / POWER_STUDIES:.0%} ({before / POWER_STUDIES:.0%})")
            print(f"{candidates:>10}{repeats:>9}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def main() -> None:
    """Simulate and print."""
    print(f"Simulated studies, {machine()}; {revision()}\n{MEASURED}")
    equal_candidates()
    tails.main()
    coverage_grid.main(STUDIES, INTERVALS)
    power()
