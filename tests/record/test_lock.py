"""The lock of a run's folder."""

import os
from pathlib import Path

import pytest

from lanewise.record.lock import Lock, is_held


def test_a_lock_whose_file_was_removed_meanwhile_is_none(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.take()
    (tmp_path / "lock").unlink()
    assert second.take()
    assert not Lock(tmp_path / "lock").take()
    first.release()
    second.release()
    assert not list(tmp_path.iterdir())


def test_a_lock_that_is_a_link_is_refused_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"symbolic|loop|link"):
        Lock(tmp_path / "lock").take()
    assert not is_held(tmp_path / "lock")
    assert (tmp_path / "mine").read_text() == "mine"


def test_asking_whether_a_lock_is_held_leaves_it_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    assert not path.exists()
    lock = Lock(path)
    assert lock.take()
    assert is_held(path)
    assert lock.take() is True, "ours already"
    lock.release()
    assert not is_held(path)
    path.write_bytes(b"left by a killed process")
    assert not is_held(path)
    assert path.read_bytes() == b"left by a killed process"


def test_a_lock_of_a_process_that_ended_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = os.fork()
    if child == 0:
        os._exit(0 if Lock(path).take() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert path.exists()
    lock = Lock(path)
    assert lock.take()
    lock.release()
