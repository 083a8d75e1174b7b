"""Averaged weights are scored with batch norm statistics of their own, as `reestimate` gives them to one model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.lanes.model.adapt import adapted
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.reestimation import Totals
from lanewise.parts.norm import Statistics, freeze_norm, merged, reestimate
from lanewise.parts.optimizers import SGD, ScheduleFreeSGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from tests.lanes.cases import engine_for, group_of, pack_of, plan

ROWS = 80
X = torch.randn(ROWS, 1, 6, 6, generator=torch.Generator().manual_seed(5))
Y = torch.arange(ROWS) % 4


class Twice(nn.Module):
    """A batch norm that is passed twice, one that is frozen, and one of a class of its own."""

    def __init__(self) -> None:
        super().__init__()

        class Own(nn.BatchNorm1d):
            pass

        self.first, self.last = nn.Linear(36, 8), nn.Linear(8, 4)
        self.norm, self.frozen, self.own = nn.BatchNorm1d(8), nn.Sequential(nn.BatchNorm1d(8)), Own(8)
        freeze_norm(self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x.flatten(1)))
        found: Tensor = self.last(self.own(self.frozen(torch.tanh(self.norm(torch.relu(x))))))
        return found


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8),
        nn.ReLU(), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "images": (images, {"ema": 0.9}),
    "ghost": (images, {"ema": 0.9, "ghost": 3}),
    "twice": (Twice, {"average_from": 0.2}),
    "accumulated": (images, {"ema": 0.8, "accumulate": 2}),
    "schedule-free": (images, {"ema": 0.8, "optimizer": ScheduleFreeSGD(lr=0.5)}),
}


def recipe(**given: Any) -> Recipe:
    return Recipe(**{"optimizer": SGD(lr=0.1, momentum=0.5), "batch_size": 7, "epochs": 4, **given})


def cohort_of(name: str, how: str, *others: Recipe) -> tuple[Cohort, Engine]:
    build, given = MODELS[name]
    lanes = [recipe(**given), recipe(**{**given, "l2": 0.1}), *others]
    engine = engine_for(build, (X, Y), lanes[0], plan(how), torch.float64)
    cohort = Cohort(engine, lanes, [0, 1])
    cohort.advance(0.5)
    return cohort, engine


def by_hand(cohort: Cohort, engine: Engine, candidate: int, at: int) -> tuple[float, list[Tensor]]:
    """(loss, all running statistics) of the averaged weights in a plain model, re-estimated by `reestimate`."""
    (group,) = cohort.groups
    pack = group.packs[at]
    block = next(block for block in pack.blocks if candidate in block.candidates)
    lane = block.candidates.index(candidate)
    weights = group.prepared.step.weights([leaf[lane] for leaf in block.state], block.table[pack.step - 1, :, lane])
    model = adapted(engine.new_model(at), cohort.recipes[candidate], group.prepared.step.example)
    model.load_state_dict(weights)
    repeat = pack.feed.repeat
    order = pack.feed.reading.order(0)
    device = torch.device("cpu")
    # 48 training rows are six whole batches of seven, whatever a step accumulates; four are passed at once.
    assert len(order) // 7 == 6
    batches = [repeat.rows(part, torch.float64, device)[0] for part in (order[:28], order[28:42])]
    reestimate(model, batches)
    x, y = repeat.rows(repeat.split.valid, torch.float64, device)
    with torch.no_grad():
        loss = F.cross_entropy(model.eval()(x), y).item()
    return loss, [buffer for name, buffer in model.named_buffers() if "running" in name]


@pytest.mark.parametrize("how", ["packed", "looped"])
@pytest.mark.parametrize("name", MODELS)
def test_averaged_weights_are_scored_with_statistics_of_their_own(name: str, how: str) -> None:
    cohort, engine = cohort_of(name, how)
    untouched = [[leaf.clone() for leaf in block.state] for block in pack_of(cohort).blocks]
    scores = cohort.evaluate()
    for candidate in (0, 1):
        for at in (0, 1):
            assert scores.loss[candidate, at] == pytest.approx(by_hand(cohort, engine, candidate, at)[0], abs=1e-9)
    assert all(
        torch.equal(mine, theirs)
        for block, kept in zip(pack_of(cohort).blocks, untouched, strict=True)
        for mine, theirs in zip(block.state, kept, strict=True)
    ), "training goes on from what it was"
    engine.close()


def test_it_is_not_the_average_of_running_statistics() -> None:
    cohort, engine = cohort_of("images", "packed")
    found = cohort.evaluate()
    group_of(cohort).prepared.step.normed = ()
    assert np.abs(cohort.evaluate().loss - found.loss).min() > 1e-4
    engine.close()


def test_a_lane_that_diverges_leaves_the_others_as_they_were() -> None:
    ruined = recipe(ema=0.9, optimizer=SGD(lr=1e300, momentum=0.5))
    (beside, first), (alone, second) = cohort_of("images", "packed", ruined), cohort_of("images", "packed")
    mine, theirs = beside.evaluate(), alone.evaluate()
    assert mine.loss[:2].tobytes() == theirs.loss.tobytes()
    assert np.isnan(mine.loss[2]).all()
    for engine in (first, second):
        engine.close()


def never(*given: torch.Tensor) -> list[torch.Tensor]:
    raise AssertionError("statistics were taken")


def test_lanes_without_averages_or_batch_norm_take_no_statistics() -> None:
    engine = engine_for(images, (X, Y), recipe(), plan("packed"))
    cohort = Cohort(engine, [recipe()], [0])
    group = group_of(cohort)
    group.prepared = replace(group.prepared, statistics=never)
    assert np.isfinite(cohort.evaluate().loss).all()
    engine.close()
    flat = engine_for(lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 4)), (X, Y), recipe(ema=0.5), plan("packed"))
    assert group_of(Cohort(flat, [recipe(ema=0.5)], [0])).prepared.step.normed == ()
    flat.close()


def test_no_more_rows_are_read_than_needed() -> None:
    y = torch.arange(4000) % 2
    engine = Engine(Task(lambda: nn.Linear(3, 2), (torch.randn(4000, 3), y)), 0, threads=1)
    feed = engine.feed(recipe(batch_size=100), 0)
    assert [len(y) for _, y in feed.first_rows(100, 1024, 4)] == [400, 400, 300]
    assert [len(y) for _, y in feed.first_rows(2000, 1024, 4)] == [2000]
    engine.close()


def test_totals_are_those_of_merged_and_leave_out_what_is_not_finite() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(2, 3, generator=generator).double(), torch.rand(2, 3, generator=generator).double())
               for _ in range(4)]  # fmt: skip
    batches[0][0][1, 2] = float("nan")
    batches[2][1][1, 0] = float("inf")
    totals, number = Totals(["norm"]), torch.tensor([5.0, 5.0]).double()
    for mean, squares in batches:
        totals.add([mean, squares, number])
    mean, variance = totals.statistics()["norm"]
    for lane, kept in ((0, (0, 1, 2, 3)), (1, (1, 3))):
        first, *rest = [Statistics(5, batches[at][0][lane], batches[at][1][lane]) for at in kept]
        for one in rest:
            first = merged(first, one)
        assert torch.allclose(mean[lane], first.mean, atol=1e-12)
        assert torch.allclose(variance[lane], first.variance, atol=1e-12)
    lost = Totals(["norm"])
    lost.add([torch.full((1, 2), torch.nan), torch.ones(1, 2), number[:1]])
    assert all(bool(found.isnan().all()) for found in lost.statistics()["norm"])
