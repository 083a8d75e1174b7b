"""NumPy's `.npz` archives with the arrays x, y and, where given, x_test and y_test.

The readers of NumPy and of Python's zipfile raise a dozen types of exception on damaged files, TokenError and
MemoryError among them; all of them are caught here.
"""

import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from lanewise.data.arrays.large import is_much
from lanewise.errors import InputError, one_line

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""What stands before the name of a member: a signature, and the lengths of its name and of what else is known."""

HEADERS: dict[Any, Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Version of a `.npy` header -> what reads it."""

ENCRYPTED = 1
"""The bit of a member's flags that says so."""

BLOCK = 2**22
"""Bytes that are summed up at a time."""


def read(path: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """Every array of the archive by name. Pickled objects are never loaded: a data file must not run code.

    Raises:
        InputError: no archive, damaged, or an array of Python objects.
    """
    try:
        # Opened here because NumPy leaves a file that it opened itself open when the archive is damaged.
        with path.open("rb") as file:
            return members(path, file)
    except OSError as error:
        raise InputError(f"data {path}: cannot be read ({error.strerror or error})") from error


def members(path: Path, file: IO[bytes]) -> dict[str, "np.ndarray[Any, Any]"]:
    """Every array of the archive in the open `file`; `path` is for messages."""
    try:
        archive = np.load(file, allow_pickle=False)
    except Exception as error:
        # What NumPy takes for a pickle it advises to load all the same, which would run code.
        why = "" if "pickle" in str(error) else f" ({one_line(error)})"
        raise InputError(f"data {path}: is no .npz archive, or a damaged one{why}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"data {path}: is a single array; must be an archive, as of numpy.savez(path, x=..., y=...)")
    with archive:
        return {name: member(path, file, archive, name) for name in archive.files}


def member(path: Path, file: IO[bytes], archive: Any, name: str) -> "np.ndarray[Any, Any]":
    """The array `name` of the open `archive` in `file`: a map of its bytes where it is large and not compressed."""
    if (found := mapped(path, file, archive, name)) is not None:
        return found
    try:
        array: np.ndarray[Any, Any] | bytes = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InputError(f"data {path}: {name} holds Python objects (ragged rows?); must be numbers") from error
        raise InputError(f"data {path}: {name} is damaged ({one_line(error)})") from error
    except Exception as error:
        raise InputError(f"data {path}: {name} is damaged or too large ({one_line(error)})") from error
    if isinstance(array, bytes):
        raise InputError(f"data {path}: {name} is no NumPy array")
    if array.dtype.isnative or array.dtype.kind not in "iuf":
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def mapped(path: Path, file: IO[bytes], archive: Any, name: str) -> "np.ndarray[Any, Any] | None":
    """The array `name` as a read-only map of its bytes in `file`; None where it must be read.

    Raises:
        InputError: the bytes have another checksum than the archive says.
    """
    stored = f"{name}.npy"
    about = archive.zip.getinfo(stored if stored in archive.zip.namelist() else name)
    if about.flag_bits & ENCRYPTED or about.compress_type != zipfile.ZIP_STORED or not is_much(about.file_size):
        return None
    file.seek(about.header_offset)
    local = file.read(LOCAL_HEADER.size)
    if len(local) < LOCAL_HEADER.size:
        return None
    signature, *_, name_length, extra_length = LOCAL_HEADER.unpack(local)
    start = about.header_offset + LOCAL_HEADER.size + name_length + extra_length
    file.seek(start)
    try:
        shape, by_column, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    except Exception:
        # Reading it says what is wrong.
        return None
    begins, end = file.tell(), start + about.file_size
    exact = signature == b"PK\3\4" and begins + math.prod(shape) * dtype.itemsize == end <= file.seek(0, os.SEEK_END)
    if not exact or dtype.hasobject or not dtype.isnative:
        return None
    whole = np.memmap(file, np.uint8, "r", start, (about.file_size,))
    found = 0
    for at in range(0, about.file_size, BLOCK):
        found = zlib.crc32(whole[at : at + BLOCK].data, found)
    if found != about.CRC:
        raise InputError(f"data {path}: {name} is damaged (its checksum is another than the archive says)")
    array: np.ndarray[Any, Any] = whole[begins - start :].view(dtype)
    return array.reshape(shape, order="F" if by_column else "C")
