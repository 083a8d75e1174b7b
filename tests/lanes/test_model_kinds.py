"""Models as people have them: each is packed where it can be, else looped with one line that names the layer.

Race, `train` and a plain loop of torch agree for each, in float64.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import plan, rows


class Pair(nn.Module):
    """Two layers with `middle` between them."""

    def __init__(self, middle: nn.Module | None = None, first: nn.Module | None = None) -> None:
        super().__init__()
        self.first = first or nn.Linear(12, 8)
        self.middle = middle or nn.Tanh()
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.middle(self.first(x)))
        return found


class Checkpointed(Pair):
    """Activations of the middle computed again in the backward pass."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        hidden = checkpoint(self.middle, self.first(x), use_reentrant=self.reentrant)
        found: Tensor = self.last(hidden)
        return found


class Reentrant(Checkpointed):
    reentrant = True


class InSegments(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = checkpoint_sequential([*self], 2, x, use_reentrant=False)
        return found


class Item(Pair):
    """Divides by the largest value, as a Python number."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.middle(self.first(x))
        found: Tensor = self.last(hidden / max(hidden.abs().max().item(), 1.0))
        return found


class ItemInside(nn.Module):
    """The same in a layer of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x / (1.0 + x.detach().abs().mean().item())


class Counting(nn.Module):
    """A buffer that counts the calls of training, and is used."""

    steps: Tensor
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return torch.tanh(x - self.mean) / (1 + 0.01 * self.steps)


class Rebound(Counting):
    """The same with buffers that are replaced, not written into."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps = self.steps + 1
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return torch.tanh(x - self.mean) / (1 + 0.01 * self.steps)


class Attention(nn.Module):
    """Each row as three tokens of four numbers."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(x.view(len(x), 3, 4)).flatten(1))
        return found


class Tied(nn.Module):
    """One weight there and back."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back, self.last = nn.Linear(12, 8), nn.Linear(8, 12), nn.Linear(12, 4)
        self.again = nn.Linear(12, 8)
        self.again.weight = self.there.weight

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.tanh(self.back(self.there(x).tanh() + self.again(x))))
        return found


def old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning, match="weight_norm"):
        return Pair(first=nn.utils.weight_norm(nn.Linear(12, 8)))


def lazy() -> nn.Module:
    model = Pair(nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Tanh()), nn.LazyLinear(8))
    model(torch.zeros(2, 12))
    return model


PACKED: dict[str, Callable[[], nn.Module]] = {
    "weight norm": lambda: Pair(first=parametrizations.weight_norm(nn.Linear(12, 8))),
    "orthogonal": lambda: Pair(parametrizations.orthogonal(nn.Linear(8, 8))),
    "encoder layer": Attention,
    "cumulative batch norm": lambda: Pair(nn.BatchNorm1d(8, momentum=None)),
    "synchronised batch norm": lambda: Pair(nn.SyncBatchNorm(8)),
    "lazy": lazy,
    "tied": Tied,
    "buffers": lambda: Pair(Counting()),
    "buffers replaced": lambda: Pair(Rebound()),
}
LOOPED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "spectral norm": (
        lambda: Pair(first=parametrizations.spectral_norm(nn.Linear(12, 8))),
        r"_SpectralNorm first\.parametrizations\.weight\.0 cannot be packed",
    ),
    "checkpoint": (lambda: Checkpointed(nn.Linear(8, 8)), "cannot take Checkpointed"),
    "re-entrant": (lambda: Reentrant(nn.Linear(8, 8)), "cannot take Reentrant"),
    "segments": (lambda: InSegments(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)), "cannot take InSegments"),
    "item": (Item, "Item looks at values"),
    "item inside": (lambda: Pair(ItemInside()), "ItemInside middle looks at values"),
    "old weight norm": (
        old_weight_norm,
        r"cannot take Linear first, whose weight a hook computes .*parametrizations\.weight_norm",
    ),
    "old spectral norm": (
        lambda: Pair(first=nn.utils.spectral_norm(nn.Linear(12, 8))),
        "Linear first cannot be packed",
    ),
}


def recipes() -> list[Recipe]:
    return [Recipe(optimizer=SGD(lr=rate, momentum=0.9), l2=1e-3, batch_size=16, epochs=2) for rate in (0.1, 0.03)]


def raced(model: Callable[[], nn.Module], how: str, notes: list[str]) -> tuple[np.ndarray, Any]:
    given = recipes()
    plans = {str(given[0].structure()): plan(how)}
    run = Engine(Task(model, rows("mlp")), 3, threads=1, dtype=torch.float64, plans=plans, note=notes.append)
    cohort = Cohort(run, given, [0, 1])
    cohort.advance(1.0)
    found = cohort.evaluate().loss
    (chosen,) = run.plans.values()
    run.close()
    return found, chosen


def said(notes: list[str]) -> list[str]:
    """What is said beside the plan that is taken."""
    return [note for note in notes if not note.startswith("engine: ")]


def alone(model: Callable[[], nn.Module]) -> np.ndarray:
    def loss(recipe: Recipe, repeat: int) -> float:
        found = train(Task(model, rows("mlp")), recipe, seed=3, repeat=repeat, dtype=torch.float64).validation
        assert found is not None
        return found[0]

    return np.array([[loss(recipe, repeat) for repeat in (0, 1)] for recipe in recipes()])


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("kind", PACKED)
def test_kinds_that_are_packed(kind: str) -> None:
    notes: list[str] = []
    found, chosen = raced(PACKED[kind], "packed", notes)
    assert (chosen.packed, said(notes)) == (True, [])
    assert found == pytest.approx(alone(PACKED[kind]), rel=1e-9)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("kind", LOOPED)
def test_kinds_that_are_looped_with_one_line(kind: str) -> None:
    model, why = LOOPED[kind]
    notes: list[str] = []
    found, chosen = raced(model, "packed", notes)
    assert not chosen.packed
    (line,) = said(notes)
    assert re.search(why, line)
    assert "\n" not in line
    assert found == pytest.approx(alone(model), rel=1e-9)
