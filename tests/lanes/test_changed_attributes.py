"""Attributes that a forward pass changes go with the weights of their step where a recipe is trained alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.training.cohort import Cohort
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import rows
from tests.lanes.test_real_modules import (
    Averaging,
    Counting,
    GlobalCounting,
    HookCounting,
    Pair,
    Remembering,
    alone,
    engine,
    recipe_of,
)


class Running(Pair):
    """Evaluates by a tensor, a number and a list that training moves, and that evaluation moves too."""

    def __init__(self) -> None:
        super().__init__()
        self.running, self.scale, self.seen = torch.zeros(4, dtype=torch.float64), 1.0, [0.0]

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        self.running = 0.9 * self.running + 0.1 * out.detach().mean(0)
        self.scale *= 1.01 if self.training else 1.1
        self.seen.append(float(out.detach().mean()))
        return self.scale * out - self.running - sum(self.seen[-3:])


@pytest.mark.parametrize("model", [Running, Averaging, Counting, HookCounting, GlobalCounting, Remembering])
@pytest.mark.parametrize(
    "more",
    [{"early_stopping": "1ep"}, {"ema": 0.9}, {"average_from": 0.5, "early_stopping": "1ep"}],
    ids=str,
)
def test_weights_are_evaluated_with_the_attributes_of_their_step(
    model: Callable[[], nn.Module], more: dict[str, Any]
) -> None:
    # With a rate at which the best evaluation is not the last.
    recipes = [replace(recipe_of("sgd", 2.0, **more), epochs=3)]
    run = engine(model, None, recipes[0])
    cohort = Cohort(run, recipes, [0, 1])
    for point in cohort.evaluation_points:
        cohort.advance(point)
        lanes = cohort.evaluate().loss
    assert lanes == pytest.approx(alone(model, recipes), rel=1e-9)
    run.close()


def test_a_trained_model_has_the_attributes_of_its_best_step() -> None:
    recipe = replace(recipe_of("sgd", 2.0, early_stopping="1ep"), epochs=8)
    trained = train(Task(Running, rows("mlp")), recipe, seed=3, dtype=torch.float64)
    assert isinstance(trained.model, Running)
    # One more for each step; the pass that checks the task's model, and evaluations, leave none.
    assert len(trained.model.seen) == 1 + trained.weights_of
    assert trained.model.scale == pytest.approx(1.01**trained.weights_of)


class Caching(Pair):
    """Makes an object while it runs, which cannot be put back."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.cache = self.cache or object()
        return super().forward(x)


def test_attributes_that_cannot_be_put_back_are_refused_where_they_must_be() -> None:
    task = Task(Caching, rows("mlp"))
    assert train(task, recipe_of(), dtype=torch.float64).validation is not None
    with pytest.raises(InputError, match=r"^model: a forward pass changes cache to something that cannot be kept"):
        train(task, recipe_of(early_stopping="1ep"), dtype=torch.float64)
