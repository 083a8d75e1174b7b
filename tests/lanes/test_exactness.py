"""A lane is the recipe trained alone: packed, compiled and looped lanes against plain PyTorch, in float64."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.recipe.recipe import Recipe
from tests.lanes.cases import (
    CASES,
    CLASSES,
    CNN_ADAM,
    CNN_SGD,
    HOW,
    STEPS,
    Case,
    Lane,
    Watched,
    group_of,
    lane_of,
    pack_of,
)
from tests.lanes.plain_reference import PlainRun

EngineOf = Callable[..., Engine]
WAYS = [
    pytest.param(case, how, id=f"{case}-{how}")
    for case in CASES
    for how in HOW
    # Compiling it takes longest, and shows nothing that the other three do not.
    if (case, how) != (CNN_ADAM, "compiled")
]
LARGE = 10.0
"""How many times larger the large rates are: up to 3 for SGD with momentum, 0.3 for Adam."""


@dataclass(frozen=True)
class Batch:
    """What one step is given."""

    x: Tensor
    y: Tensor
    draws: dict[str, Tensor]


@dataclass(frozen=True)
class Alone:
    """What a recipe trained alone came to."""

    losses: list[float]
    weights: dict[str, Tensor]
    log_probabilities: Tensor


def batches(cohort: Cohort) -> list[Batch]:
    """The batches of all steps."""
    feed = pack_of(cohort).feed
    found = []
    for start, stop in feed.spans(0, STEPS):
        chunk = feed.chunk(start, stop)
        for at in range(stop - start):
            draws = {name: draw[at] for name, draw in zip(feed.draw_shapes, chunk.draws, strict=True)}
            found.append(Batch(chunk.x[at], chunk.y[at], draws))
    return found


def plain_run(engine: Engine, recipe: Recipe) -> PlainRun:
    feed = engine.feed(recipe, 0)
    return PlainRun(engine.new_model(0), recipe, STEPS, feed.steps_per_epoch, len(engine.repeat(0).split.train))


def apart(mine: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """The largest |a - b| / (1 + |b|) over all entries; NaN if one of them is."""
    a, b = (torch.cat([value.double().flatten() for value in values]) for values in (mine, expected))
    return float(((a - b).abs() / (1 + b.abs())).max())


@pytest.fixture(scope="module")
def alone(engine_of: EngineOf) -> Callable[[Case], list[Alone]]:
    """A function of a case: each of its recipes trained alone by plain PyTorch."""

    @cache
    def results(case: Case) -> list[Alone]:
        engine = engine_of(case, "packed")
        steps = batches(Cohort(engine, case.recipes(), (0,)))
        found = []
        for recipe in case.recipes():
            run = plain_run(engine, recipe)
            losses = [run.step(run.values(at), step.x, step.y, step.draws) for at, step in enumerate(steps)]
            found.append(Alone(losses, run.model.state_dict(), run.outputs(steps[0].x).log_softmax(1)))
        return found

    return results


def log_probabilities(cohort: Cohort, lane: Lane, x: Tensor) -> Tensor:
    """What the lane makes of `x` in evaluation mode, [rows, classes]: minus the cross entropy with each class."""
    evaluate = group_of(cohort).prepared.evaluate
    labels = [torch.full((len(x),), label) for label in range(CLASSES)]
    return -torch.stack([evaluate(*lane.block.state, lane.block.table[-1], x, y)[0][lane.at] for y in labels], dim=1)


@pytest.mark.parametrize(("case", "how"), WAYS)
def test_a_run_equals_plain_pytorch(
    case: Case, how: str, engine_of: EngineOf, alone: Callable[[Case], list[Alone]]
) -> None:
    cohort = Cohort(engine_of(case, how), case.recipes(), (0,))
    before = Watched.calls
    cohort.advance(1.0)
    assert (Watched.calls == before) is (how == "compiled"), "Python must run in eager mode, and in eager mode only"
    x = batches(cohort)[0].x
    for candidate, expected in enumerate(alone(case)):
        lane = lane_of(cohort, candidate)
        # Each loss is the mean over all outputs of one batch in training mode.
        assert apart([lane.losses], [torch.tensor(expected.losses, dtype=torch.float64)]) < 1e-9
        weights = group_of(cohort).prepared.step.weights(lane.state, lane.block.table[-1][:, lane.at])
        assert weights.keys() == expected.weights.keys()
        assert apart(in_order(weights), in_order(expected.weights)) < 1e-9
        assert apart([log_probabilities(cohort, lane, x)], [expected.log_probabilities]) < 1e-9


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_recipes_train(case: Case, alone: Callable[[Case], list[Alone]]) -> None:
    # What stands still or blows up would be equal, or incomparable, whatever the engine did.
    for result in alone(case):
        assert sum(result.losses[-12:]) < 0.95 * sum(result.losses[:12])
    if case is CNN_SGD:
        assert any((result.weights["6.weight"] == 0).any() for result in alone(case)), "no weight met the threshold"


@pytest.mark.parametrize(("case", "how"), WAYS)
def test_every_step_at_a_large_rate_equals_one_of_plain_pytorch(case: Case, how: str, engine_of: EngineOf) -> None:
    engine = engine_of(case, how)
    recipes = case.recipes(LARGE)
    cohort = Cohort(engine, recipes, (0,))
    runs = [plain_run(engine, recipe) for recipe in recipes]
    step = group_of(cohort).prepared.step
    for at, batch in enumerate(batches(cohort)):
        before = [named(step, lane_of(cohort, candidate), runs[candidate]) for candidate in range(len(recipes))]
        cohort.advance((at + 1) / STEPS)
        for candidate, run in enumerate(runs):
            lane = lane_of(cohort, candidate)
            run.set_state(*before[candidate], at)
            loss = run.step(run.values(at), batch.x, batch.y, batch.draws)
            weights, _ = named(step, lane, run)
            mine, expected = in_order(weights), in_order(run.model.state_dict())
            assert apart([*mine, lane.losses[-1]], [*expected, torch.tensor(loss, dtype=torch.float64)]) < 1e-12


def in_order(weights: dict[str, Tensor]) -> list[Tensor]:
    return [weights[name] for name in sorted(weights)]


def named(step: object, lane: Lane, run: PlainRun) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """(weights and buffers by name, the optimizer's memory by parameter) of a lane's flat state."""
    weights = step.weights(lane.state, lane.block.table[0][:, lane.at])
    optimizer_state = lane.state[len(weights) :]
    names = [name for name, _ in run.model.named_parameters()]
    kinds = ("momentum",) if run.recipe.optimizer.name == "sgd" else ("average", "square")
    each = {name: optimizer_state[at * len(kinds) : (at + 1) * len(kinds)] for at, name in enumerate(names)}
    return weights, {name: dict(zip(kinds, own, strict=True)) for name, own in each.items()}


def test_a_compiled_program_is_fused(engine_of: EngineOf) -> None:
    # torch sees each operation of an eager program; of a compiled one it sees the products, the rest is a kernel.
    seen = {}
    for how in ("packed", "compiled"):
        cohort = Cohort(engine_of(CASES[0], how), CASES[0].recipes(), (0,))
        block, chunk = pack_of(cohort).blocks[0], pack_of(cohort).feed.chunk(0, 1)
        with torch.no_grad(), torch.autograd.profiler.profile() as profile:
            draws = (draw[0] for draw in chunk.draws)
            group_of(cohort).prepared.train(*block.state, block.table[0], chunk.x[0], chunk.y[0], *draws)
        seen[how] = {event.name for event in profile.function_events}
    elementwise = {"aten::rsqrt", "aten::where", "aten::sign", "aten::threshold_backward"}
    assert elementwise <= seen["packed"]
    assert not elementwise & seen["compiled"]
