"""Adapters as lanes: packed, looped and plain PyTorch agree, and what is frozen stays as it was."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lanewise as lw
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD, Adam
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import plan
from tests.parts.test_lora import Tiny

ROWS = 60


class Pictures(nn.Module):
    """A convolution, batch norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))
        return found


def adapted(make: Callable[[], nn.Module], seed: int = 5, **how: Any) -> Callable[[], nn.Module]:
    """A factory of adapters over one pretrained model."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        base = make().double()
    return lambda: lw.lora(base, rank=2, **how)


def data(kind: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    if kind == "pictures":
        return torch.randn(ROWS, 1, 5, 5, generator=generator), torch.arange(ROWS) % 3
    return torch.randint(11, (ROWS, 6), generator=generator), torch.arange(ROWS) % 11


MODELS: dict[str, Callable[[], nn.Module]] = {
    "attention": adapted(Tiny),
    "linear": adapted(Tiny, targets=["linear1", "linear2"], train="head.*"),
    "embedding": adapted(Tiny, targets="embed"),
    "tied": adapted(lambda: Tiny(tied=True)),
    "pictures": adapted(Pictures, targets=["conv", "head"], train="norm.*"),
}


def recipes(adam: bool = True) -> list[Recipe]:
    optimizer: Any = Adam if adam else SGD
    return [Recipe(optimizer=optimizer(lr=rate), l2=1e-3, batch_size=8, epochs=3) for rate in (0.02, 0.005)]


def losses(kind: str, model: Callable[[], nn.Module], how: str, given: list[Recipe]) -> np.ndarray:
    run = Engine(
        Task(model, data(kind)), 3, threads=1, dtype=torch.float64, plans={str(given[0].structure()): plan(how)}
    )
    cohort = Cohort(run, given, [0, 1])
    cohort.advance(1.0)
    (chosen,) = run.plans.values()
    assert chosen.packed == (how == "packed")
    assert not chosen.real
    found = cohort.evaluate().loss
    run.close()
    return found


@pytest.mark.parametrize("how", ["packed", "looped"])
@pytest.mark.parametrize("kind", MODELS)
def test_lanes_of_adapters_equal_training_alone(kind: str, how: str) -> None:
    found = losses(kind, MODELS[kind], how, recipes())
    alone = [
        [
            train(Task(MODELS[kind], data(kind)), recipe, seed=3, repeat=repeat, dtype=torch.float64).validation[0]
            for repeat in (0, 1)
        ]
        for recipe in recipes()
    ]
    assert found == pytest.approx(np.array(alone), rel=1e-9)


def test_dropout_in_front_of_adapters_is_the_same_packed_and_looped_and_a_number_of_the_recipe() -> None:
    model = adapted(Tiny, targets=["linear1", "linear2"], dropout=0.2)
    given = [replace(recipe, dropout=rate) for recipe, rate in zip(recipes(), (0.5, 0.1), strict=True)]
    found = losses("linear", model, "packed", given)
    assert found == pytest.approx(losses("linear", model, "looped", given), rel=1e-9)
    assert abs(found / losses("linear", model, "packed", recipes()) - 1).min() > 1e-6


def test_training_leaves_what_is_frozen_and_draws_adapters_anew_in_every_repeat() -> None:
    make = MODELS["linear"]
    before = {name: value.clone() for name, value in make().state_dict().items() if "lora" not in name}
    task = Task(make, data("linear"))
    first, second = (train(task, recipes()[0], seed=3, repeat=repeat, dtype=torch.float64).model for repeat in (0, 1))
    for name, value in first.state_dict().items():
        if "lora" not in name:
            assert torch.equal(value, before[name]) == ("head" not in name), name
    drawn = [task.new_model(seed).body.layers[0].linear1.lora_A for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(first.body.layers[0].linear1.lora_B, second.body.layers[0].linear1.lora_B)
    assert torch.equal(make().head.weight, before["head.weight"]), "what trains is a copy"
