"""Candidates compared: worked by hand, and by simulation as often wrong as they say."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lanewise.statistics.differences import chances_of_best, lead_of, with_best, with_reference
from lanewise.statistics.paired_means import PairedMeans, paired_means
from lanewise.statistics.power import Needed, needed_to_separate
from lanewise.statistics.row_scores import RowScores

STUDIES = 400
MOST_WRONG = 0.05 + 2 * math.sqrt(0.05 * 0.95 / STUDIES)


def simulated(
    generator: np.random.Generator, expected: np.ndarray, repeats: int, run: float, row: float, rest: float
) -> RowScores:
    """Studies whose repeats validate on a quarter of 400 rows; all parts normal, with these standard deviations."""
    count = len(expected)
    rows = np.concatenate([generator.permutation(400)[:100] for _ in range(repeats)])
    repeat = np.repeat(np.arange(repeats), 100)
    values = expected[:, None] + row * generator.standard_normal((count, 400))[:, rows]
    values += run * generator.standard_normal((count, repeats))[:, repeat]
    return RowScores(values + rest * generator.standard_normal(values.shape), repeat, rows)


def of(rows: RowScores) -> PairedMeans:
    return paired_means(rows.means, rows=rows)


def test_means_and_spread_without_rows_worked_by_hand() -> None:
    # Deviations from the mean of both: -1/2, 0, 1/2 and back. Their difference 0, 1, 2 has mean 1, variance 1.
    means = paired_means(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]), overlap=0.25)
    error, df = means.spread(0, 1)
    assert means.mean.tolist() == [2.0, 1.0]
    assert error == pytest.approx(math.sqrt(1 / 3 + 0.25))
    assert df == pytest.approx(2.0)
    (lead,) = with_best(means, 0)
    assert (lead.mean, lead.repeats) == (1.0, 3)
    # Student's t for 2 degrees of freedom is 4.303; df is rounded down a little.
    assert lead.low == pytest.approx(1 - 4.303 * math.sqrt(1 / 3 + 0.25), rel=1e-2)


def test_without_rows_every_pair_has_its_own_spread() -> None:
    scores = np.random.default_rng(0).standard_normal((5, 4))
    for one, other in ((1, 3), (0, 4)):
        error, df = paired_means(scores).spread(one, other)
        assert (error, df) == pytest.approx(((scores[one] - scores[other]).std(ddof=1) / 2, 3.0))


def test_candidates_are_taken_together_where_they_spread_alike() -> None:
    # No row is scored twice, and all rows vary alike: what is left is a two-way analysis of variance of the means.
    scores = np.random.default_rng(0).standard_normal((5, 4))
    away = np.eye(5)[:, None, :, None] * np.array([1.0, -1.0])
    rows = RowScores((scores[:, :, None, None] + away).reshape(5, -1), np.repeat(np.arange(4), 10), np.arange(40))
    means = of(rows)
    centred = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    square = (centred**2).sum() / (4 * 3)
    assert means.spread(1, 3)[0] == pytest.approx(math.sqrt(2 * square / 4))
    assert means.df.tolist() == [12.0] * 5


def test_one_that_spreads_far_more_keeps_it_to_itself() -> None:
    generator = np.random.default_rng(1)
    calm = simulated(generator, np.zeros(5), 6, 0.1, 0.0, 1.0)
    wild = 10 * generator.standard_normal((1, 6))[:, calm.repeat] + generator.standard_normal((1, 600))
    alone, together = of(calm), of(replace(calm, values=np.vstack([calm.values, wild])))
    assert together.spread(0, 1) == pytest.approx(alone.spread(0, 1), rel=0.05)
    assert together.df.tolist() == [20.0] * 5 + [5.0]
    assert together.spread(0, 5)[0] > 20 * together.spread(0, 1)[0]


def test_crossed_rows_worked_by_hand() -> None:
    # The difference of the two is [[1, 0], [0, 0]]: mean squares of runs, rows and rest are all 1/4, so that
    # the rows explain nothing, and the variance of the mean is that of the runs' means, 1/8, over 2.
    values = np.array([[[1.0, 0.0], [0.0, 0.0]], np.zeros((2, 2))])
    means = of(RowScores.crossed(values))
    assert means.mean.tolist() == [0.25, 0.0]
    assert means.spread(0, 1)[0] == pytest.approx(math.sqrt(1 / 8 / 2))


def test_what_only_rows_differ_in_is_not_averaged_out_by_repeats() -> None:
    # One row in four is right for the first alone, in every repeat: the variance is that of a mean of 4 rows.
    one = np.tile([1.0, 0.0, 0.0, 0.0], (3, 1))
    means = of(RowScores.crossed(np.stack([one, np.zeros((3, 4))])))
    rounding = 1 / (6 * 4**2) / 3
    assert means.spread(0, 1)[0] == pytest.approx(math.sqrt(0.25 / 4 + rounding))


def test_candidates_that_are_one_and_the_same_are_not_told_apart() -> None:
    same = np.tile((np.random.default_rng(0).random((1, 3, 40)) < 0.9).astype(float), (3, 1, 1))
    means = of(RowScores.crossed(same))
    assert [(lead.mean, lead.low > 0) for lead in with_best(means, 0)] == [(0.0, False)] * 2
    assert chances_of_best(means) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(("candidates", "repeats"), [(2, 3), (6, 3), (4, 8)])
@pytest.mark.parametrize(
    ("run", "row", "rest"), [(0.0, 0.3, 1.0), (0.3, 0.0, 1.0), (0.1, 0.5, 0.3)], ids=["rest", "runs", "rows"]
)
def test_equal_candidates_are_told_apart_as_seldom_as_stated(
    candidates: int, repeats: int, run: float, row: float, rest: float
) -> None:
    generator, wrong, held = np.random.default_rng(1), 0, 0
    for _ in range(STUDIES):
        means = of(simulated(generator, np.zeros(candidates), repeats, run, row, rest))
        wrong += any(lead.low > 0 for lead in with_best(means, int(means.mean.argmax())))
        error, df = means.spread(0, 1)
        held += abs(means.mean[0] - means.mean[1]) <= stats.t.ppf(0.975, df) * error
    assert 0.01 <= wrong / STUDIES <= MOST_WRONG
    assert 0.92 <= held / STUDIES <= 0.98


@pytest.mark.parametrize(
    ("studies", "candidates", "run", "own", "rest"),
    [(1000, 2, 0.67, 1.0, 0.3), (400, 12, 0.67, 1.0, 0.3), (400, 12, 0.007, 0.2, 1.0)],
    ids=["seeds, two", "seeds, many", "rows, many"],
)
def test_few_rows_in_few_repeats_keep_the_error_rate(
    studies: int, candidates: int, run: float, own: float, rest: float
) -> None:
    # 60 rows that all of 3 repeats share. Before pairs were taken together, and by Satterthwaite's df, about 8%,
    # 8% and 1.6% were declared of these.
    generator, wrong = np.random.default_rng(0), 0
    for _ in range(studies):
        values = own * generator.standard_normal((candidates, 1, 60))
        values = values + run * generator.standard_normal((candidates, 3, 1))
        values = values + rest * generator.standard_normal((candidates, 3, 60))
        means = of(RowScores.crossed(values))
        wrong += any(lead.low > 0 for lead in with_best(means, int(means.mean.argmax())))
    assert 0.025 <= wrong / studies <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / studies)


def test_an_unlike_candidate_does_not_spoil_the_error_rate() -> None:
    generator, wrong = np.random.default_rng(2), 0
    for _ in range(STUDIES):
        scores = generator.standard_normal((5, 5)) * np.array([1, 1, 1, 1, 4])[:, None]
        means = paired_means(scores)
        wrong += any(lead.low > 0 for lead in with_best(means, int(means.mean.argmax())))
    assert wrong / STUDIES <= MOST_WRONG


def test_a_reference_is_missed_as_seldom_as_stated() -> None:
    generator, wrong = np.random.default_rng(3), 0
    for _ in range(STUDIES):
        means = of(simulated(generator, np.zeros(5), 4, 0.1, 0.5, 1.0))
        wrong += any(lead.excludes_zero for lead in with_reference(means, 2))
    assert 0.02 <= wrong / STUDIES <= MOST_WRONG


def test_comparisons_with_a_reference_come_in_order_and_are_narrower() -> None:
    means = of(simulated(np.random.default_rng(4), np.array([0.0, 3.0, 1.0]), 4, 0.1, 0.2, 1.0))
    first, last = with_reference(means, 1)
    assert (first.mean, last.mean) == pytest.approx((means.mean[1] - means.mean[0], means.mean[1] - means.mean[2]))
    assert first.low > 0
    of_all = with_best(means, 1)[0]
    assert first.high - first.low < of_all.high - of_all.low
    only = paired_means(means.mean[:2, None] + np.array([[0.1, 0.0, -0.1], [0.0, 0.1, 0.2]]))
    assert with_reference(only, 1)[0].low == pytest.approx(with_best(only, 1)[0].low)


def test_a_lead_on_test_rows_covers_new_runs_and_new_rows() -> None:
    generator, held = np.random.default_rng(7), 0
    for _ in range(STUDIES):
        values = 0.2 * generator.standard_normal((2, 1, 60)) + 0.1 * generator.standard_normal((2, 3, 1))
        one, other = values + 0.5 * generator.standard_normal((2, 3, 60))
        found = lead_of(one, other)
        assert found.mean == pytest.approx(one.mean() - other.mean())
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / STUDIES <= 0.97


def test_the_chance_of_the_best_of_two_worked_by_integration() -> None:
    # Errors that are known: the difference of two is normal, and so is what is believed of it where tau is.
    means = PairedMeans(np.array([0.03, 0.0]), 2e-4 * np.eye(2), np.zeros((2, 2)), np.full(2, 1e9), None, 5, 100)
    taus = 2 * np.sqrt(2e-4) * np.tan(np.pi / 2 * (np.arange(20_000) + 0.5) / 20_000)
    whole = 4e-4 + 2 * taus**2
    likely = stats.norm.pdf(0.03, scale=np.sqrt(whole))
    believed = 2 * taus**2 / whole
    expected = np.average(stats.norm.cdf(0.03 * np.sqrt(believed / 4e-4)), weights=likely)
    assert chances_of_best(means) == pytest.approx([expected, 1 - expected], abs=0.02)
    assert chances_of_best(means).tolist() == chances_of_best(means).tolist()
    # A lead that is beyond doubt is not doubted.
    assert chances_of_best(replace(means, mean=np.array([1.0, 0.0])))[0] > 0.999


@pytest.mark.parametrize(("apart", "most_off"), [(0.03, 0.12), (0.1, 0.08), (0.3, 0.08)])
def test_chances_say_how_often_the_leader_is_the_best(apart: float, most_off: float) -> None:
    # With nothing assumed of how far candidates lie apart they would claim 0.24 too much where it is little.
    generator, right, said = np.random.default_rng(5), 0, 0.0
    for _ in range(150):
        expected = apart * generator.standard_normal(4)
        means = of(simulated(generator, expected, 4, 0.05, 0.3, 1.0))
        right += means.mean.argmax() == expected.argmax()
        said += chances_of_best(means).max()
    assert right / 150 == pytest.approx(said / 150, abs=most_off)


def test_more_repeats_settle_what_they_can() -> None:
    means = PairedMeans(np.array([1.0, 0.0]), 2 * np.eye(2) / 4, np.zeros((2, 2)), np.full(2, 3.0), None, 4, 100)
    advice = needed_to_separate(means, 0, 1)
    # (1.96 + 0.84)^2 = 7.85 times the variance of a repeat, 4, is needed at least: 32, and a few for the df.
    assert advice.rows is None
    assert advice.repeats is not None
    assert 32 - 4 <= advice.repeats <= 36 - 4
    more = replace(means, run=means.run * 4 / (advice.repeats + 4))
    assert (1.96 + 0.84) * more.spread(0, 1)[0] <= 1.0


def test_where_the_rows_limit_it_more_rows_are_asked_for() -> None:
    means = PairedMeans(np.array([1.0, 0.0]), 0.01 * np.eye(2), 0.5 * np.eye(2), np.full(2, 1e9), None, 4, 100)
    advice = needed_to_separate(means, 0, 1)
    # The variance, 0.02 + 1, has to fall to 1 / 7.85, and more rows make only the second part smaller.
    assert advice.repeats is None
    assert advice.rows == pytest.approx(100 * (1 / (1 / 7.85 - 0.02) - 1), rel=0.03)


def test_nothing_settles_what_is_alike() -> None:
    means = paired_means(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    assert needed_to_separate(means, 0, 1) == Needed(None, None)


def test_one_repeat_far_out_does_not_hide_what_all_others_say() -> None:
    good = np.array([-1.0, -1.1, -0.9, -1.0, -1.2, -1.0, -0.8, -1e7])
    bad = np.array([-3.5, -3.6, -3.4, -3.5, -3.7, -3.5, -3.3, -3.5])
    # By plain means the first is far behind; by all repeats but one it is ahead.
    means = paired_means(np.stack([good, bad]), 1 / 3, heavy_tails=True)
    assert with_best(means, 0)[0].low > 0
    assert with_best(means, 0)[0].mean == pytest.approx(2.5, abs=0.1)
    assert paired_means(np.stack([good, bad]), 1 / 3).mean.argmax() == 1


@pytest.mark.parametrize("df", [1.5, 3.0, 1e9])
def test_heavy_tails_do_not_spoil_the_error_rate(df: float) -> None:
    generator, wrong = np.random.default_rng(6), 0
    for _ in range(STUDIES):
        means = paired_means(generator.standard_t(df, (4, 8)), heavy_tails=True)
        wrong += any(lead.low > 0 for lead in with_best(means, int(means.mean.argmax())))
    assert 0.005 <= wrong / STUDIES <= MOST_WRONG


def test_losses_on_the_same_rows_in_every_repeat_keep_the_error_rate() -> None:
    # Of repeats that share all rows the means alone say nothing of other rows: by them 75% were declared.
    generator, wrong = np.random.default_rng(8), 0
    for _ in range(200):
        values = generator.standard_normal((3, 1, 100)) + 0.3 * generator.standard_normal((3, 6, 100))
        rows = RowScores.crossed(-np.exp(values))
        means = paired_means(rows.means, 1 / 3, rows.sound, heavy_tails=True)
        wrong += any(lead.low > 0 for lead in with_best(means, int(means.mean.argmax())))
    assert 0.005 <= wrong / 200 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)


def test_repeats_that_diverged_or_lie_far_out_tell_nothing_of_rows() -> None:
    values = np.random.default_rng(9).standard_normal((2, 5, 20))
    values[0, 1, 3] = np.nan
    values[1, 2] *= 1e6
    sound = RowScores.crossed(values).sound
    assert sound is not None
    assert sound.values.reshape(2, 3, 20).tolist() == values[:, [0, 3, 4]].tolist()
    assert np.unique(sound.repeat).tolist() == [0, 1, 2]
    values[:, :4] = np.nan
    assert RowScores.crossed(values).sound is None


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_candidate_or_one_repeat_cannot_be_compared(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 candidates and 2 repeats"):
        paired_means(np.zeros(shape))
