"""Tables: `.csv`, `.tsv` (each plain or with `.gz`), `.parquet` and DataFrames, through pyarrow."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.data.encoding.numerals import is_money
from lanewise.data.encoding.schema import Column
from lanewise.data.tables import separated
from lanewise.data.tables.columns import Table, check_headings, refuse_columns
from lanewise.data.tables.names import categorical, named_numbers
from lanewise.data.tables.reading import guessed, has_leading_zeros, marks_of, read_column
from lanewise.data.tables.row_names import INDEX, as_key, index_columns, is_row_number, names_rows
from lanewise.data.tables.text_values import ColumnError, NotTextError, as_text, is_text
from lanewise.errors import InputError, one_line

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""How the names of tables end, whatever the case of the letters."""

FRAME = "DataFrame"
"""What a table that is no file is called in messages."""


@dataclass(frozen=True)
class Opened:
    """A table as it came: a `pyarrow.Table`, the headings that it shows, and what users should know.

    Attributes:
        table: its columns are called as `headings`, without spaces around. separator: of its file, if that is text.
        index: headings of what pandas keeps as the index. marked: of numbers that are categories in pandas.
    """

    table: Any
    headings: tuple[str, ...]
    separator: str | None = None
    notes: tuple[str, ...] = ()
    index: frozenset[str] = frozenset()
    marked: frozenset[str] = frozenset()


def is_table(path: Path) -> bool:
    """Whether `path` is called like a table."""
    return path.name.lower().endswith(ENDINGS)


def is_frame(source: Any) -> bool:
    """Whether `source` is a DataFrame of pandas, polars or another library that gives its columns to Arrow.

    A structured array of NumPy is one, too.
    """
    if is_structured(source):
        return True
    if any(hasattr(source, name) for name in ("__arrow_c_stream__", "__dataframe__")):
        return True
    return type(source).__module__.partition(".")[0] == "pandas" and type(source).__name__ == "DataFrame"


def is_structured(source: Any) -> bool:
    """Whether `source` is an array of NumPy with named columns."""
    return isinstance(source, np.ndarray) and source.ndim == 1 and source.dtype.names is not None


def opened(source: Any, where: str, encoding: str | None = None, headings: Sequence[str] = ()) -> Opened:
    """The table at a path, or of a DataFrame.

    Raises:
        InputError: a damaged file, two columns of one name.
    """
    notes: tuple[str, ...] = ()
    separator = None
    if not isinstance(source, (str, os.PathLike)):
        table = frame_table(source, where)
    elif Path(source).name.lower().endswith(".parquet"):
        table = parquet_table(Path(source), where)
    else:
        found = separated.read(Path(source), encoding, headings)
        table, notes, separator = found.table, found.notes, found.separator
    if encoding is not None and separator is None:
        raise InputError(f"{where} encoding = {encoding!r}: only text files have one")
    as_given = [str(name) for name in table.column_names]
    names = [name.strip() or f"column {number} (without a heading)" for number, name in enumerate(as_given, 1)]
    refuse_twice(where, names)
    metadata = table.schema.metadata
    renamed = dict(zip(as_given, names, strict=True))
    index = frozenset(renamed[name] for name in index_columns(metadata) if name in renamed)
    marked = frozenset(renamed[name] for name in marked_categories(metadata) if name in renamed)
    return Opened(table.rename_columns(names), tuple(names), separator, notes, index, marked)


def parquet_table(path: Path, where: str) -> Any:
    """A Parquet file as a `pyarrow.Table`."""
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, EOFError, ValueError) as error:
        raise InputError(f"{where} cannot be read as a table ({one_line(error)})") from error


def frame_table(frame: Any, where: str) -> Any:
    """A DataFrame as a `pyarrow.Table`."""
    import pyarrow

    of_pandas = type(frame).__module__.partition(".")[0] == "pandas"
    if of_pandas:
        check_frame(frame, where)
    try:
        if is_structured(frame):
            native = frame.astype(frame.dtype.newbyteorder("="))
            return pyarrow.table({name: pyarrow.array(native[name].copy()) for name in native.dtype.names})
        if of_pandas:
            return pyarrow.Table.from_pandas(frame)
        if hasattr(frame, "__arrow_c_stream__"):
            return pyarrow.table(frame)
        from pyarrow import interchange

        return interchange.from_dataframe(frame)
    except (pyarrow.ArrowException, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{where} cannot be given to Arrow ({one_line(error)})") from error


def check_frame(frame: Any, where: str) -> None:
    """Raise `InputError` for what pandas calls no DataFrame, two columns of one name, and columns of mixed types."""
    if type(frame).__name__ == "Series":
        raise InputError(f"{where} is a Series: must be a DataFrame; frame.iloc[[0]] is the first row as one")
    names = [str(name) for name in frame.columns]
    refuse_twice(where, names)
    for name, (_, values) in zip(names, frame.items(), strict=True):
        if values.dtype != object:
            continue
        kinds = {type(value).__name__ for value in values if isinstance(value, str | bytes | bool | int | float)}
        if "str" in kinds and len(kinds - {"float"} if values.isna().any() else kinds) > 1:
            told = ", ".join(sorted(kinds))
            raise InputError(
                f"{where} column {name!r} holds values of several types ({told}): must be all text or all numbers;"
                f" frame[{name!r}].astype(str) makes them text"
            )


def refuse_twice(where: str, names: Sequence[str]) -> None:
    """Raise `InputError` if two columns have one heading."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{where} has two columns {', '.join(map(repr, twice[:8]))}: headings must be different")


def read(
    source: Any,
    target_column: str | None,
    drop: Sequence[str] = (),
    aside: Sequence[str] = (),
    *,
    encoding: str | None = None,
    categories: Sequence[str] = (),
    drop_missing_target: bool = False,
) -> Table:
    """The columns of a table.

    Args:
        source: a path or a DataFrame. target_column: heading of what is to be learnt. drop: headings left out. aside:
            headings of what rows are split by, which are no inputs. encoding: of a text file. categories: headings of
            numbers that are names of things. drop_missing_target: leave out rows without a target.

    Raises:
        InputError: a damaged file; an unknown or double heading; lists and the like.
    """
    where = f"data {os.fspath(source) if isinstance(source, (str, os.PathLike)) else FRAME}:"
    found = opened(source, where, encoding, [target_column] if target_column else [])
    table, headings = found.table, found.headings
    if not table.num_rows:
        raise InputError(f"{where} has no rows: must have at least one beside the headings")
    if target_column is None:
        shown = ", ".join(headings[:12]) + (f" and {len(headings) - 12} more" if len(headings) > 12 else "")
        raise InputError(f"{where} target: must be one of the columns {shown}; name it with target='...'")
    drop = (drop,) if isinstance(drop, str) else drop
    check_headings(where.rstrip(":"), [target_column, *drop, *aside], headings)
    for role, names in (("drop", drop), ("groups or time", aside)):
        if target_column in names:
            raise InputError(f"{where} {target_column!r} is the target and in {role}: must be one of them")
    notes = list(found.notes)
    guesses = {name: guessed(table.column(name)) for name in headings if name not in drop}
    comma, sure = marks_of(guesses, found.separator)

    def column_of(heading: str) -> Column:
        values, guess = table.column(heading), guesses[heading]
        if heading in categories and heading != target_column:
            return named_numbers(heading, values)
        # Plain numbers with dots are what they look like, unless other columns have decimal commas.
        plain = guess is not None and guess.fits[0] == (".", "") and not guess.unit and not guess.bad and not sure
        column = read_column(heading, values, comma, None if plain else guess)
        return column.as_category() if heading in found.marked else column

    try:
        target = target_of(target_column, table.column(target_column), column_of)
    except ColumnError as error:
        raise InputError(f"{where} column {target_column!r}, the target, {error}") from None
    gone = target.missing
    if drop_missing_target and gone.any() and not gone.all():
        notes.append(f"{where} {int(gone.sum())} of {len(gone)} rows have no {target_column!r} and are left out")
        table = table.filter(~gone)
        target = target_of(target_column, table.column(target_column), column_of)
    columns, problems = [], {}
    left_out = dict.fromkeys(drop, "as asked") | dict.fromkeys(aside, "rows are split by it")
    for heading in headings:
        if heading in (target_column, *drop, *aside):
            continue
        if heading in found.index and heading not in categories:
            left_out[heading] = "the index of a DataFrame"
            notes.append(f"{where} column {heading!r} is the index of a DataFrame and is left out")
            continue
        try:
            column = column_of(heading)
        except ColumnError as error:
            problems[heading] = str(error)
            continue
        if heading not in categories and names_rows(column):
            why = "numbers the rows" if is_row_number(column) else "has a different value in every row, as IDs do,"
            left_out[heading] = why.rstrip(",")
            notes.append(f"{where} {called(heading)} {why} and is left out")
        else:
            columns.append(column)
    refuse_columns(where, problems)
    kept = {heading: as_key(table.column(heading), where, heading) for heading in aside}
    notes += [f"{where} {note}" for column in (target, *columns) for note in column.notes]
    return Table(tuple(columns), target, kept, tuple(notes), tuple(left_out.items()))


def target_of(heading: str, values: Any, column_of: Any) -> Column:
    """The column to be learnt; 007 and 7 are two names, and so are 4wd and 2wd."""
    try:
        column: Column = column_of(heading)
    except NotTextError:
        # Labels that are bytes are distinguished, as those of arrays are.
        return categorical(heading, values)
    if column.names is None and column.whole and is_text(values.type):
        text = as_text(values)
        if column.kind == "number" and has_leading_zeros(text):
            return categorical(heading, values)
    if column.names is None and column.form.unit and not (column.form.unit == "%" or is_money(column.form.unit)):
        # Classes such as 10k and 50k.
        return categorical(heading, values)
    return column


def called(heading: str) -> str:
    """A column in messages."""
    return f"the {heading}" if INDEX.fullmatch(heading) and heading.endswith(")") else f"column {heading!r}"


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
