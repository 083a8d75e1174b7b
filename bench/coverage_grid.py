"""Simulated studies over a grid of noises, part of `python -m bench coverage`: where does the verdict err too often?

Of candidate c, repeat r and row m the score is

    run[c, r] + common[m] + own[c, m] + rest[c, r, m]                     ("normal")

all normal, or whether that exceeds a bound ("accuracy"), or minus exp(1.2 times it, divided by its standard deviation
within a run; the run's part apart) ("loss": heavy tails). Seed noise is given as a multiple of what rows give the mean
of one repeat: 5 ("seeds"), 1 ("both") or 0.05 ("rows"). Rows differ for good (own 1, rest 0.3) or anew in every run
(own 0.2, rest 1). Repeats score the same rows, a quarter of a pool each ("splits"), or the folds of one pool.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

from bench.studies import analysed, declared
from lanewise.statistics.differences import lead_of
from lanewise.statistics.intervals import score_interval
from lanewise.statistics.row_scores import RowScores

SEEDS = {"seeds": 5.0, "both": 1.0, "rows": 0.05}
ROWS = {"for good": (1.0, 0.3), "anew": (0.2, 1.0)}
HEAVY = 1.2
BATCH = 4e6


@dataclass(frozen=True)
class Cell:
    """A line of the table.

    Args:
        kind: `normal`, `loss`, or an expected accuracy. layout: `same`, `splits` or `folds`. seeds, rows: the noise.
        unlike: how many times as much seed noise the first candidate has.
    """

    kind: str | float
    candidates: int
    repeats: int
    size: int
    layout: str
    seeds: str
    rows: str
    unlike: float = 1.0

    def __str__(self) -> str:
        kind = self.kind if isinstance(self.kind, str) else f"accuracy {self.kind:g}"
        words = (
            f"{kind:14}{self.candidates:>3}{self.repeats:>4}{self.size:>7}  {self.layout:7}{self.seeds:6}{self.rows:9}"
        )
        return words + (f"one {self.unlike:g}x" if self.unlike != 1 else "")

    def placed(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(repeat, row of the pool) of every observation."""
        repeat = np.repeat(np.arange(self.repeats), self.size)
        if self.layout == "same":
            return repeat, np.tile(np.arange(self.size), self.repeats)
        if self.layout == "folds":
            return repeat, np.arange(self.size * self.repeats)
        drawn = [generator.permutation(4 * self.size)[: self.size] for _ in range(self.repeats)]
        return repeat, np.concatenate(drawn)

    def drawn(self, generator: np.random.Generator, studies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """(values [studies, candidates, observations], repeat, row, expected score) of equal candidates."""
        repeat, row = self.placed(generator)
        own, rest = ROWS[self.rows]
        pool, count = int(row.max()) + 1, self.candidates
        inside = sqrt(1 + own**2 + rest**2)
        of_mean = sqrt((own**2 + rest**2) / self.size)
        run = SEEDS[self.seeds] * of_mean * np.r_[self.unlike, np.ones(count - 1)][:, None]
        # Of a loss, what its exponent moves the mean by: about as much as its own spread.
        runs = generator.standard_normal((studies, count, self.repeats)) * run * (HEAVY / inside if self.heavy else 1.0)
        values = own * generator.standard_normal((studies, count, pool), dtype=np.float32)
        values = (values + generator.standard_normal((studies, 1, pool), dtype=np.float32))[:, :, row]
        values += rest * generator.standard_normal(values.shape, dtype=np.float32)
        if self.heavy:
            expected = -np.exp((HEAVY**2 + float(run[-1, 0] * HEAVY / inside) ** 2) / 2)
            return -np.exp(HEAVY * values / inside + runs[:, :, repeat]), repeat, row, float(expected)
        values = values + runs[:, :, repeat]
        if self.kind == "normal":
            return values, repeat, row, 0.0
        assert isinstance(self.kind, float)
        bound = stats.norm.ppf(self.kind) * sqrt(inside**2 + float(run[-1, 0]) ** 2)
        return (values > -bound).astype(np.float64), repeat, row, self.kind

    @property
    def heavy(self) -> bool:
        """Whether scores are losses."""
        return self.kind == "loss"

    def shares(self, studies: int, intervals: int, seed: int) -> list[float]:
        """Of `studies` the share with a difference declared; of `intervals` those of a score and of a lead that hold.

        The last two where all repeats score the same rows, as test rows are; else NaN.
        """
        generator = np.random.default_rng([seed, self.candidates, self.repeats, self.size])
        at_once = max(1, min(50, int(BATCH / (self.candidates * self.repeats * self.size))))
        done = wrong = held = leads = 0
        while done < studies:
            values, repeat, row, expected = self.drawn(generator, at_once)
            for one, (_, means) in zip(values, analysed(RowScores(values, repeat, row)), strict=True):
                wrong += bool(declared(means))
                if self.layout == "same" and done < intervals:
                    first, second = one[:2].reshape(2, self.repeats, self.size).astype(np.float64)
                    score, lead = score_interval(first, isinstance(self.kind, float)), lead_of(first, second)
                    held += score.low <= expected <= score.high
                    leads += lead.low <= 0 <= lead.high
                done += 1
        if self.layout != "same":
            return [wrong / done, np.nan, np.nan]
        return [wrong / done, held / min(done, intervals), leads / min(done, intervals)]


CELLS = (
    Cell("normal", 2, 3, 60, "same", "seeds", "for good"),
    Cell("normal", 2, 3, 60, "same", "both", "for good"),
    Cell("normal", 2, 3, 60, "same", "rows", "anew"),
    Cell("normal", 2, 3, 360, "splits", "seeds", "for good"),
    Cell("normal", 2, 5, 360, "folds", "both", "for good"),
    Cell("normal", 6, 3, 100, "same", "seeds", "for good"),
    Cell("normal", 16, 3, 60, "same", "seeds", "for good"),
    Cell("normal", 16, 3, 60, "same", "rows", "anew"),
    Cell("normal", 16, 10, 60, "same", "seeds", "for good"),
    Cell("normal", 4, 10, 360, "same", "rows", "for good"),
    Cell("normal", 4, 5, 360, "splits", "seeds", "anew", unlike=3.0),
    Cell(0.97, 4, 3, 60, "same", "both", "for good"),
    Cell(0.97, 4, 3, 360, "same", "seeds", "for good"),
    Cell(0.97, 4, 5, 360, "splits", "rows", "anew"),
    Cell(0.9, 4, 3, 100, "same", "both", "anew"),
    Cell("loss", 4, 3, 60, "same", "seeds", "for good"),
    Cell("loss", 4, 5, 360, "same", "rows", "for good"),
)


def main(studies: int, intervals: int) -> None:
    """Print the table."""
    print(f"\nA grid of noises, {studies:,} studies in each line, the last two columns {intervals:,}")
    print(f"{'scores':14}{'of':>3}{'rep':>4}{'rows':>7}  repeats seeds rows differ  declared  test score  test lead")
    for seed, cell in enumerate(CELLS):
        wrong, held, leads = cell.shares(studies, intervals, seed)
        print(f"{cell!s:63}{wrong:>8.2%}{held:>12.1%}{leads:>11.1%}", flush=True)
