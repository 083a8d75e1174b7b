"""Columns of a table become inputs and targets: numbers as they are, categories as a column for each of their names."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from lanewise.data.arrays.nested import Inputs
from lanewise.data.arrays.targets import CheckedTarget, Target, as_target, check_varies, likely
from lanewise.data.encoding.schema import EXACT, SAME, Column, ColumnSchema, TableSchema, plain
from lanewise.data.rows.rows import TensorRows
from lanewise.data.source.source import Source, inputs
from lanewise.errors import InputError

__all__ = ["Column", "Table", "check_headings", "encoded", "learnt", "plain", "refuse_columns"]

MOST_CATEGORIES = 256
"""Categories with more names than this are refused: a column for each costs much."""

MOST_WHOLE_CLASSES = 20
"""Whole numbers to be learnt are classes if there are at most this many different ones, else numbers."""

MISSING = {"date": "dates", "time": "times", "truth": "truth values"}
"""What is missing, in words, where it is no number."""

NAMING, NAMING_ROWS = 0.8, 20
"""Text of which this share of the values differ, in so many rows or more, names the rows and is left out."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns, and what is done with some of them.

    Attributes:
        columns: the inputs. target: what is to be learnt. aside: columns by which rows are split, by heading.
        notes: what was done while reading. left_out: heading and reason of every column that is no input.
    """

    columns: tuple[Column, ...]
    target: Column
    aside: "dict[str, np.ndarray[Any, Any]]" = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def source(self, name: str, target: Target | None, categories: Sequence[str] = ()) -> Source:
        """The source `name`; `categories` are headings of columns of numbers that are names of things.

        Raises:
            InputError: a heading that is not there, too many categories, nothing to learn from, a missing target.
        """
        where = f"data {name}:"
        check_headings(f"{where} categories", categories, [column.name for column in self.columns])
        columns = [column.as_category() if column.name in categories else column for column in self.columns]
        try:
            x, schema, notes = encoded_by(where, columns, categories, self.left_out)
        except InputError as error:
            # What is wrong with the target is said at once, too.
            try:
                learnt(where, self.target, target)
            except InputError as other:
                raise InputError(f"{error}; {str(other).removeprefix(f'{where} ')}") from None
            raise
        checked, class_names = learnt(where, self.target, target)
        assert checked.y is not None
        schema = replace(schema, target=self.target.name, left_out=(*self.left_out, *schema.left_out))
        return Source(
            name,
            TensorRows(x, checked.y),
            checked.y,
            None,
            None,
            checked.classes,
            checked.target,
            (*self.notes, *notes, *checked.notes),
            class_names=class_names,
            feature_names=schema.features,
            schema=schema,
        )


def check_headings(where: str, wanted: Iterable[str], held: Sequence[str]) -> None:
    """Raise `InputError` unless all of `wanted` are columns."""
    unknown = list(dict.fromkeys(heading for heading in wanted if heading not in held))
    if not unknown:
        return
    shown = ", ".join(held[:12]) + (f" and {len(held) - 12} more" if len(held) > 12 else "")
    small = {heading.casefold(): heading for heading in held}
    found = [difflib.get_close_matches(str(one).casefold(), small, 1) for one in unknown]
    near = [small[close[0]] for close in found if close]
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
    named = f"column {unknown[0]!r}" if len(unknown) == 1 else f"columns {', '.join(map(repr, unknown))}"
    raise InputError(f"{where}: no {named}; must be one of {shown}{hint}")


def refuse_columns(where: str, problems: Mapping[str, str], advice: str | None = None) -> None:
    """Raise one `InputError` that names all columns which cannot be used, with the reason for each.

    Args:
        advice: what to do; by default how to leave them out.
    """
    if not problems:
        return
    if advice is None:
        advice = f"; leave {'it' if len(problems) == 1 else 'them'} out with drop={list(problems)}"
    shown = [f"column {heading!r} {why}" for heading, why in list(problems.items())[:8]]
    more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
    count = "" if len(problems) == 1 else f"{len(problems)} columns cannot be used: "
    raise InputError(f"{where} {count}{'; '.join(shown)}{more}{advice}")


def encoded(where: str, columns: Sequence[Column]) -> tuple[Inputs, tuple[str, ...], tuple[str, ...]]:
    """(x float64 [rows, features], the heading of every feature, notes), as `encoded_by`."""
    x, schema, notes = encoded_by(where, columns)
    return x, schema.features, notes


def encoded_by(
    where: str, columns: Sequence[Column], categories: Sequence[str] = (), before: Sequence[tuple[str, str]] = ()
) -> tuple[Inputs, TableSchema, tuple[str, ...]]:
    """(x float64 [rows, features], how it was made, notes).

    A missing number stays NaN, which `Standardise` puts at the mean of the training rows, and a feature of its own says
    where that is. A missing category is a category of its own.

    Args:
        categories: headings of columns that are names of things. before: columns left out already, and why.
    """
    if not columns:
        why = "; ".join(f"{name!r}: {reason}" for name, reason in before)
        told = f" ({why})" if why else ""
        raise InputError(f"{where} has no column to learn from{told}: must have at least one beside the target")
    kept: list[tuple[ColumnSchema, Column]] = []
    notes: list[str] = []
    left_out: dict[str, str] = {}
    problems: dict[str, str] = {}
    for column in columns:
        gone = column.missing
        count, rows = int(gone.sum()), len(gone)
        if count == rows:
            left_out[column.name] = "no values"
            notes.append(f"{where} column {column.name!r} has no values and is left out")
            continue
        if column.names is not None:
            different = len(column.names)
            asked = column.name in categories
            if rows >= NAMING_ROWS and different > NAMING * (rows - count) and not asked:
                told = "".join(f"; {note}" for note in column.notes)
                left_out[column.name] = f"{different} different texts in {rows} rows{told}"
                notes.append(
                    f"{where} column {column.name!r} has {different} different texts in {rows} rows, which name"
                    f" the rows rather than tell of them, and is left out; categories=[{column.name!r}] keeps it"
                )
                continue
            if different > MOST_CATEGORIES:
                problems[column.name] = f"has {different} different texts: must be at most {MOST_CATEGORIES}"
                continue
        elif wrong := np.isinf(column.values).sum():
            first = int(np.isinf(column.values).argmax())
            problems[column.name] = f"has {wrong} infinite values, first in row {first}: all must be finite"
            continue
        elif column.exact is not None:
            notes.append(
                f"{where} column {column.name!r} has whole numbers above {EXACT}, which are rounded to 53 bits as"
                f" numbers: if these are names of things, say categories=[{column.name!r}] or drop it"
            )
        kept.append((ColumnSchema.of(column), column))
        if column.kind == "date" and column.names is None:
            parts = kept[-1][0].taken_for.partition(": ")[2].removesuffix(SAME)
            notes.append(f"{where} column {column.name!r} holds dates, of which features are made: {parts}")
        if count and column.names is None:
            notes.append(
                f"{where} column {column.name!r}: {count} missing {MISSING.get(column.kind, 'numbers')} are put at the"
                " mean of the training rows, and a feature of its own says where"
            )
    refuse_columns(where, problems)
    if not kept:
        why = "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items() if reason != "no values")
        said = f"all columns are left out ({why})" if why else "all columns are empty"
        raise InputError(f"{where} has no values to learn from: {said}")
    schema = TableSchema(tuple(one for one, _ in kept), left_out=tuple(left_out.items()))
    x = schema.encode([column for _, column in kept])
    return inputs(f"{where} x", x, images=False, missing=True), schema, tuple(notes)


def learnt(where: str, column: Column, target: Target | None) -> tuple[CheckedTarget, tuple[str, ...] | None]:
    """(the checked targets, the names of the classes if they are classes) of a column."""
    if target in ("tokens", "none"):
        raise InputError(f"target = {target!r}: a column holds one class or one number a row: must be class or number")
    gone = column.missing.nonzero()[0]
    heading = f"{where} column {column.name!r}"
    if len(gone):
        raise InputError(
            f"{heading} is missing in {len(gone)} rows, first in row {gone[0]}: all must have a target;"
            " drop_missing_target=True leaves such rows out"
        )
    if column.kind == "date" and column.names is None:
        raise InputError(f"{heading} holds dates: what is learnt must be numbers, or names of classes")
    if column.names is not None:
        if target == "number":
            raise InputError(f"{heading} holds text: must hold numbers for target = 'number'")
        if target is None and len(gone) == 0:
            refuse_names(heading, column)
        return named_classes(heading, column)
    values = column.values if column.exact is None else column.exact
    different = len(np.unique(values))
    few = column.whole and different <= MOST_WHOLE_CLASSES
    if target == "class" or (target is None and few):
        checked, names = named_classes(heading, column.as_category())
        read = f"{heading}: {different} different whole numbers are read as classes; target='number' makes them numbers"
        told = target is None and column.kind == "number"
        return (replace(checked, notes=(read,)) if told else checked), names
    stored = torch.from_numpy(column.values)
    # As arrays are: floating numbers that are all of 0, 1, 2, ... are classes.
    if target is None and not column.whole and column.kind == "number" and likely(stored) == "class":
        checked, names = named_classes(heading, column.as_category())
        read = f"{heading}: whole floating numbers are read as classes; for a regression say target='number'"
        return replace(checked, notes=(read,)), names
    checked = as_target(heading, stored, "number")
    assert checked.y is not None
    check_varies(heading, checked.y)
    return checked, None


def refuse_names(heading: str, column: Column) -> None:
    """Raise `InputError` if the texts to be learnt name the rows: nearly all differ."""
    different, rows = len(np.unique(column.values)), len(column.values)
    if rows >= NAMING_ROWS and different > NAMING * rows:
        told = f" ({column.notes[0]})" if column.notes else ""
        raise InputError(
            f"{heading} has {different} different texts in {rows} rows: must be classes that come again, or numbers"
            f"{told}; target='class' with target_column={column.name!r} takes them for classes"
        )


def named_classes(heading: str, column: Column) -> tuple[CheckedTarget, tuple[str, ...]]:
    """Classes of the names that occur, in their order."""
    found, codes = np.unique(column.values, return_inverse=True)
    names = tuple((column.names or ())[code] for code in found)
    if len(names) < 2:
        raise InputError(f"{heading} has one class only ({names[0]!r}): must have at least two")
    return as_target(heading, torch.from_numpy(codes.astype(np.int64)), "class"), names
