"""How data is read and split is on record: a race that goes on has the rows it had, and its commands say so."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lanewise as lw
from lanewise import cli
from lanewise.api.resume import recorded_task
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.recipe.file import save
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.record.identity import data_checksums
from lanewise.report.page.commands import data_options
from lanewise.study.progress import Observer, Progress
from lanewise.task.task import Task
from tests.record.records import SPACE, eager_plans, record


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A table with columns to learn, to group by and to order by."""
    path = tmp_path / "table.csv"
    lines = [f"{row % 7},{row % 5},{'ab'[row % 2]},g{row % 12},{(37 * row) % 120}" for row in range(120)]
    path.write_text("\n".join(["p,q,kind,who,when", *lines]) + "\n")
    return str(path)


class Stops(Observer):
    """Presses Ctrl-C in the second generation."""

    def show(self, progress: Progress) -> None:
        if progress.phase.startswith("race, generation 2"):
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "kind", "groups": "who"}, ["--target", "kind", "--groups", "who"]),
        ({"target_column": "kind", "time": "when"}, ["--target", "kind", "--time", "when"]),
        ({"target": "kind", "split": "random", "folds": 3}, ["--target", "kind", "--split", "random", "--folds", "3"]),
        ({"target": "kind", "categories": ["p"]}, None),
        ({"target": "kind", "standardise": False}, ["--target", "kind", "--no-standardise"]),
        ({"target": "kind", "standardise": {"p": False}}, None),
        (
            {"target": "kind", "drop": ["who", "when"], "drop_missing_target": True, "encoding": "utf-8"},
            ["--target", "kind", "--drop", "who", "--drop", "when", "--drop-missing-target", "--encoding", "utf-8"],
        ),
    ],
)
def test_a_race_that_goes_on_has_the_rows_it_had(
    options: dict[str, Any], words: list[str] | None, table: str, tmp_path: Path
) -> None:
    RunFolder(tmp_path / "plans").write_plans(eager_plans(SPACE))
    runs = options.get("folds", 2)
    given = {
        "candidates": 4, "repeats": runs, "generations": 2, "confirm": runs, "threads": 1, "checkpoint_every": 0,
        "engine": tmp_path / "plans" / "engine.json",
    }  # fmt: skip
    task = Task("mlp:8", lw.load(table, **options))
    assert data_options(task) == words
    lw.race(task, SPACE, out=tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        lw.race(task, SPACE, out=tmp_path / "cut", observer=Stops(), **given)
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "cut", other)
    lw.resume(tmp_path / "cut")
    assert record(tmp_path / "cut") == record(tmp_path / "whole")
    if len(options) > 1 and "drop" not in options:
        with pytest.raises(InputError, match="the data changed since the run began: "):
            lw.resume(other, Task("mlp:8", lw.load(table, target="kind", drop=[])))


def test_rows_that_only_python_has_must_be_given_again(table: str) -> None:
    source = lw.load(table, target="kind", groups=np.arange(120) % 12)
    assert source.asked is None
    assert data_options(Task("mlp:8", source)) is None
    known = {"model": "mlp:8", "model_built_in": True, "data_given": None, "data_options": None}
    with pytest.raises(InputError, match=r"split by rows that only Python has; give it again: resume\(folder, task\)"):
        recorded_task(known, "resume x")


def test_another_split_of_the_same_rows_is_noticed() -> None:
    x, y = np.random.default_rng(0).random((120, 3)), np.arange(120) % 2
    found = [data_checksums(lw.load((x, y), **how)) for how in ({}, {"groups": np.arange(120) % 12}, {"folds": 3})]
    found.append(data_checksums(lw.load((x, y), groups=np.arange(120) % 10)))
    found.append(data_checksums(lw.load((x, y), splits=[(np.arange(60), np.arange(60, 80))])))
    assert all(one != other for at, one in enumerate(found) for other in found[:at])


def test_what_is_asked_of_a_source_is_added_to_what_was_asked_before(table: str) -> None:
    first = lw.load(table, target="kind")
    assert lw.load(first, folds=3).asked == {"target_column": "kind", "folds": 3}


@pytest.mark.parametrize("command", ["race", "train"])
def test_the_command_line_reads_data_as_it_is_told(
    command: str, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Task] = []

    def stop(task: Task, *_: Any, **__: Any) -> None:
        seen.append(task)
        raise InputError("seen")

    monkeypatch.setattr("lanewise.api.race.race", stop)
    monkeypatch.setattr("lanewise.train.train", stop)
    save(Recipe(optimizer=SGD(lr=0.1), epochs=1), tmp_path / "recipe.yaml")
    words = ["race", "--out", str(tmp_path / "run")] if command == "race" else ["train", str(tmp_path / "recipe.yaml")]
    options = ["--target", "kind", "--time", "when", "--split", "time", "--folds", "3"]
    shown = CliRunner().invoke(cli.app, [*words, "--data", table, "--model", "mlp:8", *options])
    assert str(shown.exception) == "seen"
    splitter, alike = seen[0].source.splitter, lw.load(table, target="kind", time="when", folds=3).splitter
    assert torch.equal(splitter.time, alike.time)
    assert splitter.folds == 3
    refused = CliRunner().invoke(
        cli.app, [*words, "--data", table, "--model", "mlp:8", "--target", "kind", "--groups", "nobody"]
    )
    assert "nobody" in str(refused.exception)
