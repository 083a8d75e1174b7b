"""A DataFrame given beside its targets is read as a table, as one that holds its targets is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lanewise.data.arrays.targets import CheckedTarget, Target, as_target
from lanewise.data.encoding.schema import ColumnSchema
from lanewise.data.rows.rows import TensorRows
from lanewise.data.source.source import ROLES, Source, check_lengths, test_target
from lanewise.data.tables import row_names, tables
from lanewise.data.tables.columns import MOST_WHOLE_CLASSES, Table
from lanewise.data.tables.new_rows import category_like, column_like, encode
from lanewise.data.tables.text_values import ColumnError
from lanewise.errors import InputError, a_type, one_line

WHERE = "data arrays:"
Reader = Callable[[Any, str], Table]
"""Reads a table, given the heading of what is learnt."""


def roles_of(source: Any) -> dict[str, Any] | None:
    """The arrays x, y, x_test and y_test of a tuple or mapping whose x is a DataFrame; None for anything else.

    Training and test rows may be two pairs, too: ((x, y), (x_test, y_test)).
    """
    if isinstance(source, tuple):
        pairs = len(source) == 2 and all(isinstance(part, tuple) and len(part) == 2 for part in source)
        parts = (*source[0], *source[1]) if pairs and is_whole_frame(source[0][0]) else source
        if len(parts) not in (2, 4):
            return None
        given = dict(zip(ROLES, parts, strict=False))
    elif isinstance(source, Mapping) and set(source) <= set(ROLES):
        given = {role: value for role, value in source.items() if value is not None}
    else:
        return None
    return given if is_whole_frame(given.get("x")) else None


def is_whole_frame(x: Any) -> bool:
    """Whether `x` is a DataFrame, not one column of one."""
    return tables.is_frame(x) and not is_one_column(x)


def is_one_column(y: Any) -> bool:
    """Whether `y` is a Series or a column of Arrow's."""
    return type(y).__name__ == "Series" or (type(y).__module__ == "pyarrow.lib" and hasattr(y, "type"))


def read(given: Mapping[str, Any], target: Target | None, reader: Reader, categories: Any) -> tuple[Source, Table]:
    """The source of the arrays `given`, of which x is a DataFrame, and its table.

    Targets that are one value a row are read as a column of the table, others as arrays are.

    Raises:
        InputError: as tables and arrays; targets that are a column of x, too.
    """
    if ("x_test" in given) != ("y_test" in given) and "y" in given:
        raise InputError(f"{WHERE} has only one of x_test and y_test; must have both or neither")
    if "y" not in given and target != "none":
        raise InputError(f"{WHERE} has x; must have x and y; where the objective needs no y, say target='none'")
    table = tables.frame_table(given["x"], f"{WHERE} x")
    name, values = None, None
    if target in (None, "class", "number"):
        name, values = as_one_column(f"{WHERE} y", given["y"])
    headings = [str(heading).strip() for heading in table.column_names]
    heading = "y" if name is None else str(name)
    if values is None:
        checked = as_target(f"{WHERE} y", given.get("y"), target)
        if checked.y is not None:
            check_lengths(WHERE, "x", torch.zeros(table.num_rows), "y", checked.y)
        # Only the columns of x are wanted of it.
        values = np.arange(table.num_rows) + 0.5
    else:
        checked = None
        check_lengths(WHERE, "x", torch.zeros(table.num_rows), "y", torch.zeros(len(values)))
        if name is not None and heading in headings and table.column(headings.index(heading)).equals(values):
            raise InputError(f"{WHERE} y is column {heading!r} of x, too: must not be both; leave it out of x")
        target = "class" if target is None and are_labels(values) else target
    while heading in headings:
        heading += "_"
    found = reader(table.append_column(heading, as_arrow(values)), heading)
    source = found.source(tables.FRAME, target if checked is None else "number", categories)
    if checked is not None:
        rows = TensorRows(source.x, checked.y)
        source = replace(
            source, rows=rows, y=checked.y, target=checked.target, classes=checked.classes, class_names=None
        )
        source = replace(source, notes=(*source.notes, *checked.notes))
    if "x_test" not in given:
        return replace(source, name="arrays"), found
    if not is_whole_frame(given["x_test"]):
        raise InputError(f"{WHERE} x_test is {a_type(given['x_test'])}; must be a DataFrame as x is")
    assert source.schema is not None
    encoded = encode(source.schema, given["x_test"])
    y_test = of_test(given.get("y_test"), source, found, checked)
    if y_test is not None:
        check_lengths(WHERE, "x_test", encoded.x, "y_test", y_test)
    notes = (*source.notes, *(f"test rows: {note}" for note in (*encoded.notes, *encoded.unseen)))
    return replace(source, name="arrays", test_rows=TensorRows(encoded.x, y_test), y_test=y_test, notes=notes), found


def as_one_column(where: str, y: Any) -> tuple[Any, Any]:
    """(its name, Arrow's column) of targets that are one value a row; (None, None) for others."""
    if is_one_column(y) and hasattr(y, "to_frame"):
        table = tables.frame_table(y.to_frame("y"), where)
        return y.name, table.column("y")
    if is_one_column(y):
        return None, as_arrow(y)
    if tables.is_frame(y):
        table = tables.frame_table(y, where)
        own = [name for name in table.column_names if name not in row_names.index_columns(table.schema.metadata)]
        return (own[0], table.column(own[0])) if len(own) == 1 else (None, None)
    if isinstance(y, np.ma.MaskedArray):
        return None, None
    try:
        array = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    except (ValueError, TypeError, RuntimeError):
        return None, None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        return None, None
    try:
        return None, as_arrow(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
    except InputError:
        return None, None


def as_arrow(values: Any) -> Any:
    """An array as Arrow's; a column of Arrow's as it is."""
    import pyarrow

    try:
        return values if isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)) else pyarrow.array(values)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"{WHERE} y cannot be read as a column ({one_line(error)})") from error


def are_labels(values: Any) -> bool:
    """Whether whole numbers are all of 0..K-1, as labels are, in more classes than a column is taken to have."""
    from pyarrow import types

    if not types.is_integer(values.type) or values.null_count:
        return False
    found, counts = np.unique(values.to_numpy(), return_counts=True)
    return len(found) > MOST_WHOLE_CLASSES and bool((found == np.arange(len(found))).all()) and bool(counts.min() > 1)


def of_test(y: Any, source: Source, table: Table, checked: CheckedTarget | None) -> torch.Tensor | None:
    """The targets of the test rows, read as those of the training rows were."""
    where = f"{WHERE} y_test"
    if checked is not None:
        found: torch.Tensor | None = test_target(WHERE, y, checked)
        return found
    _, values = as_one_column(where, y)
    if values is None:
        raise InputError(f"{where} must be one value a row, as y is")
    if values.null_count:
        raise InputError(f"{where} is missing in {values.null_count} rows: all must have a target")
    try:
        if source.class_names is not None:
            labels = ColumnSchema(table.target.name, "category", source.class_names)
            codes = category_like(labels, values).values
            if unseen := sorted({str(values[int(row)].as_py()) for row in (codes < 0).nonzero()[0]}):
                allowed = ", ".join(source.class_names[:8])
                raise InputError(f"{where} has labels that are not in y: {', '.join(unseen[:8])}; must be {allowed}")
            return torch.from_numpy(codes)
        numbers = column_like(ColumnSchema.of(table.target), values).values
    except ColumnError as error:
        raise InputError(f"{where} {error}") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"{where} has NaN or infinite values: all must be finite")
    return torch.from_numpy(numbers)
