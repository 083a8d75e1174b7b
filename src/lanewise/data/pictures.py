"""Folders of pictures by class: `folder/class name/*.png`, or the same below `train`, `valid` and `test`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lanewise.data.dataset_rows import Reading
from lanewise.data.datasets import Wishes, from_parts
from lanewise.data.items import as_pixels
from lanewise.data.rows import Progress
from lanewise.data.source import Source, from_arrays
from lanewise.data.splitter import Splitter
from lanewise.errors import InputError, one_line

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PARTS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
"""Names of folders that hold a part of the data, and the part."""

INSTALL = "needs Pillow: pip install 'lanewise[images]'"
MOST_WORKERS = 4


@dataclass(frozen=True)
class Pictures:
    """The pictures of one part.

    Attributes:
        paths: of every picture, by class and then by name. labels: number of the class of each.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def folders_in(folder: Path) -> list[Path]:
    """The folders right below `folder` that are not hidden, by name."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        # Whoever reads the folder next says why it cannot be read.
        return []


def pictures_in(folder: Path) -> Iterator[Path]:
    """All pictures in `folder` and below, by name."""
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS and path.is_file())


def is_folder_of_pictures(folder: Path) -> bool:
    """Whether some folder below `folder` holds a picture."""
    return any(next(pictures_in(inner), None) is not None for inner in folders_in(folder))


def read(name: str, folder: Path, size: int | tuple[int, int] | None, wishes: Wishes) -> Source:
    """The pictures of `folder` as uint8 [rows, channels, height, width]: RGB if any has colour, else grey.

    They are kept in memory if they take at most `wishes.cache_bytes`, else read by workers whenever they are wanted.

    Args:
        size: height and width (or both as one number) to which all are resized, bilinearly.

    Raises:
        InputError: Pillow is not installed; one class only; a damaged picture; different sizes without `size`.
    """
    image = pillow(name)
    where = f"data {name}:"
    wanted = checked_size(size)
    inner = folders_in(folder)
    parts = {"train": folder}
    if {path.name for path in inner} <= set(PARTS) and any(PARTS[path.name] == "train" for path in inner):
        parts = {PARTS[path.name]: path for path in inner}
    names = tuple(path.name for path in folders_in(parts["train"]))
    if len(names) < 2:
        found = repr(names[0]) if names else "none"
        raise InputError(f"{where} has one folder for every class, and only {found}: must have at least two classes")
    found_parts = {part: listed(where, path, names) for part, path in parts.items()}
    mode, shape = mode_and_size(where, image, [path for part in found_parts.values() for path in part.paths], wanted)
    sets = {part: PictureDataset(found, mode, shape) for part, found in found_parts.items()}
    total = sum(map(len, sets.values())) * (3 if mode == "RGB" else 1) * shape[0] * shape[1]
    if total > wishes.cache_bytes:
        workers = min(MOST_WORKERS, os.cpu_count() or 1)
        wishes = replace(wishes, target="class", cache=False)
        read_later = from_parts({part: (pictures, Reading(workers)) for part, pictures in sets.items()}, wishes)
        return replace(read_later, name=name, class_names=names)
    arrays, splitter = {}, Splitter()
    held = {part: everything(where, pictures, wishes.progress) for part, pictures in sets.items()}
    pool = [held[part] for part in ("train", "valid") if part in held]
    arrays = dict(zip(("x", "y"), (torch.cat(group) for group in zip(*pool, strict=True)), strict=True))
    if len(pool) == 2:
        rows = torch.arange(len(arrays["x"]))
        splitter = Splitter(splits=((rows[: len(pool[0][0])], rows[len(pool[0][0]) :]),))
    if "test" in held:
        arrays |= dict(zip(("x_test", "y_test"), held["test"], strict=True))
    return replace(from_arrays(name, arrays, "class", images=False), splitter=splitter, class_names=names)


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


def listed(where: str, folder: Path, names: tuple[str, ...]) -> Pictures:
    """The pictures of one part, whose folders must be of the classes `names`."""
    paths: list[Path] = []
    labels: list[int] = []
    for inner in folders_in(folder):
        if inner.name not in names:
            raise InputError(
                f"{where} {folder.name} has the class {inner.name!r}, which the training pictures have not"
            )
        found = list(pictures_in(inner))
        if not found:
            raise InputError(f"{where} the folder of the class {inner.name!r} holds no picture ({', '.join(ENDINGS)})")
        paths += found
        labels += [names.index(inner.name)] * len(found)
    if not paths:
        raise InputError(f"{where} {folder.name} holds no folder of a class")
    return Pictures(tuple(paths), tuple(labels))


def mode_and_size(
    where: str, image: Any, paths: list[Path], wanted: tuple[int, int] | None
) -> tuple[str, tuple[int, int]]:
    """(RGB or L, (height, width)) of the pictures, by their headers."""
    mode, first = "L", None
    for path in paths:
        try:
            with image.open(path) as picture:
                width, height = upright_size(picture)
                if picture.mode not in ("L", "1", "LA", "I;16", "I", "F"):
                    mode = "RGB"
        except Exception as error:
            raise InputError(f"{where} {path.name} is no picture, or a damaged one ({one_line(error)})") from error
        first = first or (path, (height, width))
        if wanted is None and first[1] != (height, width):
            (one, (high, wide)) = first
            raise InputError(
                f"{where} {one.name} has {high}x{wide} pixels (height x width) and {path.name} {height}x{width}:"
                " must be of one size; size=64 or size=(48, 64) resizes them"
            )
    assert first is not None
    return mode, wanted or first[1]


def upright_size(picture: Any) -> tuple[int, int]:
    """(width, height) once the picture is turned as its camera says."""
    turned = picture.getexif().get(0x0112) in (5, 6, 7, 8)
    width, height = picture.size
    return (height, width) if turned else (width, height)


class PictureDataset(Dataset[Any]):
    """(uint8 [channels, height, width], class) of every picture."""

    lists_targets_of_items = True

    def __init__(self, pictures: Pictures, mode: str, size: tuple[int, int]) -> None:
        self.pictures, self.mode, self.size = pictures, mode, size
        self.targets = np.array(pictures.labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.pictures.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        from PIL import Image, ImageOps

        with Image.open(self.pictures.paths[row]) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode in ("I;16", "I", "F"):
                raise InputError(f"has {picture.mode} pixels: must have 8 bits a colour")
            picture = picture.convert(self.mode)
            height, width = self.size
            if picture.size != (width, height):
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)
            return as_pixels(picture), self.pictures.labels[row]


def everything(where: str, pictures: PictureDataset, progress: Progress) -> tuple[torch.Tensor, torch.Tensor]:
    """(x, y) of all pictures."""
    x: torch.Tensor | None = None
    for row, path in enumerate(pictures.pictures.paths):
        try:
            pixels, _ = pictures[row]
        except Exception as error:
            raise InputError(f"{where} {path.name} cannot be read ({one_line(error)})") from error
        if x is None:
            x = torch.empty((len(pictures), *pixels.shape), dtype=torch.uint8)
        x[row] = pixels
        if (row + 1) % 256 == 0 or row + 1 == len(pictures):
            progress(row + 1, len(pictures))
    assert x is not None
    return x, torch.from_numpy(pictures.targets)
