"""Writing files so that a whole one never gives way to a partial one."""

import os
import tempfile
from pathlib import Path

from lanewise.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`: beside it first, flushed to the disk, then renamed over it.

    Raises:
        InputError: the folder cannot be written to or the disk is full; what stood at `path` is untouched.
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
    except BaseException as error:
        if beside is not None and os.path.exists(beside):
            os.unlink(beside)
        if isinstance(error, (OSError, ValueError)):
            raise InputError(f"{path}: cannot be written: {reason(error)}") from None
        raise


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
