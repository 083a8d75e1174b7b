"""Races of a built-in space: recipes of habit are candidates with names, and the first of them is the baseline."""

import json
from pathlib import Path
from typing import Any

import pytest

import lanewise as lw
from lanewise.errors import InputError
from lanewise.recipe.file import read
from lanewise.record import traces
from lanewise.record.folder import RunFolder
from lanewise.study.progress import Observer, Progress
from tests.record.records import SPACE, eager_plans, model, rows

FEW: dict[str, Any] = {
    "candidates": 8, "repeats": 1, "generations": 2, "finalists": 2, "confirm": 2, "epochs": 2, "threads": 1,
    "batch_size": 20,
}  # fmt: skip


class Notes(Observer):
    """Keeps what it is given; presses Ctrl-C in the confirmation if it is to."""

    def __init__(self, stops: bool = False) -> None:
        self.lines: list[str] = []
        self.names: set[str] = set()
        self.stops = stops

    def note(self, line: str) -> None:
        self.lines.append(line)

    def show(self, progress: Progress) -> None:
        self.names |= {one.name for one in progress.standings}
        if self.stops and progress.phase.startswith("confirming"):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lw.Race, Notes]:
    """A race of the default space."""
    out, notes = tmp_path_factory.mktemp("auto") / "run", Notes()
    return out, lw.race(lw.Task(model, rows()), out=out, observer=notes, **FEW), notes


def test_recipes_of_habit_are_candidates_with_names(raced: tuple[Path, lw.Race, Notes]) -> None:
    out, race, notes = raced
    named = {one.name: one for one in race.study.candidates if one.name}
    assert list(named) == ["adam", "sgd-cosine", "adamw-one-cycle", "adamw-cosine"]
    assert {name: one.recipe for name, one in named.items()} == lw.portfolio(race.study.task, race.study.space)
    assert [one.generation for one in named.values()] == [0, 0, 1, 1]
    assert "0 adam" in notes.names
    table = traces.read(out / "candidates.parquet").to_pylist()
    assert [row["name"] for row in table][:3] == ["adam", "sgd-cosine", None]


def test_the_first_of_them_is_the_baseline(raced: tuple[Path, lw.Race, Notes]) -> None:
    out, race, _ = raced
    verdict = race.verdict
    assert verdict.baseline is not None
    assert verdict.baseline.candidate == 0
    (own,) = [one for one in verdict.finalists if one.candidate == 0]
    assert own.name == "adam"
    assert any("the baseline adam (AdamW, 0.001)" in line for line in verdict.sentences())
    written = json.loads((out / "verdict.json").read_text())
    assert {one["candidate"]: one.get("name") for one in written["finalists"]}[0] == "adam"
    assert "0 adam" in (out / "report.html").read_text()


def test_the_space_is_said_and_written_and_can_be_read_again(raced: tuple[Path, lw.Race, Notes]) -> None:
    out, race, notes = raced
    assert any(line.startswith("space auto, for a table or other numbers and ") for line in notes.lines)
    assert any("adam is the baseline" in line for line in notes.lines)
    assert read(out / "space.yaml")[0] == race.study.space == lw.auto(race.study.task, epochs=2, batch_size=20)


def test_a_race_that_was_stopped_goes_on_with_the_same_baseline(
    raced: tuple[Path, lw.Race, Notes], tmp_path: Path
) -> None:
    _, race, _ = raced
    task = lw.Task(model, rows())
    with pytest.raises(KeyboardInterrupt):
        lw.race(task, out=tmp_path / "run", observer=Notes(stops=True), checkpoint_every=0, **FEW)
    found = lw.resume(tmp_path / "run", task)
    assert isinstance(found, lw.Race)
    assert [one.name for one in found.study.candidates] == [one.name for one in race.study.candidates]
    assert found.verdict.baseline is not None
    assert [one.recipe for one in found.verdict.finalists] == [one.recipe for one in race.verdict.finalists]
    assert found.verdict.baseline.candidate == 0


def test_it_can_be_left_out() -> None:
    notes = Notes()
    race = lw.race(lw.Task(model, rows()), "vision", portfolio=False, observer=notes, **FEW | {"epochs": 25})
    assert any("candidates come from at most 3 of the 32 combinations of" in line for line in notes.lines)
    assert race.verdict.baseline is None
    assert not any(one.name for one in race.study.candidates)


def own_space(place: Path, **given: Any) -> lw.Race:
    """A race of a space of one's own that measures nothing."""
    task = lw.Task(model, rows())
    place.mkdir(exist_ok=True)
    plans = eager_plans(SPACE)
    usual = {str(one.structure()): next(iter(plans.values())) for one in lw.portfolio(task, SPACE).values()}
    RunFolder(place / "plans").write_plans(plans | usual)
    return lw.race(
        task, SPACE, candidates=6, repeats=1, generations=1, finalists=2, confirm=2, threads=1,
        engine=place / "plans" / "engine.json", **given,
    )  # fmt: skip


def test_a_space_of_ones_own_has_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert not any(one.name for one in own_space(tmp_path / "without").study.candidates)
    race = own_space(tmp_path / "with", portfolio=True)
    assert [one.name for one in race.study.candidates] == ["adam", "sgd-cosine", "adamw-one-cycle", "", "", ""]
    assert race.verdict.baseline is not None


def test_a_baseline_of_ones_own_takes_its_place(tmp_path: Path) -> None:
    own = lw.portfolio(lw.Task(model, rows()), SPACE)["adamw-cosine"]
    race = own_space(tmp_path, portfolio=True, baseline=own)
    assert race.verdict.baseline is not None
    assert race.verdict.baseline.candidate == 6
    assert any("your baseline" in line for line in race.verdict.sentences())


def test_what_is_neither_true_nor_false() -> None:
    with pytest.raises(InputError, match="portfolio = 'no': must be true or false"):
        lw.race(lw.Task(model, rows()), portfolio="no", **FEW)
