"""How scores of single rows vary: between runs, between rows, and both."""

from dataclasses import dataclass, replace

import numpy as np

from lanewise.statistics.pooling import how_alike
from lanewise.statistics.row_scores import RowScores, _no_less_than_none, _over_pairs, of_difference


@dataclass(frozen=True, eq=False)
class RowNoise:
    """How scores of single rows vary inside repeats; `values` with more axes in front give arrays with those, too.

    Attributes:
        within: covariance over the rows of a repeat, float [candidates, candidates]. between: the part of it that stays
            from repeat to repeat. shared: of a repeat's rows, how far any two repeats have them in common, as the share
            of `between` that the mean over many repeats keeps. size: rows of a repeat. distinct: different rows in all.
        persistence: `between` as a share of `within`, over the differences of all pairs. pairs: of observations of one
            row in two repeats. shared_rows: rows with such pairs, those with more counting the more.
    """

    within: np.ndarray
    between: np.ndarray
    shared: float
    size: float
    distinct: int
    persistence: np.ndarray
    pairs: float
    shared_rows: float

    def uncertainty(self, one: int, other: int) -> float:
        """Half the variance of the estimate `shared * between` of a difference: its square over its df.

        A product of two observations of a row varies by within^2 + between^2; what the products of a row have in
        common, 2 between^2, is averaged over rows, the rest over pairs.
        """
        if not self.pairs:
            return 0.0
        within, between = (of_difference(part, one, other) for part in (self.within, self.between))
        rest = max(0.0, within**2 - between**2) / self.pairs
        return float(self.shared**2 * (between**2 / self.shared_rows + rest / 2))

    def grown(self, repeats: float, rows: float) -> "RowNoise":
        """What it would be with so many times the repeats, and of all rows so many times as many."""
        return replace(
            self, shared=self.shared / rows, size=self.size * rows, pairs=self.pairs * rows * repeats**2,
            distinct=round(self.distinct * rows), shared_rows=self.shared_rows * rows,
        )  # fmt: skip


def row_noise(rows: RowScores) -> RowNoise:
    """The moments of row scores that need every row."""
    observations, repeats = len(rows.repeat), int(rows.repeat.max()) + 1
    size = observations / repeats
    centred = rows.values - rows.means[..., rows.repeat]
    squares = centred @ np.swapaxes(centred, -1, -2)
    order = np.argsort(rows.row, kind="stable")
    _, starts, times = np.unique(rows.row[order], return_index=True, return_counts=True)
    between = np.zeros_like(squares)
    # Pairs of observations of one row in two repeats: their products know of the row alone.
    weights = (times * (times - 1)).astype(np.float64)
    pairs = weights.sum()
    shared = float(pairs / (repeats * (repeats - 1) * size**2))
    centred = centred[..., order]
    inside, lasting = how_alike(centred, starts)
    if pairs:
        lost_by_centring = max(0.1, 1 - 2 / size + shared)
        of_row = np.add.reduceat(centred, starts, axis=-1)
        between = (of_row @ np.swapaxes(of_row, -1, -2) - squares) / pairs / lost_by_centring
    within = inside.moved(squares / (observations - repeats))
    whole = _over_pairs(within)
    stays = np.divide(_over_pairs(between), whole, out=np.zeros_like(whole), where=whole > 0)
    between = _no_less_than_none(lasting.moved(between))
    shared_rows = float(pairs**2 / (weights**2).sum()) if pairs else 0.0
    return RowNoise(
        within, between, shared, size, len(times), np.clip(stays, 0, 1), float(pairs) / 2, shared_rows
    )  # fmt: skip
