"""Files of separated values: which encoding and which separator they have; all columns are read as text."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanewise.errors import InputError, one_line

SEPARATORS = (",", ";", "\t", "|")
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks and what they say; UTF-32 first, since its mark begins with that of UTF-16."""
SAMPLE_LINES = 20
BLOCK = 2**22
TOLD = re.compile(r"^\"?sep=(.)\"?$")
NUMBER_LIKE = re.compile(r"\s*[-+$€£]?\d[\d.,' ]*%?\s*")


@dataclass(frozen=True)
class Separated:
    """The columns of a file, all as text.

    Attributes:
        table: a `pyarrow.Table`. separator: between its values. notes: what users should know.
    """

    table: Any
    separator: str
    notes: tuple[str, ...] = ()


def read(path: Path, encoding: str | None = None, headings: Sequence[str] = ()) -> Separated:
    """The file at `path`, `.gz` or not.

    Args:
        encoding: any that Python knows; by default what a byte order mark says, else UTF-8, else Windows-1252.
        headings: those that are known to be there, by which the separator is told.

    Raises:
        InputError: a damaged file, an unknown encoding, lines of different numbers of values.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv

    where = f"data {path}:"
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{where} cannot be read as a table ({one_line(error)})") from error
    data, notes = as_utf8(where, data, encoding)
    first, _, rest = data.partition(b"\n")
    if told := TOLD.match(first.decode().strip("\r")):
        data, separator = rest, told[1]
    else:
        separator = separator_of(data, "\t" if ".tsv" in path.name.lower() else ",", headings)
    try:
        parse = arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data)
        names = column_names(data, separator)
        convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.large_string()), strings_can_be_null=True
        )
        table = arrow_csv.read_csv(pyarrow.BufferReader(data), parse_options=parse, convert_options=convert)
    except (pyarrow.ArrowException, ValueError, csv.Error) as error:
        raise InputError(f"{where} cannot be read as a table ({one_line(error)})") from error
    return Separated(table, separator, notes)


def column_names(data: bytes, separator: str) -> list[str]:
    """The headings of a file, as Arrow reads them."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    options = arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data[:BLOCK])
    with arrow_csv.open_csv(pyarrow.BufferReader(data), parse_options=options) as reader:
        return [str(name) for name in reader.schema.names]


def as_utf8(where: str, data: bytes, encoding: str | None) -> tuple[bytes, tuple[str, ...]]:
    """(the same text in UTF-8 without a mark, notes)."""
    mark, found = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", None))
    if encoding is None and found is None:
        found = without_mark(data)
    name = encoding or found
    if name is None:
        return to_utf8(where, data, "cp1252", True)
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise InputError(
            f"{where} encoding = {name!r}: no encoding that Python knows, such as utf-8 or latin-1"
        ) from None
    if known in ("utf-8", "utf-8-sig") and encoding is None:
        return data[len(mark) :], ()
    # The encodings utf-16 and utf-32 take their mark off themselves.
    return to_utf8(where, data[len(mark) :] if known.startswith(("utf-8", found or " ")) else data, known, False)


def without_mark(data: bytes) -> str | None:
    """The encoding of text without a byte order mark; None where it is neither UTF-8 nor UTF-16."""
    start = data[:1024]
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(zeros) > 1 and zeros.count(0) > 0.9 * len(zeros) and start.count(0) < 0.6 * len(start):
            return name
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), BLOCK):
            decoder.decode(data[at : at + BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return "utf-8"


def to_utf8(where: str, data: bytes, encoding: str, guessed: bool) -> tuple[bytes, tuple[str, ...]]:
    """`data` in `encoding` as UTF-8, and a note where the encoding was guessed."""
    if guessed and b"\0" in data:
        raise InputError(
            f"{where} is no text (it has zero bytes); must be a table, in UTF-8 unless encoding= says else"
        )
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if guessed:
            return to_utf8(where, data, "latin-1", True)
        raise InputError(f"{where} is not in the encoding {encoding} ({one_line(error)}); say encoding=...") from None
    except (LookupError, ValueError) as error:
        raise InputError(f"{where} encoding = {encoding!r}: {one_line(error)}") from None
    note = f"{where} is not UTF-8 and is read as {encoding} (Latin-1 of Windows); encoding='...' says otherwise"
    if encoding == "latin-1":
        note = f"{where} is not UTF-8 and is read as latin-1; encoding='...' says otherwise"
    return text.encode("utf-8", "surrogatepass"), (note,) if guessed else ()


def separator_of(data: bytes, usual: str, headings: Sequence[str] = ()) -> str:
    r"""What stands between values: the mark by which all of the first lines have as many, two or more.

    Of several the one by which more values look like numbers, then the `usual`.

    >>> separator_of(b"a;b\n1,5;2\n", ","), separator_of(b"a|b\n1|2\n", ","), separator_of(b"a\n1\n", ",")
    (';', '|', ',')
    """
    lines = data[:BLOCK].decode("utf-8", "replace").splitlines(keepends=True)[: SAMPLE_LINES + 1]
    # The last may be cut off.
    text = "".join(lines if len(lines) <= SAMPLE_LINES else lines[:-1])
    best, found = (0.0, False), usual
    for mark in (usual, *(one for one in SEPARATORS if one != usual)):
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        if headings and set(headings) <= {name.strip() for name in rows[0]}:
            return mark
        values = [value for row in rows[1:] for value in row]
        share = sum(bool(NUMBER_LIKE.fullmatch(value)) for value in values) / max(1, len(values))
        # Lines of different lengths may be damaged, and Arrow says which.
        score = (1.0 + share if all(len(row) == len(rows[0]) for row in rows) else share / 2, True)
        if score > best:
            best, found = score, mark
    return found
