"""Who still counts: recipes that diverged do not, and as many are confirmed as were asked for."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lanewise as lw
from lanewise.errors import InputError
from lanewise.recipe.recipe import Recipe
from lanewise.report.figures import race as figures
from lanewise.report.figures.outcome import outcomes
from lanewise.report.page import sections
from lanewise.report.terminal.race import _field
from lanewise.study.progress import Progress
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task
from lanewise.verdict.verdict import Verdict
from tests.record.records import eager_plans
from tests.report.studies import DIVERGING, TOO_HIGH, Recorder, model, source

EPOCHS = 8
MANY = replace(
    DIVERGING, optimizer=lw.SGD(lr=lw.choice(0.1, TOO_HIGH), momentum=lw.uniform(0.1, 0.9)), epochs=EPOCHS
)  # fmt: skip


def finished(space: Recipe, observer: Recorder | None = None, **given: int) -> Study:
    """A study of `space` that has come to its verdict, eager."""
    settings = RaceSettings(**({"repeats": 2, "generations": 2, "finalists": 3, "confirm": 2} | given))
    study = Study(
        Task(model, source("clouds")), space, settings, observer=observer, threads=1, plans=eager_plans(space)
    )
    study.run()
    return study


@pytest.fixture(scope="module")
def raced() -> tuple[Study, Recorder]:
    """A race in which about half diverge at once."""
    recorder = Recorder()
    return finished(MANY, observer=recorder, candidates=8, generations=1, finalists=3), recorder


def lost(study: Study) -> int:
    return sum(bool(candidate.diverged) for candidate in study.candidates)


def test_diverged_recipes_are_not_still_in(raced: tuple[Study, Recorder]) -> None:
    study, recorder = raced
    assert 0 < lost(study) < 8
    told = [one for one in recorder.told if isinstance(one, Progress) and "race" in one.phase]
    last = told[-1]
    assert last.diverged == lost(study)
    assert last.live == sum(c.stopped_at is None and not c.diverged for c in study.candidates)
    assert _field(last) == f"{last.live} of 8 recipes still training, {last.diverged} diverged"
    assert all(one.live + one.diverged <= 8 for one in told)


def test_the_confirmation_counts_its_own(raced: tuple[Study, Recorder]) -> None:
    last = [one for one in raced[1].told if isinstance(one, Progress)][-1]
    assert (last.live, last.drawn, last.diverged) == (3, 8, lost(raced[0]))
    assert _field(last) == f"3 of 8 recipes still training, {last.diverged} diverged"


def test_the_verdict_and_the_report_say_how_many_diverged(raced: tuple[Study, Recorder]) -> None:
    study = raced[0]
    assert study.verdict.diverged == study.verdict.to_dict()["diverged"] == lost(study)
    assert f"Of the 8 candidates, {lost(study)} diverged in the race." in study.verdict.sentences()
    section = sections.course(study, outcomes(study), [])
    assert section is not None
    assert f"{lost(study)} diverged." in section.intro
    again = Verdict.from_dict(json.loads(json.dumps(study.verdict.to_dict())), "verdict.json")
    assert again.sentences() == study.verdict.sentences()


def test_at_a_rung_only_those_that_train_are_counted(raced: tuple[Study, Recorder]) -> None:
    study = raced[0]
    figure = figures.race(study, outcomes(study))
    assert figure is not None
    ticks = [int(text.split("<br>")[1]) for text in figure.variants[""]["layout"]["xaxis"]["ticktext"]]
    assert ticks[0] == 8
    assert all(count <= 8 - lost(study) for count in ticks[1:])


@pytest.mark.parametrize(("candidates", "generations", "finalists"), [(4, 1, 2), (4, 2, 4), (5, 3, 3)])
def test_as_many_are_confirmed_as_were_asked_for(candidates: int, generations: int, finalists: int) -> None:
    space = replace(MANY, optimizer=lw.SGD(lr=lw.uniform(0.05, 0.2), momentum=0.5))
    study = finished(space, candidates=candidates, generations=generations, finalists=finalists)
    assert len(study.verdict.finalists) == finalists


def test_fewer_than_asked_for_are_said() -> None:
    recorder = Recorder()
    study = finished(replace(MANY, optimizer=lw.SGD(lr=lw.choice(0.1, TOO_HIGH))), observer=recorder, candidates=4)
    assert len(study.verdict.finalists) == 1
    note = "finalists = 3: only 1 can be confirmed, because no more finished the race with different recipes"
    assert note in recorder.told


def test_equal_recipes_are_counted(diverged_twice: Study) -> None:
    recipes = {str(candidate.recipe) for candidate in diverged_twice.candidates}
    repeated = len(diverged_twice.candidates) - len(recipes)
    assert diverged_twice.verdict.duplicates == repeated > 0
    assert any(f"{repeated} had the same recipe as another" in line for line in diverged_twice.verdict.sentences())


@pytest.fixture(scope="module")
def diverged_twice() -> Study:
    return finished(DIVERGING, candidates=6)


def test_all_diverged_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="every candidate diverged"):
        finished(replace(DIVERGING, optimizer=lw.SGD(lr=lw.choice(TOO_HIGH, 2 * TOO_HIGH))), candidates=2, finalists=2)


def test_a_finalist_that_diverges_in_the_confirmation_is_told(raced: tuple[Study, Recorder]) -> None:
    verdict: Any = raced[0].verdict
    first, second, *rest = verdict.finalists
    scores = np.where(np.arange(len(second.scores)) == 0, np.nan, second.scores)
    changed = replace(verdict, finalists=(first, replace(second, scores=scores), *rest))
    assert changed.sentences()[-1] == (
        f"Candidate {second.candidate} diverged in 1 of 2 new training runs; a diverged run counts as the worst "
        "possible score."
    )
    assert changed.to_dict()["finalists"][1]["diverged"] == 1
