"""What goes where: results to standard output, how it goes to standard error, in the command line and in Python."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import lanewise as lw
from lanewise.cli.app import main
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.recipe.file import save
from lanewise.recipe.recipe import Recipe
from lanewise.report.terminal import watching
from lanewise.study.progress import Observer
from lanewise.train import train
from tests.cli.test_cli import command
from tests.record.records import SPACE, model, rows

RECIPE = Recipe(optimizer=SGD(lr=0.1), epochs=1)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A race of the command line."""
    folder = tmp_path_factory.mktemp("raced")
    words = ["--candidates", "2", "--repeats", "1", "--confirm", "2", "--epochs", "1", "--model", "mlp:8"]
    return folder / "run", command("race", *words, "--threads", "1", "--out", str(folder / "run"))


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The file of a short recipe for digits."""
    save(RECIPE, tmp_path / "recipe.yaml", {"data": "digits", "model": "mlp:8"})
    return str(tmp_path / "recipe.yaml")


def test_a_race_prints_its_result_on_standard_output(raced: tuple[Path, Any]) -> None:
    folder, shown = raced
    assert shown.exit_code == 0, shown.exception
    for words in ("Best recipe: ", "The winner's recipe:", f"Report: {folder / 'report.html'}"):
        assert shown.stdout.count(words) == 1
        assert words not in shown.stderr
    assert "mlp:8 on digits: " in shown.stderr
    assert "mlp:8 on digits: " not in shown.stdout


def test_a_finished_run_prints_it_again_and_json_stands_alone(raced: tuple[Path, Any]) -> None:
    folder, first = raced
    shown = command("resume", str(folder))
    assert shown.stdout == first.stdout
    assert shown.stderr == f"{folder} is finished.\n"
    shown = command("resume", str(folder), "--json")
    assert json.loads(shown.stdout) == json.loads((folder / "verdict.json").read_text())
    assert "Best recipe: " in shown.stderr


def test_a_question_and_training_print_theirs(recipe: str, tmp_path: Path) -> None:
    words = ["--field", "momentum", "--values", "0,0.5", "--repeats", "2", "--threads", "1"]
    shown = command("sweep", recipe, *words, "--out", str(tmp_path / "run"))
    assert shown.exit_code == 0, shown.exception
    assert "The best recipe:" in shown.stdout
    assert "mlp:8 on digits" in shown.stderr
    shown = command("train", recipe)
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["validation:", "test"]
    assert shown.stderr.startswith("step 16 of 16, training loss ")


def test_a_schedule_is_drawn_on_standard_output() -> None:
    shown = command("show", "0.1 * cosine()")
    assert "step 250: " in shown.stdout
    assert not shown.stderr


def test_output_that_knows_no_unicode_shows_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["lanewise", "show", "0.1 * cosine()"])
    with pytest.raises(SystemExit, match="0"):
        main()
    stream.seek(0)
    assert "step 250: " in stream.read()


def test_who_reads_no_further_ends_it_quietly(raced: tuple[Path, Any]) -> None:
    reads, writes = os.pipe()
    # As after `| head -1`, which has ended.
    os.close(reads)
    words = [sys.executable, "-m", "lanewise", "resume", str(raced[0])]
    done = subprocess.run(words, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, f"{raced[0]} is finished.\n")


class Told(Observer):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def raced_in_python(**given: Any) -> None:
    lw.race(lw.Task(model, rows()), SPACE, candidates=2, repeats=1, confirm=2, epochs=1, threads=1, **given)


def compared_in_python(**given: Any) -> None:
    recipes = {"slow": RECIPE, "fast": Recipe(optimizer=SGD(lr=0.3), epochs=1)}
    lw.compare(lw.Task(model, rows()), recipes, repeats=2, threads=1, **given)


def trained_in_python(**given: Any) -> None:
    train(lw.Task(model, rows()), RECIPE, **given)


@pytest.mark.parametrize("call", [compared_in_python, trained_in_python])
def test_python_is_silent_unless_somebody_looks(
    call: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call()
    assert capsys.readouterr() == ("", "")
    call(progress=True)
    out, shown = capsys.readouterr()
    assert not out
    assert "step " in shown if call is trained_in_python else "2 repeats each: " in shown
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    call()
    out, in_a_notebook = capsys.readouterr()
    assert not out
    assert in_a_notebook.count("\n") >= 1
    call(progress=False)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InputError, match="progress = 'yes': must be True, False or None"):
        call(progress="yes")


def test_a_terminal_is_somebody_who_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not watching.shown(None)
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    assert watching.shown(None)
    assert not watching.shown(False)


@pytest.mark.parametrize("call", [raced_in_python, compared_in_python])
def test_an_observer_takes_the_place_of_standard_error(
    call: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told()
    call(observer=told, progress=True)
    assert told.notes
    assert capsys.readouterr() == ("", "")
