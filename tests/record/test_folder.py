"""The folder of a run: only a new or an empty one is taken, and what goes in comes out."""

import json
import shlex
from pathlib import Path

import pytest

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.printable import printable
from lanewise.recipe.file import dump, read
from lanewise.recipe.ranges import log
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder, fresh_path

SPACE = Recipe(optimizer=SGD(lr=log(1e-3, 1)))
NAMES = ["run", "with space", 'it\'s "quoted"', "ünï", "what?x=1 100%20 #1", "$HOME;rm -r *", "deep/er/still"]


def refusal(path: Path) -> str:
    """The message with which `path` is refused."""
    with pytest.raises(InputError) as caught:
        RunFolder(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(printable(f"out = {path}: "))
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_folder_is_made_and_written_to(name: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / name)
    folder.write_settings({"seed": 3, "what": "é"}, dump(SPACE, {"data": "digits"}))
    folder.write_json("verdict.json", {"a": [1, None, 0.1]})
    assert read(folder.space) == (SPACE, {"data": "digits"})
    assert json.loads((tmp_path / name / "run.json").read_text()) == {"seed": 3, "what": "é"}
    assert json.loads((tmp_path / name / "verdict.json").read_text()) == {"a": [1, None, 0.1]}
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "run.json",
        "space.yaml",
        "verdict.json",
    ]
    assert {path.name for path in (folder.database, folder.best, folder.report)} == {
        "study.db",
        "best.yaml",
        "report.html",
    }


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).path == tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_holds_a_run_is_refused_with_the_command_that_removes_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    RunFolder(path).write_settings({}, dump(SPACE))
    message = refusal(path)
    assert "holds a run already; give another folder, or remove it with: rm -r " in message
    assert shlex.split(message.split("remove it with: ")[1]) == ["rm", "-r", str(path)]


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    assert "must be a new or an empty folder" in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".hidden"]


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("a file", "must be a new or an empty folder"),
        ("a file/run", "cannot be written to: Not a directory"),
        ("a file/deep/er", "cannot be written to: Not a directory"),
        ("dangling", "cannot be written to: File exists"),
        ("n\0ul", "cannot be written to: "),
        ("x" * 300, "cannot be written to: File name too long"),
    ],
)
def test_a_place_that_takes_no_folder_is_refused(name: str, because: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert because in refusal(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "dangling"]


def test_a_run_that_never_got_going_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_settings({}, dump(SPACE))
    for name in ("study.db", "study.db-wal", "study.db-shm", "engine.json"):
        (folder.path / name).touch()
    folder.discard()
    folder.discard()
    assert not folder.path.exists()


def test_discarding_takes_nothing_that_is_not_ours(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_settings({}, dump(SPACE))
    (folder.path / "mine.txt").touch()
    folder.discard()
    assert [path.name for path in folder.path.iterdir()] == ["mine.txt"]


def test_the_first_free_number_is_taken(tmp_path: Path) -> None:
    assert fresh_path(tmp_path / "runs") == tmp_path / "runs" / "race-001"
    for name in ("race-001", "race-003"):
        (tmp_path / name).mkdir()
    (tmp_path / "race-002").touch()
    assert fresh_path(tmp_path) == tmp_path / "race-004"
