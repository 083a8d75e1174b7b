"""Columns of Arrow's become ours: numbers of any kind, truth values, dates, and categories by name."""

import re
from collections import Counter
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from lanewise.data.arrays.targets import decoded
from lanewise.data.encoding.numerals import LOOKS, MOST_TRIED, NEARLY, NO_VALUE, Form, Guess, guess, parted
from lanewise.data.encoding.schema import EXACT, Column, plain
from lanewise.errors import InputError, one_line
from lanewise.printable import cut

TRUTH = {"true": 1.0, "false": 0.0}
TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")
DATE_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}.*)?")
DATES = [f"{date}{time}" for date in ("%d.%m.%Y", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y")
         for time in ("", " %H:%M", " %H:%M:%S")]  # fmt: skip
"""Formats of dates that are tried after ISO 8601."""
DAY = 86_400e6
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
LEADING_ZERO = r"^[+-]?0\d+$"
SHOWN = 3
DIGITS = 15
"""Decimal numbers of so many digits are different in float64 if they are different."""


class ColumnError(Exception):
    """A column cannot be used; the text goes after its name."""


class NotTextError(ColumnError):
    """It holds bytes that are no UTF-8."""


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text, or bytes that may be."""
    from pyarrow import types

    return any(
        check(kind) for check in (types.is_string, types.is_large_string, types.is_string_view, types.is_binary)
    ) or any(check(kind) for check in (types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary))


def as_text(values: Any, escaped: bool = False) -> Any:
    r"""A column of text or bytes as one Arrow array of text, without spaces around.

    Args:
        escaped: bytes that are no UTF-8 become text such as `\xe9`; by default they are refused.
    """
    import pyarrow
    from pyarrow import compute

    try:
        text = values.cast("large_binary").cast("large_string") if not is_string(values.type) else values
        whole = pyarrow.chunked_array([text] if isinstance(text, pyarrow.Array) else text.chunks, type=text.type)
        return compute.utf8_trim_whitespace(whole.cast("large_string").combine_chunks())
    except pyarrow.ArrowException:
        if escaped:
            return compute.utf8_trim_whitespace(escaped_text(values))
        row, value = next((row, one) for row, one in enumerate(values.to_pylist()) if not is_utf8(one))
        shown = cut(repr(value), 40)
        raise NotTextError(
            f"is {values.type} that is no UTF-8 text, first in row {row} ({shown}): must be text, numbers, or named in"
            " categories=, which takes such bytes for names"
        ) from None


def is_utf8(value: Any) -> bool:
    """Whether bytes are text in UTF-8."""
    try:
        return not isinstance(value, bytes) or value.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


def escaped_text(values: Any) -> Any:
    """Bytes as one Arrow array of text that can be printed, different for different bytes."""
    import pyarrow

    found = pyarrow.chunked_array([values] if isinstance(values, pyarrow.Array) else values.chunks, type=values.type)
    codes = found.cast("large_binary").combine_chunks().dictionary_encode()
    try:
        names = decoded(np.array(codes.dictionary.to_pylist(), dtype=object))
    except InputError:
        raise ColumnError("holds bytes of which some are no UTF-8 and look the same as text: decode them") from None
    return pyarrow.array(names.tolist(), "large_string").take(codes.indices)


def is_string(kind: Any) -> bool:
    """Whether an Arrow type is text."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def distinct(text: Any) -> "tuple[list[str], np.ndarray[Any, Any]]":
    """(the different texts, the number of that of every row, -1 where there is none)."""
    encoded = text.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes


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


def floats(values: Any) -> "np.ndarray[Any, Any]":
    """Arrow's numbers as float64, NaN where missing."""
    return np.array(values.cast("float64", safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def days_of(stamps: Any) -> "np.ndarray[Any, Any]":
    """Microseconds since 1970 as days."""
    return floats(stamps.cast("int64")) / DAY


def whole_numbers(heading: str, numbers: "np.ndarray[Any, Any]", values: Any) -> Column:
    """A column of whole numbers, with the numbers themselves where float64 does not hold them."""
    with np.errstate(invalid="ignore"):
        large = bool((np.abs(numbers) >= EXACT).any())
    if not large:
        return Column(heading, numbers, None, True)
    exact = np.array([0 if one is None else int(Decimal(one)) for one in values.to_pylist()], dtype=object)
    return Column(heading, numbers, None, True, exact=exact)


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


def without(text: Any, missing: tuple[str, ...]) -> Any:
    """`text` with nothing where it is one of `missing`."""
    import pyarrow
    from pyarrow import compute

    return compute.if_else(compute.is_in(text, pyarrow.array(missing, "large_string")), None, text) if missing else text


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


def stands_for(heading: str, gone: tuple[str, ...], what: str) -> tuple[str, ...]:
    """A note if words stand for missing values."""
    return (f"column {heading!r}: {listed(list(gone))} stands for a missing {what}",) if gone else ()


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


def listed(names: list[str]) -> str:
    """The first few of `names`, quoted."""
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


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
