"""Repeats that are folds: as many as there are folds, the same for all candidates, drawn anew for the confirmation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import RepeatedKFold
from typer.testing import CliRunner

import lanewise as lw
from lanewise import cli
from lanewise.errors import InputError
from lanewise.lanes.training.cohort import Cohort
from lanewise.study.confirmation import overlap_of
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task
from tests.record.records import SPACE, model, rows
from tests.study.test_race import study


def test_the_repeats_are_the_folds_and_the_confirmation_whole_rounds_of_new_ones() -> None:
    found = [RaceSettings.of_task(folds, {}) for folds in (2, 3, 5, 10, 20, None)]
    assert [settings.repeats for settings in found] == [2, 3, 5, 10, 20, 3]
    assert [settings.confirm for settings in found] == [8, 9, 10, 10, 20, 8]
    twice = RaceSettings.of_task(3, {"repeats": 6, "confirm": 3, "seed": 4})
    assert (twice.repeats, twice.confirm, twice.seed) == (6, 3, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"repeats": 4}, "repeats = 4: must be a multiple of folds = 5, such as 5"),
        ({"repeats": 12}, "repeats = 12: must be a multiple of folds = 5, such as 15"),
        ({"confirm": 8}, "confirm = 8: must be a multiple of folds = 5, such as 10"),
    ],
)
def test_repeats_that_are_no_whole_rounds_are_refused(given: dict[str, int], message: str, tmp_path: Path) -> None:
    data = lw.load(rows(), folds=5)
    with pytest.raises(InputError, match=message):
        lw.race(Task(model, data), SPACE, out=tmp_path / "run", **given)
    with pytest.raises(InputError, match=message):
        study(data=data, settings=RaceSettings(**{"repeats": 5, "confirm": 5, **given}))
    words = [word for name, count in given.items() for word in (f"--{name}", str(count))]
    shown = CliRunner().invoke(cli.app, ["race", "--folds", "5", "--out", str(tmp_path / "run"), *words])
    assert message in str(shown.exception)
    assert not (tmp_path / "run").exists()


def test_fewer_rows_of_a_class_than_folds_are_refused(tmp_path: Path) -> None:
    x, y = rows()
    y = torch.where(torch.arange(120) < 8, 2, y % 2)
    message = r"folds = 9: class 2 has 6 rows .*; must be at least 9"
    with pytest.raises(InputError, match=message) as caught:
        lw.race(Task(model, lw.load((x, y), folds=9)), SPACE, out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_all_candidates_have_the_same_folds_and_finalists_have_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Cohort] = []
    begin = Cohort.__init__

    def seen(cohort: Cohort, *given: Any, **named: Any) -> None:
        begin(cohort, *given, **named)
        made.append(cohort)

    monkeypatch.setattr(Cohort, "__init__", seen)
    settings = RaceSettings(candidates=2, repeats=3, generations=1, finalists=2, confirm=6)
    ran = study(data=lw.load(rows(), folds=3), settings=settings)
    verdict = ran.run()
    assert [list(cohort.repeats) for cohort in made] == [[0, 1, 2], [3, 4, 5, 6, 7, 8]]
    rounds = []
    for first in (0, 3, 6):
        folds = [ran.engine.repeat(first + fold).split.valid for fold in range(3)]
        assert torch.equal(torch.cat(folds).sort().values, torch.arange(96)), "every row validates once"
        rounds.append([tuple(fold.tolist()) for fold in folds])
    assert rounds[0] != rounds[1] != rounds[2] != rounds[0]
    assert len(verdict.finalists[0].scores) == 6


@pytest.mark.parametrize(("folds", "rows_of_pool"), [(2, 100), (5, 100), (10, 103)])
def test_the_overlap_is_that_of_repeated_folds(folds: int, rows_of_pool: int) -> None:
    data = lw.load((torch.randn(rows_of_pool, 2), torch.randn(rows_of_pool)), folds=folds, test=[0])
    splitter = data.splitter.of_pool(torch.arange(1, rows_of_pool))
    splits = [splitter.split(None, rows_of_pool - 1, repeat, lambda r: r) for repeat in range(2 * folds)]
    overlap, valid = overlap_of(splits)
    assert overlap == pytest.approx(1 / (folds - 1), rel=0.02)
    assert valid == round((rows_of_pool - 1) / folds)
    theirs = RepeatedKFold(n_splits=folds, n_repeats=2, random_state=0).split(np.zeros(rows_of_pool - 1))
    assert overlap == pytest.approx(np.mean([len(valid) / len(train) for train, valid in theirs]), rel=1e-6)
