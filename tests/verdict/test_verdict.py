"""The verdict: who wins, and how sure that is; what it says is in test_sentences.py."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.differences import chances_of_best, lead_of, with_best
from lanewise.statistics.intervals import Interval, fraction_interval
from lanewise.statistics.paired_means import paired_means
from lanewise.statistics.row_scores import RowScores
from lanewise.statistics.sample import Sample
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.phrases import difference_words, score_words
from lanewise.verdict.ranking import intervals_on_test_rows, rank_finalists
from lanewise.verdict.verdict import Finalist, Verdict

RECIPES = [Recipe(optimizer=SGD(lr=rate)) for rate in (0.1, 0.2, 0.3)]
METRIC = np.array([[0.80, 0.82, 0.81, 0.79], [0.97, 0.98, 0.96, 0.97], [0.96, 0.97, 0.97, 0.97]])
LOSS = np.array([[0.5, 0.5, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]])


def finalists(metric: np.ndarray = METRIC, loss: np.ndarray = LOSS) -> tuple[Finalist, ...]:
    """Candidates 7, 3 and 5, of which 3 is best and 7 far behind."""
    return ranked([7, 3, 5], metric, loss)


def ranked(
    numbers: list[int], metric: np.ndarray, loss: np.ndarray, kind: ScoreKind | None = None, **given: Any
) -> tuple[Finalist, ...]:
    """The finalists with these numbers and scores; a third of the rows validate."""
    sample = Sample.of(metric, loss, kind or ScoreKind(), **({"overlap": 1 / 3} | given))
    return rank_finalists(numbers, RECIPES, sample)


LEAD = Interval(0.003, -0.002, 0.008, 4)


def verdict(listed: tuple[Finalist, ...], test: Interval | None = None, difference: Interval | None = LEAD) -> Verdict:
    """A verdict on `listed`."""
    test = test or Interval(0.978, 0.9712, 0.9846, 4)
    return Verdict(listed, test, difference, "accuracy", 48, 1234, {"total": 1.5}, {"key": {"packed": True}})


def test_finalists_come_best_first() -> None:
    found = finalists()
    assert [finalist.candidate for finalist in found] == [3, 5, 7]
    assert [finalist.recipe for finalist in found] == [RECIPES[1], RECIPES[2], RECIPES[0]]
    assert [finalist.scores.tolist() for finalist in found] == METRIC[[1, 2, 0]].tolist()


def test_each_is_compared_with_the_winner() -> None:
    found = finalists()
    means = paired_means(METRIC, 1 / 3)
    behind_7, behind_5 = with_best(means, 1)
    assert found[0].difference is None
    for finalist, expected in zip(found[1:], (behind_5, behind_7), strict=True):
        assert finalist.difference is not None
        # Sums may be added up in another order.
        assert finalist.difference.to_dict() == pytest.approx(expected.to_dict())
    assert behind_5.mean == pytest.approx(0.0025)
    assert behind_7.mean == pytest.approx(0.165)
    assert [finalist.significant for finalist in found] == [False, False, True]
    assert [finalist.chance for finalist in found] == pytest.approx(chances_of_best(means)[[1, 2, 0]].tolist())
    assert [finalist.needed is None for finalist in found] == [True, False, True]


def test_equal_metrics_are_ranked_by_loss() -> None:
    metric = METRIC[[1, 1, 1]]
    loss = np.array([[0.3] * 4, [0.2] * 4, [0.1] * 4])
    assert [finalist.candidate for finalist in finalists(metric, loss)] == [5, 3, 7]


def test_a_finalist_that_diverges_comes_last() -> None:
    metric, loss = METRIC.copy(), LOSS.copy()
    metric[1, 2] = loss[1, 2] = np.nan
    found = finalists(metric, loss)
    assert [finalist.candidate for finalist in found] == [5, 7, 3]
    assert np.isnan(found[2].scores[2])
    assert all(np.isfinite([f.difference.low, f.difference.high]).all() for f in found[1:] if f.difference)


def test_the_test_rows_give_the_winner_and_its_lead() -> None:
    rows = {n: (np.random.default_rng(n).random((4, 30)) < 0.9).astype(float) for n in (3, 5)}
    test = intervals_on_test_rows(rows, finalists())
    assert test.winner == fraction_interval(rows[3])
    assert test.runner_up == lead_of(rows[3], rows[5])
    assert test.baseline is None


def test_the_test_rows_compare_the_baseline_too() -> None:
    rows = {n: (np.random.default_rng(n).random((4, 30)) < 0.9).astype(float) for n in (3, 5, 7)}
    assert intervals_on_test_rows(rows, finalists(), baseline=7).baseline == lead_of(rows[3], rows[7])
    assert intervals_on_test_rows(rows, finalists(), baseline=3).baseline is None


def test_single_rows_tell_more_than_the_means_of_repeats() -> None:
    generator = np.random.default_rng(0)
    right = np.stack([generator.random((3, 400)) < share for share in (0.80, 0.97, 0.90)]).astype(float)
    single = RowScores.crossed(right)
    metric, loss = right.mean(axis=2), LOSS[:, :3]
    by_rows = ranked([7, 3, 5], metric, loss, count=400, rows=single)
    by_means = ranked([7, 3, 5], metric, loss, count=400)
    assert [one.candidate for one in by_rows] == [one.candidate for one in by_means] == [3, 5, 7]
    assert [one.significant for one in by_rows] == [False, True, True]
    assert not by_means[1].significant


def test_a_run_that_diverged_is_right_on_no_row() -> None:
    right = (np.random.default_rng(0).random((3, 3, 50)) < 0.9).astype(float)
    right[1, 2] = np.nan
    listed = ranked([7, 3, 5], right.mean(axis=2), LOSS[:, :3], count=50, rows=RowScores.crossed(right))
    assert listed[2].candidate == 3
    assert listed[2].difference is not None
    assert listed[2].difference.mean > 0.25


def test_scores_without_bounds_do_not_hang_on_one_repeat() -> None:
    steady = np.array([-3.5, -3.6, -3.4, -3.5, -3.7, -3.5, -3.3, -3.5])
    good = np.array([-1.0, -1.1, -0.9, -1.0, -1.2, -1.0, -0.8, -1e7])
    kind = ScoreKind(greater_is_better=True, fraction=False)
    listed = ranked([7, 3], np.stack([steady, good]), np.ones((2, 8)), kind)
    assert listed[0].candidate == 3
    assert listed[1].significant
    assert listed[0].mean == pytest.approx(-1.0, abs=0.05)


def test_a_single_finalist_is_compared_with_nobody() -> None:
    rows = {3: np.random.default_rng(0).random((4, 30))}
    test = intervals_on_test_rows(rows, finalists()[:1])
    assert test.winner == fraction_interval(rows[3])
    assert test.runner_up is None
    alone = verdict(finalists()[:1], test.winner, test.runner_up)
    data = json.loads(json.dumps(alone.to_dict(), allow_nan=False))
    assert (data["difference"], data["runner_up"], data["tied"]) == (None, None, [])


def test_plain_data_is_json_that_anybody_can_read() -> None:
    data = json.loads(json.dumps(verdict(finalists()).to_dict(), allow_nan=False))
    assert data["winner"] == {"optimizer": "sgd(lr=0.2)", "batch_size": 64, "epochs": 20}
    assert data["winner_candidate"] == 3
    assert data["runner_up"]["optimizer"] == "sgd(lr=0.3)"
    assert data["test"] == {"mean": 0.978, "low": 0.9712, "high": 0.9846, "repeats": 4}
    assert data["difference"] == {"mean": 0.003, "low": -0.002, "high": 0.008, "repeats": 4}
    assert data["tied"] == [5]
    assert [data["headline"], *data["sentences"]] == verdict(finalists()).sentences()
    assert [each.pop("recipe")["optimizer"] for each in data["finalists"]] == ["sgd(lr=0.2)", "sgd(lr=0.3)", "sgd()"]
    leads = [each.pop("difference") for each in data["finalists"]]
    assert (leads[0], [lead["mean"] for lead in leads[1:]]) == (None, pytest.approx([0.0025, 0.165]))
    chances = [each.pop("chance") for each in data["finalists"]]
    assert sum(chances) == pytest.approx(1.0)
    assert data["probability"] == chances[0] > 0.5
    advice = finalists()[1].needed
    assert advice is not None
    advised = [each.pop("needed") for each in data["finalists"]]
    assert advised == [None, {"repeats": advice.repeats, "rows": advice.rows}, None]
    assert data["baseline"] is None
    assert [each.pop("mean") for each in data["finalists"]] == pytest.approx([0.97, 0.9675, 0.805])
    assert (data["diverged"], data["duplicates"], data["heavy_tails"]) == (0, 0, None)
    assert data["finalists"] == [
        {"candidate": 3, "validation": [0.97, 0.98, 0.96, 0.97], "zeros": 0.0, "diverged": 0},
        {"candidate": 5, "validation": [0.96, 0.97, 0.97, 0.97], "zeros": 0.0, "diverged": 0},
        {"candidate": 7, "validation": [0.80, 0.82, 0.81, 0.79], "zeros": 0.0, "diverged": 0},
    ]
    assert (data["metric"], data["candidates"], data["lane_steps"]) == ("accuracy", 48, 1234)
    assert (data["seconds"], data["engine"]) == ({"total": 1.5}, {"key": {"packed": True}})


def test_a_score_that_is_missing_is_null_in_json() -> None:
    metric = METRIC.copy()
    metric[0, 1] = np.nan
    data = json.loads(json.dumps(verdict(finalists(metric)).to_dict(), allow_nan=False))
    assert data["finalists"][-1]["validation"] == [0.80, None, 0.81, 0.79]


def test_a_verdict_comes_back_from_plain_data() -> None:
    metric = METRIC.copy()
    metric[0, 1] = np.nan
    for there in (finalists(), finalists(metric), finalists()[:1]):
        plain = json.loads(json.dumps(verdict(there).to_dict()))
        back = Verdict.from_dict(plain, "verdict.json")
        assert json.loads(json.dumps(back.to_dict())) == plain
        assert back.sentences() == verdict(there).sentences()


@pytest.mark.parametrize("spoil", [{"finalists": None}, {"test": {"mean": 1}}, {"finalists": [{}]}])
def test_what_is_no_verdict_is_refused(spoil: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"verdict.json: does not hold a verdict"):
        Verdict.from_dict(verdict(finalists()).to_dict() | spoil, "verdict.json")


def test_numbers_in_words() -> None:
    kind = ScoreKind()
    assert score_words(Interval(0.97777, 0.9712, 0.98444, 3), kind) == "97.8% (95% CI 97.1 to 98.4)"
    assert difference_words(Interval(0.00301, -0.002, 0.008, 3), kind) == "+0.30 points (95% CI -0.20 to +0.80)"
    assert difference_words(Interval(-0.00301, -0.008, 0.002, 3), kind) == "-0.30 points (95% CI -0.80 to +0.20)"


def test_the_winner_and_those_like_it() -> None:
    found = verdict(finalists())
    assert found.winner is RECIPES[1]
    assert [finalist.candidate for finalist in found.tied] == [5]
    worse = replace(finalists()[1], difference=Interval(0.1, 0.05, 0.15, 4))
    assert verdict((finalists()[0], worse)).tied == []


def test_printed_it_is_its_sentences() -> None:
    found = verdict(finalists())
    assert str(found).splitlines() == found.sentences()


def test_no_finalist_has_a_greater_chance_than_one_before_it() -> None:
    for seed in range(40):
        generator = np.random.default_rng(seed)
        # Means that are nearly alike, and one candidate that varies far more.
        scores = 0.9 + np.array([[0.002], [0.002], [0.02]]) * generator.standard_normal((3, 6))
        for kind in (ScoreKind(), ScoreKind(fraction=False)):
            listed = ranked([0, 1, 2], scores, np.ones((3, 6)), kind)
            chances = [one.chance for one in listed]
            assert chances == sorted(chances, reverse=True)
            assert sum(chances) == pytest.approx(1.0)
            assert [one.mean for one in listed] == sorted((one.mean for one in listed), reverse=True)


@pytest.mark.parametrize("greater", [True, False])
@pytest.mark.parametrize("fraction", [True, False])
def test_a_lead_is_the_difference_of_the_means_that_are_shown(fraction: bool, greater: bool) -> None:
    kind = ScoreKind(greater, fraction)
    turned = np.random.default_rng(1).uniform(0.2, 0.8, (3, 8)) * (1 if greater else -1)
    listed = ranked([0, 1, 2], turned, np.ones((3, 8)), kind)
    for one in listed[1:]:
        assert one.difference is not None
        assert one.difference.mean == pytest.approx(kind.turned(listed[0].mean - one.mean))
        assert one.difference.mean >= 0


def test_equal_means_are_a_tie_whatever_the_order_of_their_sums() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.15, 0.6])
    for seed in range(20):
        mixed = np.random.default_rng(seed).permutation(scores)
        loss = np.array([[0.2] * 6, [0.1] * 6])
        listed = ranked([0, 1], np.stack([scores, mixed]), loss)
        # The loss decides.
        assert [one.candidate for one in listed] == [1, 0]
        assert listed[0].mean == listed[1].mean
        assert listed[1].difference is not None
        assert listed[1].difference.mean == 0.0
        assert listed[0].chance == pytest.approx(listed[1].chance)
