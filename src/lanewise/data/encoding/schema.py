"""How every column of a table becomes features: measured once, kept with the model, and applied to new rows by name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from lanewise.data.encoding.numerals import Form

KINDS = ("number", "truth", "category", "date", "time", "duration")
DATE_PARTS = ("year", "month", "weekday", "elapsed days")
"""Features of a date; the weekday of Monday is 0, and days are counted from 1970-01-01."""
SAME = ", the same in every row"
EXACT = 2**53
"""Whole numbers up to this are exact in float64."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    Attributes:
        name: its heading. values: float64 [rows], NaN where missing; or int64 numbers of `names`, -1 where missing.
            Dates are days since 1970-01-01, times of day and durations seconds.
        names: of the categories; None for numbers. whole: whether numbers are stored as whole ones.
        kind: of `KINDS`. form: how its texts are read, where it is text. exact: the whole numbers themselves, where
            float64 does not hold them. notes: what users should
            know of how it was read.
    """

    name: str
    values: "np.ndarray[Any, Any]"
    names: tuple[str, ...] | None = None
    whole: bool = False
    kind: str = "number"
    form: Form = Form()
    exact: "np.ndarray[Any, Any] | None" = None
    notes: tuple[str, ...] = ()

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
        found, codes = np.unique((self.values if self.exact is None else self.exact)[held], return_inverse=True)
        values = np.full(len(self.values), -1, dtype=np.int64)
        values[held] = codes
        return replace(self, values=values, names=tuple(self.named(number) for number in found), exact=None)

    def named(self, value: Any) -> str:
        """What a number of this column is called as a category."""
        if self.kind == "truth":
            return str(bool(value))
        return str(value) if self.exact is not None else plain(value)


def plain(number: float) -> str:
    """A number without needless zeros.

    >>> plain(3.0), plain(0.5)
    ('3', '0.5')
    """
    return str(int(number)) if np.isfinite(number) and number == int(number) else repr(float(number))


@dataclass(frozen=True)
class ColumnSchema:
    """How one column becomes features.

    Attributes:
        name: its heading. kind: of `KINDS`. names: of the categories, each of which is a feature. missing: in how many
            rows it had no value; above 0, a feature says where that is. form: how its texts are read. hours: whether
            the hour of a date is a feature. constant: whether all its values were the same.
    """

    name: str
    kind: str = "number"
    names: tuple[str, ...] = ()
    missing: int = 0
    form: Form = Form()
    hours: bool = False
    constant: bool = False

    @classmethod
    def of(cls, column: Column) -> "ColumnSchema":
        """Measure `column`."""
        kind, names = ("category", column.names) if column.names is not None else (column.kind, ())
        held = column.values[~column.missing]
        hours = kind == "date" and bool((held != np.floor(held)).any())
        return cls(
            column.name,
            kind,
            names,
            int(column.missing.sum()),
            column.form,
            hours,
            bool(len(held)) and bool((held == held[0]).all()),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The heading of every feature, in order."""
        gone = (f"{self.name} is missing",) if self.missing else ()
        if self.kind == "category":
            return (*(f"{self.name}={name}" for name in self.names), *gone)
        if self.kind == "date":
            return (*(f"{self.name} {part}" for part in (*DATE_PARTS, *(["hour"] if self.hours else []))), *gone)
        return (self.name, *gone)

    def encode(self, column: Column) -> "list[np.ndarray[Any, Any]]":
        """The features, each [rows], of a column that was read as this one was; a missing number stays NaN.

        The codes of categories count in `names`; a category that is none of them, -2, is 0 in all features.
        """
        gone = [column.missing if self.kind != "category" else column.values == -1] if self.missing else []
        if self.kind == "category":
            return [*(column.values == code for code in range(len(self.names))), *gone]
        if self.kind == "date":
            return [*date_parts(column.values, self.hours), *gone]
        return [column.values, *gone]

    @property
    def taken_for(self) -> str:
        """In words, for users."""
        if self.kind == "category":
            shown = ", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else "")
            words = f"category of {len(self.names)}: {shown}"
        elif self.kind == "date":
            words = f"date: {', '.join((*DATE_PARTS, *(['hour'] if self.hours else [])))}"
        else:
            words = {
                "truth": "true or false",
                "time": "time of day, in seconds",
                "duration": "duration, in seconds",
            }.get(self.kind, "number")
            form = self.form
            if form.decimal == ",":
                words += ", decimal comma"
            if form.thousands:
                words += f", thousands as 1{form.thousands}000"
            if form.unit:
                words += f", without {form.unit}"
        return words + (SAME if self.constant else "")

    @property
    def filled_with(self) -> str:
        """What stands where a value is missing, in words; empty where none is."""
        if not self.missing:
            return ""
        filled = "a category of its own" if self.kind == "category" else "the mean of the training rows, and a feature"
        return f"{self.missing} missing: {filled}"


def date_parts(days: "np.ndarray[Any, Any]", hours: bool) -> "list[np.ndarray[Any, Any]]":
    """Year, month, weekday, days since 1970-01-01 and, if asked for, the hour of each of `days`, NaN where missing.

    >>> [part.tolist() for part in date_parts(np.array([18993.25]), True)]
    [[2022.0], [1.0], [5.0], [18993.25], [6.0]]
    """
    gone = np.isnan(days)
    floor = np.floor(np.where(gone, 0.0, days))
    dates = floor.astype(np.int64).astype("datetime64[D]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    parts = [1970 + months // 12, months % 12 + 1, (floor + 3) % 7, days]
    if hours:
        # Microseconds are what float64 holds of a day in these years.
        parts.append(np.round((days - floor) * 24, 6))
    return [np.where(gone, np.nan, part.astype(np.float64)) for part in parts]


@dataclass(frozen=True)
class TableSchema:
    """How a table becomes features and targets.

    Attributes:
        columns: the inputs, in the order of their features. target: the heading of what is learnt. left_out: heading
            and reason of every column that is no input.
    """

    columns: tuple[ColumnSchema, ...]
    target: str = ""
    left_out: tuple[tuple[str, str], ...] = field(default=())

    @property
    def features(self) -> tuple[str, ...]:
        """The heading of every feature, in order."""
        return tuple(heading for column in self.columns for heading in column.features)

    @property
    def summary(self) -> tuple[tuple[str, str, str], ...]:
        """(heading, what it was taken for, what was filled in) of every column."""
        return (
            *((column.name, column.taken_for, column.filled_with) for column in self.columns),
            *((name, f"left out: {reason}", "") for name, reason in self.left_out),
        )

    def encode(self, columns: Sequence[Column]) -> "np.ndarray[Any, Any]":
        """The features float64 [rows, features] of columns in the order of the schema; a missing number stays NaN."""
        found = np.empty((len(columns[0].values), len(self.features)), dtype=np.float64)
        number = 0
        # Feature by feature, so that no two copies of all of them are held.
        for schema, column in zip(self.columns, columns, strict=True):
            for feature in schema.encode(column):
                found[:, number] = feature
                number += 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "TableSchema":
        """What `to_dict` made plain.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        columns = []
        for one in given["columns"]:
            form = Form(**{**one["form"], "missing": texts(one["form"]["missing"])})
            columns.append(ColumnSchema(**{**one, "names": texts(one["names"]), "form": form}))
        for column in columns:
            marks = (column.name, column.form.decimal, column.form.thousands, column.form.unit, column.form.date)
            if column.kind not in KINDS or isinstance(column.missing, bool) or not isinstance(column.missing, int):
                raise ValueError(f"column {column.name!r} is of kind {column.kind!r}")
            if texts(marks) != marks or not column.form.decimal:
                raise ValueError(f"column {column.name!r} has marks {marks!r}")
        return cls(tuple(columns), str(given["target"]), tuple((str(n), str(why)) for n, why in given["left_out"]))


def texts(given: Any) -> tuple[str, ...]:
    """`given` as a tuple of texts; raises `TypeError` if it is none."""
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise TypeError(f"{given!r} are no texts")
    return tuple(given)
