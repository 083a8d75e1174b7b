"""Values of a column as text."""

from typing import Any

import numpy as np

from lanewise.data.arrays.labels import decoded
from lanewise.errors import InputError
from lanewise.printable import cut

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


def floats(values: Any) -> "np.ndarray[Any, Any]":
    """Arrow's numbers as float64, NaN where missing."""
    return np.array(values.cast("float64", safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def without(text: Any, missing: tuple[str, ...]) -> Any:
    """`text` with nothing where it is one of `missing`."""
    import pyarrow
    from pyarrow import compute

    return compute.if_else(compute.is_in(text, pyarrow.array(missing, "large_string")), None, text) if missing else text


def listed(names: list[str]) -> str:
    """The first few of `names`, quoted."""
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
