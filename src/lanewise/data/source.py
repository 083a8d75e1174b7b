"""Where data comes from: a built-in name, a folder of IDX files, an `.npz` archive, or arrays."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lanewise.data import digits, idx, npz
from lanewise.data.arrays import as_inputs, as_labels, as_tensor, count_classes, listed
from lanewise.errors import InputError

BUILT_IN = {"digits": digits.read}
"""Data known by name; a recipe file may record these names."""

ROLES = ("x", "y", "x_test", "y_test")
ALLOWED = f"{', '.join(BUILT_IN)}, a folder with IDX files, an .npz file with x and y, or arrays (x, y)"


@dataclass(frozen=True, eq=False)
class Source:
    """Checked data, as stored: nothing scaled, nothing split.

    Attributes:
        name: built-in name or path, which `load` takes again; `arrays` for data given in memory.
        x: [rows, features] or images [rows, channels, height, width], in the type they were stored in, finite.
        y: int64 [rows], 0 to classes - 1, every class present.
        x_test: test inputs of the same type and row shape, or None.
        y_test: int64 labels of the test rows, classes of `y` only, or None.
        classes: number of classes, at least 2.
    """

    name: str
    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor | None
    y_test: torch.Tensor | None
    classes: int

    @property
    def target(self) -> str:
        """The kind of targets: `class`."""
        return "class"

    @property
    def is_image(self) -> bool:
        """Whether a row is an image [channels, height, width]."""
        return self.x.ndim == 4

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.x.shape[1:])


def load(source: Any) -> Source:
    """Read and check data for classification.

    Args:
        source: `"digits"`; the path of a folder with the standard IDX files (`idx.read_folder`) or of an `.npz` with
            the arrays x, y and, if there is test data, x_test and y_test; a tuple (x, y) or (x, y, x_test, y_test); or
            a mapping with these names. Arrays are NumPy arrays, torch tensors or nested lists. Images without a
            channel axis get one. Four axes are read as channels last, and turned, when the last has length 1, 3 or 4
            and both before it are longer. A `Source` is returned as it is. A folder that is called like built-in data
            is reached as `./digits`.

    Raises:
        InputError: unknown name or missing path; damaged file; ragged, empty or single-class data; another number of
            labels than rows; NaN or infinity; labels that are not 0..K-1; test data of another shape or type, or with
            labels not in the training data.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str) and source in BUILT_IN:
        return from_arrays(source, BUILT_IN[source]())
    if isinstance(source, (str, os.PathLike)):
        return from_path(os.fspath(source))
    if isinstance(source, Mapping):
        return from_arrays("arrays", source)
    if isinstance(source, tuple):
        if len(source) not in (2, 4):
            raise InputError(f"data has {len(source)} arrays: must be (x, y) or (x, y, x_test, y_test)")
        return from_arrays("arrays", dict(zip(ROLES, source, strict=False)))
    raise InputError(f"data is a {type(source).__name__}: must be {ALLOWED}")


def from_path(text: str) -> Source:
    """The data of the folder or file `text`."""
    path = Path(text)
    name = f"./{text}" if text in BUILT_IN else text
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:
        raise InputError(f"data {text!r}: no path ({error}); must be {ALLOWED}") from error
    if not text or not (is_folder or is_file):
        raise InputError(f"data {text!r}: no such data, folder or file; must be {ALLOWED}")
    if is_folder:
        return from_arrays(name, idx.read_folder(path))
    if path.suffix != ".npz":
        raise InputError(f"data {text!r}: a file of unknown kind; must be {ALLOWED}")
    return from_arrays(name, npz.read(path))


def from_arrays(name: str, given: Mapping[str, Any]) -> Source:
    """The checked source `name` made of the arrays x, y and, both or neither, x_test and y_test."""
    arrays = {role: array for role, array in given.items() if array is not None}
    where = f"data {name}:"
    extra = [str(role) for role in arrays if role not in ROLES]
    missing = [role for role in ("x", "y") if role not in arrays]
    if extra or missing:
        found = ", ".join(map(str, arrays)) or "nothing"
        raise InputError(f"{where} has {found}; must have x and y, and may have x_test and y_test, nothing else")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise InputError(f"{where} has only one of x_test and y_test; must have both or neither")

    stored = as_tensor(f"{where} x", arrays["x"])
    x, y = as_inputs(f"{where} x", stored), as_labels(f"{where} y", arrays["y"])
    check_lengths(where, "x", x, "y", y)
    classes = count_classes(f"{where} y", y)
    if "x_test" not in arrays:
        return Source(name, x, y, None, None, classes)

    stored_test = as_tensor(f"{where} x_test", arrays["x_test"])
    check_alike(where, stored, stored_test)
    x_test, y_test = as_inputs(f"{where} x_test", stored_test), as_labels(f"{where} y_test", arrays["y_test"])
    check_lengths(where, "x_test", x_test, "y_test", y_test)
    unseen = torch.unique(y_test[y_test >= classes])
    if len(unseen):
        raise InputError(f"{where} y_test has labels that y has not: {listed(unseen)}; must be 0..{classes - 1}")
    return Source(name, x, y, x_test, y_test, classes)


def check_lengths(where: str, x_name: str, x: torch.Tensor, y_name: str, y: torch.Tensor) -> None:
    """Raise `InputError` unless there is one label for each row."""
    if len(x) != len(y):
        raise InputError(f"{where} {x_name} has {len(x)} rows and {y_name} {len(y)} labels; must be as many")


def check_alike(where: str, x: torch.Tensor, x_test: torch.Tensor) -> None:
    """Raise `InputError` unless test rows have the shape and type of training rows.

    Another type often means another scale, such as bytes of 0 to 255 against fractions of 1.
    """
    if x.shape[1:] != x_test.shape[1:]:
        shape, wanted = list(x_test.shape[1:]), list(x.shape[1:])
        raise InputError(f"{where} x_test has rows of shape {shape}; must be {wanted} as in x")
    if x.dtype != x_test.dtype:
        raise InputError(f"{where} x_test is {x_test.dtype}; must be {x.dtype} as in x")
