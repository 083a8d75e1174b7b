"""What a cohort comes to is a function of seed and plan: threads, engines and the global generator play no part."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine, Plateau
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from tests.lanes.cases import (
    HOW,
    MLP_SGD,
    MODELS,
    all_bits,
    engine_for,
    lane_of,
    pack_of,
    plan,
    rows,
    same_scores,
    trained,
)

EngineOf = Callable[..., Engine]
REPEATS = (0, 3)


def nesterov(recipe: Recipe) -> Recipe:
    return replace(recipe, optimizer=SGD(lr=recipe.optimizer.lr, momentum=0.9, nesterov=True))


@pytest.fixture
def two_structures() -> Iterator[Engine]:
    """An engine that packs plain momentum, and trains Nesterov's in a loop."""
    recipe = MLP_SGD.recipes()[0]
    plans = {str(recipe.structure()): plan("packed"), str(nesterov(recipe).structure()): plan("looped")}
    engine = Engine(Task(MODELS["mlp"], rows("mlp")), 7, threads=1, plans=plans)
    yield engine
    engine.close()


def test_structures_may_mix_and_start_from_the_same_weights(two_structures: Engine) -> None:
    first, _, _, last = MLP_SGD.recipes()
    cohort = Cohort(two_structures, [first, nesterov(first), last], REPEATS)
    assert [pack.candidates for group in cohort.groups for pack in group.packs] == [[0, 2], [0, 2], [1], [1]]
    for repeat in (0, 1):
        starts = [lane_of(cohort, candidate, repeat).state[0] for candidate in range(3)]
        assert torch.equal(starts[0], starts[1])
        assert torch.equal(starts[0], starts[2])
    cohort.advance(0.1)
    assert np.isfinite(cohort.evaluate().loss).all()
    cohort.keep([0, 2])
    cohort.advance(0.2)
    assert np.isfinite(cohort.evaluate().loss).tolist() == [[True] * 2, [False] * 2, [True] * 2]


@pytest.mark.parametrize("how", HOW)
def test_two_workers_and_a_second_engine_give_what_the_first_gave(how: str, engine_of: EngineOf) -> None:
    recipes = [*MLP_SGD.recipes(), *MLP_SGD.recipes(2.0)]
    first = engine_of(MLP_SGD, how, dtype=torch.float32)
    again = engine_for(MODELS["mlp"], rows("mlp"), recipes[0], plan(how, workers=2))
    torch.manual_seed(99)
    cohorts = [trained(engine, recipes, 0.2, (0, 1)) for engine in (first, again)]
    assert all_bits(cohorts[0]) == all_bits(cohorts[1])
    assert same_scores(*(cohort.cool_down(0.05) for cohort in cohorts))
    assert same_scores(*(cohort.evaluate() for cohort in cohorts))
    again.close()


def test_training_leaves_the_global_generator_alone(engine_of: EngineOf) -> None:
    before = torch.get_rng_state()
    cohort = trained(engine_of(MLP_SGD, "packed"), MLP_SGD.recipes(), 0.1)
    cohort.cool_down(0.05)
    cohort.evaluate()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_plateau_lowers_the_rate_of_its_own_lane_when_it_stands_still() -> None:
    def recipe(patience: int) -> Recipe:
        # A rate of almost nothing, so that the loss stands still.
        optimizer = SGD(lr=1e-12 * Cosine() * Plateau(beta=0.5, patience=patience), momentum=0.5)
        return Recipe(optimizer=optimizer, batch_size=16, epochs=34)

    recipes = [recipe(0), recipe(100)]
    run = engine_for(MODELS["mlp"], rows("mlp"), recipes[0], plan("packed"))
    cohort = Cohort(run, recipes, (0,))
    table = pack_of(cohort).tables[0].copy()
    rate = [*recipes[0].numbers()].index("lr")
    for progress in (0.25, 0.5, 0.75):
        cohort.advance(progress)
        cohort.evaluate()
    mine, other = (pack_of(cohort).tables[candidate][:, rate] for candidate in (0, 1))
    falls = mine / table[:, rate]
    assert falls[0] == 1.0
    assert falls[-1] < 1.0
    assert set(np.round(np.log2(falls), 9)) <= {0.0, -1.0, -2.0, -3.0}
    assert np.array_equal(other, table[:, rate])
    given = pack_of(cohort).blocks[0].table[:, rate, :2]
    assert np.allclose(given.T, [mine, other], rtol=1e-6)
    run.close()
