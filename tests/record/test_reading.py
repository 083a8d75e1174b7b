"""What is on record of races: each in a list, each candidate trained again alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import lanewise as lw
from lanewise import cli
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Constant, Cosine
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.record import traces
from lanewise.record.folder import LOCK, RunFolder
from lanewise.record.listing import summary
from lanewise.record.lock import Lock, is_held
from lanewise.study.progress import Observer, Progress
from lanewise.task.task import Task
from tests.record.records import eager_plans, record

SPACE = Recipe(
    optimizer=SGD(lr=log(1e-2, 1.0) * choice(Constant(), Cosine()), momentum=uniform(0.0, 0.9)), dropout=0.0, epochs=2
)


class Stops(Observer):
    """Presses Ctrl-C in the second generation."""

    def show(self, progress: Progress) -> None:
        if progress.phase.startswith("race, generation 2") and progress.standings[0].progress == 1:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and a stopped one of the same race."""
    place = tmp_path_factory.mktemp("runs")
    plans = RunFolder(tmp_path_factory.mktemp("plans"))
    plans.write_plans(eager_plans(SPACE))
    given: dict[str, Any] = {
        "candidates": 4, "repeats": 2, "generations": 2, "confirm": 2, "threads": 1, "seed": 3, "engine": plans.engine,
        "checkpoint_every": 0,
    }  # fmt: skip
    task = Task("mlp:8", "digits")
    lw.race(task, SPACE, out=place / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        lw.race(task, SPACE, out=place / "cut", observer=Stops(), **given)
    return place


def command(*words: object) -> Result:
    """The command run in this process."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("run", ["whole", "cut"])
def test_a_candidate_is_trained_again_alone(run: str, runs: Path) -> None:
    before = contents(runs / run)
    rows = traces.read(runs / "whole" / "traces.parquet").to_pylist()
    ended = {row["candidate"]: row for row in rows if row["progress"] == 1 and row["repeat"] == 1}
    first = min(ended)
    shown = command("train", runs / run, "--candidate", first, "--repeat", 1, "--json")
    assert shown.exit_code == 0, shown.exception
    words = f"validation loss {ended[first]['validation_loss']:.4f}, accuracy {100 * ended[first]['metric']:.2f}%"
    assert f"candidate {first}, repeat 1: on record with {words}\n" in shown.stderr
    # The plain loop's score: without dropout, to which it would bring masks of its own, equal to float32 accuracy.
    line = next(line for line in shown.stderr.splitlines() if line.startswith("validation: "))
    loss, accuracy = (float(word.strip("%,")) for word in line.replace("accuracy", "").split() if word[0].isdigit())
    assert loss == pytest.approx(ended[first]["validation_loss"], abs=2e-4)
    assert accuracy == pytest.approx(100 * ended[first]["metric"], abs=0.6), "two of 360 rows may fall otherwise"
    assert json.loads(shown.stdout)["test"]["accuracy"] > 0.2
    assert contents(runs / run) == before


def test_without_a_number_it_is_the_winner(runs: Path) -> None:
    winner = json.loads((runs / "whole" / "verdict.json").read_text())["winner_candidate"]
    shown = command("train", runs / "whole", "--repeat", 2)
    assert f"candidate {winner}, repeat 2: on record with validation loss" in shown.stderr
    assert "is not finished, so there is no winner yet" in str(command("train", runs / "cut").exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cut", "--candidate", 99], r"candidate = 99: must be an integer in \[0, 3\], in "),
        (["whole", "--candidate", 4], r"candidate = 4: must be an integer in \[0, 3\], in "),
        (["cut", "--candidate", -1], r"candidate = -1: must be an integer in \[0, 3\], in "),
        (["whole/best.yaml", "--candidate", 0], r"--candidate 0: .*best\.yaml is no folder; must be that of a race"),
        (["whole", "--seed", 3], "--seed: is on record in .*; must not be given with the folder of a race"),
        (["whole", "--folds", 3], "--folds: is on record"),
        ([".", "--candidate", 0], r"train .*: holds no run: there is no run\.json in it"),
    ],
)
def test_what_is_no_candidate_is_refused(words: list[Any], message: str, runs: Path) -> None:
    error = command("train", runs / words[0], *words[1:]).exception
    with pytest.raises(InputError, match=message):
        raise error or AssertionError


def test_runs_are_listed_with_their_state(runs: Path) -> None:
    before = contents(runs)
    verdict = json.loads((runs / "whole" / "verdict.json").read_text())
    cut, whole = sorted(json.loads(command("list", runs, "--json").stdout), key=lambda one: one["run"])
    assert (whole["run"], whole["state"], whole["done"]) == (str(runs / "whole"), "finished", 1.0)
    assert (whole["data"], whole["model"], whole["candidates"]) == ("digits", "mlp:8", 4)
    assert (whole["winner"], whole["score"]) == (verdict["winner_candidate"], verdict["test"]["mean"])
    assert (cut["state"], cut["candidates"], cut["winner"]) == ("stopped", 4, None)
    assert 0 < cut["done"] < 1
    assert cut["begun"] >= whole["begun"]
    shown = command("list", runs / "whole").stdout
    assert f"{verdict['test']['mean']:.1%}" in shown
    assert contents(runs) == before


def test_a_run_that_goes_on_now_is_told_from_one_that_stopped(runs: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs / "cut", tmp_path / "run"))
    lock = Lock(run / LOCK)
    assert not is_held(run / LOCK)
    assert lock.take()
    assert is_held(run / LOCK)
    assert summary(run).state == "running"
    lock.release()
    assert summary(run).state == "stopped"
    (run / LOCK).touch()
    assert summary(run).state == "stopped", "a killed process leaves its file"


@pytest.mark.parametrize(
    ("spoil", "state", "problem"),
    [
        (lambda run: (run / "run.json").write_text("{"), "damaged", "run.json: cannot be read"),
        (lambda run: (run / "run.json").write_text("[]"), "damaged", "run.json: must be a JSON object"),
        (lambda run: (run / "run.json").write_bytes(b"\xff\x00"), "damaged", "run.json: cannot be read"),
        (lambda run: (run / "verdict.json").write_text("{}"), "damaged", "verdict.json: does not hold a verdict"),
        (lambda run: (run / "verdict.json").write_text("null"), "damaged", "verdict.json: must be a JSON object"),
        (lambda run: changed(run, lanewise=1), "another version", "format 1"),
        (lambda run: changed(run, begun="noon"), "damaged", "noon"),
        (lambda run: changed(run, data={"a": 1}), "damaged", "data = {'a': 1}: must be str"),
        (lambda run: [path.unlink() for path in run.iterdir() if path.name != "run.json"], "stopped", ""),
    ],
)
def test_a_damaged_run_is_listed_as_such(
    spoil: Callable[[Path], Any], state: str, problem: str, runs: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(runs / "whole", tmp_path / "run"))
    spoil(run)
    before = contents(tmp_path)
    (found,) = json.loads(command("list", tmp_path, "--json").stdout)
    assert found["state"] == state
    assert problem in (found["problem"] or "")
    assert command("list", tmp_path).exit_code == 0
    assert contents(tmp_path) == before


def changed(run: Path, **values: Any) -> None:
    """Put other values into the run's settings."""
    known = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(known | values))


def test_a_list_of_nothing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no runs in runs; begin one with: lanewise race" in command("list").stdout
    assert json.loads(command("list", "--json").stdout) == []
    (tmp_path / "runs").mkdir()
    assert "no runs in runs" in command("list").stdout
    assert "nowhere: no such folder" in str(command("list", "nowhere").exception)


def test_a_space_file_that_was_changed_counts_for_nothing(runs: Path, tmp_path: Path) -> None:
    class Listens(Observer):
        notes: list[str]

        def note(self, line: str) -> None:
            self.notes.append(line)

    run, observer = Path(shutil.copytree(runs / "cut", tmp_path / "run")), Listens()
    observer.notes = []
    other = (run / "space.yaml").read_text().replace("uniform(0.0, 0.9)", "uniform(0.0, 0.1)")
    (run / "space.yaml").write_text(other)
    lw.resume(run, observer=observer)
    assert "space.yaml has changed since the race began; the recorded space is used" in observer.notes
    found, whole = record(run), record(runs / "whole")
    assert found == whole
    assert (run / "space.yaml").read_text() == other
