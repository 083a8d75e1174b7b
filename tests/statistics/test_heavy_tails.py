"""Test scores of which few rows decide: they are told, and their interval allows for it."""

import numpy as np

from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.heavy_tails import (
    HeavyTails,
    heavy_interval,
    heavy_tailed,
    share_of_largest,
    skew_aware_interval,
    tails_of,
)
from lanewise.statistics.intervals import crossed_interval
from lanewise.statistics.sample import Sample
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.ranking import intervals_on_test_rows, rank_finalists
from lanewise.verdict.verdict import Verdict

PLAIN = ScoreKind(fraction=False)


def row_errors(rare: int, rows: int = 300) -> np.ndarray:
    """Squared errors of 4 runs on the same rows, of which `rare` are very large: [runs, rows]."""
    generator = np.random.default_rng(0)
    row = generator.standard_normal(rows) ** 2
    row[:rare] = 80.0
    return row * (1 + 0.1 * generator.standard_normal((4, rows)))


def test_few_rows_that_decide_are_told() -> None:
    assert not heavy_tailed(row_errors(0))
    assert heavy_tailed(row_errors(3))
    assert 0.4 < share_of_largest(row_errors(3)) < 0.6
    assert tails_of(-row_errors(3)) == HeavyTails(3, 300, share_of_largest(row_errors(3)))
    assert tails_of(row_errors(0)) is None
    assert tails_of(np.ones((3, 5))) is None


def test_the_verdict_says_it_everywhere() -> None:
    recipes = [Recipe(optimizer=SGD(lr=rate)) for rate in (0.1, 0.2)]
    scores = np.array([[0.9, 0.91, 0.92, 0.9], [0.5, 0.51, 0.52, 0.5]])
    listed = rank_finalists([3, 5], recipes, Sample.of(scores, np.ones((2, 4)), PLAIN, overlap=1 / 3))
    tested = intervals_on_test_rows({3: 1 - row_errors(3), 5: 1 - row_errors(3) - 0.1}, listed, PLAIN)
    assert tested.heavy_tails
    found = Verdict(listed, tested.winner, None, "R2", 9, 1, {}, kind=PLAIN, heavy_tails=tested.heavy_tails)
    few = f"the 3 most extreme of 300 make up {tested.heavy_tails.share:.0%} of all deviation from the median"
    assert f"Few test examples decide this score: {few}." in found.sentences()
    assert found.to_dict()["heavy_tails"]["share"] == tested.heavy_tails.share
    assert Verdict.from_dict(found.to_dict(), "verdict.json").heavy_tails == tested.heavy_tails
    assert intervals_on_test_rows({3: 1 - row_errors(0), 5: 0 - row_errors(0)}, listed, PLAIN).heavy_tails is None


def test_shares_and_even_scores_keep_their_interval() -> None:
    even = np.random.default_rng(0).standard_normal((4, 200))
    assert skew_aware_interval(even, fraction=False) == crossed_interval(even)
    assert skew_aware_interval(-row_errors(3), fraction=False) == heavy_interval(-row_errors(3))


def test_the_interval_reaches_further_to_the_side_of_the_rare_rows() -> None:
    found = heavy_interval(-row_errors(3))
    plain = crossed_interval(-row_errors(3))
    assert found.mean == plain.mean
    assert found.mean - found.low > plain.mean - plain.low
    assert found.mean - found.low > found.high - found.mean
    turned = heavy_interval(row_errors(3))
    assert np.allclose([turned.low, turned.high], [-found.high, -found.low], rtol=1e-9)


def test_it_holds_the_truth_more_often() -> None:
    held = np.zeros(2)
    for number in range(60):
        row = np.exp(2 * np.random.default_rng(number).standard_normal(120))
        values = row * (1 + 0.1 * np.random.default_rng((number, 1)).standard_normal((4, 120)))
        for at, interval in enumerate((crossed_interval(values), heavy_interval(values))):
            held[at] += interval.low <= np.exp(2.0) <= interval.high
    assert held[1] >= held[0] + 3
    assert held[1] >= 0.8 * 60
