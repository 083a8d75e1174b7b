"""The folders in which torch's compiler works: always our own, never the one in /tmp that everybody can name."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from lanewise.base.files import write_whole
from lanewise.lanes.compile.program_cache import DamagedError, cache_folder, is_given, locked, make_private, say

FOLDER, TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """A new folder for torch's compiler, removed afterwards: nothing of an earlier process is taken for good."""
    try:
        made = tempfile.mkdtemp(prefix="compiling-", dir=cache_folder())
    except OSError:
        made = tempfile.mkdtemp(prefix="lanewise-")
    try:
        with _used(Path(made)):
            yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def kept_folder(mark: Path, on_cpu: bool) -> Iterator[Path]:
    """The folder in which torch's compiler finds what it made of one program before, if all of it is as it was written.

    Args:
        mark: the file that says so, with a digest of every file; written afterwards. on_cpu: whether all that is loaded
            from the folder is loaded before this ends; on accelerators kernels come later, from a folder that stays.
    """
    if not on_cpu:
        yield _lasting_folder()
        with contextlib.suppress(OSError, ValueError):
            write_whole(mark, "{}\n")
        return
    folder = mark.with_suffix(".torch")
    with locked(mark.parent):
        try:
            if mark.exists() and digests(folder) != json.loads(mark.read_text(encoding="utf-8")):
                raise DamagedError(f"{folder} is damaged: it does not match its digests")
        except (OSError, ValueError) as error:
            say(f"{error}; compiled anew")
            mark.unlink(missing_ok=True)
        if not mark.exists():
            _remove(folder)
        try:
            make_private(folder)
        except OSError:
            with fresh_folder() as made:
                yield made
            return
        with _used(folder):
            yield folder
        with contextlib.suppress(OSError, ValueError):
            write_whole(mark, json.dumps(digests(folder)) + "\n")


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below `folder`.

    Raises:
        OSError: there is no such folder, or something in it is neither a file nor a folder.
    """
    make_private(folder)
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise DamagedError(f"{path} is no file")
        if path.is_file() and path.suffix != ".lock":
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _used(folder: Path) -> Iterator[None]:
    """Let torch's compiler work in `folder` meanwhile."""
    with _one_at_a_time:
        before = os.environ.get(FOLDER)
        os.environ[FOLDER] = str(folder)
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(FOLDER, None)
            else:
                os.environ[FOLDER] = before


def _lasting_folder() -> Path:
    """A folder that torch's compiler and Triton use from now on, unless the user gave them safe ones."""
    ours = cache_folder()
    for name, place in ((FOLDER, ours / "torch"), (TRITON, ours / "triton")):
        given = os.environ.get(name)
        try:
            if given and is_given(given):
                make_private(Path(given))
                continue
        except OSError as error:
            say(f"{name}: {error}; {place} is used instead")
        make_private(place)
        os.environ[name] = str(place)
    return Path(os.environ[FOLDER])
