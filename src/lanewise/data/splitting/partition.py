"""Rows divided into two parts or into folds: by class, at random, by group, or in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from lanewise.data.arrays.class_errors import ClassError
from lanewise.data.splitting.stratified import stratified
from lanewise.errors import InputError

TRIES = 100
"""Draws of groups before it is said that they cannot be divided so that all classes are trained on."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a pool: `train` and `valid`, int64, each sorted, disjoint; together all rows unless users said which."""

    train: Tensor
    valid: Tensor


def check_seed(seed: int) -> None:
    """Raise `InputError` unless `seed` is one that scikit-learn takes."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed!r}: must be an integer in [0, {2**32 - 1}]")


def validating_rows(rows: int, fraction: float) -> int:
    """How many of `rows` rows a `fraction` is, at least one and not all."""
    if not 0 < fraction < 1:
        raise InputError(f"fraction = {fraction!r}: must be a number in (0, 1)")
    validating = round(fraction * rows)
    if min(validating, rows - validating) < 1:
        least = next(n for n in count(2) if 0 < round(fraction * n) < n)
        raise InputError(f"{rows} rows are too few to split with fraction {fraction}; must be at least {least}")
    return validating


def divided(labels: Tensor | None, rows: int, seed: int, fraction: float) -> Split:
    """`rows` rows at random, class by class if there are int64 `labels` [rows]; `fraction` of them validate."""
    check_seed(seed)
    validating = validating_rows(rows, fraction)
    if labels is None:
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
        return Split(order[validating:].sort().values, order[:validating].sort().values)
    check_counts(labels, validating, fraction)
    train, valid = stratified(labels.numpy(), validating, seed)
    return Split(torch.from_numpy(train), torch.from_numpy(valid))


def check_counts(labels: Tensor, validating: int, fraction: float) -> None:
    """Raise `InputError` unless every class is sure to be in both parts, whatever the seed.

    A class of n rows gives at least floor(n * part / rows) of them to a part.
    """
    rows = len(labels)
    needed = -(-rows // min(validating, rows - validating))
    found, counts = torch.unique(labels, return_counts=True)
    fewest = int(counts.argmin())
    if int(counts[fewest]) < needed:
        raise ClassError(
            int(found[fewest]),
            f"{{}} has {int(counts[fewest])} of {rows} rows, too few for both parts of a split"
            f" with fraction {fraction}; must be at least {needed}",
        )


def divided_by_group(groups: Tensor, labels: Tensor | None, seed: int, fraction: float) -> Split:
    """Whole groups at random, until about a `fraction` of the rows validate; every class is trained on."""
    check_seed(seed)
    wanted = validating_rows(len(groups), fraction)
    names, sizes = torch.unique(groups, return_counts=True)
    if len(names) < 2:
        raise InputError(f"groups: all {len(groups)} rows are of one group; must be at least two to split by group")
    source = torch.Generator().manual_seed(seed)
    for _ in range(TRIES):
        chosen: list[int] = []
        count = 0
        for number in torch.randperm(len(names), generator=source).tolist():
            size = int(sizes[number])
            # Taken if it brings the part closer to its size; the first so that none is empty.
            if not chosen or (abs(count + size - wanted) < abs(count - wanted) and len(chosen) < len(names) - 1):
                chosen.append(number)
                count += size
        valid = torch.isin(groups, names[chosen])
        if labels is None or len(torch.unique(labels[~valid])) == len(torch.unique(labels)):
            return parts_of(valid)
    raise InputError(f"groups: of {TRIES} draws none left all classes in the training rows; give splits instead")


def divided_in_time(time: Tensor, fraction: float) -> Split:
    """The last `fraction` of the rows validates. Rows of the same time stay together."""
    order = time.argsort(stable=True)
    cut = aligned(time[order], len(time) - validating_rows(len(time), fraction))
    return Split(order[:cut].sort().values, order[cut:].sort().values)


def aligned(sorted_time: Tensor, cut: int) -> int:
    """`cut` moved to where a new time begins: back to the start of a tie, or to its end if nothing were before it."""
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), (sorted_time.diff() != 0).nonzero().flatten() + 1])
    if len(starts) < 2:
        raise InputError("time: all rows are of the same time; must be at least two times to split by")
    return int(starts[max(1, int(torch.searchsorted(starts, cut, right=True)) - 1)])


def folded(labels: Tensor | None, groups: Tensor | None, rows: int, seed: int, folds: int) -> Tensor:
    """The fold, 0 to `folds` - 1, of every row, int64 [rows]: by group, else by class, else at random.

    Rows and classes are divided by scikit-learn's `KFold` and `StratifiedKFold`, so that each class has the same share
    of all folds to within one row. Groups go to the smallest fold, the largest first, as in `GroupKFold`, whose order
    of groups of one size follows NumPy's sort and so may depend on the processor.
    """
    check_seed(seed)
    if groups is not None:
        source = torch.Generator().manual_seed(seed)
        names, number, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
        if len(names) < folds:
            raise InputError(f"folds = {folds}: there are {len(names)} groups; must be at least as many")
        order = torch.randperm(len(names), generator=source)
        order = order[sizes[order].argsort(descending=True, stable=True)]
        fold_of, filled = torch.zeros(len(names), dtype=torch.int64), torch.zeros(folds, dtype=torch.int64)
        for group in order.tolist():
            fold_of[group] = int(filled.argmin())
            filled[fold_of[group]] += sizes[group]
        return fold_of[number]
    if rows < folds:
        raise InputError(f"folds = {folds}: there are {rows} rows; must be at least as many")
    # Importing scikit-learn takes a second: only where there are folds.
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold
    if labels is not None:
        found, counts = torch.unique(labels, return_counts=True)
        fewest = int(counts.argmin())
        if int(counts[fewest]) < folds:
            raise ClassError(
                int(found[fewest]),
                f"folds = {folds}: {{}} has {int(counts[fewest])} rows beside the test rows; must be at least {folds}",
            )
        kind = StratifiedKFold
    splits = kind(folds, shuffle=True, random_state=seed).split(np.zeros(rows), labels)
    fold = torch.empty(rows, dtype=torch.int64)
    for number, (_, valid) in enumerate(splits):
        fold[torch.from_numpy(valid)] = number
    return fold


def rolled(time: Tensor, fold: int, folds: int) -> Split:
    """Fold `fold` in time: `folds` + 1 pieces, of which the first ones train and the next one validates."""
    order = time.argsort(stable=True)
    pieces = [aligned(time[order], len(time) * piece // (folds + 1)) for piece in range(1, folds + 1)] + [len(time)]
    if len(set(pieces)) < len(pieces):
        raise InputError(
            f"folds = {folds}: too few different times, or too many rows of one; must be {folds + 1} or more"
        )
    return Split(order[: pieces[fold]].sort().values, order[pieces[fold] : pieces[fold + 1]].sort().values)


def parts_of(valid: Tensor) -> Split:
    """The split whose validation rows are those of the mask `valid` [rows]."""
    return Split((~valid).nonzero().flatten(), valid.nonzero().flatten())


def as_rows(where: str, value: object, rows: int) -> Tensor:
    """Row numbers, sorted, of an index or mask given by the user.

    >>> as_rows("test", [5, 1], 6), as_rows("test", [True, False, True], 3)
    (tensor([1, 5]), tensor([0, 2]))

    Raises:
        InputError: no row numbers in [0, rows), or one twice.
    """
    try:
        index = torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} is no list of row numbers: must be whole numbers in [0, {rows - 1}]") from error
    if index.dtype is torch.bool:
        if list(index.shape) != [rows]:
            raise InputError(f"{where} is a mask of shape {list(index.shape)}: must be [{rows}]")
        index = index.nonzero().flatten()
    if index.ndim != 1 or index.is_floating_point() or index.is_complex():
        raise InputError(f"{where} is {index.dtype} of shape {list(index.shape)}: must be row numbers or a mask")
    if not len(index):
        raise InputError(f"{where} is empty: must have at least one row")
    index = index.to(torch.int64).sort().values
    if int(index[0]) < 0 or int(index[-1]) >= rows:
        wrong = int(index[0]) if int(index[0]) < 0 else int(index[-1])
        raise InputError(f"{where} has row {wrong}: must be in [0, {rows - 1}]")
    twice = (index.diff() == 0).nonzero().flatten()
    if len(twice):
        raise InputError(f"{where} has row {int(index[twice[0]])} twice: must be different rows")
    return index


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """The rows that are in both."""
    return first[torch.isin(first, second)]


def renumbered(index: Tensor, kept: Tensor) -> Tensor:
    """The rows `index` of all rows as rows of `kept` (sorted), without those that it lacks.

    >>> renumbered(torch.tensor([2, 5, 7]), torch.tensor([1, 2, 7, 9]))
    tensor([1, 2])
    """
    found = index[torch.isin(index, kept)]
    return torch.searchsorted(kept, found)


def all_of(parts: Sequence[Tensor]) -> Tensor:
    """The rows of any of `parts`, sorted."""
    return torch.unique(torch.cat(list(parts))) if parts else torch.zeros(0, dtype=torch.int64)
