"""Simulated studies, many at once, as the verdict sees them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lanewise.statistics.differences import with_best
from lanewise.statistics.paired_means import PairedMeans, means_of
from lanewise.statistics.row_noise import row_noise
from lanewise.statistics.row_scores import RowScores


def analysed(rows: RowScores) -> Iterator[tuple[np.ndarray, PairedMeans]]:
    """(scores [candidates, repeats], what the verdict makes of them) of each study."""
    scores, noise = rows.means, row_noise(rows)
    for at, one in enumerate(scores):
        of_one = {name: getattr(noise, name)[at] for name in ("within", "between", "persistence")}
        own = replace(noise, **of_one)
        yield one, means_of(one, own)


def declared(means: PairedMeans) -> list[int]:
    """The best and the candidates that the verdict calls worse than it; empty if there are none."""
    best = int(means.mean.argmax())
    others = [at for at in range(len(means.mean)) if at != best]
    worse = [at for at, interval in zip(others, with_best(means, best), strict=True) if interval.low > 0]
    return [best, *worse] if worse else []
