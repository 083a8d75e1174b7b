"""Where data comes from: a built-in name, a folder of IDX files, an `.npz` archive, arrays or a torch Dataset."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lanewise.data import digits, idx, npz
from lanewise.data.datasets import CACHE_BYTES, Wishes, from_datasets, is_dataset
from lanewise.data.rows import Progress, untold
from lanewise.data.source import ROLES, Source, from_arrays
from lanewise.data.targets import Target
from lanewise.errors import InputError

BUILT_IN = {"digits": digits.read}
"""Data known by name; a recipe file may record these names."""

ALLOWED = f"{', '.join(BUILT_IN)}, a folder with IDX files, an .npz file with x and y, arrays (x, y) or a torch Dataset"


def load(
    source: Any,
    *,
    target: Target | None = None,
    images: bool | None = None,
    cache: bool = False,
    cache_bytes: int = CACHE_BYTES,
    progress: Progress = untold,
) -> Source:
    """Read and check data.

    Args:
        source: `"digits"`; the path of a folder with the standard IDX files (`idx.read_folder`) or of an `.npz` with
            the arrays x, y and, if there is test data, x_test and y_test; a tuple (x, y) or (x, y, x_test, y_test); or
            a mapping with these names. Arrays are NumPy arrays, torch tensors or nested lists; x may also be a tuple
            of arrays (the model's arguments) or a mapping of them (its named arguments), in an archive as `x.tokens`,
            `x.length`. A `Source` is returned as it is. A folder that is called like built-in data is reached as
            `./digits`.
            Or a map-style or iterable `torch.utils.data.Dataset`; or a DataLoader, of which dataset, workers,
            `collate_fn`, `pin_memory` and `worker_init_fn` are taken over; or a mapping of them as `train` and, both
            optional unless `train` is iterable, `valid` and `test`.
        target: what y is: `class`, `number`, `tokens` or `none`; by default as `targets.as_target` says. Without y the
            x must be a mapping, or this `none`.
        images: arrays of four axes are images, turned to channels first where the last axis has length 1, 3 or 4 and
            both before it are longer. Three axes of whole numbers are images without a channel axis, of floating
            numbers series [rows, time, features]; True makes those images, too, False leaves every shape as it is.
            Items of datasets are always left as they are.
        cache: a dataset gives the same values every time, so it is read once and kept in memory if it fits.
        cache_bytes: keep no more than this. progress: told (rows read, rows in all, 0 if unknown) while reading.

    Raises:
        InputError: unknown name or missing path; damaged file; ragged, empty or single-class data; another number of
            targets than rows; NaN or infinity; labels that are not 0..K-1; test data of another shape or type, or with
            labels not in the training data.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str) and source in BUILT_IN:
        return from_arrays(source, BUILT_IN[source](), target, images)
    if isinstance(source, (str, os.PathLike)):
        return from_path(os.fspath(source), target, images)
    if is_dataset(source) or (isinstance(source, Mapping) and "train" in source):
        return from_datasets(source, Wishes(target, cache, cache_bytes, progress))
    if isinstance(source, Mapping):
        return from_arrays("arrays", source, target, images)
    if isinstance(source, tuple):
        if len(source) not in (2, 4):
            raise InputError(f"data has {len(source)} arrays: must be (x, y) or (x, y, x_test, y_test)")
        return from_arrays("arrays", dict(zip(ROLES, source, strict=False)), target, images)
    raise InputError(f"data is a {type(source).__name__}: must be {ALLOWED}")


def from_path(text: str, target: Target | None, images: bool | None) -> Source:
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
        return from_arrays(name, idx.read_folder(path), target, images is not False)
    if path.suffix != ".npz":
        raise InputError(f"data {text!r}: a file of unknown kind; must be {ALLOWED}")
    return from_arrays(name, grouped(npz.read(path)), target, images)


def grouped(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays called `x.tokens` and `x.length` as x = {"tokens": ..., "length": ...}; x_test likewise.

    >>> grouped({"x.tokens": 1, "x.length": 2, "y": 3})
    {'x': {'tokens': 1, 'length': 2}, 'y': 3}
    """
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        role, dot, part = name.partition(".")
        if dot and role in ("x", "x_test") and role not in arrays:
            found.setdefault(role, {})[part] = array
        else:
            found[name] = array
    return found
