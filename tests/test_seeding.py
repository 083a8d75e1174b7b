"""Code of the user's that draws from a global generator draws the same every time, and leaves no trace in it."""

import contextlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.models import generator_states, seeded
from lanewise.task.task import Task
from lanewise.train import train

CPU = torch.device("cpu")
DATA = (torch.rand(60, 3), torch.arange(60) % 2)
DRAWS = [lambda: float(torch.rand(())), lambda: float(np.random.rand()), random.random]


class Rescaled(nn.Module):
    """A linear layer whose weights, and whose outputs in training, are scaled by draws."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        for draw in DRAWS:
            self.layer.weight.data *= 0.5 + draw()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        for draw in DRAWS:
            out = out * (0.5 + draw()) if self.training else out
        return out


def stir() -> None:
    """Put the global generators into other states."""
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)


def test_a_factory_gives_the_same_weights_for_the_same_seed() -> None:
    task = Task(Rescaled, DATA)
    first = task.new_model(3).state_dict()["layer.weight"]
    stir()
    before = generator_states(CPU)
    assert torch.equal(task.new_model(3).state_dict()["layer.weight"], first)
    assert not torch.equal(task.new_model(4).state_dict()["layer.weight"], first)
    task.check_model()
    assert generator_states(CPU) == before


def test_native_training_draws_the_same_every_time() -> None:
    task, recipe = Task(Rescaled, DATA), Recipe(optimizer=SGD(lr=0.1), batch_size=8, epochs=2)
    first = train(task, recipe).test
    stir()
    before = generator_states(CPU)
    assert train(task, recipe).test == first
    assert generator_states(CPU) == before


@pytest.mark.parametrize("draw", DRAWS, ids=["torch", "numpy", "python"])
def test_seeded_seeds_every_generator_and_restores_it_whatever_happens(draw) -> None:
    before = generator_states(CPU)
    found = []
    for seed in (1, 1, 2**40 + 2):
        with contextlib.suppress(KeyError), seeded(seed):
            found.append(draw())
            assert generator_states(CPU) != before
            raise KeyError
        assert generator_states(CPU) == before
    assert found[0] == found[1] != found[2]
    with seeded(1, enabled=False):
        draw()
    assert generator_states(CPU) != before


@pytest.mark.parametrize("there", [True, False])
def test_devices_are_seeded_where_there_are_any(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", told.append)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    with seeded(5):
        assert torch.equal(torch.rand(3), expected)
    assert told == [5] * there
