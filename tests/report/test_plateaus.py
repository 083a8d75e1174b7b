"""What plateaus did in a run is told from its learning curve, exactly as the lanes felt it."""

import json

import numpy as np
import pytest

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine, Linear, Plateau
from lanewise.recipe.ranges import choice
from lanewise.recipe.recipe import Recipe
from lanewise.report.figures import curves
from lanewise.report.figures import race as figures
from lanewise.report.figures.outcome import outcomes
from lanewise.report.figures.plateaus import has_plateaus, replayed
from lanewise.study.race import Study
from lanewise.task.task import Task
from tests.report.studies import finished, model, source

NEVER_ENOUGH = Plateau(beta=0.5, patience=0, threshold=10.0)
"""No loss is better than a negative one, so every measurement but the first reduces."""


def test_the_replay_is_what_the_lanes_were_given() -> None:
    recipes = [
        Recipe(optimizer=SGD(lr=rate * Cosine() * Plateau(beta=0.5, patience=0)), dropout=0.1, batch_size=16, epochs=20)
        for rate in (0.05, 2.0)
    ]
    recipes.append(
        Recipe(optimizer=SGD(lr=0.5), dropout=0.4 * Plateau(patience=1, maximize=True), batch_size=16, epochs=20)
    )
    engine = Engine(Task(model, source("clouds")), 3, threads=1)
    cohort = Cohort(engine, recipes, (0, 1))
    for progress in cohort.evaluation_points:
        cohort.advance(progress)
        cohort.evaluate()
    (group,) = cohort.groups
    reduced = 0
    for at, pack in enumerate(group.packs):
        for candidate, recipe in enumerate(recipes):
            heard = replayed(recipe, group.total_steps, pack.feed.steps_per_epoch, cohort.curves[candidate, at])
            reduced += len(heard.reductions)
            for column, name in enumerate(recipe.numbers()):
                assert np.array_equal(heard.tables[name], pack.tables[candidate][:, column])
    assert reduced > 5
    engine.close()


@pytest.fixture(scope="module")
def study() -> Study:
    """A race of recipes that listen, each of which reduces at every measurement but the first."""
    return finished(Recipe(optimizer=SGD(lr=choice(0.05, 0.2) * NEVER_ENOUGH), batch_size=16, epochs=2), candidates=2)


def test_the_schedules_of_finalists_fall_where_their_plateaus_reduced(study: Study) -> None:
    figure = figures.schedules(study)
    assert figure is not None
    winner = study.verdict.finalists[0]
    line = next(one for one in figure.variants["0-0"]["data"] if one["meta"] == winner.candidate)
    rate = winner.recipe.optimizer.lr.factors[0]
    assert line["y"][0] == pytest.approx(rate)
    # Reduced at a half and at three quarters of the run; at its end there is nothing left to reduce.
    assert line["y"][-1] == pytest.approx(rate / 4)
    assert sorted(set(line["y"]), reverse=True) == pytest.approx([rate, rate / 2, rate / 4])
    assert "first new training run" in figure.caption


def test_learning_curves_mark_reductions(study: Study) -> None:
    figure = curves.learning_curves(study, outcomes(study))
    for variant in figure.variants.values():
        marks = [one for one in variant["data"] if one.get("name") == curves.TAKEN_DOWN]
        assert len(marks) == len(study.verdict.finalists)
        assert marks[0]["x"] == [1.0, 1.5, 2.0]
        assert all(words == "learning rate × 0.5 in 2 of 2 repeats" for one in marks for words in one["text"])  # noqa: RUF001
        lines = {one["meta"]: one for one in variant["data"] if one.get("mode") == "lines+markers"}
        for one in marks:
            assert one["y"] == lines[one["meta"]]["y"][1:]
    assert "Triangles" in figure.caption
    json.dumps(figure.variants, allow_nan=False)


def test_where_nothing_listens_nothing_is_marked() -> None:
    plain = finished(Recipe(optimizer=SGD(lr=choice(0.05, 0.2) * Linear()), batch_size=16, epochs=2), candidates=2)
    figure = curves.learning_curves(plain, outcomes(plain))
    assert "Triangles" not in figure.caption
    assert not any(one.get("name") for variant in figure.variants.values() for one in variant["data"])
    assert not has_plateaus(plain.verdict.winner, 10, 5)
