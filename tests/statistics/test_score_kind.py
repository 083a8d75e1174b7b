"""Metrics of any scale and direction: how they are ranked, compared, told and recorded."""

import json
import math

import numpy as np
import pytest

from lanewise.errors import InputError
from lanewise.lanes.training.groups import Scores
from lanewise.metrics import find_metric
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import TIE, Candidate, rung_scores, standing
from lanewise.statistics.differences import lead_of
from lanewise.statistics.intervals import Interval, crossed_interval, fraction_interval, score_interval
from lanewise.statistics.sample import Sample, filled_below
from lanewise.statistics.score_kind import ScoreKind, plain_numbers
from lanewise.verdict.phrases import references_words, unbeaten_words
from lanewise.verdict.ranking import intervals_on_test_rows, rank_finalists
from lanewise.verdict.verdict import Finalist, Verdict

ERROR, PLAIN = ScoreKind(greater_is_better=False, fraction=False), ScoreKind(fraction=False)
RECIPES = [Recipe(optimizer=SGD(lr=rate)) for rate in (0.1, 0.2, 0.3)]
ERRORS = np.array([[0.50, 0.52, 0.51, 0.49], [0.21, 0.20, 0.19, 0.20], [0.20, 0.21, 0.22, 0.21]])
LOSS = np.full((3, 4), 0.1)
GAP = Interval(0.0123, -0.004, 0.0286, 4)


def scores(loss: list[float], metric: list[float]) -> Scores:
    """Scores of candidates in one repeat."""
    return Scores(np.array(loss), np.array(metric))


def ranked(errors: np.ndarray = ERRORS, loss: np.ndarray = LOSS) -> tuple[Finalist, ...]:
    """Candidates 7, 3 and 5 by an error, of which 3 has the least."""
    return rank_finalists([7, 3, 5], RECIPES, Sample.of(-errors, loss, ERROR, overlap=1 / 3, count=100))


def verdict(found: tuple[Finalist, ...], difference: Interval | None = GAP) -> Verdict:
    """A verdict by an error."""
    return Verdict(found, Interval(0.2, 0.19, 0.21, 4), difference, "squared error", 48, 9, {"total": 1.0}, {}, ERROR)


def test_fractions_are_ranked_by_error_and_a_hundredth_of_the_loss() -> None:
    loss, metric = [0.0, 0.3, 7.0], [0.9, 0.95, 0.5]
    expected = [1 - m + TIE * x / (1 + x) for x, m in zip(loss, metric, strict=True)]
    assert rung_scores(scores(loss, metric)).tolist() == expected


@pytest.mark.parametrize("fraction", [True, False])
def test_a_lower_loss_tells_ties_however_negative_it_is(fraction: bool) -> None:
    losses = [-1e6, -3.0, -1.0, -0.999, -0.5, 0.0, 0.5, 1.0, 1e6]
    for metric in (0.0, 0.7, -0.7):
        found = rung_scores(scores(losses, [metric] * len(losses)), fraction)
        assert np.isfinite(found).all()
        assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("size", [1e-30, 1e-4, 1.0, 1e12])
def test_the_loss_never_outweighs_a_metric_of_any_size(size: float) -> None:
    metric = size * np.array([-3.0, -1.0, -0.999, 0.001, 0.5, 2.0])
    losses = np.array([-1e9, -0.5, 0.0, 3.0, 1e3, 1e9])
    found = rung_scores(Scores(losses, metric), fraction=False)
    assert (np.diff(found) < 0).all()


def test_what_is_no_finite_number_is_not_scored() -> None:
    found = rung_scores(scores([0.1, np.nan, 0.1, 0.1], [np.inf, 0.5, np.nan, 0.5]), fraction=False)
    assert np.isnan(found).tolist() == [True, True, True, False]
    candidates = [Candidate(0, RECIPES[0], 0, loss=0.1, score=np.nan), Candidate(1, RECIPES[1], 0, loss=9, score=-9.0)]
    assert [candidate.scored for candidate in candidates] == [False, True]
    assert min(candidates, key=standing).number == 1


def test_the_least_error_wins_and_is_ahead() -> None:
    found = ranked()
    assert [finalist.candidate for finalist in found] == [3, 5, 7]
    assert found[0].scores.tolist() == ERRORS[1].tolist()
    leads = [finalist.difference.mean for finalist in found if finalist.difference]
    assert leads == pytest.approx([0.01, 0.305])
    assert [finalist.significant for finalist in found] == [False, False, True]


def test_only_shares_are_believed_to_be_rounded_to_whole_rows() -> None:
    same = np.array([[0.20, 0.21], [0.21, 0.22]])
    of_an_error, of_a_share = (
        rank_finalists([0, 1], RECIPES[:2], Sample.of(scores, LOSS[:2, :2], kind, overlap=0.3, count=10))[1].difference
        for scores, kind in ((-same, ERROR), (1 - same, ScoreKind()))
    )
    assert of_an_error is not None
    assert of_a_share is not None
    assert of_an_error.high - of_an_error.low < 1e-9 < 0.1 < of_a_share.high - of_a_share.low


@pytest.mark.parametrize("gone", [np.nan, np.inf])
def test_a_run_that_diverged_is_worse_than_any_error(gone: float) -> None:
    errors = ERRORS.copy()
    errors[1, 2] = gone
    found = ranked(errors)
    assert [finalist.candidate for finalist in found] == [5, 7, 3]
    assert np.isnan(found[2].scores[2])
    for finalist in found[1:]:
        assert finalist.difference is not None
        assert finalist.difference.mean > 0
        assert np.isfinite([finalist.difference.low, finalist.difference.high]).all()


def test_fewer_diverged_runs_are_better_than_more() -> None:
    errors = np.array([[0.1, np.nan, np.nan, 0.1], [0.9, np.nan, 0.9, 0.9], [np.nan] * 4])
    loss = np.where(np.isnan(errors), np.nan, 0.1)
    assert [finalist.candidate for finalist in ranked(errors, loss)] == [3, 7, 5]
    whole = ranked(np.array([ERRORS[0], ERRORS[1], [np.nan] * 4]))
    assert whole[2].candidate == 5
    assert whole[2].significant


def test_nan_is_filled_even_where_all_else_is_equal() -> None:
    assert filled_below(np.array([[0.0, np.nan], [0.0, 0.0]])).tolist() == [[0.0, -1.0], [0.0, 0.0]]
    assert filled_below(np.array([[-40.0, np.nan]])).tolist() == [[-40.0, -80.0]]


def test_nothing_but_nan_is_refused_in_words_that_fit() -> None:
    gone = np.full((3, 4), np.nan)
    with pytest.raises(InputError, match="every recipe diverged in every training run"):
        ranked(gone, gone)
    with pytest.raises(InputError, match="metric: must be a finite number"):
        ranked(gone, LOSS)


def test_the_test_rows_of_an_error_are_told_in_its_direction() -> None:
    rows = {n: -np.random.default_rng(n).random((4, 30)) for n in (3, 5)}
    tested = intervals_on_test_rows(rows, ranked(), ERROR)
    test, difference = tested.winner, tested.runner_up
    assert test == crossed_interval(-rows[3])
    assert 0 < test.low < test.mean < test.high
    assert difference == lead_of(rows[3], rows[5])


def test_repeats_that_diverged_are_left_out_on_the_test_rows() -> None:
    rows = {n: -np.random.default_rng(n).random((4, 30)) for n in (3, 5)}
    rows[5][1, 7] = -np.inf
    rows[3][2] = np.nan
    tested = intervals_on_test_rows(rows, ranked(), ERROR)
    test, difference = tested.winner, tested.runner_up
    assert test == crossed_interval(-rows[3][[0, 1, 3]])
    assert difference == lead_of(rows[3][[0, 3]], rows[5][[0, 3]])
    rows[5][0] = -np.inf
    assert intervals_on_test_rows(rows, ranked(), ERROR).runner_up is None
    rows[3][:3] = np.nan
    with pytest.raises(InputError, match="is in 1 of 4 for the winner"):
        intervals_on_test_rows(rows, ranked(), ERROR)


def test_intervals_of_one_row_or_of_constant_scores() -> None:
    assert score_interval(np.full((3, 5), 2.5), fraction=False) == Interval(2.5, 2.5, 2.5, 3)
    assert score_interval(np.full((3, 1), -2.5), fraction=False) == Interval(-2.5, -2.5, -2.5, 3)
    one = score_interval(np.array([[1.0], [2.0], [3.0]]), fraction=False)
    half = 4.30265 / math.sqrt(3)  # Student's t with 2 degrees of freedom
    assert (one.low, one.high) == pytest.approx((2 - half, 2 + half), rel=1e-5)
    share = score_interval(np.array([[0.0], [1.0], [1.0]]), fraction=True)
    assert (share.low, share.high) == (0.0, 1.0)
    many = (np.random.default_rng(0).random((3, 40)) < 0.9).astype(float)
    assert score_interval(many, fraction=True) == fraction_interval(many)


def test_the_verdict_by_an_error_in_words() -> None:
    assert verdict(ranked()).sentences() == [
        "Best recipe: SGD, learning rate 0.2 - 0.2000 test squared error",
        f"Its chance of being the best of the 3 finalists is {ranked()[0].chance:.0%}.",
        "Candidate 5 is too close to call, so it could be as good.",
        "Test squared error is 0.2000 (95% CI 0.1900 to 0.2100), from 4 new training runs on held-out examples; lower "
        "is better.",
        "The winner leads the runner-up (5) by 0.0123 (95% CI -0.0040 to +0.0286): too close to call.",
        "No reasonable number of training runs or examples would separate them.",
    ]
    behind = verdict(ranked(), Interval(-0.0123, -0.0286, 0.004, 4)).sentences()[4]
    assert behind == (
        "On test the runner-up scored 0.0123 lower (95% CI -0.0040 to +0.0286; lower is better): too close to call."
    )
    assert "cannot be compared with the runner-up (5)" in verdict(ranked(), None).sentences()[4]


@pytest.mark.parametrize("difference", [GAP, None])
def test_the_record_of_an_error_is_read_back(difference: Interval | None) -> None:
    errors = ERRORS.copy()
    errors[0, 1] = np.nan
    given = verdict(ranked(errors), difference)
    data = json.loads(json.dumps(given.to_dict(), allow_nan=False))
    assert (data["greater_is_better"], data["fraction"]) == (False, False)
    assert data["test"] == {"mean": 0.2, "low": 0.19, "high": 0.21, "repeats": 4}
    assert data["finalists"][0]["validation"] == [0.21, 0.20, 0.19, 0.20]
    assert data["finalists"][1]["difference"]["mean"] == pytest.approx(0.01)
    read = Verdict.from_dict(data, "verdict.json")
    assert read.kind == ERROR
    assert read.difference == difference
    assert read.to_dict() == given.to_dict()
    assert read.sentences() == given.sentences()


def test_numbers_that_stand_beside_each_other_have_the_same_decimals() -> None:
    assert plain_numbers([0.98765, 1.0, 0.9]) == ["0.988", "1.000", "0.900"]
    assert plain_numbers([-0.00004, 0.5]) == ["0.0000", "0.5000"]
    assert plain_numbers([1e7, 2.0]) == ["1.000e+07", "2.000e+00"]
    assert plain_numbers([math.inf, 1.0]) == ["inf", "1.000"]
    assert ERROR.turned(0.0) == 0.0
    assert math.copysign(1, ERROR.turned(0.0)) == 1


def test_no_interval_goes_beyond_what_a_metric_can_be() -> None:
    rows = {n: -(10 ** np.random.default_rng(n).uniform(-3, 1, (2, 6))) for n in (3, 5)}
    free = intervals_on_test_rows(rows, ranked(), ERROR).winner
    assert free.low < 0
    bound = intervals_on_test_rows(rows, ranked(), ERROR, bounds=find_metric("regression", "squared error").bounds)
    assert bound.winner == Interval(free.mean, 0.0, free.high, 2)
    assert find_metric("regression", "R2").bounds == (-np.inf, 1.0)


def test_a_simple_model_is_written_with_the_same_digits_in_both_sentences() -> None:
    known = {"quantile": 1.174, "linear model": 0.4335}
    assert unbeaten_words(0.6, known, ERROR) == ", which does not beat a linear model (0.434)"
    assert references_words(known, ERROR)[0].endswith("always guessing the quantile 1.174, a linear model 0.434.")
