"""A budget too small for the race that was asked for: what is given up for it, and how fast it is refused."""

import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.base import files
from lanewise.errors import InputError
from lanewise.lanes.packs.choosing import ChosenPlan
from lanewise.lanes.packs.first_steps import seconds_by_rows
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.prepared import Costs
from lanewise.lanes.packs.trials import program_of
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine
from lanewise.recipe.ranges import choice, integer, log
from lanewise.recipe.recipe import Recipe
from lanewise.record.decisions import Decisions
from lanewise.record.folder import RunFolder
from lanewise.sampling.drawing import Drawing
from lanewise.study.budget_planner import BudgetPlanner
from lanewise.study.fitting import Size, with_shorter_runs
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task
from tests.record.records import SPACE, model, record, rows
from tests.study.test_budget import Watch

EAGER = Plan(packed=True, compiled=False, width=4, workers=1, threads=1, why="given")


def fitted(budget: str, seconds: float = 0.0, **given: Any) -> Size:
    """The size of a race of 3 repeats of 20 epochs, of which a lane's epoch takes so many seconds, nothing else any."""
    engine: Any = SimpleNamespace(costs=Costs(), plans={}, threads=1, note=lambda line: None)
    survivors = ((1.0, 0.25), (0.5, 0.25), (0.25, 0.5))
    settings = RaceSettings(budget=budget, repeats=given.pop("repeats", 3))
    planner = BudgetPlanner(
        settings, engine, lambda: 0.0, Decisions(), 20.0, survivors, lambda: (seconds, 0.0), **given
    )
    return planner.fit(20, lambda: 1, lambda epochs: survivors, lambda: seconds)


@pytest.mark.parametrize(
    ("budget", "size"),
    [
        ("2000ep", (3, 20)), ("320ep", (3, 20)), ("319ep", (2, 20)), ("240ep", (2, 20)), ("239ep", (1, 20)),
        ("120ep", (1, 20)), ("60ep", (1, 10)), ("24ep", (1, 4)), ("6ep", (1, 1)),
    ],
)  # fmt: skip
def test_repeats_are_given_up_first_then_candidates_then_epochs(budget: str, size: tuple[int, int]) -> None:
    assert fitted(budget) == Size(*size)


def test_a_time_is_fitted_by_the_steps_that_were_timed() -> None:
    assert fitted("640s", 1.0) == Size(3, 20), "twice the time of the steps is allowed for"
    assert fitted("639s", 1.0) == Size(2, 20)
    assert fitted("60s", 1.0) == Size(1, 5)
    assert fitted("60s", 0.001) == Size(3, 20)


def test_folds_stay_whole() -> None:
    assert fitted("200ep", repeats=10, step=5) == Size(5, 10)


@pytest.mark.parametrize(("budget", "seconds"), [("1ep", 0.0), ("2s", 1.0)])
def test_what_is_too_small_for_every_size_is_refused_with_the_least(budget: str, seconds: float) -> None:
    least = (
        r"must be at least (\d+(ep|s)) here for the smallest race: 2 candidates in 1 repeat of 1 epoch, confirmed in"
    )
    with pytest.raises(InputError, match=least) as caught:
        fitted(budget, seconds)
    assert fitted(str(caught.value).split("at least ")[1].split(" ")[0], seconds) == Size(1, 1)


def test_lengths_that_are_ranges_become_shorter_together() -> None:
    def shorter(epochs: Any) -> Any:
        return with_shorter_runs(Recipe(optimizer=SGD(lr=0.1), epochs=epochs), 5, 20).epochs

    assert shorter(20) == 5
    assert shorter(integer(8, 20)) == integer(2, 5)
    assert shorter(integer(19, 20)) == 5
    assert shorter(choice(4, 20)) == choice(1, 5)
    assert shorter(choice(19, 20)) == 5


def test_the_time_of_a_batch_follows_from_fewer_rows() -> None:
    now = [0.0]

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.seen = nn.Linear(6, 3), []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            now[0] += 0.01 + 0.005 * len(x)
            self.seen.append(len(x))
            return self.layer(x)

    task, slow = Task(model, rows()), Slow()
    x, y = torch.zeros(100, 6), torch.zeros(100, dtype=torch.long)
    assert seconds_by_rows(task, slow, x, y, lambda: now[0]) == pytest.approx(0.01 + 0.005 * 100 + 0.015, rel=0.1)
    assert max(slow.seen) < 100


def test_a_refusal_comes_before_anything_is_compiled_or_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("lanewise.lanes.packs.engine.choose_plan", never)
    monkeypatch.setattr("lanewise.study.pilot.seconds_by_rows", lambda *_: 30.0)
    with pytest.raises(InputError, match="budget = '60s': must be at least "):
        lw.race(Task(model, rows()), SPACE, budget="60s", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_durations_in_epochs_still_fit_in() -> None:
    space = Recipe(optimizer=SGD(lr=log(1e-2, 1.0) * Cosine(warmup="2ep")), batch_size=12, epochs=8)
    with pytest.raises(InputError, match=r"must be at least 11ep here .* in 1 repeat of 2 epochs"):
        lw.race(Task(model, rows()), space, budget="9ep")


def test_ways_to_run_are_tried_for_a_quarter_of_a_time_and_never_for_nothing() -> None:
    settings = RaceSettings(budget="100s")
    study = Study(Task(model, rows()), SPACE, settings, threads=1)
    assert study.engine.allowed() == 25.0
    study.engine.costs = Costs(compile=12.0, trials=3.0)
    assert study.engine.allowed() == 10.0
    study.engine.costs = Costs(compile=40.0)
    assert study.engine.allowed() == 3.0
    assert Study(Task(model, rows()), SPACE, RaceSettings(budget="90ep"), threads=1).engine.allowed() == float("inf")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every structure runs the same way, whatever timings would say."""
    monkeypatch.setattr(
        "lanewise.lanes.packs.engine.choose_plan",
        lambda trial, *_: ChosenPlan(EAGER, program_of(EAGER, trial)[0], 0.0, 0.0),
    )


def small(folder: RunFolder | None, **given: Any) -> Study:
    """A race by a time for which it must be made small, with a clock that runs by the work done."""
    watch = Watch(0.25)
    settings = RaceSettings(repeats=2, generations=2, confirm=2, seed=5, budget="4s")
    space = replace(SPACE, epochs=4)
    enqueue = replace(space, optimizer=SGD(lr=0.1), dropout=0.1, early_stopping="100%")
    drawing = Drawing(enqueue=(enqueue,))
    made = Study(
        Task(model, rows()), space, settings, drawing=drawing, baseline=enqueue,
        folder=folder, threads=1, every=0, clock=watch, **given,
    )  # fmt: skip
    made.first_steps = lambda: 0.25
    made.planner.timed = lambda: (0.25, 0.0)
    made.planner.finish = 0.0
    watch.engine = made.engine
    return made


def test_a_race_made_small_goes_on_as_if_never_cut_off(tmp_path: Path, eager: None) -> None:
    rename, calls = os.replace, itertools.count()
    cut: list[Path] = []

    def copying(source: str, target: str) -> None:
        rename(source, target)
        if Path(target).name == "decisions.json" or next(calls) % 9 == 5:
            cut.append(Path(shutil.copytree(tmp_path / "run", tmp_path / f"{len(cut):03d}")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", copying)
        ran = small(RunFolder(tmp_path / "run"))
        verdict = ran.run()
    made = json.loads((tmp_path / "run" / "decisions.json").read_text())
    assert made["size"]["repeats"] == 1
    assert made["size"]["epochs"] == ran.space.epochs < 4
    assert {candidate.recipe.epochs for candidate in (*ran.candidates, *ran.confirmed)} == {ran.space.epochs}
    assert verdict.winner.epochs == ran.space.epochs
    asked = json.loads((tmp_path / "run" / "run.json").read_text())
    assert asked["settings"]["repeats"] == 2, "what was asked for stays on record"
    unfinished = [path for path in cut if (path / "run.json").exists() and not (path / "verdict.json").exists()]
    assert len(unfinished) > 4
    for path in (unfinished[1], unfinished[-1]):
        small(RunFolder.reopened(path)).run()
        assert json.loads((path / "decisions.json").read_text()) == made
        assert record(path) == record(tmp_path / "run")
