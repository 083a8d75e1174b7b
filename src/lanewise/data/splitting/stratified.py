"""Rows divided class by class, as scikit-learn's `StratifiedShuffleSplit` does, which takes a second to import.

Source: Pedregosa et al., "Scikit-learn: Machine Learning in Python", JMLR 12, 2011.
"""

from typing import Any, TypeAlias

import numpy as np

Integers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


def stratified(labels: Integers, validating: int, seed: int) -> tuple[Integers, Integers]:
    """(training rows, validating rows), each sorted, of int64 `labels` [rows]; `validating` of them validate."""
    random = np.random.RandomState(seed)
    _, counts = np.unique(labels, return_counts=True)
    trained = shares(counts, len(labels) - validating, random)
    # All that are left; asked for because it may draw from `random`, as scikit-learn does.
    held = shares(counts - trained, validating, random)
    train, valid = [], []
    for rows, first, second in zip(
        np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1]), trained, held, strict=True
    ):
        shuffled = rows[random.permutation(len(rows))]
        train.append(shuffled[:first])
        valid.append(shuffled[first : first + second])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(valid))


def shares(counts: Integers, drawn: int, random: np.random.RandomState) -> Integers:
    """How many of `drawn` rows each class gives, in proportion to its `counts`; equal remainders are drawn from."""
    exact = counts / counts.sum() * drawn
    found = np.floor(exact)
    remainders, missing = exact - found, int(drawn - found.sum())
    for remainder in np.unique(remainders)[::-1]:
        if missing == 0:
            break
        (tied,) = np.where(remainders == remainder)
        chosen = random.choice(tied, size=min(len(tied), missing), replace=False)
        found[chosen] += 1
        missing -= len(chosen)
    whole: Integers = found.astype(np.int64)
    return whole
