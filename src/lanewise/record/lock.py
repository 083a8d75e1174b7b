"""One process at a time in a run's folder."""

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none; there nothing is locked.
    fcntl = None  # type: ignore[assignment]

NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A lock that is a link is refused instead of what it names being locked, and removed later."""


class Lock:
    """A lock file that belongs to this process until `release`, or until the process ends in whatever way.

    Args:
        path: the file, made for the lock and removed with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """Whether the lock is ours now.

        Raises:
            OSError: the file cannot be made, or is a link.
        """
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | NO_LINK, 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            # Who held it before may have removed the file between our two calls; then ours locks nothing.
            if self._is_at_its_place(handle):
                self._handle = handle
            else:
                os.close(handle)
        return True

    def _is_at_its_place(self, handle: int) -> bool:
        try:
            return os.fstat(handle).st_ino == os.lstat(self.path).st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._handle)
            self._handle = None


def is_held(path: Path) -> bool:
    """Whether a process has the lock file `path` now; it is left as it is."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | NO_LINK)
    except OSError:
        return False
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
