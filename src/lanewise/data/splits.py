"""Which rows train, which validate, which are kept for the one test at the end.

Splits of classes are stratified: each class has, to within one row, the same share of every part. Others are random.
"""

from dataclasses import dataclass

import numpy as np
import torch

from lanewise.data.nested import Inputs, Targets, row_count, take
from lanewise.data.source import Source
from lanewise.errors import InputError


@dataclass(frozen=True, eq=False)
class Held:
    """The pool that every repeat splits, and the test rows, which are used once.

    Attributes:
        pool_x: inputs of the pool, in their stored type, nested as in the source.
        pool_y: targets of the pool, or None where there are none.
        test_x: inputs of the test rows, in their stored type.
        test_y: targets of the test rows, or None.
    """

    pool_x: Inputs
    pool_y: Targets
    test_x: Inputs
    test_y: Targets


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a pool: `train` and `valid`, int64, each sorted, disjoint, together all rows."""

    train: torch.Tensor
    valid: torch.Tensor


def hold_out(source: Source, seed: int, fraction: float = 0.2) -> Held:
    """Set test rows apart: the source's own test data if it has some, else a `fraction` of its rows, by `split`.

    With test data of its own the source's tensors are passed on without a copy, and `seed` and `fraction` play no part.

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows.
    """
    if source.has_test:
        return Held(source.x, source.y, source.x_test, source.y_test)
    rows = split_labels(source.y if source.target == "class" else None, len(source), seed, fraction)
    train, test = rows.train, rows.valid
    return Held(take(source.x, train), take(source.y, train), take(source.x, test), take(source.y, test))


def split(pool: Held | torch.Tensor, seed: int, fraction: float = 0.25) -> Split:
    """Split rows at random into training and validation rows; those of classes, class by class.

    Args:
        pool: the rows; or their targets, of which int64 [rows] are classes.
        seed: 0 to 2**32 - 1; the same seed gives the same split.
        fraction: share of the rows that validate, in (0, 1).

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows to be in both parts.
    """
    y = pool.pool_y if isinstance(pool, Held) else pool
    rows = row_count(pool.pool_x) if isinstance(pool, Held) else len(pool)
    classes = y is not None and y.ndim == 1 and not y.is_floating_point()
    return split_labels(y if classes else None, rows, seed, fraction)


def split_labels(labels: torch.Tensor | None, rows: int, seed: int, fraction: float) -> Split:
    """Split `rows` rows by their int64 `labels` [rows], or without regard to them."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed!r}: must be an integer in [0, {2**32 - 1}]")
    if not 0 < fraction < 1:
        raise InputError(f"fraction = {fraction!r}: must be a number in (0, 1)")
    validating = round(fraction * rows)
    if min(validating, rows - validating) < 1:
        raise InputError(f"{rows} rows are too few to split with fraction {fraction}")
    if labels is None:
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
        return Split(order[validating:].sort().values, order[:validating].sort().values)
    check_counts(labels, validating, fraction)
    # Imported here because scikit-learn takes longer to import than the rest of the package but torch.
    from sklearn.model_selection import StratifiedShuffleSplit

    splitter = StratifiedShuffleSplit(n_splits=1, test_size=validating, random_state=seed)
    train, valid = next(splitter.split(np.zeros(rows), labels.numpy()))
    return Split(torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(valid)))


def check_counts(pool_y: torch.Tensor, validating: int, fraction: float) -> None:
    """Raise `InputError` unless every class is sure to be in both parts, whatever the seed.

    A class of n rows gives at least floor(n * part / rows) of them to a part.
    """
    rows = len(pool_y)
    needed = -(-rows // min(validating, rows - validating))
    labels, counts = torch.unique(pool_y, return_counts=True)
    fewest = int(counts.argmin())
    if int(counts[fewest]) < needed:
        raise InputError(
            f"class {int(labels[fewest])} has {int(counts[fewest])} of {rows} rows, too few for both parts of a split"
            f" with fraction {fraction}; must be at least {needed}"
        )
