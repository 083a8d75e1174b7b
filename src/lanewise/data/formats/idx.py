"""The IDX format of MNIST and its relatives: a header of sizes, then the values, big-endian; plain or gzipped.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section FILE FORMATS.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from lanewise.errors import InputError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Third byte of the file and the NumPy type it stands for."""

STEMS = {
    "x": ("train-images", "idx3-ubyte"),
    "y": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}

BLOCK = 2**20


def read_folder(folder: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """The arrays of a folder with the standard files, by role: x, y and, where present, x_test and y_test.

    The names are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, with `.` for the last-but-one `-` in some releases, each plain or with `.gz`. Where a
    file is there both ways the plain one is read.

    Raises:
        InputError: a file is missing, cut short, too long or no IDX file.
    """
    try:
        held = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError(f"data {folder}: cannot be read ({error.strerror or error})") from error
    found = {role: folder / name for role in STEMS if (name := find(held, role)) is not None}
    for role, partner in (("x", "x"), ("y", "y"), ("x_test", "y_test"), ("y_test", "x_test")):
        if role not in found and partner in {"x", "y", *found}:
            stem, kind = STEMS[role]
            raise InputError(f"data {folder}: has no {stem}-{kind} or {stem}-{kind}.gz; {inventory(held)}")
    return {role: read(path) for role, path in found.items()}


def find(held: list[str], role: str) -> str | None:
    """The name among `held` of the file that plays `role`, or None."""
    stem, kind = STEMS[role]
    names = [f"{stem}{joint}{kind}{ending}" for ending in ("", ".gz") for joint in "-."]
    return next((name for name in names if name in held), None)


def inventory(names: list[str]) -> str:
    """What a folder with the file `names` holds, for a message."""
    if not names:
        return "the folder is empty"
    return f"it holds {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}"


def read(path: Path) -> "np.ndarray[Any, Any]":
    """The array of one IDX file, writable, big-endian.

    Raises:
        InputError: unreadable, no IDX header, or another number of bytes than the header says.
    """
    try:
        with cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
            return parse(path, file)
    except EOFError as error:
        raise InputError(f"data {path}: the gzip stream is cut short; fetch the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"data {path}: no sound gzip file ({error}); fetch the file again") from error
    except OSError as error:
        raise InputError(f"data {path}: cannot be read ({error.strerror or error})") from error


def parse(path: Path, file: IO[bytes]) -> "np.ndarray[Any, Any]":
    """The array in the open `file`; `path` is for messages."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or magic[3] == 0:
        raise InputError(f"data {path}: starts with bytes {magic.hex(' ') or '(none)'}, which is no IDX header")
    axes = magic[3]
    header = file.read(4 * axes)
    if len(header) < 4 * axes:
        raise InputError(f"data {path}: cut short inside the header")
    shape = struct.unpack(f">{axes}I", header)
    dtype = np.dtype(TYPES[magic[2]])
    wanted = math.prod(shape) * dtype.itemsize
    # Read in blocks: a damaged header may promise far more bytes than there is memory for.
    values = bytearray()
    while len(values) <= wanted and (block := file.read(min(BLOCK, wanted + 1 - len(values)))):
        values += block
    if len(values) != wanted:
        sizes = " x ".join(map(str, shape))
        state = "cut short" if len(values) < wanted else "too long"
        count = f"{len(values)}" if len(values) < wanted else "more"
        raise InputError(f"data {path}: {state}; the header says {sizes} values, {wanted} bytes, and there are {count}")
    return np.frombuffer(values, dtype=dtype).reshape(shape)
