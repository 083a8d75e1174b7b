"""The command line: what it refuses, in one line, before it has written anything."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import lanewise as lw
from lanewise import cli
from lanewise.cli.app import main
from lanewise.cli.stopping import STOPPED
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.recipe.file import save
from lanewise.recipe.recipe import Recipe


def command(*words: str) -> Result:
    """The command run in this process; a user's mistake is its exception."""
    return CliRunner().invoke(cli.app, list(words))


def refusal(*words: str) -> str:
    """The line with which the command refuses."""
    error = command(*words).exception
    assert isinstance(error, InputError), error
    return str(error)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The file of a short recipe for digits."""
    save(Recipe(optimizer=SGD(lr=0.1), epochs=1), tmp_path / "recipe.yaml", {"data": "digits", "model": "mlp:8"})
    return str(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("threads", ["0", "100000"])
def test_threads_that_no_machine_starts_are_refused(threads: str, recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for words in (["race", "--out", str(out)], ["train", recipe]):
        assert refusal(*words, "--threads", threads).startswith(f"threads = {threads}: must be an integer in [1, ")
    assert not out.exists()


@pytest.mark.parametrize("option", ["--data", "--model"])
def test_an_empty_name_is_none_that_was_left_out(option: str, recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for words in (["race", "--out", str(out)], ["train", recipe]):
        assert f"{option[2:]} ''" in refusal(*words, option, "")
    assert not out.exists()


def test_it_says_its_version() -> None:
    shown = command("--version")
    assert shown.exit_code == 0, shown.exception
    assert shown.stdout.startswith("lanewise ")


def test_training_that_is_stopped_says_that_nothing_is_kept(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lanewise.train.train", stopped)
    shown = command("train", recipe)
    assert shown.exit_code == STOPPED
    assert "nothing was saved" in shown.stderr


def said(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says on standard error when it refuses."""
    monkeypatch.setattr("sys.argv", ["lanewise", *words])
    with pytest.raises(SystemExit, match="2"):
        main()
    return capsys.readouterr().err


def test_all_that_is_wrong_is_said_at_once_and_of_options(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--precision", "float8", "--threads", "0", "--checkpoint-every", "-1", "--batch-size", "0"]
    line = said(
        ["race", "--data", "nowhere.csv", "--candidates", "1", "--confirm", "1", "--pruner", "luck", *how],
        monkeypatch,
        capsys,
    )
    expected = (
        "data 'nowhere.csv'",
        "candidates 1",
        "confirm 1",
        "pruner 'luck'",
        "precision 'float8'",
        "threads 0",
    )
    for option in (*expected, "checkpoint-every -1.0", "batch-size 0"):
        assert f"--{option}: must be" in line or f"--{option}: no such data" in line, option
    assert line.count("\n") == 1
    line = said(["sweep", recipe, "--field", "l2", "--values", "0,1", "--repeats", "1", *how], monkeypatch, capsys)
    assert "--repeats 1: must be" in line
    assert "--threads 0: must be" in line
    line = said(["race", "--folds", "5", "--repeats", "3", "--confirm", "7"], monkeypatch, capsys)
    assert "--repeats 3: must be a multiple of --folds 5" in line
    assert "--confirm 7: must be a multiple of --folds 5" in line


def test_in_python_it_is_said_of_arguments() -> None:
    wrong = {"candidates": 1, "seed": -1, "threads": 0, "epochs": 0, "sampler": "x", "precision": "float8"}
    with pytest.raises(InputError) as caught:
        lw.race(lw.Task("mlp:8", "digits"), **wrong, cadence=3, colour="red")  # type: ignore[arg-type]
    for words in (
        "unknown settings 'cadence' and 'colour'; allowed: ", "candidates = 1: ", "seed = -1: ", "threads = 0: ",
        "epochs = 0: ", "sampler = 'x': ", "precision = 'float8': ",
    ):  # fmt: skip
        assert words in str(caught.value)
    assert "--" not in str(caught.value)
    recipes = {"slow": Recipe(optimizer=SGD(lr=0.1)), "fast": Recipe(optimizer=SGD(lr=0.3))}
    with pytest.raises(InputError, match=r"repeats = 1: .*; seed = -1: .*; threads = 0: "):
        lw.compare(lw.Task("mlp:8", "digits"), recipes, repeats=1, seed=-1, threads=0)
