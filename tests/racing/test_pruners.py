"""Every pruner of the race: budget, order of candidates, missing scores; and what ours is worth on known curves."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.pruners import by_seed
from bench.pruners import field as field_of
from lanewise.errors import InputError
from lanewise.racing import PRUNERS, compute_for, expected_share, expected_survivors, replay
from lanewise.racing.budget import affordable, spent
from lanewise.racing.evidence import agreement, earlier, outlook, reliability
from lanewise.racing.lanewise_pruner import UNKNOWN, exponent
from tests.racing.curve_families import FAMILIES

DECIDING = [name for name in PRUNERS if name != "none"]
# Ours and the cut never spend more than they may; halving and its likes round up at each rung, the median pruner down.
ROUNDS_UP = {"lanewise": 0, "cut": 0, "median": 0, "halving": 1, "hyperband": 1}

plans = st.one_of(
    st.lists(st.integers(1, 31), min_size=1, max_size=6, unique=True).map(sorted),
    st.just(list(range(1, 32, 2))),
    st.just([1]),
    st.just([31]),
)


def field(candidates: int, repeats: int, seed: int, points: list[int]) -> np.ndarray:
    """Curves of one of the families at these points of 32, and at the end."""
    family = list(FAMILIES.values())[seed % len(FAMILIES)]
    return family(candidates, repeats, seed)[0][[*(at - 1 for at in points), 31]]


@pytest.mark.parametrize("name", DECIDING)
@settings(max_examples=12, deadline=None)
@given(plans, st.floats(0.03, 1.0), st.integers(1, 40), st.integers(1, 3), st.integers(0, 10_000))
def test_the_budget_is_honoured_whatever_the_rungs(
    name: str, points: list[int], compute: float, candidates: int, repeats: int, seed: int
) -> None:
    # What diverged between two rungs leaves no trace of when; here it is scored, and bad.
    curves, rungs = np.nan_to_num(field(candidates, repeats, seed, points), nan=1e6), [at / 32 for at in points]
    _, cost = replay(name, curves, rungs, compute)
    # Everybody runs up to the first rung, and one candidate to the end, in each bracket of Hyperband.
    brackets = max(1, sum(rung < compute for rung in rungs)) if name == "hyperband" else 1
    least = rungs[0] + (1 - rungs[0]) / candidates
    assert cost <= max(compute, least) + (ROUNDS_UP[name] * len(rungs) + brackets - 1) / candidates + 1e-9


@pytest.mark.parametrize("name", ["lanewise", "cut", "halving", "hyperband"])
@pytest.mark.parametrize("points", [[2, 4, 8, 16], list(range(2, 32, 2)), [3], [1, 30], [4, 5, 20]])
@pytest.mark.parametrize("compute", [0.15, 1 / 3, 0.5, 0.9])
def test_the_whole_budget_is_spent(name: str, points: list[int], compute: float) -> None:
    curves = FAMILIES["steady"](240, 1, 3)[0][[*(at - 1 for at in points), 31]]
    _, cost = replay(name, curves, [at / 32 for at in points], compute)
    assert cost == pytest.approx(max(compute, points[0] / 32), abs=0.012 if name != "halving" else 0.03)


@pytest.mark.parametrize("name", PRUNERS)
@given(
    st.integers(1, 5), st.integers(1, 12), st.integers(1, 3), st.floats(0.05, 1), st.integers(0, 999), st.floats(0, 0.6)
)
@settings(max_examples=15, deadline=None)
def test_some_of_the_live_stay_whatever_is_missing(
    name: str, rungs: int, candidates: int, repeats: int, compute: float, seed: int, missing: float
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(rungs, candidates, repeats))
    scores[generator.uniform(size=scores.shape) < missing] = np.nan
    live = np.flatnonzero(generator.uniform(size=candidates) < 0.7)
    live = live if len(live) else np.array([candidates - 1])
    kept = PRUNERS[name](scores, np.arange(1, 8) / 8, live, compute)
    assert len(kept)
    assert set(kept.tolist()) <= set(live.tolist())
    assert kept.tolist() == sorted(set(kept.tolist()))


@pytest.mark.parametrize("name", PRUNERS)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 2), st.sampled_from([1, 2, 5, 50]), st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_infinite_tied_and_missing_scores_are_borne(
    name: str, seed: int, candidates: int, repeats: int, rungs: int, share: float
) -> None:
    generator = np.random.default_rng(seed)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, 1e300, -1e300])
    reached = int(generator.integers(1, rungs + 1))
    scores = generator.normal(size=(reached, candidates, repeats)).round(1)
    strange = generator.uniform(size=scores.shape) < share
    scores[strange] = generator.choice(odd, int(strange.sum()))
    progress = np.cumsum(generator.uniform(0.01, 1, rungs + 1))
    live = np.flatnonzero(generator.uniform(size=candidates) < 0.8)
    live = live if len(live) else np.array([0])
    kept = PRUNERS[name](scores, progress[:-1] / progress[-1], live, max(1e-6, share))
    assert len(kept)
    assert set(kept.tolist()) <= set(live.tolist())
    assert kept.tolist() == sorted(set(kept.tolist()))


@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "hyperband"])
def test_the_order_of_the_candidates_does_not_matter(name: str) -> None:
    curves, generator = field(24, 2, 0, [2, 4, 8, 16]), np.random.default_rng(1)
    for _ in range(5):
        order = generator.permutation(24)
        one = replay(name, curves, [1 / 16, 1 / 8, 1 / 4, 1 / 2], 0.4)
        other = replay(name, curves[:, order], [1 / 16, 1 / 8, 1 / 4, 1 / 2], 0.4)
        assert (order[other[0]], other[1]) == pytest.approx(one)


def test_hyperband_depends_on_the_place_of_a_candidate() -> None:
    scores = np.arange(8.0).reshape(1, 8, 1)
    assert PRUNERS["hyperband"](scores, np.array([0.1, 0.4]), np.arange(8), 0.5).tolist() == [0, 1, 2, 3, 5, 7]


@pytest.mark.parametrize("name", PRUNERS)
def test_the_unit_of_the_score_does_not_matter(name: str) -> None:
    curves = field(24, 2, 4, [2, 4, 8, 16])
    one = replay(name, curves, [1 / 16, 1 / 8, 1 / 4, 1 / 2], 0.4)
    assert replay(name, 7 * curves - 300, [1 / 16, 1 / 8, 1 / 4, 1 / 2], 0.4) == pytest.approx(one)


@pytest.mark.parametrize("name", ["cut", "halving", "hyperband"])
def test_with_one_repeat_only_the_ranks_count(name: str) -> None:
    curves = field(24, 1, 4, [2, 4, 8, 16])
    one = replay(name, curves, [1 / 16, 1 / 8, 1 / 4, 1 / 2], 0.4)
    assert replay(name, np.exp(curves / 50), [1 / 16, 1 / 8, 1 / 4, 1 / 2], 0.4) == pytest.approx(one)


@pytest.mark.parametrize("name", PRUNERS)
def test_equal_candidates_are_not_all_dropped(name: str) -> None:
    picked, cost = replay(name, np.ones((4, 10, 3)), [0.1, 0.2, 0.4], 0.4)
    assert 0 <= picked < 10
    assert cost >= 0.3


@pytest.mark.parametrize("name", PRUNERS)
def test_a_single_candidate_runs_to_the_end(name: str) -> None:
    assert replay(name, np.ones((3, 1, 1)), [0.1, 0.2], 0.05) == (0, 1.0)


@pytest.mark.parametrize("name", DECIDING)
def test_those_without_a_score_leave_before_those_with_one(name: str) -> None:
    scores = np.array([[[1.0], [2.0], [3.0], [4.0]], [[np.nan], [5.0], [np.nan], [9.0]]])
    kept = PRUNERS[name](scores, np.array([0.1, 0.2]), np.arange(4), 0.6)
    assert set(kept.tolist()) <= {1, 3}


def test_agreement_is_freed_of_the_noise_that_repeats_show() -> None:
    generator, at = np.random.default_rng(5), np.array([0.25, 0.3, 0.5])
    scores = np.arange(40.0)[None, :, None] + 15 * generator.normal(size=(3, 40, 3))
    assert reliability(scores[0]) < 0.8
    assert agreement(scores.mean(axis=2, keepdims=True), at) < agreement(scores, at)
    assert np.isnan(agreement(scores[:2], at))


def test_the_more_rungs_agree_the_more_wait_for_the_next() -> None:
    at, first = np.array([0.125, 0.25, 0.5]), np.arange(40.0)
    stirred = np.random.default_rng(0).permutation(first)
    same, other = (np.stack([first, then])[:, :, None] for then in (first, stirred))
    assert exponent(same[:1], at) == UNKNOWN
    assert exponent(same, at) == pytest.approx(1.2)
    assert exponent(other, at) == pytest.approx(0.4 + 0.8 * max(0, np.corrcoef(first, stirred)[0, 1]))
    repeated = [scores.repeat(3, axis=2) for scores in (same, other)]
    kept = [len(PRUNERS["lanewise"](scores, at, np.arange(40), 0.4)) for scores in repeated]
    assert kept[0] > kept[1] > 1


def test_who_falls_is_credited_for_it_but_a_spike_that_is_over_counts_little() -> None:
    at = np.array([0.25, 0.5])
    then = np.array([1.0, 8.0, 1e6, 3.0, 4.0, np.inf, np.nan, 5.0])
    now = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 7.0, np.inf])
    scores = np.stack([then, now])[:, :, None]
    # Of the seven finite scores the median is 4 and the best 1: at most 12 count as a fall.
    expected = [1.0, 2.0 - 0.3 * 6, 4.0 - 0.3 * 12, 3.0, 5.0, 6.0 - 0.3 * 12, 7.0, np.inf]
    assert outlook(scores, at, np.arange(8)).tolist() == pytest.approx(expected)
    assert outlook(scores[:1], at, np.arange(8))[:5].tolist() == then[:5].tolist()
    # Halfway back of 0.5 is 0.25; 0.3 is too near.
    assert earlier(np.array([0.1, 0.25, 0.3, 0.5])) == 1


def test_every_fourth_place_is_for_the_first_rung() -> None:
    first, last = np.arange(16.0), np.arange(16.0)[::-1]
    scores = np.stack([first, last])[:, :, None].repeat(2, axis=2)
    kept = PRUNERS["lanewise"](scores, np.array([0.25, 0.4]), np.arange(16), 0.55)
    assert len(kept) == 4
    assert kept.tolist() == [0, 13, 14, 15]


def test_with_one_repeat_the_best_of_each_rung_stay_in_turn() -> None:
    rungs = np.random.default_rng(3).permuted(np.tile(np.arange(16.0), (3, 1)), axis=1)
    kept = PRUNERS["lanewise"](rungs[:, :, None], np.array([0.125, 0.25, 0.5]), np.arange(16), 0.7)
    turns: list[int] = []
    for place in range(16):
        turns += [int(np.argsort(rung)[place]) for rung in rungs[::-1]]
    assert kept.tolist() == sorted(list(dict.fromkeys(turns))[: len(kept)])
    assert len(kept) >= 4


def test_with_one_repeat_nobody_leaves_before_the_rung_of_one_cut_and_few_do_after_it() -> None:
    at, scores = np.array([0.0625, 0.125, 0.25, 0.5]), np.random.default_rng(0).normal(size=(4, 64, 1))
    live, numbers = np.arange(64), []
    for rung in range(4):
        scores[rung, np.setdiff1d(np.arange(64), live)] = np.nan
        live = PRUNERS["lanewise"](scores[: rung + 1], at, live, 0.4)
        numbers.append(len(live))
    assert numbers[0] == 64
    # 64 (0.4 - 0.125) / 0.875 = 20 would stay from 0.125 on, if nobody left later.
    assert 20 <= numbers[1] <= 24
    assert numbers[3] >= 16
    # With less to spend, one cut would leave too few, so more wait for the later rungs.
    assert len(PRUNERS["lanewise"](scores[:1], at, np.arange(64), 0.17)) > 1.3 * 64 * (0.17 - 0.0625) / 0.9375


def test_what_was_spent_is_read_from_what_is_missing() -> None:
    scores = np.full((3, 5, 1), np.nan)
    scores[0, :4], scores[1, :3], scores[2, 0] = 1, 1, 1
    # 0 is live at 0.5; 1 and 2 were last seen at 0.25, 3 at 0.125; 4 never, and is charged up to the first rung.
    assert spent(scores, np.array([0.125, 0.25, 0.5]), np.array([0])) == pytest.approx(0.5 + 2 * 0.25 + 0.125 + 0.125)


def test_at_least_one_is_afforded_when_nothing_is_left() -> None:
    assert affordable(5, np.array([0.5, 0.75]), -1.0, np.array([2.0, 1.0])) == 1
    assert affordable(5, np.array([0.5]), 0.2, np.ones(1)) == 1


@pytest.mark.parametrize("pruner", PRUNERS)
def test_what_a_race_will_cost_is_known_before(pruner: str) -> None:
    rungs = [0.125, 0.25, 0.5]
    stages = expected_survivors(rungs, pruner)
    assert [length for _, length in stages] == [0.125, 0.125, 0.25, 0.5]
    shares = [share for share, _ in stages]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    cost = sum(share * length for share, length in stages)
    # The median pruner may leave something unspent.
    compute = compute_for(rungs)
    assert (cost == 1) if pruner == "none" else (0.4 if pruner == "median" else 0.94) <= cost / compute <= 1.08
    assert expected_share(stages) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rungs": [0.5, 0.25]}, "rungs = "),
        ({"rungs": []}, "rungs = "),
        ({"rungs": [0.5]}, "curves of shape"),
        ({"compute": 0.0}, "compute = 0.0"),
        ({"pruner": "best"}, "pruner = 'best': must be one of lanewise, "),
        ({"curves": np.full((3, 4, 1), np.nan)}, "every candidate diverged"),
    ],
)
def test_replay_refuses_what_it_cannot_use(change: dict[str, object], message: str) -> None:
    arguments = {"pruner": "cut", "curves": np.ones((3, 4, 1)), "rungs": [0.25, 0.5], "compute": 0.5} | change
    with pytest.raises(InputError, match=message):
        replay(**arguments)  # type: ignore[arg-type]


def regret(pruner: str, family: str, compute: float, races: int = 50) -> tuple[float, float]:
    """(mean regret, mean share spent) of a pruner over races of 32 with one repeat at 1/16, 1/8, 1/4 and 1/2."""
    lost, spending = [], []
    for seed in range(races):
        curves, points = FAMILIES[family](32, 1, seed)
        at = [1, 3, 7, 15, 31]
        picked, cost = replay(pruner, curves[at], points[at[:-1]].tolist(), compute)
        lost.append(curves[-1, picked, 0] - np.nanmin(curves[-1]))
        spending.append(cost)
    return float(np.mean(lost)), float(np.mean(spending))


# The product's rungs, and earlier ones with the same compute.
PLANS = ([0.125, 0.25, 0.5], [0.0625, 0.125, 0.25, 0.5])


@pytest.mark.parametrize("rungs", PLANS)
def test_with_one_repeat_ours_is_about_the_better_of_halving_and_one_cut_over_all_families(rungs: list[float]) -> None:
    # In units of what keeping a random share loses. Nothing here was chosen on the families alone.
    lost = {
        pruner: np.mean([of_random(pruner, family, rungs) for family in FAMILIES])
        for pruner in ("halving", "cut", "lanewise")
    }
    assert lost["lanewise"] < min(lost["halving"], lost["cut"]) + 0.05
    assert lost["lanewise"] < 0.8


def of_random(pruner: str, family: str, rungs: list[float], races: int = 10) -> float:
    """Regret over that of training a random share to the end, both judged by other repeats, at halving's compute."""
    spending, lost, at_random = [], [], []
    at = [round(32 * rung) - 1 for rung in rungs]
    drawn = [FAMILIES[family](32, 1 + 6, seed)[0] for seed in range(races)]
    for curves in drawn:
        spending.append(replay("halving", curves[[*at, 31]][:, :, :1], rungs, 1 / 3)[1])
    compute = float(np.mean(spending))
    for number, curves in enumerate(drawn):
        truth = curves[-1, :, 1:].mean(axis=1)
        truth = np.where(np.isfinite(truth), truth, np.nanmax(truth)) - np.nanmin(truth)
        lost.append(truth[replay(pruner, curves[[*at, 31]][:, :, :1], rungs, compute)[0]])
        ends = np.nan_to_num(curves[-1, :, :1].mean(axis=1), nan=np.inf)
        for draw in range(5):
            some = np.random.default_rng([number, draw]).permutation(32)[: round(compute * 32)]
            at_random.append(truth[some[np.argmin(ends[some])]])
    return float(np.mean(lost) / np.mean(at_random))


def test_picks_are_judged_by_the_repeats_that_a_race_has_not_seen() -> None:
    curves = np.random.default_rng(0).normal(size=(3, 5, 4))
    curves[:, 0, 3] = np.nan  # has three seeds only
    curves[-1, 1] = np.nan  # diverged in all
    made = field_of(curves, 1, np.random.default_rng(1))
    for candidate in (0, 2, 3, 4):
        (seen,) = (at for at in range(4) if np.array_equal(made.curves[:, candidate, 0], curves[:, candidate, at]))
        others = np.delete(curves[-1, candidate], seen)
        assert made.worth[candidate] == pytest.approx(np.nanmean(others))
    assert made.worth[1] == made.worth[[0, 2, 3, 4]].max()


def test_trials_of_unequal_length_become_curves_by_seed() -> None:
    lengths, names = [16, 32, 16, 16, 4], [f"who/study_{seed}/trial_1" for seed in range(4)] + ["who/study_9/trial_2"]
    data = {
        "w/name": np.array(names),
        "w/offset": np.cumsum([0, *lengths]),
        "w/step": np.concatenate([np.arange(1, length + 1) for length in lengths]),
        "w/value": np.concatenate([np.full(length, at) + np.arange(length) / 100 for at, length in enumerate(lengths)]),
    }
    ((name, curves, points),) = by_seed(data)
    assert name == "w"
    assert curves.shape == (32, 1, 4)
    assert curves[-1, 0].tolist() == pytest.approx([15, 131, 215, 315])
    assert curves[15, 0].tolist() == pytest.approx([7, 115, 207, 307])
    assert points[-1] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_the_same_every_time_and_as_it_says(family: str) -> None:
    curves, points = FAMILIES[family](5, 2, 7)
    again, _ = FAMILIES[family](5, 2, 7)
    assert np.array_equal(curves, again, equal_nan=True)
    assert curves.shape == (len(points), 5, 2)
    assert points[-1] == 1
    assert not np.array_equal(curves, FAMILIES[family](5, 2, 8)[0])


def test_the_page_on_the_rules_names_all_and_its_code_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "racing.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z]+)` \|", text, flags=re.MULTILINE)) == set(PRUNERS)
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "racing.md", "exec"), {})
