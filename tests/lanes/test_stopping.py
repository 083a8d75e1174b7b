"""Early stopping by lane: when a lane ends, what of it counts, and that everybody else trains on as before."""

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import evaluation_points
from lanewise.parts.optimizers import SGD, ScheduleFreeSGD
from lanewise.parts.schedules import Plateau
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import MODELS, all_bits, bits_of, engine_for, group_of, pack_of, plan, rows
from tests.lanes.plain_reference import PlainRun

BASE = Recipe(optimizer=SGD(lr=0.2, momentum=0.5), batch_size=16, epochs=16)
STEPS = 96
POINTS = evaluation_points(BASE.epochs)
FASTER = SGD(lr=0.8, momentum=0.5)
PATIENT = replace(BASE, optimizer=SGD(lr=0.01), early_stopping="60%")
RECIPES = [
    replace(BASE, early_stopping="10%"),
    replace(BASE, optimizer=FASTER, early_stopping="9st"),
    replace(BASE, early_stopping="3ep"),
    PATIENT,
    BASE,
]
REPEATS = (0, 3)
RUINOUS = 1e300


@pytest.fixture(scope="module")
def engine() -> Any:
    made = engine_for(MODELS["mlp"], rows("mlp"), BASE, plan("packed"), torch.float64)
    yield made
    made.close()


def go_on(cohort: Cohort, points: list[float] = POINTS) -> Cohort:
    for point in points:
        cohort.advance(point)
        cohort.last = cohort.evaluate()  # type: ignore[attr-defined]
    return cohort


def stops(cohort: Cohort, at: int = 0) -> dict[int, int]:
    """Candidate -> steps of the weights that count, for those that have ended."""
    return {c: lane.seen.step for c, lane in group_of(cohort).stopping[at].items() if lane.ended}


def by_hand(cohort: Cohort, candidate: int, at: int) -> tuple[int, int, float, dict[str, Tensor]]:
    """(step at which it stops, best step, best loss, best weights) as a person writes it into a plain loop."""
    recipe, feed = cohort.recipes[candidate], lane_of_any(cohort, at)
    run = PlainRun(cohort.engine.new_model(cohort.repeats[at]), recipe, STEPS, feed.steps_per_epoch, 99)
    amount = float(recipe.early_stopping[:-2]) if recipe.early_stopping[-1] != "%" else 0.0
    patience = {
        "%": lambda: int(float(recipe.early_stopping[:-1]) * STEPS / 100),
        "p": lambda: int(amount * feed.steps_per_epoch),
        "t": lambda: int(amount),
    }[recipe.early_stopping[-1]]()
    x, y = next(iter(feed.repeat.evaluated([feed.repeat.split.valid], torch.float64, torch.device("cpu"))))
    best: tuple[int, float, dict[str, Tensor]] = (0, float("inf"), {})
    step = 0
    for point in POINTS:
        for first, end in feed.spans(step, round(point * STEPS)):
            chunk = feed.chunk(first, end)
            for number in range(end - first):
                run.step(run.values(first + number), chunk.x[number], chunk.y[number], {})
        step = round(point * STEPS)
        loss = F.cross_entropy(run.outputs(x), y).item()
        if loss < best[1]:
            best = step, loss, {name: value.clone() for name, value in run.model.state_dict().items()}
        elif step - best[0] >= patience:
            break
    return step, *best


def lane_of_any(cohort: Cohort, at: int) -> Any:
    return pack_of(cohort, at).feed


@pytest.mark.parametrize("how", ["packed", "looped"])
def test_a_lane_stops_and_counts_as_in_a_plain_loop_with_the_optimizer_by_hand(how: str) -> None:
    engine = engine_for(MODELS["mlp"], rows("mlp"), BASE, plan(how), torch.float64)
    cohort = go_on(Cohort(engine, RECIPES, REPEATS))
    (group,) = cohort.groups
    assert len(cohort.groups) == 1, "patience does not split a pack"
    ended = set()
    for at, repeat in enumerate(REPEATS):
        for candidate in range(4):
            stop, step, loss, weights = by_hand(cohort, candidate, at)
            ended.add(stop)
            lane = group.stopping[at][candidate]
            assert lane.ended
            assert lane.seen.step == step
            assert lane.seen.loss == pytest.approx(loss, abs=1e-9)
            assert cohort.last.loss[candidate, at] == lane.seen.loss  # type: ignore[attr-defined]
            assert round(cohort.curves[candidate, repeat][-1][0] * STEPS) == stop
            assert lane.row is not None
            mine = group.prepared.step.weights(lane.state, lane.row)
            assert max(float((mine[name].double() - value).abs().max()) for name, value in weights.items()) < 1e-9
    assert len(ended) >= 3, "lanes end at different times"
    assert max(ended) == STEPS
    engine.close()


@dataclass
class Whole:
    """All recipes to the end, with what was seen at every evaluation."""

    cohort: Cohort
    ended: list[list[set[int]]] = field(default_factory=list)
    expected_steps: int = 0
    cost: int = 0


@pytest.fixture(scope="module")
def whole(engine: Engine) -> Whole:
    found = Whole(Cohort(engine, RECIPES, REPEATS))
    cohort, before = found.cohort, engine.costs.lane_steps
    for last, point in pairwise([0.0, *POINTS]):
        there = sum(len(pack.candidates) for pack in group_of(cohort).packs)
        found.expected_steps += there * (round(point * STEPS) - round(last * STEPS))
        go_on(cohort, [point])
        found.ended.append([set(stops(cohort, at)) for at in (0, 1)])
    found.cost = engine.costs.lane_steps - before
    return found


def test_one_repeat_stops_while_another_goes_on(whole: Whole) -> None:
    assert any(first - second for first, second in whole.ended)
    assert any(second - first for first, second in whole.ended)


def test_a_place_is_given_up_and_costs_nothing_more(whole: Whole) -> None:
    assert whole.cost == whole.expected_steps < 0.8 * len(RECIPES) * 2 * STEPS
    assert whole.cohort.live == list(range(len(RECIPES))), "it stays in the race"
    assert pack_of(whole.cohort).candidates == [4]


def test_neighbours_train_as_without_those_that_stop(engine: Engine, whole: Whole) -> None:
    cohort = whole.cohort
    alone = go_on(Cohort(engine, [BASE, BASE], REPEATS))
    for at in (0, 1):
        assert bits_of(cohort, 4, at) == bits_of(alone, 0, at)
        assert cohort.curves[4, REPEATS[at]] == alone.curves[0, REPEATS[at]]


@pytest.mark.parametrize(
    "chosen", [{}, {"ema": 0.8}, {"average_from": 0.2}, {"optimizer": ScheduleFreeSGD(lr=1.0)}], ids=str
)
def test_trained_alone_a_recipe_stops_and_scores_as_its_lane(chosen: dict[str, Any]) -> None:
    first = replace(RECIPES[0], **chosen)
    plateau = Plateau(beta=0.5, patience=0)
    others = [
        replace(first, optimizer=replace(first.optimizer, lr=0.3 * plateau), early_stopping="20%"),
        replace(first, optimizer=replace(first.optimizer, lr=0.01), early_stopping="90%"),
    ]
    engine = engine_for(MODELS["mlp"], rows("mlp"), first, plan("packed"), torch.float64)
    cohort = go_on(Cohort(engine, [first, *others], [0]))
    tested = cohort.test_rows(range(3))
    zeros = cohort.zeros()
    for candidate, recipe in enumerate(cohort.recipes):
        told: list[int] = []
        alone = train(
            Task(MODELS["mlp"], rows("mlp")), recipe, seed=7, dtype=torch.float64,
            show=lambda step, steps, loss, told=told: told.append(step),
        )  # fmt: skip
        assert told[-1] == round(cohort.curves[candidate, 0][-1][0] * STEPS)
        assert alone.weights_of == stops(cohort)[candidate]
        assert alone.validation is not None
        mine = cohort.last.loss[candidate, 0], cohort.last.metric[candidate, 0]  # type: ignore[attr-defined]
        assert alone.validation == pytest.approx(mine, abs=1e-9)
        assert alone.test[1] == pytest.approx(tested[candidate].mean(), abs=1e-9)
        assert alone.zeros[0] / alone.zeros[1] == zeros[candidate]
    assert alone.weights_of > 0
    assert min(stops(cohort).values()) < STEPS
    engine.close()


def test_what_is_tested_is_the_best_and_not_the_last(engine: Engine) -> None:
    cohort = go_on(Cohort(engine, [PATIENT, replace(RECIPES[0], early_stopping="90%")], [0]))
    whole = Cohort(engine, [BASE, BASE], [0])
    go_on(whole, [point for point in POINTS if round(point * STEPS) <= stops(cohort)[1]])
    assert stops(cohort)[1] < STEPS
    assert cohort.test_rows([1])[1].tolist() == whole.test_rows([0])[0].tolist()


def test_a_cool_down_counts_a_lane_that_has_ended_as_it_stands(engine: Engine, whole: Whole) -> None:
    half = next(at for at, (first, second) in enumerate(whole.ended) if len(first & second) > 0 and len(first) < 4)
    cohort = go_on(Cohort(engine, RECIPES, REPEATS), POINTS[: half + 1])
    before = engine.costs.lane_steps
    cold = cohort.cool_down(0.04)
    places = sum(len(pack.candidates) for pack in group_of(cohort).packs)
    assert engine.costs.lane_steps - before == places * 4 < len(RECIPES) * 2 * 4
    for at in (0, 1):
        for candidate in range(4):
            as_it_stands = cold.loss[candidate, at] == cohort.last.loss[candidate, at]  # type: ignore[attr-defined]
            assert as_it_stands == (candidate in whole.ended[half][at])
    assert np.isfinite(cold.metric).all()
    (gone, *_) = whole.ended[half][0]
    cohort.keep({4})
    assert np.isnan(cohort.evaluate().loss[gone]).all()
    assert gone not in cohort.test_rows([gone])


def test_written_down_and_read_back_it_goes_on_bit_for_bit(engine: Engine, whole: Whole) -> None:
    half = next(at for at, (first, second) in enumerate(whole.ended) if 1 < len(first | second) < 4) + 1
    cohort, again = go_on(Cohort(engine, RECIPES, REPEATS), POINTS[:half]), Cohort(engine, RECIPES, REPEATS)
    tensors, data = state_of(cohort)
    restore(again, safetensors.torch.load(safetensors.torch.save(tensors)), json.loads(json.dumps(data)))
    go_on(again, POINTS[half:])
    done = whole.cohort
    assert again.curves == done.curves
    for which in ("loss", "metric"):
        mine, theirs = (getattr(each.last, which).tobytes() for each in (again, done))  # type: ignore[attr-defined]
        assert mine == theirs
    assert bits_of(again, 4) == bits_of(done, 4)
    mine_rows, their_rows = again.test_rows(range(5)), done.test_rows(range(5))
    assert all(mine_rows[c].tobytes() == their_rows[c].tobytes() for c in range(5))
    assert again.zeros() == done.zeros()


def test_a_checkpoint_from_before_there_was_early_stopping_still_loads(engine: Engine) -> None:
    cohort, again = go_on(Cohort(engine, [BASE, BASE], [0]), POINTS[:2]), Cohort(engine, [BASE, BASE], [0])
    tensors, data = state_of(cohort)
    for packs in data["groups"]:
        for pack in packs:
            del pack["stopping"]
    restore(again, tensors, data)
    assert all_bits(again) == all_bits(cohort)


def test_a_lane_that_diverges_has_no_best(engine: Engine) -> None:
    ruined = replace(RECIPES[0], optimizer=SGD(lr=RUINOUS), early_stopping="10%")
    cohort = go_on(Cohort(engine, [RECIPES[0], ruined], [0]))
    assert np.isnan(cohort.last.loss[1, 0])  # type: ignore[attr-defined]
    assert 1 not in stops(cohort)
    assert (1, 0) in cohort.diverged
    alone = train(Task(MODELS["mlp"], rows("mlp")), ruined, seed=7, dtype=torch.float64)
    assert alone.weights_of == STEPS
    assert not np.isfinite(alone.test[0])


def test_only_the_points_of_the_recipes_own_curve_are_heard(engine: Engine, whole: Whole) -> None:
    more = go_on(Cohort(engine, RECIPES, REPEATS), sorted({*POINTS, 0.3, 0.7, 0.99}))
    assert [stops(more, at) for at in (0, 1)] == [stops(whole.cohort, at) for at in (0, 1)]


def test_early_stopping_needs_rows_to_watch() -> None:
    with pytest.raises(InputError, match="all_rows: early stopping needs validation rows"):
        train(Task(MODELS["mlp"], rows("mlp")), RECIPES[0], all_rows=True)
