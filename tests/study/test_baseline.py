"""A recipe of the user's that is confirmed beside the finalists whatever the race finds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lanewise as lw
from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.recipe.file import save
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.study.progress import Observer, Progress
from lanewise.task.task import Task
from tests.record.records import SPACE, eager_plans, model, record, rows

BAD = Recipe(optimizer=SGD(lr=1e-6), batch_size=20, epochs=2)
"""It learns next to nothing, in batches of its own."""
DRAWN = 4


class Stops(Observer):
    """Presses Ctrl-C in the middle of the confirmation."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def show(self, progress: Progress) -> None:
        self.phases.append(progress.phase)
        if sum(phase.startswith("confirming") for phase in self.phases) == 2:
            raise KeyboardInterrupt


def race(place: Path, out: str, baseline: Any, **given: Any) -> lw.Race:
    """A small race that measures nothing."""
    plans = eager_plans(SPACE)
    RunFolder(place / f"plans of {out}").write_plans(plans | {str(BAD.structure()): next(iter(plans.values()))})
    return lw.race(
        Task(model, rows()), SPACE, candidates=DRAWN, repeats=2, generations=2, finalists=2, confirm=3, threads=1,
        out=place / out, engine=place / f"plans of {out}" / "engine.json", baseline=baseline, checkpoint_every=0,
        **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lw.Race]:
    """A race with a baseline from a file."""
    place = tmp_path_factory.mktemp("baseline")
    save(BAD, place / "mine.yaml")
    return place, race(place, "run", place / "mine.yaml")


def test_the_baseline_is_confirmed_and_compared_with_the_winner(raced: tuple[Path, lw.Race]) -> None:
    place, found = raced
    verdict = found.verdict
    assert [finalist.recipe for finalist in verdict.finalists if finalist.candidate == DRAWN] == [BAD]
    assert len(verdict.finalists) == 3
    assert verdict.winner != BAD
    last = verdict.finalists[-1]
    assert last.candidate == DRAWN
    assert last.difference is not None
    assert last.difference.mean > 0.2
    assert verdict.baseline is not None
    assert verdict.baseline.difference is not None
    assert verdict.baseline.difference.low > 0, "on the test rows"
    assert verdict.candidates == len(found.study.candidates) == DRAWN
    known = json.loads((place / "run" / "run.json").read_text())
    assert "lr=1.0e-06" in known["baseline"] or "lr=1e-06" in known["baseline"]
    assert json.loads((place / "run" / "verdict.json").read_text())["baseline"]["candidate"] == DRAWN
    assert (place / "run" / "report.html").stat().st_size > 10_000


def test_a_race_with_a_baseline_goes_on(raced: tuple[Path, lw.Race]) -> None:
    place, _ = raced
    observer = Stops()
    with pytest.raises(KeyboardInterrupt):
        race(place, "cut", BAD, observer=observer)
    assert observer.phases[-1] == "confirming 2 finalists and the baseline in 3 new training runs"
    lw.resume(place / "cut", Task(model, rows()))
    assert record(place / "cut") == record(place / "run")


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (SPACE, "baseline: has ranges in it, so it is a space; must be one recipe"),
        (replace(BAD, batch_size=1000), "baseline: batch_size = 1000: there are 72 training rows"),
        (3, "baseline is an int: must be a recipe or a YAML file"),
        ("nowhere.yaml", "baseline 'nowhere.yaml': no such file; must be the YAML file of a recipe"),
    ],
)
def test_what_is_no_baseline_is_refused(baseline: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        race(tmp_path, "run", baseline)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
