"""Columns of Arrow's own types: numbers, truth values, dates, times, durations."""

from decimal import Decimal
from typing import Any

import numpy as np

from lanewise.data.encoding.schema import EXACT, Column
from lanewise.data.tables.dates import PER_SECOND, days_of
from lanewise.data.tables.text_values import (
    ColumnError,
    floats,
)


def typed(heading: str, values: Any) -> Column:
    """Numbers, truth values, dates, times and durations of Arrow's own types."""
    import pyarrow
    from pyarrow import types

    kind = values.type
    if types.is_timestamp(kind) or types.is_date(kind):
        stamps = values.cast(pyarrow.timestamp("us", getattr(kind, "tz", None)), safe=False)
        note = (f"column {heading!r}: times with a time zone are read in UTC",) if getattr(kind, "tz", None) else ()
        return Column(heading, days_of(stamps), kind="date", notes=note)
    if types.is_time(kind) or types.is_duration(kind):
        ticks = floats(values.cast("int32") if types.is_time32(kind) else values.cast("int64"))
        return Column(heading, ticks / PER_SECOND[kind.unit], kind="time" if types.is_time(kind) else "duration")
    if types.is_boolean(kind):
        return Column(heading, floats(values), None, True, "truth")
    if types.is_integer(kind) or types.is_decimal(kind):
        whole = types.is_integer(kind) or kind.scale <= 0
        return whole_numbers(heading, floats(values), values) if whole else Column(heading, floats(values))
    if types.is_floating(kind):
        return Column(heading, floats(values))
    raise ColumnError(f"is {kind}: must be numbers, truth values or text")


def whole_numbers(heading: str, numbers: "np.ndarray[Any, Any]", values: Any) -> Column:
    """A column of whole numbers, with the numbers themselves where float64 does not hold them."""
    with np.errstate(invalid="ignore"):
        large = bool((np.abs(numbers) >= EXACT).any())
    if not large:
        return Column(heading, numbers, None, True)
    exact = np.array([0 if one is None else int(Decimal(one)) for one in values.to_pylist()], dtype=object)
    return Column(heading, numbers, None, True, exact=exact)
