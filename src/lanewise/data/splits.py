"""Which rows train, which validate, which are kept for the one test at the end. All splits are stratified.

Stratified: each class has, to within one row, the same share of every part.
"""

from dataclasses import dataclass

import numpy as np
import torch

from lanewise.data.source import Source
from lanewise.errors import InputError


@dataclass(frozen=True, eq=False)
class Held:
    """The pool that every repeat splits, and the test rows, which are used once.

    Attributes:
        pool_x: inputs of the pool, in their stored type.
        pool_y: int64 labels of the pool.
        test_x: inputs of the test rows, in their stored type.
        test_y: int64 labels of the test rows.
    """

    pool_x: torch.Tensor
    pool_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a pool: `train` and `valid`, int64, each sorted, disjoint, together all rows."""

    train: torch.Tensor
    valid: torch.Tensor


def hold_out(source: Source, seed: int, fraction: float = 0.2) -> Held:
    """Set test rows apart: the source's own test data if it has some, else a stratified `fraction` of its rows.

    With test data of its own the source's tensors are passed on without a copy, and `seed` and `fraction` play no part.

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows.
    """
    if source.x_test is not None and source.y_test is not None:
        return Held(source.x, source.y, source.x_test, source.y_test)
    rows = split(source.y, seed, fraction)
    return Held(source.x[rows.train], source.y[rows.train], source.x[rows.valid], source.y[rows.valid])


def split(pool_y: torch.Tensor, seed: int, fraction: float = 0.25) -> Split:
    """Split rows at random into training and validation rows, class by class.

    Args:
        pool_y: int64 [rows], the labels.
        seed: 0 to 2**32 - 1; the same seed gives the same split.
        fraction: share of the rows that validate, in (0, 1).

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows to be in both parts.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed!r}: must be an integer in [0, {2**32 - 1}]")
    if not 0 < fraction < 1:
        raise InputError(f"fraction = {fraction!r}: must be a number in (0, 1)")
    rows = len(pool_y)
    validating = round(fraction * rows)
    check_counts(pool_y, validating, fraction)
    # Imported here because scikit-learn takes longer to import than the rest of the package but torch.
    from sklearn.model_selection import StratifiedShuffleSplit

    splitter = StratifiedShuffleSplit(n_splits=1, test_size=validating, random_state=seed)
    train, valid = next(splitter.split(np.zeros(rows), pool_y.numpy()))
    return Split(torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(valid)))


def check_counts(pool_y: torch.Tensor, validating: int, fraction: float) -> None:
    """Raise `InputError` unless every class is sure to be in both parts, whatever the seed.

    A class of n rows gives at least floor(n * part / rows) of them to a part.
    """
    rows = len(pool_y)
    smaller = min(validating, rows - validating)
    if smaller < 1:
        raise InputError(f"{rows} rows are too few to split with fraction {fraction}")
    needed = -(-rows // smaller)
    labels, counts = torch.unique(pool_y, return_counts=True)
    fewest = int(counts.argmin())
    if int(counts[fewest]) < needed:
        raise InputError(
            f"class {int(labels[fewest])} has {int(counts[fewest])} of {rows} rows, too few for both parts of a split"
            f" with fraction {fraction}; must be at least {needed}"
        )
