"""Columns that name or count the rows: an index, an ID."""

import json
import re
from typing import Any

import numpy as np

from lanewise.data.encoding.schema import Column
from lanewise.data.tables.names import undictionaried
from lanewise.data.tables.reading import of_text, read_column
from lanewise.data.tables.text_values import ColumnError, as_text, distinct, is_text
from lanewise.errors import InputError

INDEX = re.compile(r"|column \d+ \(without a heading\)|Unnamed: \d+(_level_\d+)?|__index_level_\d+__")
"""Headings that libraries give to what has none: where all values differ, they name the rows."""

ROW_NAMES = re.compile(r"(?i:index|level_\d+|row[ _.]?(names?|id|number|num|nr|no)|.*[_ ]id|id)|.*[a-z]I[dD]")
ID_ROWS = 5
"""In a table of so many rows, whole numbers that all differ under a heading such as `id` name the rows."""


def index_columns(metadata: Any) -> list[str]:
    """Headings of the columns that were the index in pandas.

    >>> index_columns({b"pandas": b'{"index_columns": ["day", {"kind": "range"}]}'})
    ['day']
    """
    try:
        described = json.loads((metadata or {}).get(b"pandas", b"{}"))
        return [name for name in described["index_columns"] if isinstance(name, str)]
    except (ValueError, KeyError, TypeError):
        return []


def as_key(values: Any, where: str = "", heading: str = "") -> "np.ndarray[Any, Any]":
    """A column by which rows are split, of any type: dates as datetime64, text and large whole numbers as objects.

    Raises:
        InputError: lists and the like.
    """
    from pyarrow import types

    kind = values.type
    if types.is_dictionary(kind):
        return as_key(undictionaried(values), where, heading)
    try:
        if is_text(kind):
            return text_key(heading, as_text(values, escaped=True))
        if types.is_time(kind) or types.is_decimal(kind):
            column = read_column(heading, values, False, None)
            return column.values if column.exact is None else column.exact
        if types.is_nested(kind):
            raise ColumnError(f"is {kind}: must hold one value a row to split the rows by")
    except ColumnError as error:
        raise InputError(f"{where} column {heading!r} {error}") from None
    if types.is_integer(kind) and values.null_count:
        # NumPy would make them float64, and merge large ones.
        return np.array(values.to_pylist(), dtype=object)
    found: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False)
    return found


def text_key(heading: str, text: Any) -> "np.ndarray[Any, Any]":
    """Text as what it holds: dates, numbers, or names."""
    names, codes = distinct(text)
    as_names: np.ndarray[Any, Any] = np.array([*names, None], dtype=object)[codes]
    column = of_text(heading, text)
    if column.names is not None or column.kind == "truth":
        return as_names
    if column.kind == "date":
        gone = np.isnan(column.values)
        stamps = np.round(np.where(gone, 0.0, column.values) * 86_400e6).astype(np.int64).astype("datetime64[us]")
        stamps[gone] = np.datetime64("NaT")
        return stamps
    found = column.values if column.exact is None else column.exact
    # Groups called 1.1 and 1.10, or 7 and 007, are two.
    return as_names if len(np.unique(found[~column.missing])) < len(names) - len(column.form.missing) else found


def names_rows(column: Column) -> bool:
    """Whether a column is an index that other libraries write, or an ID: its values only identify rows."""
    heading, rows = column.name, len(column.values)
    without = INDEX.fullmatch(heading) is not None
    if not without and ROW_NAMES.fullmatch(heading) is None:
        return False
    whole = column.whole or (without and column.kind == "number" and column.names is None)
    if column.missing.any() or not (whole or column.names is not None):
        return False
    if column.names is None and not (column.values == np.floor(column.values)).all():
        return False
    values = column.values if column.exact is None else column.exact
    if len(np.unique(values)) < rows:
        return False
    return without or is_row_number(column) or (column.whole and rows >= ID_ROWS)


def is_row_number(column: Column) -> bool:
    """Whether a column counts the rows from 0 or 1 up, in whatever order."""
    if column.names is not None or not column.whole or column.missing.any():
        return False
    found = np.sort(column.values)
    return bool(found[0] in (0, 1) and np.array_equal(found - found[0], np.arange(len(found))))
