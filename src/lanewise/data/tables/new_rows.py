"""New rows of a table become features as those that were trained on did: by name, and without guessing anything."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lanewise.data.encoding.numerals import NO_VALUE, Form
from lanewise.data.encoding.schema import SAME, Column, ColumnSchema, TableSchema
from lanewise.data.tables.arrow_types import typed
from lanewise.data.tables.columns import refuse_columns
from lanewise.data.tables.dates import TIME, days_of_text, seconds_of
from lanewise.data.tables.names import canonical, categorical, undictionaried
from lanewise.data.tables.reading import TRUTH, plain_numbers, spread
from lanewise.data.tables.tables import ENDINGS, FRAME, is_frame, is_table, opened
from lanewise.data.tables.text_values import ColumnError, as_text, distinct, is_text, listed, without
from lanewise.errors import InputError


@dataclass(frozen=True)
class Encoded:
    """New rows as features.

    Attributes:
        x: float64 [rows, features], NaN where a number is missing. notes: what users should know of how they were read.
        unseen: one line for each column with values that training had not, and how many.
    """

    x: torch.Tensor
    notes: tuple[str, ...]
    unseen: tuple[str, ...]


def encode(schema: TableSchema, source: Any, encoding: str | None = None) -> Encoded:
    """The rows of a table at a path, of a DataFrame or of a dict of columns, as features.

    Raises:
        InputError: a column that is missing, or that holds something else than in training.
    """
    import pyarrow

    if isinstance(source, Mapping):
        for name, values in source.items():
            if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
                raise InputError(f"data {FRAME}: {name} = {values!r}: must be a list, one value for each row")
        try:
            source = pyarrow.table({str(name): pyarrow.array(values) for name, values in source.items()})
        except (pyarrow.ArrowException, TypeError, ValueError) as error:
            raise InputError(f"data {FRAME}: cannot be read as columns ({' '.join(str(error).split())})") from error
    where = f"data {FRAME if is_frame(source) else os.fspath(source)}:"
    if not is_frame(source):
        check_path(source, where)
    known = [column.name for column in schema.columns]
    found = opened(source, where, encoding, known)
    if gone := [name for name in known if name not in found.headings]:
        named = f"column {gone[0]!r}" if len(gone) == 1 else f"columns {', '.join(map(repr, gone))}"
        has = ", ".join(found.headings[:12]) + (", ..." if len(found.headings) > 12 else "")
        raise InputError(
            f"{where} has no {named}; it has {has}; must have all columns that were trained on: {', '.join(known)}"
        )
    notes = list(found.notes)
    expected = {*known, schema.target, *(name for name, _ in schema.left_out)}
    if extra := [name for name in found.headings if name not in expected]:
        notes.append(f"{where} {listed(extra)}: not in training, left out")
    columns: list[Column] = []
    unseen: list[str] = []
    problems: dict[str, str] = {}
    for one in schema.columns:
        try:
            column = column_like(one, found.table.column(one.name))
        except ColumnError as error:
            problems[one.name] = str(error)
            continue
        if wrong := int(np.isinf(column.values).sum()) if one.kind != "category" else 0:
            problems[one.name] = f"has {wrong} infinite values: all must be finite"
        columns.append(column)
        gone_rows = int((column.values == -1).sum() if one.kind == "category" else column.missing.sum())
        if gone_rows and not one.missing:
            filled = "0 in all of its features" if one.kind == "category" else "put at the mean of the training rows"
            unseen.append(
                f"{where} column {one.name!r}: {gone_rows} missing values, of which training had none, are {filled}"
            )
        strange = int((column.values == -2).sum()) if one.kind == "category" else 0
        if strange:
            unseen.append(
                f"{where} column {one.name!r}: {strange} values that training had not, such as"
                f" {first_unseen(one, found.table.column(one.name))!r}, are 0 in all of its features"
            )
    refuse_columns(where, problems, "")
    x = torch.from_numpy(schema.encode(columns)) if found.table.num_rows else torch.zeros(0, len(schema.features))
    return Encoded(x.double(), tuple(notes), tuple(unseen))


def check_path(path: "str | os.PathLike[str]", where: str) -> None:
    """Raise `InputError` unless there is a file that is called like a table."""
    try:
        there = Path(path).is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise InputError(f"{where} no such file; must be a table ({', '.join(ENDINGS)})")
    if not is_table(Path(path)):
        raise InputError(f"{where} a file of unknown kind; must be a table ({', '.join(ENDINGS)})")


def is_new_table(source: Any) -> bool:
    """Whether `source` is a path, a DataFrame or a dict of columns."""
    return isinstance(source, (str, os.PathLike, Mapping)) or is_frame(source)


def first_unseen(schema: ColumnSchema, values: Any) -> str:
    """The first value of a column that is none of the categories."""
    codes = category_like(schema, values).values
    return str(values[int((codes == -2).argmax())].as_py())


def column_like(schema: ColumnSchema, values: Any) -> Column:
    """A column of Arrow's read as that of `schema` was; a category that it had not is -2.

    Raises:
        ColumnError: values that are none of this kind.
    """
    from pyarrow import types

    values = undictionaried(values)
    kind, form = values.type, schema.form
    if schema.kind == "category":
        return category_like(schema, values)
    if types.is_null(kind):
        return Column(schema.name, np.full(len(values), np.nan), kind=schema.kind)
    if not is_text(kind):
        column = typed(schema.name, values)
        alike = {"number", "truth"}
        if column.kind != schema.kind and not {column.kind, schema.kind} <= alike:
            raise ColumnError(f"is {kind}: must hold {schema.kind}s, as in training")
        return column
    text = as_text(values)
    names, codes = distinct(text)
    gone = tuple(name for name in names if name.lower() in NO_VALUE)
    form = replace(form, missing=gone)
    held = [name for name in names if name not in gone]
    if schema.kind == "date":
        # ISO 8601 cannot be mistaken.
        days = next(
            (days for one in (form, replace(form, date="")) if (days := days_of_text(text, one)) is not None), None
        )
        if days is None:
            written = form.date or ("ISO 8601 with a time zone" if form.zone else "ISO 8601 without a time zone")
            raise ColumnError(f"has {listed(held)}: must be dates as in training ({written})")
        return Column(schema.name, days, kind="date")
    if schema.kind in ("duration", "number"):
        if form == Form(missing=gone) and (numbers := plain_numbers(without(text, gone))) is not None:
            return Column(schema.name, numbers)
        read = [form.number(name) for name in held]
    elif schema.kind == "truth":
        read = [TRUTH.get(name.lower(), {"0": 0.0, "1": 1.0}.get(name)) for name in held]
    else:
        read = [seconds_of(name) if TIME.fullmatch(name) else None for name in held]
    if bad := [name for name, value in zip(held, read, strict=True) if value is None]:
        row = int(np.isin(codes, [names.index(name) for name in bad]).argmax())
        learnt = schema.taken_for.removesuffix(SAME)
        if schema.kind == "number" and any("," in name for name in bad) and form.decimal == ".":
            learnt += ", decimal point" if not form.thousands else ", decimal point, thousands with a comma"
        raise ColumnError(f"has {listed(bad)}: must be as in training ({learnt}); first in row {row}")
    known = dict(zip(held, read, strict=True))
    return Column(schema.name, spread([known.get(name, np.nan) for name in names], codes), kind=schema.kind)  # type: ignore[misc]


def category_like(schema: ColumnSchema, values: Any) -> Column:
    """Names of categories as numbers of those in `schema`; -1 where missing, -2 where unknown."""
    from pyarrow import types

    place = {name: number for number, name in enumerate(schema.names)}
    if types.is_null(values.type):
        codes = np.full(len(values), -1, dtype=np.int64)
    elif is_text(values.type):
        names, numbers = distinct(as_text(values, escaped=True))
        if set(place) <= {"True", "False"}:
            names = [name.capitalize() for name in names]
        found = [place.get(name, place.get(canonical(name), -2)) for name in names]
        codes = np.array([*found, -1], dtype=np.int64)[numbers]
    else:
        column = categorical(schema.name, values)
        found = [place.get(name, -2) for name in column.names or ()]
        codes = np.array([*found, -1], dtype=np.int64)[column.values]
    return Column(schema.name, codes, schema.names, kind="category")
