"""The files of a folder of pictures: parts, classes and pictures, and a count of all that is left out."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lanewise.errors import InputError

ENDINGS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".bmp", ".dib", ".gif", ".webp", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga",
)  # fmt: skip
"""How the names of pictures end, whatever the case of the letters."""

PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "validate", "dev", "development"),
    "test": ("test", "testing"),
}
"""Names of folders that hold a part of the data, whatever the case of their letters."""

PART_OF = {name: part for part, names in PARTS.items() for name in names}
DATA = re.compile(r"[ _-]?(data|dataset|files|images|imgs|pictures|samples|set|split)$")
"""What may follow the name of a part, as in `training_set`."""

SHOWN = 3


@dataclass(frozen=True)
class Pictures:
    """The pictures of one part.

    Attributes:
        paths: of every picture, by class and then by name. labels: number of the class of each.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


@dataclass
class LeftOut:
    """What a folder holds that is not read: kind -> the names of each."""

    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Count one."""
        self.names.setdefault(kind, []).append(name)

    def notes(self, where: str) -> tuple[str, ...]:
        """A line for each kind, with the count and some of the names."""
        lines = []
        for kind, names in self.names.items():
            common = [name for name, _ in Counter(names).most_common(SHOWN)]
            more = ", ..." if len(set(names)) > SHOWN else ""
            lines.append(f"{where} left out: {len(names)} {kind} ({', '.join(common)}{more})")
        return tuple(lines)


def part_of(folder: Path) -> str | None:
    """The part of the data that a folder holds by its name.

    >>> part_of(Path("Training_Set")), part_of(Path("val")), part_of(Path("cats"))
    ('train', 'valid', None)
    """
    name = folder.name.lower()
    return PART_OF.get(name) or PART_OF.get(DATA.sub("", name))


def folders_in(folder: Path) -> list[Path]:
    """The folders right below `folder` that are not hidden, by name."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))
    except OSError:
        # Whoever reads the folder next says why it cannot be read.
        return []


def is_hidden(path: Path) -> bool:
    """Whether systems hide it from people, as copies that notebooks keep, or the second half of files on a Mac."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def pictures_in(folder: Path, left: LeftOut | None = None, within: tuple[str, ...] = ()) -> Iterator[Path]:
    """All pictures in `folder` and below, by name; links to folders are followed, but not round in a circle.

    Args:
        left: counts what is no picture, or hidden. within: the folders, links resolved, that this one is in.
    """
    left = left or LeftOut()
    within = (*within, os.path.realpath(folder))
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        left.add("folders that cannot be read", f"{folder.name}: {error.strerror or error}")
        return
    for path in entries:
        if is_hidden(path):
            left.add("hidden files and folders", path.name)
        elif path.is_dir():
            if os.path.realpath(path) in within:
                left.add("links to a folder that they are in", path.name)
            else:
                yield from pictures_in(path, left, within)
        elif path.suffix.lower() in ENDINGS and path.is_file():
            yield path
        elif path.is_file():
            left.add("files that are no pictures by their names", path.name)
        else:
            left.add("broken links and other things that are no files", path.name)


def is_folder_of_pictures(folder: Path) -> bool:
    """Whether some folder below `folder` holds a picture."""
    return any(next(pictures_in(inner), None) is not None for inner in folders_in(folder))


def classes_in(folder: Path) -> int:
    """How many folders right below `folder` hold pictures."""
    return sum(1 for inner in folders_in(folder) if next(pictures_in(inner), None) is not None)


def parts_in(where: str, folder: Path, left: LeftOut) -> dict[str, Path]:
    """The folder of each part: `folder` itself holds the classes, or folders named as parts below it do.

    Raises:
        InputError: two folders of one part, or parts without one to train on.
    """
    inner = folders_in(folder)
    named = [path for path in inner if part_of(path)]
    training = [path for path in named if part_of(path) == "train"]
    holding = [path for path in named if classes_in(path)]
    if named and len(named) == len(inner) and (training or len(holding) == len(inner)):
        chosen = named
    elif any(classes_in(path) > 1 for path in training):
        # A class may be called train, but then its pictures stand in it.
        chosen = holding
    else:
        left_beside(folder, {path.name for path in inner}, left)
        return {"train": folder}
    found: dict[str, Path] = {}
    for path in chosen:
        part = part_of(path) or ""
        if part in found:
            raise InputError(
                f"{where} the folders {found[part].name!r} and {path.name!r} both are the {part} data: must be one"
            )
        found[part] = path
    if "train" not in found:
        names = ", ".join(path.name for path in chosen)
        raise InputError(
            f"{where} has {names} and no folder of training pictures: must be called {' or '.join(PARTS['train'])}"
        )
    for path in inner:
        if path not in chosen:
            count = sum(1 for _ in pictures_in(path))
            kind = "pictures in folders beside the parts, which must be called train, valid or test"
            left.names.setdefault(kind, []).extend([path.name] * count)
    left_beside(folder, {path.name for path in inner}, left)
    for path in chosen:
        left_beside(path, {one.name for one in folders_in(path)}, left)
    return found


def alike_note(where: str, folder: Path) -> tuple[str, ...]:
    """A note if the folders of all classes hold folders of the same names, as parts of the data would."""
    inner = folders_in(folder)
    names = [{one.name for one in folders_in(path)} for path in inner]
    if len(inner) < 2 or len(names[0]) < 2 or any(one != names[0] for one in names):
        return ()
    shown = ", ".join(sorted(names[0])[:SHOWN]) + (", ..." if len(names[0]) > SHOWN else "")
    return (
        f"{where} the folders {', '.join(path.name for path in inner[:SHOWN])} are taken for classes, though all hold"
        f" the same folders ({shown}); parts of the data must be called train, valid and test",
    )


def left_beside(folder: Path, used: set[str], left: LeftOut) -> None:
    """Count what stands right in `folder` beside the folders `used`."""
    try:
        beside = sorted(path for path in folder.iterdir() if path.name not in used)
    except OSError:
        return
    for path in beside:
        if is_hidden(path):
            left.add("hidden files and folders", path.name)
        elif path.suffix.lower() in ENDINGS:
            left.add("pictures that are in no folder of a class", path.name)
        else:
            left.add("files that are no pictures by their names", path.name)


def listed(where: str, folder: Path, names: tuple[str, ...], left: LeftOut) -> Pictures:
    """The pictures of one part, whose folders must be of the classes `names`."""
    paths: list[Path] = []
    labels: list[int] = []
    for inner in folders_in(folder):
        if inner.name not in names:
            raise InputError(
                f"{where} {folder.name} has the class {inner.name!r}, which the training pictures have not"
            )
        found = list(pictures_in(inner, left))
        if not found:
            raise InputError(f"{where} the folder of the class {inner.name!r} holds no picture ({', '.join(ENDINGS)})")
        paths += found
        labels += [names.index(inner.name)] * len(found)
    if not paths:
        raise InputError(f"{where} {folder.name} holds no folder of a class")
    return Pictures(tuple(paths), tuple(labels))
