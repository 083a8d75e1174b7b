"""Do as many more training runs and examples as are advised separate a tie? Simulated, by where the noise comes from.

Of candidate c, run r and row m the score is

    expected[c] + run[c, r] + row[c, m] + rest[c, r, m],

all normal. Row noise is the standard error of one repeat's mean by its rows (row and rest together); training noise is
the standard deviation of `run`, given as a multiple of it. Either all repeats score the same rows, as test rows are
scored (`same rows`), or every repeat draws a quarter of a pool (`splits`). Ties of the best two are tried again with
what was advised, and with the lead that was seen as the true one, or with the true one of the simulation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lanewise.statistics.differences import with_best
from lanewise.statistics.paired_means import PairedMeans, paired_means
from lanewise.statistics.power import Needed, needed_to_separate
from lanewise.statistics.row_scores import RowScores

RATIOS = (0.0, 1.0, 4.0)
ROWS, SHARE, LASTING = 200, 0.25, 0.7
"""Scored in every repeat; of a pool, where splits are drawn; how much of a row's variance stays from run to run."""
MOST_SCORES = 6_000_000
"""Advice that would take more scores than this to try is counted, and not tried."""


@dataclass(frozen=True)
class Design:
    """How studies are made: row noise is 1 in a repeat of `ROWS` rows, training noise `ratio`.

    Attributes:
        splits: whether every repeat draws its rows from a pool. lead: standard deviation of the expected scores.
        heavy: whether they are compared as scores without bounds, by trimmed means.
    """

    ratio: float
    candidates: int
    repeats: int
    splits: bool
    lead: float
    heavy: bool = False

    @property
    def distinct(self) -> int:
        """The rows of a study."""
        return round(ROWS / SHARE) if self.splits else ROWS

    def study(self, generator: np.random.Generator, expected: np.ndarray, repeats: int, rows: int) -> PairedMeans:
        """One study with so many repeats, and so many rows in all."""
        own = round(rows * SHARE) if self.splits else rows
        row = np.sqrt(LASTING * ROWS) * generator.standard_normal((len(expected), rows))
        drawn = [generator.permutation(rows)[:own] if self.splits else np.arange(rows) for _ in range(repeats)]
        at, repeat = np.concatenate(drawn), np.repeat(np.arange(repeats), own)
        values = expected[:, None] + row[:, at]
        values += self.ratio * generator.standard_normal((len(expected), repeats))[:, repeat]
        values += np.sqrt((1 - LASTING) * ROWS) * generator.standard_normal(values.shape)
        scores = RowScores(values, repeat, at)
        overlap = SHARE / (1 - SHARE) if self.splits else 0.0
        return paired_means(scores.means, overlap, scores, heavy_tails=self.heavy)


@dataclass(frozen=True)
class Tried:
    """What came of one tie: the advice, and how often it was followed with success; None where it was not tried."""

    advice: Needed
    if_seen: float | None
    if_true: float | None


def ties(design: Design, studies: int, again: int, seed: int = 0) -> Iterator[Tried]:
    """The ties of the best two in so many studies, each tried `again` times."""
    for number in range(studies):
        generator = np.random.default_rng((seed, number))
        expected = design.lead * generator.standard_normal(design.candidates)
        means = design.study(generator, expected, design.repeats, design.distinct)
        best, second = (int(at) for at in np.argsort(-means.mean)[:2])
        place = second - (second > best)
        if with_best(means, best)[place].low > 0:
            continue
        advice = needed_to_separate(means, best, second)
        repeats, rows = design.repeats + (advice.repeats or 0), design.distinct + (advice.rows or 0)
        if advice == Needed() or design.candidates * repeats * rows > MOST_SCORES:
            yield Tried(advice, None, None)
            continue
        seen = expected.copy()
        seen[second] = seen[best] - (means.mean[best] - means.mean[second])
        found: list[list[bool]] = [[], []]
        for of, truth in enumerate((seen, expected)):
            for _ in range(again):
                later = with_best(design.study(generator, truth, repeats, rows), best)[place]
                found[of].append(later.excludes_zero if of else later.low > 0)
        yield Tried(advice, float(np.mean(found[0])), float(np.mean(found[1])))


def kind_of(advice: Needed) -> str:
    """What is advised, in a word."""
    return {(0, 0): "neither", (1, 0): "runs", (0, 1): "rows", (1, 1): "both"}[
        advice.repeats is not None, advice.rows is not None
    ]


def main(studies: int = 150, again: int = 3) -> None:
    """Simulate and print."""
    print(f"\nTies of the best two in {studies} studies a line, each tried {again} times with what was advised:")
    print(
        "(advised, separated if the lead seen is the true one, with the true lead) by what was advised; not tried: more"
    )
    print(f"than {MOST_SCORES:,} scores. Noise: of training as a multiple of that of one repeat's {ROWS} rows")
    print(f"{'noise':>5} {'rows':10}{'of':>3}{'repeats':>8}{'lead':>6}{'ties':>6}")
    for heavy in (False, True):
        for ratio in RATIOS:
            for splits in (False, True):
                for candidates, repeats, lead in ((2, 3, 1.0), (4, 3, 1.0), (2, 8, 0.5), (4, 8, 0.5)):
                    if heavy and repeats < 5:
                        continue
                    design = Design(ratio, candidates, repeats, splits, lead * max(1.0, ratio), heavy)
                    found = list(ties(design, studies, again))
                    cells = []
                    for kind in ("runs", "rows", "both"):
                        own = [one for one in found if kind_of(one.advice) == kind]
                        tried = [one for one in own if one.if_seen is not None]
                        if tried:
                            shares = [np.mean([getattr(t, name) for t in tried]) for name in ("if_seen", "if_true")]
                            cells.append(f"{kind} ({len(own)}, {shares[0]:.0%}, {shares[1]:.0%})")
                        elif own:
                            cells.append(f"{kind} ({len(own)}, not tried)")
                    neither = sum(kind_of(one.advice) == "neither" for one in found)
                    name = f"{'splits' if splits else 'same rows'}{' trimmed' * heavy}"
                    line = f"{ratio:>5g} {name:18}{candidates:>3}{repeats:>8}{design.lead:>6g}{len(found):>6}  "
                    print(f"{line}{'; '.join(cells)}; neither {neither}", flush=True)
