"""NumPy's `.npy` files: a single array, or a folder with x.npy, y.npy and, where given, x_test.npy and y_test.npy."""

from pathlib import Path
from typing import Any

import numpy as np

from lanewise.data.arrays.large import is_much
from lanewise.errors import InputError, one_line

SUFFIX = ".npy"


def holds_arrays(folder: Path) -> bool:
    """Whether `folder` has a file of inputs: `x.npy`, or `x.tokens.npy` and the like."""
    return any(named(path).partition(".")[0] == "x" for path in folder.glob(f"x*{SUFFIX}"))


def read_folder(folder: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """The array of every `.npy` file of `folder` by its name.

    Raises:
        InputError: a file that is no array, is damaged, or holds Python objects.
    """
    return {named(path): read(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}


def named(path: Path) -> str:
    """The name of the array of the file `path`."""
    return path.name.removesuffix(SUFFIX)


def read(path: Path) -> "np.ndarray[Any, Any]":
    """The array of one file: a read-only map of it where it is large. Pickled objects are never loaded.

    Raises:
        InputError: no array, damaged, or Python objects.
    """
    try:
        array = np.load(path, mmap_mode="r" if is_much(path.stat().st_size) else None, allow_pickle=False)
    except OSError as error:
        raise InputError(f"data {path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        # What NumPy takes for a pickle it advises to load all the same, which would run code.
        objects = "allow_pickle" in str(error) or "Python objects" in str(error)
        why = "it holds Python objects, or is no array" if objects else one_line(error)
        raise InputError(f"data {path}: is no .npy file, or a damaged one ({why})") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"data {path}: is an archive; must be called .npz")
    return array
