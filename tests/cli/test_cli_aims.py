"""`--objective`, `--metric` and `--class-weights` of the commands: taken, recorded, gone on with, refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lanewise.api.resume import recorded_task
from lanewise.cli import app
from lanewise.cli.named import class_weights_of
from lanewise.errors import InputError
from lanewise.report.page.commands import aim_options, task_options, train_command
from lanewise.task.task import Task

AIMS = ["--metric", "cross entropy", "--class-weights", "1,2.5,1"]
FEW = ["--candidates", "2", "--repeats", "1", "--generations", "1", "--confirm", "2", "--epochs", "1", "--threads", "1"]


@pytest.fixture
def data(tmp_path: Path) -> str:
    draw = np.random.default_rng(0)
    y = np.arange(90) % 3
    np.savez(tmp_path / "mine.npz", x=draw.normal(size=(90, 4)) + y[:, None], y=y)
    return str(tmp_path / "mine.npz")


def test_a_race_takes_and_records_them_and_its_winner_is_trained_by_them(data: str, tmp_path: Path) -> None:
    run, space = tmp_path / "run", tmp_path / "space.yaml"
    space.write_text("lanewise: 1\noptimizer: sgd(lr=log(0.01, 0.1))\nbatch_size: 16\nepochs: 1\n")
    where = ["--data", data, "--model", "mlp:4"]
    done = CliRunner().invoke(
        app, ["race", *where, *AIMS, "--objective", "classification", "--space", str(space), *FEW, "--out", str(run)]
    )
    assert done.exit_code == 0, done.output
    known = json.loads((run / "run.json").read_text())
    assert (known["metric"], known["class_weights"], known["objective"]) == (
        "cross entropy", [1.0, 2.5, 1.0], "classification",
    )  # fmt: skip
    assert json.loads((run / "verdict.json").read_text())["metric"] == "cross entropy"
    task = recorded_task(known, "resume")
    assert aim_options(task) == ["--metric", "cross entropy", "--class-weights", "1.0,2.5,1.0"]
    assert (task_options(task) or [])[-4:] == aim_options(task)
    assert "--metric 'cross entropy' --class-weights 1.0,2.5,1.0" in train_command(task)
    trained = CliRunner().invoke(app, ["train", str(run / "best.yaml"), *where, *AIMS, "--json"])
    assert trained.exit_code == 0, trained.output
    assert '"metric": "cross entropy", "greater_is_better": false' in trained.output
    unweighted = CliRunner().invoke(app, ["train", str(run / "best.yaml"), *where, *AIMS[:2], "--json"])
    assert unweighted.output.splitlines()[-1] != trained.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "R2"], r"metric = 'R2': must be accuracy, balanced accuracy, F1, AUC, top-5"),
        (["--objective", "regression"], r"objective = 'regression': must be 'classification' for targets of kind"),
        (["--class-weights", "1,2"], r"class_weights = \[1.0, 2.0\]: must be balanced or 3 numbers > 0"),
        (["--class-weights", "1,2,0"], r"must be balanced or 3 numbers > 0"),
        (["--class-weights", "1,b,2"], r"--class-weights '1,b,2': must be balanced or one number > 0 for each class"),
        (["--class-weights", "even"], r"class_weights = 'even': must be balanced or one number > 0"),
    ],
)
@pytest.mark.parametrize("command", ["race", "train"])
def test_what_does_not_suit_is_refused_in_one_line(
    command: str, words: list[str], message: str, data: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("lanewise: 1\nbatch_size: 16\nepochs: 1\n")
    given = [command, *([str(recipe)] if command == "train" else []), "--data", data, "--model", "mlp:4", *words]
    done = CliRunner().invoke(app, given)
    assert isinstance(done.exception, InputError)
    with pytest.raises(InputError, match=message):
        raise done.exception


def test_balanced_weights_come_back_from_the_command_as_they_were(data: str) -> None:
    task = Task("mlp:4", data, class_weights="balanced")
    assert class_weights_of("balanced") == "balanced"
    words = aim_options(task)
    assert words is not None
    assert words[:2] == ["--metric", "balanced accuracy"]
    assert class_weights_of(words[3]) == task.aims["class_weights"]


def test_what_needs_no_data_is_told_beside_data_that_is_wrong() -> None:
    words = ["race", "--data", "nosuch", "--model", "nosuch", "--metric", "nosuch", "--objective", "nosuch"]
    words += ["--split", "nosuch", "--candidates", "0", "--repeats", "-1"]
    told = str(CliRunner().invoke(app, words).exception)
    for start in (
        "data 'nosuch'",
        "model 'nosuch'",
        "metric = ",
        "objective = ",
        "split = ",
        "candidates = ",
        "repeats = ",
    ):
        assert start in told
    told = str(CliRunner().invoke(app, ["race", "--model", "nosuch", "--metric", "nosuch"]).exception)
    assert told.count("nosuch") == 2
