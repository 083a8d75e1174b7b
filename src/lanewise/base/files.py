"""Writing files so that a whole one never gives way to a partial one."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from lanewise.errors import InputError, WriteError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`: beside it first, flushed to the disk, then renamed over it.

    Raises:
        WriteError: the folder cannot be written to or the disk is full; what stood at `path` is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = None
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any file of the user's
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
        _flush_folder(path.parent)
    except BaseException as error:
        if beside is not None and os.path.exists(beside):
            os.unlink(beside)
        if isinstance(error, (OSError, ValueError)):
            raise WriteError(f"{path}: cannot be written: {reason(error)}") from None
        raise


def _flush_folder(folder: Path) -> None:
    """Let a renaming survive a loss of power too, where the system can flush folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_partial(folder: Path, ours: Callable[[str], bool] = lambda name: True) -> None:
    """Remove what `write_whole` was writing into `folder` when its process was killed.

    Args:
        ours: says by its name whether a file is one that is written there.
    """
    for path in folder.glob(".*.*.partial"):
        if ours(path.name[1:].removesuffix(".partial").rpartition(".")[0]):
            path.unlink(missing_ok=True)


def reason(error: OSError | ValueError) -> str:
    """What the system says is wrong with a path, without repeating the path."""
    return getattr(error, "strerror", None) or str(error)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(path: Path) -> None:
    """Raise `InputError` unless a file can be written at `path`: before the work whose result goes there."""
    try:
        is_folder = path.is_dir()
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written: {reason(error)}") from None
    if is_folder:
        raise InputError(f"{path}: is a folder; must be a file")
