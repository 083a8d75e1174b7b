"""What users get wrong most: refused by the part, in a recipe, in a file, in lanes and in native training alike.

Each refusal is an `InputError`, which is a `ValueError`, and names the field, the value and what is allowed.
"""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lanewise.bridges.torch_optimizer import TorchOptimizer
from lanewise.bridges.torch_penalties import Penalty
from lanewise.bridges.torch_schedule import LRScheduler
from lanewise.errors import InputError
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.dropout import Dropout, dropout
from lanewise.parts.mixup import mixing_weight
from lanewise.parts.norm import AveragedWeights, GhostBatchNorm, batch_norm, convert_norm, ghost_batch_norm
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.penalties import strength
from lanewise.parts.schedules import Constant, Cosine, Exponential, Linear, Plateau, Rising, Warmup, feedbacks, tabulate
from lanewise.parts.smoothing import smoothed_cross_entropy
from lanewise.parts.stochastic_depth import StochasticDepth, stochastic_depth
from lanewise.recipe.file import load
from lanewise.recipe.ranges import uniform
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.parts.table_models import MODELS, perceptron, rows
from tests.parts.table_row import recipe
from tests.parts.table_runs import engine, new_engine

RANGE = r"must (be|fit|divide)"


def schedule(value: Any, total_steps: int = 60) -> LRScheduler:
    return LRScheduler(torch.optim.SGD(perceptron().parameters(), lr=0.1), value, total_steps)


def on_rate(value: Any) -> Recipe:
    return recipe(SGD(lr=0.1 * value))


def file(text: str) -> Recipe:
    return load(f"lanewise: 1\nbatch_size: 8\nepochs: 10\n{text}")[0]


def in_lanes(lane: Recipe, model: str = "mlp") -> None:
    Cohort(engine("packed", model), [lane], [0])


def alone(lane: Recipe, model: str = "mlp") -> None:
    train(Task(MODELS[model], rows(model)), lane)


def row(*shape: int) -> torch.Tensor:
    return torch.zeros(1, 3, *shape)


STATISTICS = (None, None, torch.zeros(3), torch.ones(3), 0.1)
LAYER, LOGITS, LABELS, U = Dropout(0.5), torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), torch.rand(3)

CASES: dict[str, list[tuple[str, Callable[[], Any], str]]] = {
    "a negative duration": [
        ("part", lambda: Cosine(warmup="-5%"), "Cosine.warmup = '-5%'"),
        ("part", lambda: Warmup("-3ep"), "Warmup.duration = '-3ep'"),
        ("part", lambda: Constant(duration="-1st") >> Cosine(), "Constant.duration = '-1st'"),
        ("file", lambda: file("optimizer: sgd(lr=0.1 * cosine(warmup=-5%))"), "Cosine.warmup = '-5%'"),
        ("file", lambda: file("optimizer: sgd(lr=0.1 * warmup(-3ep) >> cosine())"), "Warmup.duration = '-3ep'"),
    ],
    "an unknown unit": [
        ("part", lambda: Cosine(warmup="5min"), "Cosine.warmup = '5min'"),
        ("part", lambda: Cosine(warmup="5"), "Cosine.warmup = '5'"),
        ("part", lambda: Cosine(warmup=5), "Cosine.warmup = 5"),
        ("file", lambda: file("optimizer: sgd(lr=0.1 * cosine(warmup=5min))"), "Cosine.warmup = '5min'"),
        ("file", lambda: file("optimizer: sgd(lr=0.1 * cosine(warmup=5))"), "Cosine.warmup = 5"),
    ],
    "a warm-up longer than the run": [
        ("part", lambda: Cosine(warmup="61st").table(60), "Cosine.warmup = '61st': lasts 61 steps"),
        ("part", lambda: Warmup("11ep").table(60, 6), "Warmup.duration = '11ep': lasts 66 steps"),
        ("part", lambda: Cosine(warmup="40%", duration="30%").table(60), "Cosine.warmup = '40%': lasts 24 steps"),
        ("plain loop", lambda: schedule(Cosine(warmup="61st")), "Cosine.warmup = '61st': lasts 61 steps"),
        ("lanes", lambda: in_lanes(on_rate(Cosine(warmup="11ep"))), "Cosine.warmup = '11ep': lasts 66 steps"),
        ("lanes", lambda: in_lanes(on_rate(Warmup("60%") >> Cosine(duration="60%"))), "duration=60%.*72 steps"),
        ("lanes", lambda: in_lanes(recipe(dropout=0.1 * Linear(warmup="61st"))), "Linear.warmup = '61st'"),
        ("file", lambda: in_lanes(file("optimizer: sgd(lr=0.1 * cosine(warmup=61st))")), "Cosine.warmup = '61st'"),
        ("alone", lambda: alone(on_rate(Cosine(warmup="61st"))), "Cosine.warmup = '61st': lasts 61 steps"),
    ],
    "gamma <= 0": [
        ("part", lambda: Exponential(gamma=0.0), r"Exponential.gamma = 0.0.*\(0, inf\)"),
        ("part", lambda: Exponential(gamma=-0.9), r"Exponential.gamma = -0.9.*\(0, inf\)"),
        ("space", lambda: on_rate(Exponential(gamma=uniform(-0.5, 0.9))), r"Exponential.gamma = -0.5.*\(0, inf\)"),
        ("file", lambda: file("optimizer: sgd(lr=0.1 * exponential(gamma=0))"), r"Exponential.gamma = 0.*\(0, inf\)"),
        ("file", lambda: file("optimizer: sgd(lr=0.1 * exponential(gamma=-1))"), r"Exponential.gamma = -1.*\(0, inf\)"),
    ],
    "p outside [0, 1)": [
        ("part", lambda: Dropout(1.0), r"rate = 1.0.*\[0, 1\)"),
        ("part", lambda: setattr(LAYER, "rate", -0.1), r"rate = -0.1.*\[0, 1\)"),
        ("part", lambda: dropout(U, 1.0, U), r"rate = 1.0.*\[0, 1\)"),
        ("part", lambda: StochasticDepth(1.0), r"rate = 1.0.*\[0, 1\)"),
        ("part", lambda: stochastic_depth(row(), math.nan, U[:1]), r"rate = nan.*\[0, 1\)"),
        ("recipe", lambda: recipe(dropout=1.0), r"Recipe.dropout = 1.0.*\[0, 1\)"),
        ("recipe", lambda: recipe(stochastic_depth=-0.1), r"Recipe.stochastic_depth = -0.1.*\[0, 1\)"),
        ("space", lambda: recipe(dropout=uniform(0.0, 1.0)), r"Recipe.dropout = 1.0.*\[0, 1\)"),
        ("file", lambda: file("dropout: 1"), r"Recipe.dropout = 1.*\[0, 1\)"),
        ("file", lambda: file("dropout: .nan"), r"Recipe.dropout = nan.*\[0, 1\)"),
        ("lanes", lambda: in_lanes(recipe(dropout=1.0 * Linear())), r"dropout = .*is 1 at step 0.*\[0, 1\)"),
        ("lanes", lambda: in_lanes(recipe(dropout=-0.1 * Rising())), r"dropout = .*is -0.0.*\[0, 1\)"),
        ("file", lambda: in_lanes(file("dropout: 1.0 * linear()")), r"dropout = .*is 1 at step 0.*\[0, 1\)"),
        ("alone", lambda: alone(recipe(dropout=1.0 * Linear())), r"dropout = .*is 1 at step 0.*\[0, 1\)"),
    ],
    "eps <= 0": [
        ("part", lambda: Adam(eps=0.0), r"Adam.eps = 0.0.*\(0, inf\)"),
        ("part", lambda: batch_norm(row(), *STATISTICS, 0.0, False), r"eps = 0.0.*\(0, inf\)"),
        ("part", lambda: GhostBatchNorm(3, 2, eps=-1e-5), r"eps = -1e-05.*\(0, inf\)"),
        ("plain loop", lambda: TorchOptimizer([{"params": [torch.zeros(1)], "eps": 0.0}], Adam()), r"Adam.eps = 0.0"),
        ("space", lambda: recipe(Adam(eps=uniform(0.0, 1e-8))), r"Adam.eps = 0.0.*\(0, inf\)"),
        ("file", lambda: file("optimizer: adam(eps=0)"), r"Adam.eps = 0.*\(0, inf\)"),
        ("file", lambda: file("optimizer: muon(adam_eps=-1e-8)"), r"Muon.adam_eps = -1e-08.*\(0, inf\)"),
        ("lanes", lambda: in_lanes(recipe(Adam(eps=1e-8 * Rising()))), r"eps = .*is 0 at step 0.*\(0, inf\)"),
        ("alone", lambda: alone(recipe(Adam(eps=1e-8 * Rising()))), r"eps = .*is 0 at step 0.*\(0, inf\)"),
    ],
    "lambda < 0": [
        ("part", lambda: Penalty(perceptron(), l2=-1.0), r"Penalty.l2 = -1.0.*\[0, inf\)"),
        ("part", lambda: Penalty(perceptron()).set(l1=-0.1), r"Penalty.l1 = -0.1.*\[0, inf\)"),
        ("part", lambda: Penalty(perceptron(), decay=2.0, decay_by="independent"), r"Penalty.decay = 2.0.*\[0, 1\]"),
        ("part", lambda: strength(0.1, "row", 0), r"rows = 0.*\[1, inf\)"),
        ("recipe", lambda: recipe(l2=-1.0), r"Recipe.l2 = -1.0.*\[0, inf\)"),
        ("recipe", lambda: recipe(decay=-0.1), r"Recipe.decay = -0.1.*\[0, inf\)"),
        ("recipe", lambda: recipe(decay=2.0, decay_by="independent"), r"Recipe.decay = 2.0.*\[0, 1\]"),
        ("space", lambda: recipe(l1=uniform(-1.0, 1.0)), r"Recipe.l1 = -1.0.*\[0, inf\)"),
        ("file", lambda: file("l1: -1"), r"Recipe.l1 = -1.*\[0, inf\)"),
        ("lanes", lambda: in_lanes(recipe(l2=-0.1 * Linear())), r"l2 = .*is -0.1 at step 0.*\[0, inf\)"),
        ("lanes", lambda: in_lanes(recipe(decay=2.0 * Linear(), decay_by="independent")), r"decay = .*is 2.*\[0, 1\]"),
        ("file", lambda: in_lanes(file("l1: -0.1 * linear()")), r"l1 = .*is -0.1 at step 0.*\[0, inf\)"),
        ("alone", lambda: alone(recipe(l2=-0.1 * Linear())), r"l2 = .*is -0.1 at step 0.*\[0, inf\)"),
    ],
    "one row into batch norm": [
        ("part", lambda: batch_norm(row(), *STATISTICS, 1e-5, True, where="layer 4"), "layer 4: 1 value.*layer norm"),
        ("part", lambda: ghost_batch_norm(row(), *STATISTICS, 1e-5, True, 2), "ghost batch norm: 1 value.*layer norm"),
        ("part", lambda: GhostBatchNorm(3, 2)(row()), "1 value.*layer norm"),
        ("lanes", lambda: in_lanes(recipe(batch_size=1)), "batch norm 1: 1 value.*layer norm"),
        ("lanes", lambda: in_lanes(recipe(batch_size=1, ghost=2)), "batch norm 1: 1 value.*layer norm"),
        ("lanes", lambda: in_lanes(recipe(batch_size=1, norm="batch"), "layered"), "batch norm 1: 1 value.*layer norm"),
        ("file", lambda: in_lanes(replace(file("l2: 0"), batch_size=1)), "batch norm 1: 1 value.*layer norm"),
        ("alone", lambda: alone(recipe(batch_size=1)), "batch norm 1: 1 value.*layer norm"),
        ("alone", lambda: alone(recipe(batch_size=1, ghost=2)), "batch norm 1: 1 value.*layer norm"),
    ],
    "zero or negative totals": [
        ("part", lambda: Cosine().table(0), r"total_steps = 0.*\[1, inf\)"),
        ("part", lambda: (0.1 * Linear()).table(-5), r"total_steps = -5.*\[1, inf\)"),
        ("part", lambda: Linear()(0, 0), r"total_steps = 0.*\[1, inf\)"),
        ("part", lambda: Linear().table(10, 0), r"steps_per_epoch = 0.*\[1, inf\)"),
        ("part", lambda: tabulate(0.1, 0), r"total_steps = 0.*\[1, inf\)"),
        ("part", lambda: feedbacks(Plateau(), -1), r"total_steps = -1.*\[1, inf\)"),
        ("plain loop", lambda: schedule(Cosine(), 0), r"total_steps = 0.*\[1, inf\)"),
        ("recipe", lambda: recipe(epochs=0), r"Recipe.epochs = 0.*\[1, inf\)"),
        ("recipe", lambda: recipe(batch_size=-8), r"Recipe.batch_size = -8.*\[1, inf\)"),
        ("file", lambda: load("lanewise: 1\nepochs: 0"), r"Recipe.epochs = 0.*\[1, inf\)"),
        ("file", lambda: load("lanewise: 1\nbatch_size: -8"), r"Recipe.batch_size = -8.*\[1, inf\)"),
        ("lanes", lambda: in_lanes(recipe(batch_size=49)), r"batch_size = 49.*48.*\[1, 48\]"),
        ("alone", lambda: alone(recipe(batch_size=49)), r"batch_size = 49.*48.*\[1, 48\]"),
    ],
    "other numbers of parts": [
        ("part", lambda: mixing_weight(-1.0, U[0], U[1]), r"strength = -1.0.*\[0, inf\)"),
        ("part", lambda: smoothed_cross_entropy(LOGITS, LABELS, 1.5), r"smoothing = 1.5.*\[0, 1\]"),
        ("part", lambda: AveragedWeights(perceptron(), decay=1.0), r"decay = 1.0.*\[0, 1\)"),
        ("part", lambda: convert_norm(perceptron(), to="group", groups=5), "groups = 5.*the 12 channels of layer 1"),
        ("part", lambda: GhostBatchNorm(3, 0), r"virtual_size = 0.*\[1, inf\)"),
        ("recipe", lambda: recipe(penalised=()), r"Recipe.penalised = \(\).*none or a list of parameter names"),
        ("recipe", lambda: recipe(penalised="head"), "Recipe.penalised = 'head'.*none or a list of parameter names"),
        ("lanes", lambda: in_lanes(recipe(penalised=("head.*",))), "penalised = 'head.*'.*among 0.weight, 1.weight"),
        ("alone", lambda: alone(recipe(penalised=("head.*",))), "penalised = 'head.*'.*among 0.weight, 1.weight"),
        ("lanes", lambda: in_lanes(recipe(norm="group")), "groups = 32.*divide the 12 channels of layer 1"),
        ("alone", lambda: alone(recipe(norm="group")), "groups = 32.*divide the 12 channels of layer 1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(build, message, id=f"{line}, {road}")
        for line, cases in CASES.items()
        for road, build, message in cases
    ],
)
def test_is_refused_by_field_value_and_range(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        build()
    text = str(refusal.value)
    assert re.search(RANGE, text), text
    assert "\n" not in text
    assert isinstance(refusal.value, ValueError)


def test_every_line_is_tried_in_every_way_it_can_come() -> None:
    for line, cases in CASES.items():
        roads = {road for road, _, _ in cases}
        assert "part" in roads, line
        assert "file" in roads or line == "other numbers of parts", line
        # A part that cannot be built never reaches a lane; what only shows in a run is refused there and natively.
        assert {"lanes", "alone"} <= roads or line in ("a negative duration", "an unknown unit", "gamma <= 0"), line


@pytest.mark.parametrize("how", ["looped", "compiled"])
def test_one_row_into_batch_norm_is_refused_however_lanes_run(how: str) -> None:
    lane = recipe(batch_size=1)
    with pytest.raises(InputError, match="batch norm 1: 1 value"):
        Cohort(new_engine(how, "mlp", [lane]), [lane], [0])


def test_one_row_is_enough_for_other_norms_and_for_images() -> None:
    for model, lane in (
        ("mlp", recipe(batch_size=1, epochs=1, norm="layer")),
        ("residual", recipe(batch_size=1, epochs=1)),
    ):
        cohort = Cohort(new_engine("packed", model, [lane]), [lane], [0])
        cohort.advance(0.1)
        assert torch.isfinite(torch.as_tensor(cohort.evaluate().loss)).all()


@pytest.mark.parametrize("metric", [math.nan, math.inf, -math.inf])
def test_a_plateaus_metric_that_is_no_number_is_no_improvement_and_is_reported(metric: float) -> None:
    plateau = Plateau(beta=0.5, patience=1)
    state = plateau.init()
    for value in (1.0, metric, metric):
        state = plateau.update(state, value)
    assert (state.best, state.factor, state.rejected) == (1.0, 0.5, 2)
    scheduler = schedule(plateau)
    scheduler.observe(1.0)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=f"is {metric}: counted as no improvement"):
            scheduler.observe(metric)
    assert scheduler.get_last_lr() == [0.05]
