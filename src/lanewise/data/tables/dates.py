"""Dates and times of day as numbers."""

import re
from typing import Any

import numpy as np

from lanewise.data.encoding.numerals import Form
from lanewise.data.encoding.schema import Column
from lanewise.data.tables.text_values import ColumnError, floats, listed, without

TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")
DATE_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}.*)?")
DATES = [f"{date}{time}" for date in ("%d.%m.%Y", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y")
         for time in ("", " %H:%M", " %H:%M:%S")]  # fmt: skip
"""Formats of dates that are tried after ISO 8601."""
DAY = 86_400e6
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def days_of(stamps: Any) -> "np.ndarray[Any, Any]":
    """Microseconds since 1970 as days."""
    return floats(stamps.cast("int64")) / DAY


def dates_of_text(heading: str, text: Any, held: list[str], gone: tuple[str, ...]) -> Column | None:
    """Text as dates, if all of it is."""
    if not all(DATE_LIKE.fullmatch(name) for name in held):
        return None
    for zone in (False, True):
        form = Form(missing=gone, zone=zone)
        if (days := days_of_text(text, form)) is not None:
            notes = [f"column {heading!r}: times with a time zone are read in UTC"] if zone else []
            return Column(heading, days, kind="date", form=form, notes=(*notes, *stands_for(heading, gone, "date")))
    fits = [form for date in DATES if days_of_text(text, form := Form(missing=gone, date=date)) is not None]
    if len(fits) > 1:
        raise ColumnError(f"holds dates of which day and month are ambiguous ({held[0]!r}): write 2020-12-31")
    if not fits:
        if all(re.match(r"\d{4}-\d{2}-\d{2}", name) for name in held):
            raise ColumnError(f"holds dates with and without a time zone, or no dates ({listed(held)})")
        return None
    days = days_of_text(text, fits[0])
    assert days is not None
    note = f"column {heading!r} is read as dates: {held[0]!r} as {fits[0].date}"
    return Column(heading, days, kind="date", form=fits[0], notes=(note, *stands_for(heading, gone, "date")))


def days_of_text(text: Any, form: Form) -> "np.ndarray[Any, Any] | None":
    """Days since 1970 of text in this form; None if some of it is not."""
    import pyarrow
    from pyarrow import compute

    text = without(text, form.missing)
    try:
        if form.date:
            return days_of(compute.strptime(text, format=form.date, unit="us"))
        return days_of(text.cast(pyarrow.timestamp("us", "UTC" if form.zone else None)))
    except pyarrow.ArrowException:
        return None


def seconds_of(text: str) -> float:
    """Seconds since midnight; NaN where the text is no time."""
    found = TIME.fullmatch(text)
    return float("nan") if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3] or 0)


def stands_for(heading: str, gone: tuple[str, ...], what: str) -> tuple[str, ...]:
    """A note if words stand for missing values."""
    return (f"column {heading!r}: {listed(list(gone))} stands for a missing {what}",) if gone else ()
