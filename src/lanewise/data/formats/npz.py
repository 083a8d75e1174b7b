"""NumPy's `.npz` archives with the arrays x, y and, where given, x_test and y_test.

The readers of NumPy and of Python's zipfile raise a dozen types of exception on damaged files, TokenError and
MemoryError among them; all of them are caught here.
"""

from pathlib import Path
from typing import IO, Any

import numpy as np

from lanewise.errors import InputError, one_line


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
        return {name: member(path, archive, name) for name in archive.files}


def member(path: Path, archive: Any, name: str) -> "np.ndarray[Any, Any]":
    """The array `name` of the open `archive`."""
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
    return array
