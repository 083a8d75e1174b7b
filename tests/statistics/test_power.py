"""What is advised where candidates are too close to call: more repeats, more rows, or both."""

from dataclasses import replace

import numpy as np
import pytest

from bench import separating
from lanewise.statistics.paired_means import PairedMeans, paired_means
from lanewise.statistics.power import Needed, needed_to_separate
from lanewise.statistics.row_scores import RowScores

CERTAIN = np.full(2, 1e9)


def of_parts(lead: float, run: float, rows: float, sampled: float | None = None) -> PairedMeans:
    """Two candidates whose difference has these squared errors after 4 repeats on 100 rows, known for certain."""
    half = np.eye(2) / 2
    part = None if sampled is None else sampled * half
    return PairedMeans(np.array([lead, 0.0]), run * half, rows * half, CERTAIN, None, 4, 100, sampled=part)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 4.0])
def test_what_is_advised_separates_most_ties(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # By the whole error scaled by rows it was 10% to 40% where training noise is as large as that of the rows.
    monkeypatch.setattr(separating, "MOST_SCORES", 400_000)
    design = separating.Design(ratio, 2, 8, False, 0.5 * max(1.0, ratio))
    found = [one.if_seen for one in separating.ties(design, 20, 1) if one.if_seen is not None]
    assert len(found) >= 6
    assert np.mean(found) > 0.5


def test_training_noise_is_averaged_out_by_repeats_alone() -> None:
    # (1.96 + 0.84)^2 = 7.85: the squared error, 0.4 after 4 repeats, has to fall to 1 / 7.85, as it does after 12.6.
    assert needed_to_separate(of_parts(1.0, 0.4, 0.0), 0, 1) == Needed(repeats=9)


def test_rows_are_asked_for_where_repeats_share_them() -> None:
    # 0.02 + 1 / k = 1 / 7.85.
    advice = needed_to_separate(of_parts(1.0, 0.02, 1.0), 0, 1)
    assert advice.repeats is None
    assert advice.rows == pytest.approx(100 * (1 / (1 / 7.85 - 0.02) - 1), rel=0.02)


def test_what_a_repeat_draws_becomes_less_with_more_rows() -> None:
    # 0.1 / k + 1 / k = 1 / 7.85.
    advice = needed_to_separate(of_parts(1.0, 0.1, 1.0, sampled=0.1), 0, 1)
    assert advice.rows == pytest.approx(100 * (1.1 * 7.85 - 1), rel=0.02)


def test_both_are_asked_for_where_neither_is_enough() -> None:
    # Repeats leave 1 of the rows, rows leave 0.2 of training: each above 1 / 7.85.
    advice = needed_to_separate(of_parts(1.0, 0.2, 1.0), 0, 1)
    assert advice.repeats is not None
    assert advice.rows is not None
    left = 0.2 * 4 / (4 + advice.repeats) + 1.0 * 100 / (100 + advice.rows)
    assert 1.0 / left == pytest.approx(7.85, rel=0.02)


def test_nothing_is_advised_where_nothing_helps() -> None:
    assert needed_to_separate(of_parts(0.001, 0.2, 1.0), 0, 1) == Needed()
    assert needed_to_separate(of_parts(0.0, 0.2, 1.0), 0, 1) == Needed()


def test_without_single_rows_no_number_of_rows_is_claimed() -> None:
    # What repeats share is taken for a share of their whole spread, which may be that of training.
    scores = 0.9 + 0.01 * np.array([[1.0, -1.0, 0.5, -0.3, 0.2], [-1.0, 1.0, -0.5, 0.2, 0.0]])
    means = paired_means(scores, 1 / 3, count=100)
    assert means.mean[0] > means.mean[1]
    assert needed_to_separate(means, 0, 1) == Needed()


def test_more_noise_of_training_asks_for_more() -> None:
    values = np.random.default_rng(3).standard_normal((2, 4, 60)) + np.array([0.5, 0.0])[:, None, None]
    rows = RowScores.crossed(values)
    means = replace(paired_means(rows.means, rows=rows), mean=np.array([0.2, 0.0]))
    best, other = 0, 1
    advice = needed_to_separate(means, best, other)
    assert (advice.repeats, advice.rows) != (None, None)
    louder = replace(means, run=4 * means.run)
    more = needed_to_separate(louder, best, other)
    assert (more.repeats or 0, more.rows or 0) >= (advice.repeats or 0, 0)
