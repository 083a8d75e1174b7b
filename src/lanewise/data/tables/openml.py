"""Data sets of OpenML by name or number, through scikit-learn, which keeps what it fetched in its own cache."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lanewise.data.encoding.schema import Column
from lanewise.data.tables.columns import Table, check_headings
from lanewise.errors import InputError, one_line

PREFIX = "openml:"
DENSE_BYTES = 2**31


def read(
    text: str,
    target_column: str | None,
    drop: Sequence[str] = (),
    aside: Sequence[str] = (),
    drop_missing_target: bool = False,
) -> Table:
    """The columns of `openml:NAME` or `openml:NUMBER`.

    Args:
        target_column: heading of what is to be learnt; by default the one that OpenML names. drop: headings left out.
            aside: headings by which rows are split. drop_missing_target: leave out rows without a target.

    Raises:
        InputError: no such data set, no network and not in the cache, text in free form, several targets.
    """
    bunch, notes = fetched(text, target_column)
    where = f"data {text}:"
    headings = list(bunch.feature_names)
    check_headings(where.rstrip(":"), [*drop, *aside], headings)
    rows = bunch.data
    if hasattr(rows, "toarray"):
        if rows.shape[0] * rows.shape[1] * 8 > DENSE_BYTES:
            raise InputError(f"{where} is sparse, and {rows.shape[0]} x {rows.shape[1]} numbers do not fit into memory")
        rows = rows.toarray()
    target = as_target_column(where, str((bunch.target_names or ["target"])[0]), bunch.target)
    gone = target.missing
    if drop_missing_target and gone.any() and not gone.all():
        notes = (*notes, f"{where} {int(gone.sum())} of {len(gone)} rows have no {target.name!r} and are left out")
        rows = rows[~gone]
        target = as_target_column(where, target.name, bunch.target[~gone])
    categories = bunch.categories or {}
    columns = {
        heading: as_column(heading, rows[:, number], categories.get(heading)) for number, heading in enumerate(headings)
    }
    inputs = tuple(column for heading, column in columns.items() if heading not in (*drop, *aside))
    left_out = dict.fromkeys(drop, "as asked") | dict.fromkeys(aside, "rows are split by it")
    kept = {heading: named_values(columns[heading]) for heading in aside}
    return Table(inputs, target, kept, notes, tuple(left_out.items()))


def fetched(text: str, target_column: str | None) -> tuple[Any, tuple[str, ...]]:
    """What scikit-learn gives, and its warnings as notes."""
    name = text.removeprefix(PREFIX)
    if not name:
        raise InputError(f"data {text!r}: names nothing: must be openml:NAME or openml:NUMBER")
    # Imported here because scikit-learn takes longer to import than the rest of the package but torch.
    from sklearn.datasets import fetch_openml, get_data_home

    which: dict[str, Any] = {"data_id": int(name)} if name.isdecimal() else {"name": name}
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            bunch = fetch_openml(
                **which,
                target_column="default-target" if target_column is None else target_column,
                as_frame=False,
                # The only parser that needs no other package.
                parser="liac-arff",
                n_retries=1,
            )
    except OSError as error:
        raise InputError(
            f"data {text}: is not in the cache ({get_data_home()}) and cannot be fetched ({one_line(error)});"
            " is there a network?"
        ) from error
    except Exception as error:
        raise InputError(f"data {text}: scikit-learn cannot read it ({one_line(error)})") from error
    return bunch, tuple(f"data {text}: {' '.join(str(warning.message).split())}" for warning in told)


def as_column(heading: str, values: Any, names: Sequence[str] | None) -> Column:
    """A column of numbers, or of numbers of categories; NaN where missing."""
    numbers = np.asarray(values, dtype=np.float64)
    if names is None:
        return Column(heading, numbers)
    codes = np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
    return Column(heading, codes, tuple(str(name) for name in names))


def as_target_column(where: str, heading: str, values: Any) -> Column:
    """What is to be learnt: names of classes, or numbers."""
    if values is None or np.ndim(values) != 1:
        raise InputError(f"{where} names {0 if values is None else np.shape(values)[1]} targets: say target_column=...")
    array = np.asarray(values)
    if array.dtype.kind in "fiu":
        return Column(heading, array.astype(np.float64), None, array.dtype.kind != "f")
    gone = np.array([label is None or label != label for label in array.tolist()])
    names, codes = np.unique(array[~gone].astype(str), return_inverse=True)
    numbers = np.full(len(array), -1, dtype=np.int64)
    numbers[~gone] = codes
    return Column(heading, numbers, tuple(names.tolist()))


def named_values(column: Column) -> "np.ndarray[Any, Any]":
    """The values of a column by which rows are split: the names of categories, or numbers."""
    if column.names is None:
        return column.values
    return np.array([None if code < 0 else column.names[code] for code in column.values], dtype=object)
