"""Candidates side by side in several repeats: scores, cool-downs, leaving, divergence, and the same twice."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import evaluation_points
from lanewise.parts.optimizers import Muon
from lanewise.recipe.recipe import Recipe
from tests.lanes.cases import (
    CNN_SGD,
    MLP_SGD,
    MODELS,
    STEPS,
    Case,
    all_bits,
    engine_for,
    faster,
    group_of,
    lane_of,
    plan,
    rows,
    same_scores,
    trained,
)
from tests.lanes.plain_reference import PlainRun

EngineOf = Callable[..., Engine]
REPEATS = (0, 3)
RUINOUS = 1e30


@pytest.fixture
def engine(engine_of: EngineOf) -> Engine:
    """Eager packs of the small perceptron in float64."""
    return engine_of(MLP_SGD, "packed")


def plain_run(cohort: Cohort, candidate: int, repeat: int, steps: int) -> PlainRun:
    """The recipe of one lane trained alone by plain PyTorch for `steps` steps."""
    feed = lane_of(cohort, candidate, repeat).pack.feed
    model = cohort.engine.new_model(cohort.repeats[repeat])
    run = PlainRun(model, cohort.recipes[candidate], STEPS, feed.steps_per_epoch, 99)
    continue_plain(run, cohort, candidate, repeat, 0, [run.values(at) for at in range(steps)])
    return run


def continue_plain(
    run: PlainRun, cohort: Cohort, candidate: int, repeat: int, start: int, values: list[dict[str, float]]
) -> None:
    """Train `run` on from step `start` with the numbers `values` of each step."""
    feed = lane_of(cohort, candidate, repeat).pack.feed
    for first, stop in feed.spans(start, start + len(values)):
        chunk = feed.chunk(first, stop)
        for at in range(stop - first):
            draws = {name: draw[at] for name, draw in zip(feed.draw_shapes, chunk.draws, strict=True)}
            run.step(values[first - start + at], chunk.x[at], chunk.y[at], draws)


def validation(run: PlainRun, cohort: Cohort, repeat: int) -> tuple[float, float]:
    """(cross entropy, accuracy) of a plain run on the validation rows of the repeat, standardised by hand."""
    part = cohort.engine.repeat(cohort.repeats[repeat])
    pool, y = part.holdout.pool.x.double(), part.holdout.pool_y
    train = pool[part.split.train]
    x = (pool[part.split.valid] - train.mean(0)) / train.std(0, correction=0)
    outputs, labels = run.outputs(x), y[part.split.valid]
    return F.cross_entropy(outputs, labels).item(), (outputs.argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("width", [4, 300], ids=["one call", "calls of 16, 16 and 1 rows"])
def test_scores_are_those_of_a_plain_model_on_the_validation_rows(width: int, engine_of: EngineOf) -> None:
    cohort = trained(engine_of(MLP_SGD, "packed", width), MLP_SGD.recipes(), 0.25, REPEATS)
    scores = cohort.evaluate()
    assert scores.loss.shape == scores.metric.shape == (4, 2)
    for repeat in (0, 1):
        for candidate in range(4):
            loss, accuracy = validation(plain_run(cohort, candidate, repeat, 51), cohort, repeat)
            assert scores.loss[candidate, repeat] == pytest.approx(loss, abs=1e-10)
            assert scores.metric[candidate, repeat] == pytest.approx(accuracy, abs=1e-12)


def test_a_cool_down_is_what_a_copy_of_the_lane_would_come_to(engine: Engine) -> None:
    recipes = MLP_SGD.recipes()
    cohort = trained(engine, recipes, 0.25, REPEATS)
    cold = cohort.cool_down(0.05)
    for repeat in (0, 1):
        for candidate in range(4):
            run = plain_run(cohort, candidate, repeat, 51)
            held = run.values(51)
            falling = [{**held, "lr": held["lr"] * (1 - at / 10)} for at in range(10)]
            continue_plain(run, cohort, candidate, repeat, 51, falling)
            loss, accuracy = validation(run, cohort, repeat)
            assert cold.loss[candidate, repeat] == pytest.approx(loss, abs=1e-10)
            assert cold.metric[candidate, repeat] == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize("how", ["packed", "compiled", "looped"])
@pytest.mark.parametrize("case", [MLP_SGD, CNN_SGD], ids=str)
def test_a_cool_down_leaves_the_lanes_as_they_were(case: Case, how: str, engine_of: EngineOf) -> None:
    run = engine_of(case, how)
    untouched, cohort = (trained(run, case.recipes(), 0.1) for _ in range(2))
    losses = lane_of(cohort, 0).losses
    before = all_bits(cohort)
    first = cohort.cool_down(0.05)
    assert all_bits(cohort) == before
    assert torch.equal(lane_of(cohort, 0).losses, losses)
    assert same_scores(cohort.cool_down(0.05), first)
    for each in (untouched, cohort):
        each.advance(0.2)
    assert all_bits(cohort) == all_bits(untouched)
    assert same_scores(cohort.evaluate(), untouched.evaluate())
    assert cohort.curves == untouched.curves


def test_a_cool_down_lowers_every_rate_of_a_optimizer(engine: Engine) -> None:
    # `cooled` lowers those that the step names; Muon has a second one for what is no matrix.
    recipe = Recipe(optimizer=Muon(lr=0.02, adam_lr=0.05), batch_size=16, epochs=34)
    run = engine_for(MODELS["mlp"], rows("mlp"), recipe, plan("packed"))
    assert group_of(Cohort(run, [recipe], (0,))).prepared.step.rates == {"lr", "adam_lr"}
    assert group_of(Cohort(engine, MLP_SGD.recipes(), (0,))).prepared.step.rates == {"lr"}
    run.close()


def test_training_goes_on_where_it_stopped(engine: Engine) -> None:
    recipes = MLP_SGD.recipes()
    whole = trained(engine, recipes, 0.3, REPEATS)
    pieces = Cohort(engine, recipes, REPEATS)
    for progress in (0.01, 0.02, 0.02, 0.13, 0.3):
        pieces.advance(progress)
        pieces.evaluate()
    assert all_bits(pieces) == all_bits(whole)


def test_curves_have_a_point_for_each_evaluation(engine: Engine) -> None:
    cohort = trained(engine, MLP_SGD.recipes()[:2], 0.05, REPEATS)
    mean = float(lane_of(cohort, 1, 1).losses.mean())
    first = cohort.evaluate()
    cohort.advance(0.1)
    second = cohort.evaluate()
    assert cohort.curves.keys() == {(candidate, repeat) for candidate in (0, 1) for repeat in REPEATS}
    points = cohort.curves[1, 3]
    assert [point[0] for point in points] == [0.05, 0.1]
    assert points[0][1] == pytest.approx(mean, rel=1e-12)
    assert [point[2] for point in points] == [first.loss[1, 1], second.loss[1, 1]]
    assert [point[3] for point in points] == [first.metric[1, 1], second.metric[1, 1]]


@pytest.mark.parametrize(("epochs", "count"), [(1, 4), (7, 4), (8, 8), (15, 8), (16, 16), (100, 16)])
def test_a_run_is_evaluated_four_to_sixteen_times(epochs: int, count: int) -> None:
    points = evaluation_points(epochs)
    assert (len(points), points[-1]) == (count, 1.0)
    assert {0.25, 0.5, 0.75} <= set(points)


def test_a_lane_that_diverges_is_recorded_with_its_step_and_has_no_score(engine: Engine) -> None:
    recipes = MLP_SGD.recipes()
    cohort = trained(engine, [recipes[0], faster(recipes[1], RUINOUS)], 0.1, REPEATS)
    finite = [lane_of(cohort, 1, repeat).losses.isfinite().tolist() for repeat in (0, 1)]
    scores = cohort.evaluate()
    assert cohort.diverged == {(1, repeat): losses.index(False) for repeat, losses in zip(REPEATS, finite, strict=True)}
    assert all(step > 0 for step in cohort.diverged.values())
    for table in (scores.loss, scores.metric, cohort.cool_down(0.05).loss):
        assert np.isfinite(table[0]).all()
        assert np.isnan(table[1]).all()
    cohort.advance(0.2)
    recorded = dict(cohort.diverged)
    cohort.evaluate()
    assert cohort.diverged == recorded, "the first step is the one that counts"


def test_a_lane_that_its_last_step_ruins_is_recorded_too(engine: Engine) -> None:
    # The loss of a step is that before its update, and finite still.
    recipes = MLP_SGD.recipes()
    cohort = trained(engine, [recipes[0], faster(recipes[1], 1e308)], 1 / STEPS)
    assert lane_of(cohort, 1).losses.isfinite().all()
    assert np.isnan(cohort.evaluate().loss[1, 0])
    assert cohort.diverged == {(1, 0): 1}


def test_those_that_leave_have_no_score_and_cost_nothing_more(engine: Engine) -> None:
    cohort = trained(engine, MLP_SGD.recipes(), 0.1, REPEATS)
    cohort.keep([3, 1])
    before = engine.costs.lane_steps
    cohort.advance(0.2)
    assert engine.costs.lane_steps - before == 2 * 2 * (41 - 20)
    scores = cohort.evaluate()
    assert cohort.live == [1, 3]
    assert np.isnan(scores.loss[[0, 2]]).all()
    assert np.isfinite(scores.loss[[1, 3]]).all()
    assert set(cohort.test_rows([0, 1])) == {1}


def test_nothing_is_left_to_train_when_all_have_left(engine: Engine) -> None:
    cohort = trained(engine, MLP_SGD.recipes(), 0.05)
    cohort.keep([])
    before = engine.costs.lane_steps
    cohort.advance(0.1)
    assert np.isnan(cohort.evaluate().loss).all()
    assert np.isnan(cohort.cool_down(0.05).loss).all()
    assert engine.costs.lane_steps == before


def test_every_step_of_every_lane_is_counted(engine: Engine) -> None:
    before = engine.costs.lane_steps
    cohort = trained(engine, MLP_SGD.recipes()[:3], 0.1, REPEATS)
    assert engine.costs.lane_steps - before == 3 * 2 * 20
    cohort.cool_down(0.05)
    assert engine.costs.lane_steps - before == 3 * 2 * (20 + 10)
    cohort.evaluate()
    assert engine.costs.lane_steps - before == 3 * 2 * (20 + 10), "padding and evaluation are no steps"


def test_test_rows_are_scored_one_by_one(engine: Engine) -> None:
    cohort = trained(engine, MLP_SGD.recipes(), 0.1, REPEATS)
    found = cohort.test_rows([2, 0])
    assert found.keys() == {0, 2}
    held = engine.holdout
    for repeat in (0, 1):
        run = plain_run(cohort, 2, repeat, 20)
        train = held.pool.x.double()[engine.repeat(REPEATS[repeat]).split.train]
        outputs = run.outputs((held.test.x.double() - train.mean(0)) / train.std(0, correction=0))
        assert found[2][repeat].tolist() == (outputs.argmax(1) == held.test_y).double().tolist()


def test_zeros_are_counted_over_weights_and_repeats(engine_of: EngineOf) -> None:
    cohort = trained(engine_of(CNN_SGD, "packed"), CNN_SGD.recipes(), 0.2, REPEATS)
    shares = cohort.zeros()
    for candidate in range(4):
        lanes = [lane_of(cohort, candidate, repeat).state for repeat in (0, 1)]
        counts = [sum(int((lane[at] == 0).sum()) for at in (0, 3)) for lane in lanes]
        assert shares[candidate] == pytest.approx(sum(counts) / 2 / (4 * 9 + 4 * 64))
