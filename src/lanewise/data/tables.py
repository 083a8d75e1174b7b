"""Tables: `.csv`, `.tsv` (each plain or with `.gz`) and `.parquet`, through pyarrow."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.data.columns import Column, Table, check_headings
from lanewise.errors import InputError, one_line

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""How the names of tables end, whatever the case of the letters."""


def is_table(path: Path) -> bool:
    """Whether `path` is called like a table."""
    return path.name.lower().endswith(ENDINGS)


def read(path: Path, target_column: str | None, drop: Sequence[str] = (), aside: Sequence[str] = ()) -> Table:
    """The columns of the table at `path`.

    Args:
        target_column: heading of what is to be learnt. drop: headings left out. aside: headings of what rows are split
            by, which are no inputs.

    Raises:
        InputError: a damaged file; an unknown or double heading; dates, lists and the like.
    """
    where = f"data {path}:"
    table = arrow_table(path)
    headings = list(table.column_names)
    twice = [heading for heading in headings if headings.count(heading) > 1]
    if twice:
        raise InputError(f"{where} has two columns {twice[0]!r}: headings must be different")
    if not table.num_rows:
        raise InputError(f"{where} has no rows: must have at least one beside the headings")
    if target_column is None:
        shown = ", ".join(headings[:12]) + (f" and {len(headings) - 12} more" if len(headings) > 12 else "")
        raise InputError(f"{where} which column is to be learnt? Say target_column=... or --target; it has {shown}")
    check_headings(where.rstrip(":"), [target_column, *drop, *aside], headings)
    for role, names in (("drop", drop), ("groups or time", aside)):
        if target_column in names:
            raise InputError(f"{where} {target_column!r} is the target and in {role}: must be one of them")
    notes, columns, marked = [], [], marked_categories(table.schema.metadata)
    for heading in headings:
        if heading in (target_column, *drop, *aside):
            continue
        column = as_column(where, heading, table.column(heading))
        if heading in marked:
            column = column.as_category()
        if not heading and is_row_number(column):
            notes.append(f"{where} the column without a heading numbers the rows and is left out")
            continue
        columns.append(column)
    target = as_column(where, target_column, table.column(target_column))
    kept = {heading: as_key(table.column(heading)) for heading in aside}
    return Table(tuple(columns), target, kept, tuple(notes))


def arrow_table(path: Path) -> Any:
    """The file as a `pyarrow.Table`."""
    import pyarrow
    from pyarrow import csv, parquet

    try:
        if path.name.lower().endswith(".parquet"):
            return parquet.read_table(path)
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter=delimiter_of(path)),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
    except (pyarrow.ArrowException, OSError, EOFError, ValueError) as error:
        raise InputError(f"data {path}: cannot be read as a table ({one_line(error)})") from error


def marked_categories(metadata: Any) -> set[str]:
    """Headings of the columns that were categories in pandas; Parquet itself forgets it of numbers.

    >>> marked_categories({b"pandas": b'{"columns": [{"name": "zip", "pandas_type": "categorical"}]}'})
    {'zip'}
    """
    try:
        described = json.loads((metadata or {}).get(b"pandas", b"{}"))
        return {column["name"] for column in described["columns"] if column["pandas_type"] == "categorical"}
    except (ValueError, KeyError, TypeError):
        return set()


def delimiter_of(path: Path) -> str:
    """Tab for `.tsv`; for `.csv` the comma, or the semicolon where the headings are set apart by it alone."""
    if ".tsv" in path.name.lower():
        return "\t"
    import pyarrow

    with pyarrow.input_stream(path) as file:
        headings = file.read(2**16).partition(b"\n")[0]
    return ";" if b";" in headings and b"," not in headings else ","


def as_column(where: str, heading: str, values: Any) -> Column:
    """A column of Arrow's as ours; numbers of any kind, truth values, and categories by name.

    Raises:
        InputError: dates, lists, bytes and whatever else is neither.
    """
    from pyarrow import types

    kind = values.type
    if types.is_temporal(kind):
        raise InputError(
            f"{where} column {heading!r} holds dates or times ({kind}): turn them into numbers (days, hours) or leave"
            f" them out with drop=[{heading!r}]; to split by them, say time={heading!r}"
        )
    if types.is_null(kind):
        return Column(heading, np.full(len(values), np.nan))
    if types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return categorical(heading, values)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        numbers = values.cast("float64", safe=False).to_numpy(zero_copy_only=False)
        return Column(heading, np.array(numbers, dtype=np.float64), None, not types.is_floating(kind))
    raise InputError(
        f"{where} column {heading!r} is {kind}: must be numbers, truth values or text; leave it out with"
        f" drop=[{heading!r}]"
    )


def categorical(heading: str, values: Any) -> Column:
    """Text, or Arrow's dictionary type of any values: categories in the order of their names."""
    from pyarrow import compute, types

    if types.is_dictionary(values.type):
        values = compute.cast(values, values.type.value_type)
    if not (types.is_string(values.type) or types.is_large_string(values.type)):
        numeric = types.is_integer(values.type) or types.is_floating(values.type)
        if numeric:
            numbers = values.cast("float64", safe=False).to_numpy(zero_copy_only=False)
            return Column(heading, np.array(numbers, dtype=np.float64)).as_category()
        values = values.cast("string")
    encoded = values.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=lambda number: names[number])
    place = np.empty(len(names) + 1, dtype=np.int64)
    place[order] = np.arange(len(names))
    place[-1] = -1
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Column(heading, place[codes.astype(np.int64)], tuple(names[number] for number in order))


def as_key(values: Any) -> "np.ndarray[Any, Any]":
    """A column by which rows are split, of any type: dates as datetime64, text as objects."""
    found: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False)
    return found


def is_row_number(column: Column) -> bool:
    """Whether a column counts the rows from 0 or 1 up, as the index that other libraries write."""
    if column.names is not None or not column.whole:
        return False
    return bool(np.array_equal(column.values - column.values[0], np.arange(len(column.values))))
