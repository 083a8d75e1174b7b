"""Categories of a column by name."""

import re
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from lanewise.data.encoding.schema import Column, plain
from lanewise.data.tables.arrow_types import typed
from lanewise.data.tables.text_values import DIGITS, as_text, distinct, is_string, is_text


def categorical(heading: str, values: Any) -> Column:
    """Values of any type as categories, in the order of their names, or of the numbers where they are numbers."""
    from pyarrow import types

    values = undictionaried(values)
    kind = values.type
    if types.is_null(kind) or is_text(kind):
        text = as_text(values.cast("large_string") if types.is_null(kind) else values, escaped=True)
        return of_names(heading, *distinct(text))
    if types.is_decimal(kind) and kind.scale > 0:
        return named_numbers(heading, values.cast("large_string"))
    if types.is_temporal(kind):
        return of_names(heading, *distinct(as_text(values.cast("large_string"))))
    return replace(typed(heading, values).as_category(), kind="category")


def undictionaried(values: Any) -> Any:
    """Arrow's dictionary type as the type of its values."""
    import pyarrow
    from pyarrow import types

    if not types.is_dictionary(values.type):
        return values
    chunks = values.chunks if isinstance(values, pyarrow.ChunkedArray) else [values]
    text = is_text(values.type.value_type)
    # Text of all kinds as one, since Arrow cannot take rows of every kind.
    kind = "large_string" if text and is_string(values.type.value_type) else values.type.value_type
    return pyarrow.chunked_array([chunk.dictionary.cast(kind).take(chunk.indices) for chunk in chunks], type=kind)


def named_numbers(heading: str, values: Any) -> Column:
    """As `categorical`, of a column of numbers that are names of things: `7.0` is 7, and 007 another name."""
    if not is_text(values.type):
        return categorical(heading, values)
    names, codes = distinct(as_text(values, escaped=True))
    called = [canonical(name) for name in names]
    found = sorted(set(called), key=by_number)
    number = {name: at for at, name in enumerate(found)}
    place = np.array([*(number[name] for name in called), -1], dtype=np.int64)
    return Column(heading, place[codes], tuple(found), kind="category")


def by_number(text: str) -> tuple[bool, float, str]:
    """The order of names that may be numbers."""
    try:
        number = float(text)
    except ValueError:
        return True, 0.0, text
    return (True, 0.0, text) if number != number else (False, number, text)


def of_names(heading: str, names: list[str], codes: "np.ndarray[Any, Any]") -> Column:
    """Categories in the order of their names."""
    order = sorted(range(len(names)), key=lambda number: names[number])
    place = np.full(len(names) + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(names))
    return Column(heading, place[codes], tuple(names[number] for number in order), kind="category")


def canonical(text: str) -> str:
    """The name that a number written as `text` has as a category: `7` of `7.0`; other text as it is.

    >>> canonical("7.0"), canonical("9007199254740993.0"), canonical("007"), canonical("red")
    ('7', '9007199254740993', '007', 'red')
    """
    if re.fullmatch(r"[+-]?\d+", text):
        return text
    try:
        exact, number = Decimal(text), float(text)
    except (ValueError, InvalidOperation):
        return text
    if not exact.is_finite():
        return plain(number)
    digits = "".join(map(str, exact.as_tuple().digits)).strip("0")
    if len(digits) <= DIGITS and (number not in (0.0, float("inf"), float("-inf")) or not digits):
        return plain(number)
    # float64 may not tell it from its neighbours.
    whole = re.fullmatch(r"([+-]?\d+)\.0*", text)
    return whole[1] if whole else text
