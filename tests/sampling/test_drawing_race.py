"""Samplers, recipes of one's own and a shared database in whole races, which are stopped and end the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler

import lanewise as lw
from lanewise.errors import InputError
from lanewise.lanes.packs.plan import Plan
from lanewise.parts.optimizers import SGD, AdamW
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.sampling.sampler import OUTSIDE, Sampler
from lanewise.sampling.samplers import quiet
from lanewise.study.progress import Observer, Progress
from lanewise.task.task import Task
from tests.record.records import model, rows, shared_url

SPACE = Recipe(
    optimizer=choice(SGD(lr=log(1e-2, 1.0), momentum=0.9), AdamW(lr=log(1e-3, 1e-1))),
    norm=choice("own", "layer"),
    batch_size=choice(12, 24),
    dropout=uniform(0.0, 0.3),
    epochs=1,
)
"""Optimizer, norm and batch size form up to eight packs of one study."""
MINE = (
    Recipe(optimizer=SGD(lr=0.1, momentum=0.9), batch_size=12, dropout=0.1, epochs=1),
    Recipe(optimizer=SGD(lr=0.1, momentum=0.9), batch_size=16, epochs=1),
)
SETTINGS: dict[str, Any] = {"candidates": 8, "repeats": 1, "generations": 2, "finalists": 2, "confirm": 2, "threads": 1}


def own(seed: int) -> BaseSampler:
    """A sampler of the user's own."""
    return TPESampler(seed=seed, n_startup_trials=2)


class Stops(Observer):
    """Presses Ctrl-C when the second generation is first shown."""

    def show(self, progress: Progress) -> None:
        if "generation 2" in progress.phase:
            raise KeyboardInterrupt


def engine(folder: Path) -> Path:
    """Plans that are given, so that nothing is measured."""
    recipes = [*Sampler(SPACE, 0, None).ask(60, 0), *MINE]
    eager = Plan(packed=True, compiled=False, width=4, workers=1, threads=1, why="given")
    there = RunFolder(folder / "plans")
    there.write_plans({str(recipe.structure()): eager for recipe in recipes})
    return there.engine


def trials(url: str, name: str) -> list[Any]:
    with quiet():
        found = optuna.load_study(study_name=name, storage=url).trials
    return [(t.state, t.params, t.value, t.intermediate_values, t.user_attrs) for t in found]


def test_a_race_in_a_shared_database_with_a_sampler_of_ones_own_goes_on_to_the_same_end(tmp_path: Path) -> None:
    task, url = Task(model, rows()), shared_url(tmp_path)
    given = SETTINGS | {"engine": engine(tmp_path), "sampler": own, "enqueue": list(MINE), "checkpoint_every": 0}
    whole = lw.race(task, SPACE, out=tmp_path / "whole", storage=url, **given)
    assert [c.recipe for c in whole.study.candidates[:2]] == list(MINE)
    assert len({str(c.recipe.structure()) for c in whole.study.candidates}) > 3

    with pytest.raises(KeyboardInterrupt):
        lw.race(task, SPACE, out=tmp_path / "cut", storage=url, observer=Stops(), **given)
    with pytest.raises(InputError, match=r"its record is in another place, .*; if that is right, give it again"):
        lw.resume(tmp_path / "cut", task, sampler=own)
    with pytest.raises(InputError, match=r"its sampler, tests.sampling.test_drawing_race.own, is your own"):
        lw.resume(tmp_path / "cut", task, storage=url)
    again = lw.resume(tmp_path / "cut", task, sampler=own, storage=url)
    assert again.winner == whole.winner
    assert [c.recipe for c in again.study.candidates] == [c.recipe for c in whole.study.candidates]

    names = [json.loads((tmp_path / run / "run.json").read_text())["drawing"]["study"] for run in ("whole", "cut")]
    first, second = (trials(url, name) for name in names)
    assert names[0] != names[1]
    assert first == second
    assert len(first) == 8
    assert [OUTSIDE in attributes for *_, attributes in first[:3]] == [False, True, False]
    assert not (tmp_path / "whole" / "study.db").exists()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"sampler": "best"}, r"sampler = 'best': must be one of tpe"),
        ({"sampler": "grid"}, r"optimizer.sgd.lr = log\(0.01, 1.0\) has no points"),
        ({"enqueue": ["missing.yaml"]}, "missing.yaml: no such recipe file"),
        ({"enqueue": MINE[0]}, "enqueue is a Recipe: must be a list"),
        ({"enqueue": [replace(MINE[0], batch_size=4000)]}, "batch_size"),
        ({"storage": "nonsense"}, "storage: is not the URL of a database"),
        ({"storage": 3}, "storage is an int: must be the URL"),
        ({"storage": "sqlite:////no/such/folder/x.db"}, "cannot be reached: unable to open database file"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused_before_anything_is_written(
    given: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=why):
        lw.race(Task(model, rows()), SPACE, out=tmp_path / "run", **SETTINGS | given)
    assert not (tmp_path / "run").exists()
