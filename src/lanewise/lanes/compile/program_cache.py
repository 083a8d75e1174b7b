"""Where compiled libraries are kept from run to run: a folder that nobody else can write to, and whole files in it.

A library is code that runs in this process. So one is loaded only if it lies in a folder that belongs to this user and
that no other user can change, and if its bytes are those that were written: their SHA-256 stands in a file beside it.
What is loaded is a private copy of the very bytes that were checked.
"""

import atexit
import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lanewise.base.files import reason, write_whole

try:
    import fcntl
except ImportError:  # Windows has none; there nothing is locked.
    fcntl = None  # type: ignore[assignment]

VARIABLE = "LANEWISE_CACHE"
MOST_BYTES = 2 << 30
"""Of all libraries together; those that were not used for longest are removed first."""
OTHERS = stat.S_IWGRP | stat.S_IWOTH
OURS = re.compile(r"(stretch-)?[0-9a-f]{64}\.so")

_said: list[str] = []
_pending: list[str] = []
_held: list[int] = []
"""Files in memory that libraries were loaded from: a library is known by the name of its file as long as it lives."""


class DamagedError(OSError):
    """A library on the disk is not what was written there, or somebody else can write to it."""


def say(line: str) -> None:
    """Let the user know `line`, once in the life of this process; see `notes`."""
    if line not in _said:
        _said.append(line)
        _pending.append(line)


def notes() -> list[str]:
    """Lines for the user that were not printed yet."""
    found, _pending[:] = list(_pending), []
    return found


def cache_folder() -> Path:
    """The folder in which libraries are kept: a temporary one of this process where there is no safe one.

    That is the folder that LANEWISE_CACHE names, else `lanewise` in the one that the user gave Inductor by
    TORCHINDUCTOR_CACHE_DIR, else `lanewise` in the user's folder of caches.
    """
    try:
        wanted = wanted_folder()
        make_private(wanted)
    except (OSError, RuntimeError) as error:
        why = f"{error.filename}: {reason(error)}" if isinstance(error, OSError) and error.filename else str(error)
        say(f"compiled programs are not kept for later runs: {why}; {VARIABLE} may name another folder")
        return _temporary()
    return wanted


def wanted_folder() -> Path:
    """Where libraries are to be kept, whether that is possible or not.

    Raises:
        RuntimeError: there is no home folder, or it is not an absolute path.
    """
    if named := os.environ.get(VARIABLE):
        return Path(os.path.abspath(named))
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if given and is_given(given):
        return Path(os.path.abspath(given)) / "lanewise"
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    if os.path.isabs(caches):
        return Path(caches) / "lanewise"
    home = Path.home()
    if not home.is_absolute():
        # It would be another folder in every working directory.
        raise RuntimeError(f"the home folder {str(home)!r} is not an absolute path")
    return home / ".cache" / "lanewise"


def is_given(folder: str | None) -> bool:
    """Whether `folder`, of TORCHINDUCTOR_CACHE_DIR, is the user's choice.

    Inductor itself sets the variable to its default, a name in /tmp that everybody knows.
    """
    if not folder:
        return False
    default = Path(folder).parent == Path(tempfile.gettempdir()) and Path(folder).name.startswith("torchinductor_")
    return not default


@cache
def _temporary() -> Path:
    made = Path(tempfile.mkdtemp(prefix="lanewise-"))
    owner = os.getpid()
    # A forked process has the same folder and must not remove it.
    atexit.register(lambda: shutil.rmtree(made, ignore_errors=True) if os.getpid() == owner else None)
    return made


def make_private(folder: Path) -> None:
    """Make `folder`, readable by this user alone, or check that it is safe to load code from.

    Raises:
        DamagedError: it is a link, belongs to another user, or another user can write to it or to a folder above it.
        OSError: it cannot be made, or not be written to.
    """
    if not hasattr(os, "geteuid"):  # Windows keeps the folders of users apart itself.
        folder.mkdir(parents=True, exist_ok=True)
        return
    missing = [one for one in folder.parents if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir(0o700)
    check_above(folder)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise DamagedError(f"{folder} is {'a link' if stat.S_ISLNK(found.st_mode) else 'no folder'}")
    if found.st_uid != os.geteuid():
        raise DamagedError(f"{folder} belongs to another user")
    if found.st_mode & OTHERS:
        raise DamagedError(f"{folder} can be written to by other users")
    if found.st_mode & 0o077 and not os.environ.get(VARIABLE):
        os.chmod(folder, 0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DamagedError(f"{folder} cannot be written to")


def check_above(folder: Path) -> None:
    """Raise `DamagedError` if another user could put another folder in the place of `folder`."""
    real = Path(os.path.realpath(folder.parent))
    for one in (real, *real.parents):
        found = os.lstat(one)
        if found.st_uid not in (0, os.geteuid()):
            raise DamagedError(f"{one} belongs to another user")
        # In a folder with the sticky bit, such as /tmp, nobody can rename what belongs to others.
        if found.st_mode & OTHERS and not found.st_mode & stat.S_ISVTX:
            raise DamagedError(f"{one} can be written to by other users")


@contextlib.contextmanager
def locked(folder: Path, alone: bool = True) -> Iterator[None]:
    """Let no other process write to `folder` meanwhile, or with `alone` read from it in this way."""
    handle = None
    with contextlib.suppress(OSError):
        if fcntl is not None:
            handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def digest_of(place: Path) -> Path:
    """The file beside the library at `place` that holds its SHA-256."""
    return place.with_suffix(".sha256")


def keep(made: Path, place: Path) -> Path:
    """Put the file `made` where it is found next time, with its digest, all of it or nothing; where it lies now."""
    try:
        content = made.read_bytes()
        make_private(place.parent)
        with locked(place.parent):
            write_whole(place, content)
            write_whole(digest_of(place), hashlib.sha256(content).hexdigest() + "\n")
            for path in (place, digest_of(place)):
                os.chmod(path, 0o600)
            _clear(place)
    except (OSError, ValueError) as error:
        say(f"a compiled program is not kept for later runs: {' '.join(str(error).split())}")
        return made
    return place


def _clear(newest: Path) -> None:
    """Remove the libraries that were not used for longest, until all fit into `MOST_BYTES`; never `newest`."""
    found = []
    for path in newest.parent.iterdir():
        with contextlib.suppress(OSError):
            if OURS.fullmatch(path.name) and path != newest:
                about = path.lstat()
                found.append((about.st_mtime, about.st_size, path))
    total = newest.stat().st_size + sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= MOST_BYTES:
            break
        for one in (digest_of(path), path):
            one.unlink(missing_ok=True)
        total -= size


def read(place: Path) -> bytes:
    """The library at `place`, its bytes as they were written.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is damaged, or others could have written it.
    """
    with locked(place.parent, alone=False):
        try:
            content = _own_bytes(place)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DamagedError(f"{place} is not taken: {reason(error)}") from None
        try:
            digest = _own_bytes(digest_of(place))
        except OSError as error:
            raise DamagedError(f"{place} is not taken: its digest cannot be read: {reason(error)}") from None
    if digest.decode("ascii", "replace").strip() != hashlib.sha256(content).hexdigest():
        raise DamagedError(f"{place} is damaged: it does not match its digest")
    with contextlib.suppress(OSError):
        os.utime(place)
    return content


def _own_bytes(path: Path) -> bytes:
    """The content of a file that is no link and that only this user can have written."""
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise DamagedError(f"{path} is no file")
        if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & OTHERS):
            raise DamagedError(f"{path} belongs to another user, or can be written to by others")
        return file.read()


def is_whole(place: Path) -> bool:
    """Whether there is a library at `place` that `read` takes."""
    with contextlib.suppress(OSError):
        read(place)
        return True
    return False


def loaded(content: bytes, name: str) -> ctypes.CDLL:
    """The shared library `content`, loaded from a copy that nobody else can change.

    Raises:
        OSError: it is none.
    """
    handle = None
    with contextlib.suppress(AttributeError, OSError):
        handle = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        library = ctypes.CDLL(f"/proc/self/fd/{handle}")
        _held.append(handle)
        return library
    if handle is not None:
        os.close(handle)
    # No such files here, or none that may be run.
    with tempfile.TemporaryDirectory(prefix="lanewise-") as folder:
        copy = Path(folder) / f"{name}.so"
        copy.write_bytes(content)
        return ctypes.CDLL(str(copy))
