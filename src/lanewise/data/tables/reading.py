"""Columns of Arrow's become ours: numbers of any kind, truth values, dates, and categories by name."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from lanewise.data.encoding.numerals import LOOKS, MOST_TRIED, NEARLY, NO_VALUE, Form, Guess, guess, parted
from lanewise.data.encoding.schema import Column, plain
from lanewise.data.tables.arrow_types import typed, whole_numbers
from lanewise.data.tables.dates import TIME, dates_of_text, seconds_of, stands_for
from lanewise.data.tables.names import categorical, of_names
from lanewise.data.tables.text_values import (
    SHOWN,
    ColumnError,
    as_text,
    distinct,
    floats,
    is_string,
    is_text,
    listed,
    without,
)
from lanewise.errors import InputError, one_line

TRUTH = {"true": 1.0, "false": 0.0}
LEADING_ZERO = r"^[+-]?0\d+$"


def guessed(values: Any) -> Guess | None:
    """What the texts of a column suggest of its numbers; None where it is no text, or tells nothing."""
    from pyarrow import compute

    if not is_text(values.type):
        return None
    try:
        text = as_text(values)
    except ColumnError:
        return None
    if plain_numbers(text) is None:
        names, _ = distinct(text)
        found = guess([name for name in names if name.lower() not in NO_VALUE])
        return found if found.fits else None
    if not compute.any(compute.match_substring(text, ".")).as_py():
        return None
    grouped = every(text, r"^[+-]?([1-9]\d{0,2}(\.\d{3})+|\d+)$")
    return Guess(((".", ""), (",", ".")) if grouped else ((".", ""),), "", (), 1)


def plain_numbers(text: Any) -> "np.ndarray[Any, Any] | None":
    """Text as float64 [rows], NaN where missing, if all of it is numbers as Python writes them."""
    import pyarrow

    try:
        return floats(text.cast("float64"))
    except pyarrow.ArrowException:
        return None


def every(text: Any, pattern: str) -> bool:
    """Whether all texts that are there match `pattern`."""
    from pyarrow import compute

    return compute.all(compute.match_substring_regex(text, pattern)).as_py() is not False


def marks_of(guesses: "dict[str, Guess | None]", separator: str | None) -> tuple[bool, bool]:
    """(whether commas are decimal marks where the texts of a column do not tell, whether other columns say so)."""
    votes = Counter(found.decimal_comma for found in guesses.values() if found is not None and not found.bad)
    sure = votes[True] > votes[False]
    return sure or (votes[True] == votes[False] == 0 and separator == ";"), sure


def as_column(where: str, heading: str, values: Any, comma: bool = False, found: Guess | None = None) -> Column:
    """A column of Arrow's as ours, of the kind that its type or its texts suggest.

    Args:
        comma: whether a comma is likelier a decimal mark than a separator of thousands. found: what `guessed` said.

    Raises:
        InputError: lists, bytes that are no text, and whatever else is neither.
    """
    try:
        return read_column(heading, values, comma, found)
    except ColumnError as error:
        raise InputError(f"{where} column {heading!r} {error}; leave it out with drop=[{heading!r}]") from None


def read_column(heading: str, values: Any, comma: bool, found: Guess | None) -> Column:
    """As `as_column`; raises `ColumnError`."""
    import pyarrow
    from pyarrow import types

    kind = values.type
    if types.is_null(kind):
        return Column(heading, np.full(len(values), np.nan))
    try:
        if types.is_dictionary(kind):
            return categorical(heading, values)
        if is_text(kind):
            return trimmed(values, of_text(heading, as_text(values), comma, found))
        return typed(heading, values)
    except pyarrow.ArrowException as error:
        raise ColumnError(f"is {kind}, which cannot be read ({one_line(error)})") from None


def trimmed(values: Any, column: Column) -> Column:
    """A column of text, with a note if spaces around its names did not count."""
    from pyarrow import compute

    if column.names is None or not is_string(values.type):
        return column
    spaced = compute.sum(compute.not_equal(values.cast("large_string"), as_text(values))).as_py() or 0
    if not spaced:
        return column
    note = f"column {column.name!r}: spaces around {spaced} values do not count"
    return replace(column, notes=(*column.notes, note))


def of_text(heading: str, text: Any, comma: bool = False, found: Guess | None = None) -> Column:
    """A column of text: numbers, truth values, dates or times if all its texts are, else categories."""
    if found is None and (numbers := plain_numbers(text)) is not None:
        return of_plain_text(heading, text, numbers)
    names, codes = distinct(text)
    held = [name for name in names if name.lower() not in NO_VALUE]
    if not held:
        # Words for "no value" and nothing else: as categories they may still tell something.
        return of_names(heading, names, codes) if names else Column(heading, np.full(len(codes), np.nan))
    if all(name.lower() in TRUTH for name in names):
        return Column(heading, spread([TRUTH[name.lower()] for name in names], codes), None, True, "truth")
    gone = tuple(name for name in names if name.lower() in NO_VALUE)
    found = found or guess(held)
    if found.fits and not found.bad:
        return of_formed_text(heading, text, names, codes, replace(found.form(comma), missing=gone))
    if (dates := dates_of_text(heading, text, held, gone)) is not None:
        return dates
    if all(TIME.fullmatch(name) for name in held):
        seconds = [seconds_of(name) for name in names]
        note = stands_for(heading, gone, "time")
        return Column(heading, spread(seconds, codes), kind="time", form=Form(missing=gone), notes=note)
    return replace(of_names(heading, names, codes), notes=nearly_numbers(heading, found, codes, names))


def of_plain_text(heading: str, text: Any, numbers: "np.ndarray[Any, Any]") -> Column:
    """Numbers as Python writes them."""
    from pyarrow import compute

    if not every(text, r"^[+-]?\d+$"):
        # 9007199254740993.0 is a whole number, too, which float64 does not hold.
        whole = every(text, r"^[+-]?\d+(\.0*)?$")
        return replace(whole_numbers(heading, numbers, text), whole=False) if whole else Column(heading, numbers)
    column = whole_numbers(heading, numbers, text)
    if not has_leading_zeros(text):
        return column
    shown = next(one for one in compute.unique(text).to_pylist() if one and re.match(LEADING_ZERO, one))
    note = (
        f"column {heading!r} has leading zeros ({shown!r}) and is read as numbers: if these are names of things, say"
        f" categories=[{heading!r}]"
    )
    return replace(column, notes=(note,))


def has_leading_zeros(text: Any) -> bool:
    """Whether there are whole numbers such as 007."""
    from pyarrow import compute

    return bool(compute.any(compute.match_substring_regex(text, LEADING_ZERO)).as_py())


def spread(values: "list[float]", codes: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The value of every row, by the number of its text; NaN where there is none."""
    found: np.ndarray[Any, Any] = np.array([*values, np.nan], dtype=np.float64)[codes]
    return found


def of_formed_text(heading: str, text: Any, names: list[str], codes: Any, form: Form) -> Column:
    """Numbers written in another way than Python's, and notes that say which."""
    values = {name: form.number(name) for name in names if name not in form.missing}
    assert None not in values.values(), "the form fits all"
    numbers = spread([values.get(name, np.nan) for name in names], codes)  # type: ignore[misc]
    notes = []
    written = [name for name in values if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", name)]
    if form != Form(missing=form.missing) or written:
        shown = (written or list(values))[0]
        notes.append(f"column {heading!r} is read as numbers: {shown!r} as {plain(values[shown] or 0.0)}")
    if form.missing:
        count = sum(int((codes == names.index(name)).sum()) for name in form.missing)
        notes.append(f"column {heading!r}: {listed(list(form.missing))} in {count} rows stands for a missing number")
    if not all(re.fullmatch(r"[+-]?\d+", name) for name in values):
        return Column(heading, numbers, form=form, notes=tuple(notes))
    whole = whole_numbers(heading, numbers, without(text, form.missing))
    return replace(whole, form=form, notes=tuple(notes))


def nearly_numbers(heading: str, found: Guess, codes: Any, names: list[str]) -> tuple[str, ...]:
    """A note if a column of text was most likely meant as numbers."""
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    bad = set(found.bad) if found.fits else set()
    wrong = sum(int(count) for name, count in zip(names, counts, strict=True) if name in bad)
    rows = int(counts.sum())
    if not found.fits:
        names = names[:MOST_TRIED]
        units = [parted(name)[2] for name in names if LOOKS.fullmatch(parted(name)[1])]
        if len(units) < NEARLY * len(names) or not any(units) or len(set(units)) > SHOWN:
            return ()
        return (f"column {heading!r} looks like numbers of different units ({listed(names)}) and is read as text",)
    # Digits and marks alone are named in any case: no reading fits all of them.
    if rows - wrong < NEARLY * rows and not all(LOOKS.fullmatch(parted(name)[1]) for name in bad):
        return ()
    return (
        f"column {heading!r} is read as text, though {rows - wrong} of {rows} values are numbers:"
        f" {listed(list(found.bad))} {'is' if len(bad) == 1 else 'are'} not",
    )
