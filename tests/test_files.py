"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from lanewise.base import files
from lanewise.base.files import check_writable, write_whole
from lanewise.errors import InputError
from lanewise.printable import printable


def listing(folder: Path) -> list[str]:
    """All names in `folder`, hidden ones too."""
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize(("content", "stored"), [("é\n", b"\xc3\xa9\n"), (b"\0\xff", b"\0\xff"), ("", b"")])
def test_a_file_holds_what_was_given(content: str | bytes, stored: bytes, tmp_path: Path) -> None:
    path = tmp_path / "with space and 'quotes\".txt"
    path.write_bytes(b"a longer text that stood here before")
    write_whole(path, content)
    assert path.read_bytes() == stored
    assert listing(tmp_path) == [path.name]


def test_a_file_is_as_readable_as_any_of_the_users(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", "x")
    finally:
        assert os.umask(old) == 0o027
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_file_gives_way_to_a_whole_one_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    seen: list[str] = []

    def replaced(source: str, target: Path) -> None:
        seen.extend([Path(source).read_text(), Path(target).read_text(), str(Path(source).parent)])

    monkeypatch.setattr(files.os, "replace", replaced)
    write_whole(path, "after")
    assert seen == ["after", "before", str(tmp_path)]


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("at", ["fsync", "replace", "chmod"])
def test_what_stood_there_is_left_when_writing_fails(
    stop: BaseException, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fails(*_: object) -> None:
        raise stop

    monkeypatch.setattr(files.os, at, fails)
    with pytest.raises(InputError if isinstance(stop, OSError) else type(stop)) as caught:
        write_whole(path, "after")
    if isinstance(stop, OSError):
        assert str(caught.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_text() == "before"
    assert listing(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("check", [check_writable, lambda path: write_whole(path, "x")], ids=["check", "write"])
@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("missing/a.txt", "cannot be written: No such file or directory"),
        ("a file/a.txt", "cannot be written: Not a directory"),
        ("folder", ""),
        ("n\0ul", "cannot be written: "),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_place_that_takes_no_file_is_named(check: object, name: str, because: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("x")
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    with pytest.raises(InputError) as caught:
        check(path)  # type: ignore[operator]
    assert str(caught.value).startswith(printable(f"{path}: {because}"))
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == ["a file", "folder"]


def test_a_check_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("before")
    check_writable(tmp_path / "there.txt")
    check_writable(tmp_path / "new.txt")
    assert listing(tmp_path) == ["there.txt"]
    assert (tmp_path / "there.txt").read_text() == "before"
