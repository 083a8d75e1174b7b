"""Columns of a table become inputs and targets: numbers as they are, categories as a column for each of their names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from lanewise.data.nested import Inputs
from lanewise.data.source import Source, inputs
from lanewise.data.targets import CheckedTarget, Target, as_target, check_varies
from lanewise.errors import InputError

MOST_CATEGORIES = 256
"""Categories with more names than this are refused: most likely they name the row, and a column for each costs much."""

MOST_WHOLE_CLASSES = 20
"""Whole numbers to be learnt are classes if there are at most this many different ones, else numbers."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    Attributes:
        name: its heading. values: float64 [rows], NaN where missing; or int64 numbers of `names`, -1 where missing.
        names: of the categories; None for numbers. whole: whether numbers are stored as whole ones.
    """

    name: str
    values: "np.ndarray[Any, Any]"
    names: tuple[str, ...] | None = None
    whole: bool = False

    @property
    def missing(self) -> "np.ndarray[Any, Any]":
        """Where there is no value, bool [rows]."""
        gone: np.ndarray[Any, Any] = np.isnan(self.values) if self.names is None else self.values < 0
        return gone

    def as_category(self) -> "Column":
        """Numbers as names of categories, in the order of the numbers."""
        if self.names is not None:
            return self
        held = ~self.missing
        found, codes = np.unique(self.values[held], return_inverse=True)
        values = np.full(len(self.values), -1, dtype=np.int64)
        values[held] = codes
        return Column(self.name, values, tuple(plain(number) for number in found))


@dataclass(frozen=True, eq=False)
class Table:
    """Columns, and what is done with some of them.

    Attributes:
        columns: the inputs. target: what is to be learnt. aside: columns by which rows are split, by heading.
        notes: what was done while reading.
    """

    columns: tuple[Column, ...]
    target: Column
    aside: "dict[str, np.ndarray[Any, Any]]" = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def source(self, name: str, target: Target | None, categories: Sequence[str] = ()) -> Source:
        """The source `name`; `categories` are headings of columns of numbers that are names of things.

        Raises:
            InputError: a heading that is not there, too many categories, nothing to learn from, a missing target.
        """
        where = f"data {name}:"
        check_headings(f"{where} categories", categories, [column.name for column in self.columns])
        columns = [column.as_category() if column.name in categories else column for column in self.columns]
        x, headings, notes = encoded(where, columns)
        checked, class_names = learnt(where, self.target, target)
        return Source(
            name,
            x,
            checked.y,
            None,
            None,
            checked.classes,
            checked.target,
            (*self.notes, *notes, *checked.notes),
            class_names=class_names,
            feature_names=headings,
        )


def plain(number: float) -> str:
    """A number without needless zeros.

    >>> plain(3.0), plain(0.5)
    ('3', '0.5')
    """
    return str(int(number)) if number == int(number) else repr(float(number))


def check_headings(where: str, wanted: Iterable[str], held: Sequence[str]) -> None:
    """Raise `InputError` unless all of `wanted` are columns."""
    for heading in wanted:
        if heading not in held:
            shown = ", ".join(held[:12]) + (f" and {len(held) - 12} more" if len(held) > 12 else "")
            raise InputError(f"{where}: no column {heading!r}; it has {shown}")


def encoded(where: str, columns: Sequence[Column]) -> tuple[Inputs, tuple[str, ...], tuple[str, ...]]:
    """(x float64 [rows, features], the heading of every feature, notes).

    A missing number stays NaN, which `Standardise` puts at the mean of the training rows, and a feature of its own says
    where that is. A missing category is a category of its own.
    """
    if not columns:
        raise InputError(f"{where} has no column to learn from: must have at least one beside the target")
    features: list[np.ndarray[Any, Any]] = []
    headings: list[str] = []
    notes: list[str] = []
    for column in columns:
        gone = column.missing
        count = int(gone.sum())
        if column.names is None:
            if count == len(gone):
                notes.append(f"{where} column {column.name!r} has no values and is left out")
                continue
            features.append(column.values)
            headings.append(column.name)
            if count:
                notes.append(
                    f"{where} column {column.name!r}: {count} missing numbers are put at the mean of the training rows,"
                    " and a feature of its own says where"
                )
        else:
            if len(column.names) > MOST_CATEGORIES:
                raise InputError(
                    f"{where} column {column.name!r} has {len(column.names)} different texts: must be at most"
                    f" {MOST_CATEGORIES}; leave it out with drop=[{column.name!r}]"
                )
            features += [column.values == code for code in range(len(column.names))]
            headings += [f"{column.name}={category}" for category in column.names]
        if count:
            features.append(gone)
            headings.append(f"{column.name} is missing")
    if not features:
        raise InputError(f"{where} has no values to learn from: all columns are empty")
    x = np.stack([feature.astype(np.float64) for feature in features], axis=1)
    return inputs(f"{where} x", x, images=False, missing=True), tuple(headings), tuple(notes)


def learnt(where: str, column: Column, target: Target | None) -> tuple[CheckedTarget, tuple[str, ...] | None]:
    """(the checked targets, the names of the classes if they are classes) of a column."""
    if target in ("tokens", "none"):
        raise InputError(f"target = {target!r}: a column holds one class or one number a row: must be class or number")
    gone = column.missing.nonzero()[0]
    heading = f"{where} column {column.name!r}"
    if len(gone):
        raise InputError(f"{heading} is missing in {len(gone)} rows, first in row {gone[0]}: all must have a target")
    if column.names is not None:
        if target == "number":
            raise InputError(f"{heading} holds text: must hold numbers for target = 'number'")
        return named_classes(heading, column)
    different = len(np.unique(column.values))
    few = column.whole and different <= MOST_WHOLE_CLASSES
    if target == "class" or (target is None and few):
        checked, names = named_classes(heading, column.as_category())
        read = f"{heading}: {different} different whole numbers are read as classes; target='number' makes them numbers"
        return (checked if target == "class" else replace(checked, notes=(read,))), names
    checked = as_target(heading, torch.from_numpy(column.values), "number")
    assert checked.y is not None
    check_varies(heading, checked.y)
    return checked, None


def named_classes(heading: str, column: Column) -> tuple[CheckedTarget, tuple[str, ...]]:
    """Classes of the names that occur, in their order."""
    found, codes = np.unique(column.values, return_inverse=True)
    names = tuple((column.names or ())[code] for code in found)
    if len(names) < 2:
        raise InputError(f"{heading} has one class only ({names[0]!r}): must have at least two")
    return as_target(heading, torch.from_numpy(codes.astype(np.int64)), "class"), names
