"""One process at a time in a run's folder."""

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout


class Lock:
    """A lock file that belongs to this process until `release`, or until the process ends in whatever way.

    Args:
        path: the file, made for the lock and removed with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _file_lock(path)

    def take(self) -> bool:
        """Whether the lock is ours now.

        Raises:
            OSError: the file cannot be made, or is a link.
        """
        try:
            # An open file that its holder has removed since locks nothing; filelock opens the path anew.
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._lock.is_locked:
            # Removed while it is still held: a new holder's file would go otherwise. Windows removes no open file.
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._lock.release(force=True)


def is_held(path: Path) -> bool:
    """Whether a process has the lock file `path` now; it is left as it is."""
    if path.is_symlink() or not path.is_file():
        return False
    lock = _file_lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _file_lock(path: Path) -> FileLock:
    # Any thread of the process may give back what another took: signals and observers end runs.
    return FileLock(path, thread_local=False)
