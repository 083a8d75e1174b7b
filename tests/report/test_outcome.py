import copy
import math

import pytest

import lanewise as lw
from lanewise.record.candidate import Candidate
from lanewise.report.figures.outcome import outcomes, run_length, settings_that_differ
from lanewise.study.race import Study
from tests.report.studies import SPACE, TOO_HIGH


def test_places_run_from_the_winner_to_the_first_that_left(study: Study) -> None:
    found = outcomes(study)
    assert [outcome.place for outcome in found] == list(range(1, len(study.candidates) + 1))
    confirmed = [finalist.candidate for finalist in study.verdict.finalists]
    assert [outcome.number for outcome in found][: len(confirmed)] == confirmed
    assert [outcome.state for outcome in found][: len(confirmed)] == ["winner"] + ["finalist"] * (len(confirmed) - 1)
    assert sorted(outcome.number for outcome in found) == list(range(len(study.candidates)))


def test_those_that_left_say_where(study: Study) -> None:
    for outcome in outcomes(study):
        if outcome.state == "left":
            assert outcome.words == f"stopped at {100 * (outcome.candidate.stopped_at or 0):.3g}%"
            assert outcome.reached == outcome.candidate.stopped_at


def test_diverged_candidates_come_last_with_their_step(diverged: Study) -> None:
    found = outcomes(diverged)
    lost = [outcome for outcome in found if outcome.state == "diverged"]
    assert found[-len(lost) :] == lost
    for outcome in lost:
        step = min(outcome.candidate.diverged.values())
        assert outcome.words.startswith(f"diverged at step {step}")
        assert outcome.reached == step / run_length(diverged, outcome.recipe)[0]
        assert math.isnan(outcome.candidate.loss)


def test_order_below_the_finalists(study: Study) -> None:
    winner = study.verdict.finalists[0]
    recipe = winner.recipe
    ends = [(None, 0.3), (None, 0.2), (0.25, 0.1), (0.5, 0.9), (0.5, 0.8)]
    made = [Candidate(100 + at, recipe, 0, stopped_at, loss) for at, (stopped_at, loss) in enumerate(ends)]
    for candidate in made:
        candidate.curves = {0: [(candidate.stopped_at or 1.0, 1.0, candidate.loss, 0.5)]}
    lost = [Candidate(200, recipe, 0, 0.5, diverged={0: 2, 1: 1}), Candidate(201, recipe, 0, 0.5, diverged={1: 6})]
    raced = copy.copy(study)
    raced.candidates = [*lost, *made, Candidate(winner.candidate, recipe, 0, None, 9.0)]
    found = outcomes(raced)
    assert [outcome.number for outcome in found] == [winner.candidate, 101, 100, 104, 103, 102, 201, 200]
    assert [outcome.words for outcome in found[-2:]] == ["diverged at step 6 in 1 of 2 repeats", "diverged at step 1"]


def test_only_settings_that_differ_are_columns() -> None:
    recipes = [
        lw.Recipe(optimizer=lw.SGD(lr=0.1 * lw.Cosine(), momentum=0.9), dropout=0.1),
        lw.Recipe(optimizer=lw.SGD(lr=0.2 * lw.Linear(), momentum=0.9), dropout=None),
    ]
    columns = {setting.name: setting for setting in settings_that_differ(recipes, SPACE)}
    assert list(columns) == ["schedule", "learning rate", "dropout"]
    assert columns["learning rate"].values == [0.1, 0.2]
    assert columns["learning rate"].is_number
    assert not columns["schedule"].is_number
    assert columns["dropout"].values == [0.1, None]


def test_optimizers_that_share_no_number_stand_side_by_side() -> None:
    recipes = [lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9)), lw.Recipe(optimizer=lw.AdamW(lr=0.1, beta1=0.8))]
    columns = {setting.name: setting for setting in settings_that_differ(recipes, SPACE)}
    assert columns["optimizer"].values == ["SGD", "AdamW"]
    assert columns["momentum"].values == [0.9, None]
    assert columns["beta1"].values == [None, 0.8]
    assert "learning rate" not in columns


@pytest.mark.parametrize(
    ("space", "rates", "expected"),
    [
        (lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 1.0))), (0.1, 0.2), True),
        (lw.Recipe(optimizer=lw.SGD(lr=lw.uniform(0.01, 1.0))), (0.1, 0.2), False),
        (SPACE, (0.1, TOO_HIGH), True),
        (lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 1.0))), (0.0, 0.2), False),
    ],
)
def test_scale_follows_the_space(space: lw.Recipe, rates: tuple[float, float], expected: bool) -> None:
    recipes = [lw.Recipe(optimizer=lw.SGD(lr=rate)) for rate in rates]
    assert settings_that_differ(recipes, space)[0].log is expected
