"""The command line: what it refuses, in one line, before it has written anything."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lanewise import cli
from lanewise.cli.stopping import STOPPED
from lanewise.errors import InputError
from lanewise.parts.rules import SGD
from lanewise.recipe import Recipe
from lanewise.recipe_file import save


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
    save(Recipe(rule=SGD(lr=0.1), epochs=1), tmp_path / "recipe.yaml", {"data": "digits", "model": "mlp:8"})
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
