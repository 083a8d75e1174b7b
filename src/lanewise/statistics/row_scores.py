"""Scores row by row, and what differences of candidates vary by."""

from dataclasses import dataclass

import numpy as np

FAR_OUT = 100.0


@dataclass(frozen=True, eq=False)
class RowScores:
    """Scores of single rows; every row of a repeat is scored for all candidates.

    Args:
        values: greater is better, float [candidates, observations]. repeat: of each observation, int [observations],
            counted from 0. row: which row of the pool it is of, int [observations], in a repeat never twice the same.
    """

    values: np.ndarray
    repeat: np.ndarray
    row: np.ndarray

    @classmethod
    def crossed(cls, values: np.ndarray) -> "RowScores":
        """The same rows in every repeat, as test rows are: float [candidates, repeats, rows]."""
        candidates, repeats, rows = values.shape
        repeat, row = np.divmod(np.arange(repeats * rows), rows)
        return cls(values.reshape(candidates, -1), repeat, row)

    @property
    def means(self) -> np.ndarray:
        """The mean in each repeat, float [candidates, repeats]."""
        order = np.argsort(self.repeat, kind="stable")
        _, starts, counts = np.unique(self.repeat[order], return_index=True, return_counts=True)
        found: np.ndarray = np.add.reduceat(self.values[..., order], starts, axis=-1) / counts
        return found

    @property
    def sound(self) -> "RowScores | None":
        """The repeats in which all scores are finite and vary as in others; None where there are fewer than two.

        Left out is a repeat in which a candidate's variance is 100 times that in its median repeat.
        """
        finite = self._of(np.unique(self.repeat[~np.isfinite(self.values).all(axis=0)]))
        if finite is None:
            return None
        variances = RowScores((finite.values - finite.means[:, finite.repeat]) ** 2, finite.repeat, finite.row).means
        usual = np.median(variances, axis=1, keepdims=True)
        return finite._of(np.flatnonzero((variances > FAR_OUT * usual).any(axis=0)))

    def _of(self, gone: np.ndarray) -> "RowScores | None":
        """All but the repeats `gone`, numbered anew."""
        if not len(gone):
            return self
        kept = ~np.isin(self.repeat, gone)
        repeats, numbers = np.unique(self.repeat[kept], return_inverse=True)
        return RowScores(self.values[:, kept], numbers, self.row[kept]) if len(repeats) > 1 else None


def _over_pairs(covariance: np.ndarray) -> np.ndarray:
    """The sum of the variances of all differences."""
    candidates = covariance.shape[-1]
    return np.asarray(candidates * np.trace(covariance, axis1=-2, axis2=-1) - covariance.sum(axis=(-2, -1)))


def of_difference(covariance: np.ndarray, one: int, other: int) -> float:
    """The variance of the difference of two."""
    return max(0.0, float(covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]))


def _no_less_than_none(covariance: np.ndarray) -> np.ndarray:
    """The covariance without the parts that came out below zero by chance."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = (vectors * np.maximum(values, 0.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return found
