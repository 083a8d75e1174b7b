"""Intervals for scores, worths and interactions: how often they hold what is true, and what they make of nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lanewise as lw
from lanewise.errors import InputError
from lanewise.questions.comparison import Comparison
from lanewise.questions.paired_scores import expected, lost_without, score_intervals
from lanewise.statistics.row_scores import RowScores
from lanewise.statistics.sample import Sample
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.comparison import ComparisonAnswer
from tests.questions.side_by_side import run_of

POOL, VALID, REPEATS, STUDIES = 240, 60, 6, 80
OVERLAP = VALID / (POOL - VALID)
INTERACTION = np.array([[1.0, -1.0, -1.0, 1.0]])


def drawn(random: np.random.Generator, truth: np.ndarray) -> Sample:
    """Scores around `truth` [recipes]: runs, rows of the pool and rows in runs all differ; splits are drawn anew."""
    recipes = len(truth)
    rows = np.concatenate([random.choice(POOL, VALID, replace=False) for _ in range(REPEATS)])
    repeat = np.repeat(np.arange(REPEATS), VALID)
    run = 0.02 * random.normal(size=(recipes, REPEATS))
    # Rows have a part that is hard for all recipes, and a part that each finds hard by itself.
    hard = 0.3 * random.normal(size=POOL) + 0.08 * random.normal(size=(recipes, POOL))
    values = truth[:, None] + run[:, repeat] + hard[:, rows] + 0.2 * random.normal(size=(recipes, len(rows)))
    scores = np.stack([values[:, repeat == at].mean(axis=1) for at in range(REPEATS)], axis=1)
    return Sample(scores, overlap=OVERLAP, count=VALID, rows=RowScores(values, repeat, rows))


@pytest.mark.parametrize("by_rows", [True, False])
def test_intervals_hold_the_truth_as_often_as_they_say(by_rows: bool) -> None:
    random = np.random.default_rng(0)
    truth = np.array([0.9, 0.88, 0.9, 0.85])
    held = np.zeros((STUDIES, 3))
    for study in range(STUDIES):
        sample = drawn(random, truth)
        if not by_rows:
            sample = replace(sample, rows=None)
        (interaction,) = expected(sample.combined(INTERACTION))
        worths = lost_without(sample)
        score = score_intervals(sample)[0]
        held[study, 0] = interaction.low <= float((INTERACTION @ truth)[0]) <= interaction.high
        held[study, 1] = all(
            one.low <= truth[0] - true <= one.high for one, true in zip(worths, truth[1:], strict=True)
        )
        held[study, 2] = score.low <= truth[0] <= score.high
    # 95% less three standard errors of the simulation.
    least = 0.95 - 3 * np.sqrt(0.95 * 0.05 / STUDIES)
    assert (held.mean(axis=0) >= least).all()


def test_intervals_that_hold_at_once_are_wider() -> None:
    sample = drawn(np.random.default_rng(1), np.full(4, 0.9))
    for alone, together in zip(expected(sample), expected(sample, together=True), strict=True):
        assert together.low < alone.low < alone.mean == together.mean


def test_what_never_differs_is_exactly_nothing() -> None:
    one = drawn(np.random.default_rng(2), np.array([0.9, 0.8]))
    # Both removals do the same, so the last is neither more nor less than the first.
    same = one.chosen([0, 1, 0, 1])
    (interaction,) = expected(same.combined(INTERACTION), together=True)
    assert (interaction.mean, interaction.low, interaction.high) == (0, 0, 0)
    assert not interaction.excludes_zero


def test_a_score_that_cannot_be_is_not_in_its_interval() -> None:
    (perfect, _) = score_intervals(drawn(np.random.default_rng(3), np.array([1.0, 0.5])))
    assert perfect.high <= 1


def test_no_interval_of_a_score_goes_beyond_what_the_metric_can_be() -> None:
    kind = ScoreKind(greater_is_better=False, fraction=False)
    scores = -np.array([[0.1, 3.0, 0.2], [1.0, 1.1, 1.2]])
    free, bound = (
        score_intervals(Sample(scores, kind, OVERLAP, bounds=bounds))[0]
        for bounds in ((-np.inf, np.inf), (0.0, np.inf))
    )
    assert free.low < 0 == bound.low
    assert bound.high == free.high


def steady(outputs: Tensor, targets: Tensor) -> Tensor:
    """A score of a batch that is 1 at most, and nearly that."""
    return 1 - 0.1 * outputs.mean().abs().clamp(max=1)


def test_no_interval_of_a_metric_of_ones_own_goes_beyond_its_bounds() -> None:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=8, epochs=1)
    other = lw.Recipe(optimizer=lw.SGD(lr=0.2), batch_size=8, epochs=1)
    found = []
    for metric in (steady, lw.Metric("steady", steady, bounds=(0, 1))):
        task = lw.Task(lambda: nn.Linear(4, 1), (x, x.sum(1)), metric=metric)
        answer = run_of(Comparison({"a": recipe, "b": other}), [recipe], task=task).run()
        assert isinstance(answer, ComparisonAnswer)
        found.append(answer.compared[0].score)
    free, bound = found
    assert free.high > 1
    assert (bound.mean, bound.low, bound.high) == (free.mean, free.low, 1.0)


@pytest.mark.parametrize("bounds", [(1, 0), (0.5, 0.5), (0,), 1, (0, float("nan")), ("a", "b"), None])
def test_bounds_that_are_none_are_refused(bounds: Any) -> None:
    with pytest.raises(InputError, match=r"metric 'steady': bounds = .*: must be the least and the greatest score"):
        lw.Metric("steady", steady, bounds=bounds)


def test_a_score_beyond_its_bounds_and_a_direction_said_twice_are_refused() -> None:
    x = torch.ones(40, 4)
    given: dict[str, Any] = {"model": lambda: nn.Linear(4, 1), "data": (x, torch.arange(40.0))}
    with pytest.raises(InputError, match=r"metric 'steady' returns .*: must be in its bounds 2 to 3"):
        lw.Task(**given, metric=lw.Metric("steady", steady, bounds=(2, 3))).check_model()
    with pytest.raises(InputError, match=r"greater_is_better = False: must be True as in 'steady'"):
        lw.Task(**given, metric=lw.Metric("steady", steady), greater_is_better=False)
