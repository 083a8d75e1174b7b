"""Compiled libraries on the disk: only what this user wrote, whole, is loaded; anything else is left alone."""

import os
import stat
from pathlib import Path

import pytest

from lanewise.lanes.compile import program_cache
from lanewise.lanes.compile.program_cache import (
    DamagedError,
    cache_folder,
    digest_of,
    is_whole,
    keep,
    make_private,
    read,
)


@pytest.fixture(autouse=True)
def _unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_cache, "_said", [])
    monkeypatch.setattr(program_cache, "_pending", [])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A library that was kept."""
    (made := tmp_path / "made.so").write_bytes(b"code" * 100)
    return keep(made, tmp_path / "cache" / f"{'a' * 64}.so")


def test_what_was_kept_is_read_and_private(place: Path) -> None:
    assert read(place) == b"code" * 100
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.parent.iterdir()} == {0o600}


def flip(place: Path) -> None:
    content = bytearray(place.read_bytes())
    content[17] ^= 1
    place.write_bytes(content)


def link(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [
        flip,
        link,
        lambda place: os.truncate(place, 100),
        lambda place: os.truncate(place, 0),
        lambda place: digest_of(place).unlink(),
        lambda place: digest_of(place).write_text("0" * 64),
        lambda place: place.chmod(0o666),
        lambda place: digest_of(place).chmod(0o620),
    ],
)
def test_what_is_not_as_it_was_written_is_not_read(spoil: object, place: Path) -> None:
    assert callable(spoil)
    spoil(place)
    with pytest.raises(DamagedError, match=str(place)):
        read(place)
    assert not is_whole(place)


@pytest.mark.parametrize("what", ["mode", "parent", "link", "file"])
def test_a_folder_that_others_can_change_is_not_used(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (above := tmp_path / "above").mkdir()
    folder = above / "cache"
    if what == "link":
        (tmp_path / "other").mkdir()
        folder.symlink_to(tmp_path / "other")
    elif what == "file":
        folder.touch()
    else:
        folder.mkdir(0o700)
        (folder if what == "mode" else above).chmod(0o777)
    monkeypatch.setenv("LANEWISE_CACHE", str(folder))
    assert cache_folder() not in (folder, tmp_path / "other")
    assert cache_folder().stat().st_mode & 0o077 == 0
    (line,) = program_cache.notes()
    assert line.startswith(f"compiled programs are not kept for later runs: {folder if what != 'parent' else above} ")
    assert program_cache.notes() == [], "it is said once"


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "cache").mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(DamagedError, match="belongs to another user"):
        make_private(folder)


def test_a_home_that_is_no_absolute_path_is_not_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LANEWISE_CACHE", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "home")
    with pytest.raises(RuntimeError, match="'home' is not an absolute path"):
        program_cache.wanted_folder()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANEWISE_CACHE", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "lanewise"
    assert stat.S_IMODE(cache_folder().stat().st_mode) == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "lanewise"


def test_the_libraries_used_last_stay(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_cache, "MOST_BYTES", 900)
    (place.parent / "mine.txt").write_text("x" * 1000)
    second, third = (place.with_name(f"{letter * 64}.so") for letter in "bc")
    keep(tmp_path / "made.so", second)
    os.utime(place, (2e9, 2e9))
    os.utime(second, (1e9, 1e9))
    keep(tmp_path / "made.so", third)
    assert is_whole(place)
    assert is_whole(third)
    assert not second.exists()
    assert not digest_of(second).exists()
    assert (place.parent / "mine.txt").exists()
