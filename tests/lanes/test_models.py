"""Models of every make as lanes: tied, frozen, shared, without normalisation; and those that `vmap` cannot take."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Linear
from lanewise.recipe.recipe import Recipe
from lanewise.task.models import generator_states
from lanewise.task.task import Task
from tests.lanes.cases import bits_of, engine_for, group_of, lane_of, plan, rows, trained
from tests.lanes.plain_reference import PlainRun

OWN = Recipe(optimizer=SGD(lr=0.1 * Linear(), momentum=0.9), l2=1e-2, l1=1e-3, decay=1e-2, batch_size=16, epochs=4)
"""A recipe that leaves dropout and batch norm momentum to the model."""
GIVEN = replace(OWN, dropout=0.3, norm_momentum=0.4)
STEPS = 24


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))
        return found


class Frozen(nn.Module):
    """A first layer that does not learn, and a scale that does not either."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Linear(9, 4)
        self.first.requires_grad_(False)
        self.norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.relu(self.norm(self.first(x))))
        return found


class Shared(nn.Module):
    """One dropout layer and one batch norm, each used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(12, 9), nn.Linear(9, 9), nn.Linear(9, 4)
        self.norm, self.drop = nn.BatchNorm1d(9), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(torch.relu(self.norm(self.first(x))))
        found: Tensor = self.last(self.drop(torch.relu(self.norm(self.second(hidden)))))
        return found


class Counting(nn.Module):
    """Keeps a buffer of its own up to date."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))
        self.last = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x)
        if self.training:
            self.seen.mul_(0.5).add_(out.detach().mean(0))
        return out - 0.1 * self.seen


class Assigning(Counting):
    """Keeps a buffer up to date by assigning it anew."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x)
        if self.training:
            self.seen = 0.5 * self.seen + out.detach().mean(0)
        return out - 0.1 * self.seen


class Branching(nn.Module):
    """Looks at values, which `vmap` cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        found: Tensor = self.last(hidden if hidden.mean().item() > 0 else -hidden)
        return found


class Judging(nn.Module):
    """Looks at values in evaluation only."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x)
        return out if self.training or out.sum().item() > 0 else 2 * out


class Noisy(nn.Module):
    """Draws from torch's own generator, while it trains or always."""

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.first, self.last, self.always = nn.Linear(12, 9), nn.Linear(9, 4), always

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(F.dropout(torch.relu(self.first(x)), 0.5, self.training or self.always))
        return found


def numpy_draw() -> float:
    # Not np.random.rand itself, of which a copied model would hold a copy with a generator of its own.
    return float(np.random.rand())


class Skipping(nn.Module):
    """Scales by draws of Python's or NumPy's global generator, while it trains or always."""

    def __init__(self, draw: Callable[[], float], always: bool = False) -> None:
        super().__init__()
        self.first, self.last, self.draw, self.always = nn.Linear(12, 9), nn.Linear(9, 4), draw, always

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.first(x))
        return found * self.draw() if self.training or self.always else found


def cumulative() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9, momentum=None), nn.ReLU(), nn.Linear(9, 4))


def bare() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4))


def twice_in_a_row() -> nn.Module:
    drop = nn.Dropout(0.2)
    return nn.Sequential(nn.Linear(12, 9), drop, nn.ReLU(), drop, nn.Linear(9, 4))


def engine(model: Callable[[], nn.Module], how: str, recipe: Recipe) -> Engine:
    return engine_for(model, rows("mlp"), recipe, plan(how), torch.float64)


def stir(seed: int) -> None:
    """Put the global generators into other states."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def measured(model: Callable[[], nn.Module], notes: list[str]) -> Engine:
    """An engine without a plan, which measures."""
    return Engine(Task(model, rows("mlp")), 7, threads=1, note=notes.append)


def distance_from_plain(cohort: Cohort, candidate: int) -> float:
    """How far weights and buffers of a lane are from those of its recipe trained alone by plain PyTorch."""
    lane, recipe = lane_of(cohort, candidate), cohort.recipes[candidate]
    feed = lane.pack.feed
    run = PlainRun(cohort.engine.new_model(0), recipe, STEPS, feed.steps_per_epoch, 99)
    for start, stop in feed.spans(0, STEPS):
        chunk = feed.chunk(start, stop)
        for at in range(stop - start):
            draws = {name: draw[at] for name, draw in zip(feed.draw_shapes, chunk.draws, strict=True)}
            run.step(run.values(start + at), chunk.x[at], chunk.y[at], draws)
    mine = group_of(cohort).prepared.step.weights(lane.state, lane.block.table[0][:, lane.at])
    expected = run.model.state_dict()
    # A tensor with two names stands under its first one only.
    assert mine.keys() <= expected.keys()
    assert {expected[name].data_ptr() for name in mine} == {value.data_ptr() for value in expected.values()}
    return max(float((mine[name] - expected[name]).abs().max()) for name in mine)


@pytest.mark.parametrize("how", ["packed", "looped"])
@pytest.mark.parametrize("recipe", [OWN, GIVEN], ids=["own numbers", "given numbers"])
@pytest.mark.parametrize("model", [Tied, Frozen, Shared, Counting, Assigning, bare, twice_in_a_row, cumulative])
def test_a_lane_equals_plain_pytorch(model: Callable[[], nn.Module], recipe: Recipe, how: str) -> None:
    run = engine(model, how, recipe)
    cohort = trained(run, [recipe, replace(recipe, l2=0.1), replace(recipe, decay=0.1)])
    for candidate in range(3):
        assert distance_from_plain(cohort, candidate) < 1e-12
    run.close()


def test_frozen_parameters_stay() -> None:
    run = engine(Frozen, "packed", GIVEN)
    lane = lane_of(trained(run, [GIVEN]), 0)
    cohort = Cohort(run, [GIVEN], (0,))
    after = group_of(cohort).prepared.step.weights(lane.state, lane.block.table[0][:, 0])
    before = run.new_model(0).state_dict()
    frozen = {"first.weight", "first.bias", "norm.weight"}
    moved = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert moved == before.keys() - frozen
    run.close()


def test_a_model_that_cannot_be_packed_runs_one_lane_after_another() -> None:
    notes: list[str] = []
    measuring = measured(Branching, notes)
    trained(measuring, [OWN, OWN])
    (chosen,) = measuring.plans.values()
    assert (chosen.packed, chosen.width) == (False, 1)
    why = [note for note in notes if "one after another" in note]
    assert len(why) == 1
    assert "Branching looks at values (.item(), or an if over them)" in why[0]
    assert len(why[0]) < 300
    measuring.close()
    looped = engine(Branching, "looped", OWN)
    cohort = trained(looped, [OWN, replace(OWN, l2=0.1)])
    assert max(distance_from_plain(cohort, candidate) for candidate in (0, 1)) < 1e-12
    looped.close()


def test_a_packed_plan_that_a_model_cannot_follow_becomes_a_loop() -> None:
    notes: list[str] = []
    run = engine(Branching, "packed", OWN)
    run.note = notes.append
    Cohort(run, [OWN], (0,))
    (chosen,) = run.plans.values()
    assert (chosen.packed, chosen.width) == (False, 1)
    assert sum("the engine plan given (eager packs" in note and "does not fit" in note for note in notes) == 1
    run.close()


def test_a_model_that_packs_in_training_only_is_evaluated_one_lane_after_another() -> None:
    recipes = [OWN, replace(OWN, l2=0.1), replace(OWN, decay=0.1)]
    runs = {how: engine(Judging, how, OWN) for how in ("packed", "looped")}
    notes: list[str] = []
    runs["packed"].note = notes.append
    packed, looped = (trained(run, recipes) for run in runs.values())
    assert sum("evaluated one lane after another" in note for note in notes) == 1
    assert packed.evaluate().loss == pytest.approx(looped.evaluate().loss, rel=1e-12)
    assert packed.test_rows([1])[1].tolist() == looped.test_rows([1])[1].tolist()
    for run in runs.values():
        run.close()


@pytest.mark.parametrize(
    "model",
    [Noisy, lambda: Skipping(random.random), lambda: Skipping(numpy_draw)],
    ids=["torch", "python", "numpy"],
)
def test_a_model_that_draws_itself_runs_one_lane_after_another(model: Callable[[], nn.Module]) -> None:
    notes: list[str] = []
    measuring = measured(model, notes)
    trained(measuring, [OWN])
    (chosen,) = measuring.plans.values()
    assert (chosen.packed, chosen.compiled, chosen.workers) == (False, False, 1)
    assert sum("one after another: the model draws random numbers itself" in note for note in notes) == 1
    measuring.close()


@pytest.mark.parametrize(
    "given",
    [Plan(True, False, 4, 1, 1), Plan(False, True, 1, 1, 1), Plan(True, True, 4, 1, 1), Plan(False, False, 1, 2, 1)],
    ids=str,
)
def test_a_plan_that_would_mix_up_a_models_own_draws_is_refused(given: Plan) -> None:
    run = engine_for(Noisy, rows("mlp"), OWN, given)
    with pytest.raises(InputError, match=r"does not fit: the model draws random numbers itself .*, on 1 worker$"):
        Cohort(run, [OWN], (0,))


@pytest.mark.parametrize("always", [False, True], ids=["in training", "always"])
@pytest.mark.parametrize(
    "model",
    [Noisy, partial(Skipping, random.random), partial(Skipping, numpy_draw)],
    ids=["torch", "python", "numpy"],
)
def test_what_a_model_draws_itself_is_the_same_for_all_lanes_and_every_time(
    model: Callable[..., nn.Module], always: bool
) -> None:
    engines = [engine(lambda: model(always=always), "looped", OWN) for _ in range(2)]
    cohorts = [trained(engines[0], [OWN, OWN], 0.5), trained(engines[1], [replace(OWN, l2=0.5), OWN], 0.25)]
    stir(5)
    cohorts[1].advance(0.5)
    scores = [cohorts[0].evaluate().loss]
    stir(6)
    before = generator_states(torch.device("cpu"))
    scores.append(cohorts[1].evaluate().loss)
    assert generator_states(torch.device("cpu")) == before
    assert bits_of(cohorts[0], 0) == bits_of(cohorts[0], 1) == bits_of(cohorts[1], 1)
    assert scores[0][0] == scores[0][1] == scores[1][1]
    for each in engines:
        each.close()
