"""Which rows train, validate and test: chosen once, the same for every repeat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.data.splitting.partition import (
    Split,
    all_of,
    as_rows,
    check_seed,
    divided,
    divided_by_group,
    divided_in_time,
    folded,
    overlap,
    parts_of,
    renumbered,
    rolled,
)
from lanewise.errors import InputError, a_type

Seeds = Callable[[int], int]
"""The seed of a repeat's split, by the number of the repeat."""


@dataclass(frozen=True, eq=False, repr=False)
class Splitter:
    """How rows are divided; without arguments by class, or at random where there are no classes.

    Args:
        groups: int64 [rows]; rows of one group are never in two parts.
        time: [rows]; validation rows are later than training rows, test rows the latest. Every repeat has the same.
        splits: (training rows, validation rows) of repeat 0, 1, ...; then from the first again.
        test: the test rows. By default a fifth of the rows, divided in the same way, outside all validation rows.
        folds: K of them: repeat r validates on fold r mod K, and after K repeats they are drawn anew. In time the rows
            are K + 1 pieces, and repeat r trains on the first (r mod K) + 1 and validates on the next.
        stratify: whether each class has the same share of every part; False splits at random.
        weights: float64 [rows], above 0 for training rows, by which an epoch draws them with replacement, as many as
            there are; None has every row once. Validation and test rows count once in any case.
        copies: int64 [rows], equal for rows that are one row of the dataset read again: all are in the same part.

    >>> splitter = Splitter.checked(6, folds=3)
    >>> sorted(torch.cat([splitter.split(None, 6, repeat, lambda r: r).valid for repeat in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    groups: Tensor | None = None
    time: Tensor | None = None
    splits: tuple[tuple[Tensor, Tensor], ...] = ()
    test: Tensor | None = None
    folds: int | None = None
    stratify: bool = True
    weights: Tensor | None = None
    copies: Tensor | None = None

    def __repr__(self) -> str:
        return f"Splitter({self.words(True)})"

    @classmethod
    def checked(
        cls,
        rows: int,
        *,
        groups: Any = None,
        time: Any = None,
        splits: Sequence[tuple[Any, Any]] = (),
        test: Any = None,
        folds: int | None = None,
        stratify: bool = True,
    ) -> "Splitter":
        """The splitter of `rows` rows, its arguments as users give them: lists, arrays, masks, names of groups.

        Raises:
            InputError: what contradicts itself, is of another length, or is no row.
        """
        chosen = [name for name, given in (("groups", groups), ("time", time), ("splits", splits)) if chosen_by(given)]
        if len(chosen) > 1 or ("splits" in chosen and folds is not None):
            raise InputError(f"{' and '.join([*chosen, *(['folds'] if folds else [])])}: must be one of them")
        if folds is not None and (isinstance(folds, bool) or not isinstance(folds, int) or folds < 2):
            raise InputError(f"folds = {folds!r}: must be a whole number from 2 up")
        pairs = []
        for number, pair in enumerate(splits):
            if len(pair) != 2:
                raise InputError(f"splits[{number}] has {len(pair)} parts: must be (train, valid)")
            train, valid = (as_rows(f"splits[{number}][{part}]", rows_of, rows) for part, rows_of in enumerate(pair))
            shared(f"splits[{number}]: training and validation rows", train, valid)
            pairs.append((train, valid))
        kept = None if test is None else as_rows("test", test, rows)
        if kept is not None:
            if len(kept) == rows:
                raise InputError("test has all rows: must leave some to train on")
            for number, pair in enumerate(pairs):
                shared(f"splits[{number}] and test", torch.cat(pair), kept)
        return cls(
            groups=None if groups is None else numbered("groups", groups, rows),
            time=None if time is None else as_time(time, rows),
            splits=tuple(pairs),
            test=kept,
            folds=folds,
            stratify=stratify,
        )

    @property
    def at_random(self) -> bool:
        """Whether training and validation rows are a random part each of the rows that are split."""
        return not self.splits and self.groups is None and self.time is None

    def hold_out(self, labels: Tensor | None, rows: int, seed: int, fraction: float) -> Split:
        """The test rows, as `valid`, and all others, the pool that the repeats split, as `train`."""
        if self.test is not None:
            mask = torch.zeros(rows, dtype=torch.bool)
            mask[self.test] = True
            return parts_of(mask)
        if self.splits:
            validating = all_of([valid for _, valid in self.splits])
            mask = torch.ones(rows, dtype=torch.bool)
            mask[validating] = False
            free = mask.nonzero().flatten()
            if len(free) < 2:
                raise InputError("splits validate on all rows, so none is left to test on: give test, too")
            alone = Splitter(copies=None if self.copies is None else self.copies[free])
            part = alone._divided(None if labels is None else labels[free], len(free), seed, fraction)
            mask = torch.zeros(rows, dtype=torch.bool)
            mask[free[part.valid]] = True
            return parts_of(mask)
        return self._divided(labels, rows, seed, fraction)

    def of_pool(self, pool: Tensor) -> "Splitter":
        """The splitter of the rows `pool` (sorted), numbered anew, whose test rows are set apart already."""
        return replace(
            self,
            groups=None if self.groups is None else self.groups[pool],
            time=None if self.time is None else self.time[pool],
            weights=None if self.weights is None else self.weights[pool],
            copies=None if self.copies is None else self.copies[pool],
            splits=tuple((renumbered(train, pool), renumbered(valid, pool)) for train, valid in self.splits),
            test=None,
        )

    def split(self, labels: Tensor | None, rows: int, repeat: int, seeds: Seeds, fraction: float = 0.25) -> Split:
        """The training and validation rows of `repeat`; `labels` int64 [rows] if the targets are classes."""
        if self.splits:
            train, valid = self.splits[repeat % len(self.splits)]
            if not len(train):
                raise InputError(f"splits[{repeat % len(self.splits)}]: all training rows are test rows")
            return Split(train, valid)
        if self.copies is not None:
            once, labels_once, copy_of = self._once(labels)
            found = once.split(labels_once, len(torch.unique(copy_of)), repeat, seeds, fraction)
            return parts_of(torch.isin(copy_of, found.valid))
        if self.folds is None:
            return self._divided(labels, rows, seeds(repeat), fraction)
        fold = repeat % self.folds
        if self.time is not None:
            return rolled(self.time, fold, self.folds)
        # The seed of the first repeat of the round, so that its folds are those of one draw.
        drawn = folded(labels if self.stratify else None, self.groups, rows, seeds(repeat - fold), self.folds)
        return parts_of(drawn == fold)

    def words(self, classes: bool) -> str:
        """How rows are divided, for people; `classes` whether the targets are some."""
        if self.splits:
            return "training and validation rows as given"
        ways = {"by group": self.groups, "in time": self.time}
        way = next((words for words, by in ways.items() if by is not None), "")
        way = way or ("by class" if classes and self.stratify else "at random")
        drawn = "; training rows are drawn by weight" if self.weights is not None else ""
        return f"{way}{'' if self.folds is None else f', {self.folds} folds'}{drawn}"

    def _divided(self, labels: Tensor | None, rows: int, seed: int, fraction: float) -> Split:
        check_seed(seed)
        if self.copies is not None:
            once, labels_once, copy_of = self._once(labels)
            found = once._divided(labels_once, len(torch.unique(copy_of)), seed, fraction)
            return parts_of(torch.isin(copy_of, found.valid))
        if self.groups is not None:
            return divided_by_group(self.groups, labels, seed, fraction)
        if self.time is not None:
            return divided_in_time(self.time, fraction)
        return divided(labels if self.stratify else None, rows, seed, fraction)

    def _once(self, labels: Tensor | None) -> tuple["Splitter", Tensor | None, Tensor]:
        """(the splitter of the rows without their copies, their labels, of which of them every row is a copy)."""
        assert self.copies is not None
        first, copy_of = first_of(self.copies)
        groups, time = (None if by is None else by[first] for by in (self.groups, self.time))
        once = replace(self, groups=groups, time=time, weights=None, copies=None)
        return once, None if labels is None else labels[first], copy_of

    def with_copies(self, copies: Tensor) -> "Splitter":
        """The same, with copies of a row in one part.

        Raises:
            InputError: groups, times, or rows given by the user that put copies of a row into two parts.
        """
        first, copy_of = first_of(copies)
        for name, by in (("groups", self.groups), ("time", self.time)):
            if by is not None and len(apart := (by != by[first[copy_of]]).nonzero().flatten()):
                row = int(apart[0])
                raise InputError(
                    f"{name}: row {row} is row {int(first[copy_of[row]])} of the dataset again and has another"
                    f" {name.removesuffix('s')}: must be the same, so that both are in one part of a split"
                )
        for number, (train, valid) in enumerate(self.splits):
            shared(
                f"splits[{number}]: training and validation rows, with rows that come again,",
                *(torch.unique(copy_of[part]) for part in (train, valid)),
            )
        if self.test is not None:
            mask = torch.ones(len(copies), dtype=torch.bool)
            mask[self.test] = False
            shared("test and other rows, with rows that come again,", torch.unique(copy_of[self.test]), copy_of[mask])
        return replace(self, copies=copies)


def first_of(copies: Tensor) -> tuple[Tensor, Tensor]:
    """(the first row of every group of copies, the number of the group of every row), in the order of the first.

    >>> first_of(torch.tensor([7, 3, 7, 3, 5]))
    (tensor([0, 1, 4]), tensor([0, 1, 0, 1, 2]))
    """
    _, number = torch.unique(copies, return_inverse=True)
    first = torch.full((int(number.max()) + 1,), len(copies)).scatter_reduce(
        0, number, torch.arange(len(copies)), "amin"
    )
    order = first.argsort()
    return first[order], order.argsort()[number]


def chosen_by(given: Any) -> bool:
    """Whether the user gave it."""
    return given is not None and not (isinstance(given, (tuple, list)) and not len(given))


def shared(where: str, first: Tensor, second: Tensor) -> None:
    """Raise `InputError` if a row is in both."""
    both = overlap(first, second)
    if len(both):
        raise InputError(f"{where} share {len(both)} rows, first row {int(both[0])}: must share none")


def column(where: str, value: Any, rows: int) -> Any:
    """A NumPy array [rows] of what the user gave."""
    try:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where} has a list for some rows: must be one value for each row") from error
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.dtype.kind == "O":
        lists = [row for row, one in enumerate(array.flat) if isinstance(one, (list, tuple, set, dict, np.ndarray))]
        if lists:
            first = array.flat[lists[0]]
            raise InputError(f"{where} has {a_type(first)} in row {lists[0]}: must be one name or number for each row")
    if array.shape != (rows,):
        raise InputError(f"{where} has shape {list(array.shape)}: must be [{rows}], one for each row")
    return array


def numbered(where: str, value: Any, rows: int) -> Tensor:
    """Groups of any names as int64 numbers [rows]."""
    array = column(where, value, rows)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{where} has NaN or infinite values: every row must have a group")
    if array.dtype.kind == "O":
        gone = [row for row, name in enumerate(array.tolist()) if name is None or name != name]
        if gone:
            raise InputError(f"{where} has no value in row {gone[0]}: every row must have a group")
        array = array.astype(str)
    return torch.from_numpy(np.unique(array, return_inverse=True)[1].astype(np.int64))


def as_time(value: Any, rows: int) -> Tensor:
    """Times of any sortable kind as int64 ranks [rows]; equal times have equal ranks."""
    array = column("time", value, rows)
    if array.dtype.kind not in "iufMm":
        raise InputError(f"time is {array.dtype}: must be numbers or dates (numpy.datetime64)")
    if (array.dtype.kind in "Mm" and np.isnat(array).any()) or (array.dtype.kind == "f" and np.isnan(array).any()):
        raise InputError("time has missing values: every row must have one")
    return torch.from_numpy(np.unique(array, return_inverse=True)[1].astype(np.int64))
