"""Checkpoints on the disk: each one file that is whole or not there, named after its own checksum."""

import contextlib
import hashlib
import json
import re
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lanewise.base.files import remove_partial, write_whole
from lanewise.errors import InputError
from lanewise.lanes.training.checkpointer import Checkpointer

FORMAT = 1
KEPT = 2
"""Checkpoints that stay on the disk: the newest, and one before it in case the newest is damaged."""
EVERY = 5.0
"""Seconds between two checkpoints, at least."""
MOST_SHARE = 0.02
"""Of the time may go into checkpoints: one that takes long to write is followed by the next much later."""
META = "lanewise"
NAME = re.compile(r"\d{6,}-[0-9a-f]{64}\.safetensors")
"""Of a checkpoint: its number and the SHA-256 of its content. Nothing else in the folder is touched."""

Snapshot = tuple[dict[str, Any], dict[str, Any]]
"""Tensors by name, and plain data for JSON, in which NaN may stand. `lanewise list` reads headers without torch, so no
name of torch's stands here."""


class Checkpoints:
    """The checkpoints of a run: files `NUMBER-SHA256.safetensors` in `folder`, made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """All checkpoints, the newest first; none in a folder that is a link, and none that we did not name."""
        if self.folder.is_symlink():
            return []
        found = [path for path in self.folder.glob("*.safetensors") if NAME.fullmatch(path.name)]
        return sorted((path for path in found if not path.is_symlink()), key=_number, reverse=True)

    def check(self) -> None:
        """Raise `InputError` if the folder is a link, or no folder."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            what = "a link" if self.folder.is_symlink() else "no folder"
            raise InputError(f"{self.folder}: is {what}; must be a folder of the run's own; remove it")

    def write(self, snapshot: Snapshot) -> None:
        """Add a checkpoint, then remove all but the newest two.

        Raises:
            InputError: the disk is full or the folder cannot be written to; earlier checkpoints are untouched.
        """
        import safetensors.torch

        self.check()
        tensors, data = snapshot
        content = safetensors.torch.save(tensors, {META: json.dumps({"format": FORMAT, **data})})
        there = self.paths()
        number = _number(there[0]) + 1 if there else 1
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir()
        write_whole(self.folder / f"{number:06d}-{hashlib.sha256(content).hexdigest()}.safetensors", content)
        for old in there[KEPT - 1 :]:
            old.unlink(missing_ok=True)

    def whole(self, note: Callable[[str], None]) -> Iterator[tuple[str, Snapshot]]:
        """(name, content) of the checkpoints that are whole, newest first; `note` gets a line on each damaged one."""
        for path in self.paths():
            snapshot = read(path)
            if snapshot is not None:
                yield path.name, snapshot
            else:
                note(f"{path.name}: damaged, it does not match its checksum; going back to the one before")

    def newest(self, note: Callable[[str], None]) -> Snapshot | None:
        """The newest checkpoint that is whole, or None where there is none; `note` gets a line on each damaged one."""
        return next((snapshot for _, snapshot in self.whole(note)), None)

    def remove(self) -> None:
        """Remove all checkpoints and their folder, the oldest first."""
        for path in reversed(self.paths()):
            path.unlink(missing_ok=True)
        self.remove_partial()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def remove_partial(self) -> None:
        """Remove what a killed process was writing."""
        if not self.folder.is_symlink():
            remove_partial(self.folder, lambda name: NAME.fullmatch(name) is not None)


def _number(path: Path) -> int:
    first = path.name.partition("-")[0]
    return int(first) if first.isdecimal() else -1


def read(path: Path) -> Snapshot | None:
    """The checkpoint in the file `path`, or None where its bytes are not those that were written."""
    import safetensors.torch

    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != path.stem.partition("-")[2]:
        return None
    try:
        # Checks that the tensors lie within the file.
        tensors = safetensors.torch.load(content)
        (length,) = struct.unpack("<Q", content[:8])
        data = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][META])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return (tensors, data) if isinstance(data, dict) and data.pop("format", None) == FORMAT else None


def header(path: Path) -> dict[str, Any] | None:
    """The plain data of the checkpoint in the file `path`, or None where there is none; its tensors are not read.

    Whether it is whole is not known by this.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                return None
            found = json.loads(json.loads(file.read(length))["__metadata__"][META])
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


class Keeps(Checkpointer):
    """Writes what `snapshot` returns, at most every `every` seconds, and never for more than its share of the time."""

    def __init__(self, checkpoints: Checkpoints, snapshot: Callable[[], Snapshot], every: float) -> None:
        self._checkpoints, self._snapshot, self._every = checkpoints, snapshot, every
        self._last, self._took = time.perf_counter(), 0.0

    def due(self) -> bool:
        return time.perf_counter() - self._last >= max(self._every, self._took / MOST_SHARE if self._every else 0.0)

    def save(self) -> None:
        begun = time.perf_counter()
        self._checkpoints.write(self._snapshot())
        self._last = time.perf_counter()
        self._took = self._last - begun
