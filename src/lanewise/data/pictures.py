"""Folders of pictures by class: `folder/class name/*.png`, or the same below `train`, `valid` and `test`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lanewise.data.datasets import Wishes, from_parts
from lanewise.data.formats.picture_files import (
    LeftOut,
    Pictures,
    alike_note,
    folders_in,
    is_folder_of_pictures,
    listed,
    parts_in,
)
from lanewise.data.formats.picture_kinds import BYTES, CHANNELS, kind_of_all, pixels_of
from lanewise.data.rows.dataset_rows import LoaderOptions
from lanewise.data.rows.rows import Progress
from lanewise.data.source.source import Source, from_arrays
from lanewise.data.splitting.splitter import Splitter
from lanewise.errors import InputError, one_line

__all__ = ["PictureDataset", "is_folder_of_pictures", "read"]

INSTALL = "needs Pillow: pip install 'lanewise[images]'"
MOST_WORKERS = 4


def read(name: str, folder: Path, size: int | tuple[int, int] | None, wishes: Wishes) -> Source:
    """The pictures of `folder`, [rows, channels, height, width]; `picture_kinds.kind_of_all` says type and channels.

    They are kept in memory if they take at most `wishes.cache_bytes`, else read by workers whenever they are wanted.

    Args:
        size: height and width (or both as one number) to which all are resized, bilinearly.

    Raises:
        InputError: Pillow is not installed; one class only; a damaged picture; different sizes without `size`.
    """
    image = pillow(name)
    where = f"data {name}:"
    wanted = checked_size(size)
    left = LeftOut()
    parts = parts_in(where, folder, left)
    names = tuple(path.name for path in folders_in(parts["train"]))
    if len(names) < 2:
        found = repr(names[0]) if names else "none"
        raise InputError(f"{where} has one folder for every class, and only {found}: must have at least two classes")
    found_parts = {part: listed(where, path, names, left) for part, path in parts.items()}
    paths = [path for part in found_parts.values() for path in part.paths]
    kind, shape, told = kind_of_all(where, image, paths, wanted)
    notes = (*alike_note(where, parts["train"]), *left.notes(where), *told)
    sets = {part: PictureDataset(found, kind, shape) for part, found in found_parts.items()}
    total = sum(map(len, sets.values())) * CHANNELS[kind] * BYTES.get(kind, 1) * shape[0] * shape[1]
    if total > wishes.cache_bytes:
        workers = min(MOST_WORKERS, os.cpu_count() or 1)
        wishes = replace(wishes, target="class", cache=False)
        read_later = from_parts({part: (pictures, LoaderOptions(workers)) for part, pictures in sets.items()}, wishes)
        return replace(read_later, name=name, class_names=names, notes=(*read_later.notes, *notes))
    arrays, splitter = {}, Splitter()
    held = {part: everything(where, pictures, wishes.progress) for part, pictures in sets.items()}
    pool = [held[part] for part in ("train", "valid") if part in held]
    arrays = dict(zip(("x", "y"), (torch.cat(group) for group in zip(*pool, strict=True)), strict=True))
    if len(pool) == 2:
        rows = torch.arange(len(arrays["x"]))
        splitter = Splitter(splits=((rows[: len(pool[0][0])], rows[len(pool[0][0]) :]),))
    if "test" in held:
        arrays |= dict(zip(("x_test", "y_test"), held["test"], strict=True))
    found_source = from_arrays(name, arrays, "class", images=False)
    return replace(found_source, splitter=splitter, class_names=names, notes=(*found_source.notes, *notes))


def pillow(name: str) -> Any:
    """The module `PIL.Image`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(f"data {name}: {INSTALL}") from error
    return Image


def checked_size(size: Any) -> tuple[int, int] | None:
    """(height, width), or None to leave the pictures as they are.

    >>> checked_size(32), checked_size((24, 32))
    ((32, 32), (24, 32))
    """
    if size is None:
        return None
    both = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(both) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in both):
        raise InputError(f"size = {size!r}: must be a whole number of pixels from 1 up, or (height, width)")
    return both[0], both[1]


class PictureDataset(Dataset[Any]):
    """(pixels [channels, height, width], class) of every picture."""

    lists_targets_of_items = True

    def __init__(self, pictures: Pictures, kind: str, size: tuple[int, int]) -> None:
        self.pictures, self.kind, self.size = pictures, kind, size
        self.targets = np.array(pictures.labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.pictures.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        from PIL import Image, ImageOps

        with Image.open(self.pictures.paths[row]) as opened:
            return pixels_of(ImageOps.exif_transpose(opened), self.kind, self.size), self.pictures.labels[row]


def everything(where: str, pictures: PictureDataset, progress: Progress) -> tuple[torch.Tensor, torch.Tensor]:
    """(x, y) of all pictures."""
    x: torch.Tensor | None = None
    for row, path in enumerate(pictures.pictures.paths):
        try:
            pixels, _ = pictures[row]
        except Exception as error:
            raise InputError(f"{where} {path.name} cannot be read ({one_line(error)})") from error
        if x is None:
            x = torch.empty((len(pictures), *pixels.shape), dtype=pixels.dtype)
        x[row] = pixels
        if (row + 1) % 256 == 0 or row + 1 == len(pictures):
            progress(row + 1, len(pictures))
    assert x is not None
    return x, torch.from_numpy(pictures.targets)
