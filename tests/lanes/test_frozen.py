"""Frozen parameters are held once, frozen layers computed once: with the results of lanes that each have their own."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import group_of, plan, rows

PLAIN = Recipe(optimizer=SGD(lr=0.1, momentum=0.9), batch_size=16, epochs=2)
RATES = (0.1, 0.03, 0.3)


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.act(self.norm(self.conv(x)))
        return found


class Head(nn.Module):
    """A head on a frozen backbone that stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.drop, self.head = Backbone().requires_grad_(False), nn.Dropout(0.2), nn.Linear(8, 4)

    def train(self, mode: bool = True) -> "Head":
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.drop(self.backbone(x).mean((2, 3))))
        return found


class Inline(Head):
    """Its layers are called one by one, with functions between them that write over what they are given."""

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone.norm(self.backbone.conv(x))
        features += 1.0
        found: Tensor = self.head(self.drop(torch.relu_(features).mean((2, 3))))
        return found


class Between(nn.Module):
    """A frozen layer behind one that trains, so that every lane passes it by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.frozen, self.head = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.frozen.requires_grad_(False)
        self.register_buffer("mask", torch.arange(8).remainder(2).double())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.tanh(self.frozen(torch.tanh(self.first(x.flatten(1))))) * self.mask)
        return found


class InTraining(nn.Module):
    """A frozen backbone in training mode: its batch norm goes by the batch, and its statistics move."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Backbone().requires_grad_(False), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.backbone(x).mean((2, 3)))
        return found


class Closing(Head):
    """Reaches its head by a closure, which a copy does not follow, so that it runs in a real module."""

    def __init__(self) -> None:
        super().__init__()
        self.end: Callable[[Tensor], Tensor] = lambda x: self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.backbone(x).mean((2, 3)))


@contextmanager
def counted(kind: type[nn.Module]) -> Iterator[list[int]]:
    """How many rows each call of a layer of the type `kind` had."""
    found: list[int] = []

    def count(layer: nn.Module, given: Any, returned: Any) -> None:
        if isinstance(layer, kind):
            found.append(len(given[0]))

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        yield found
    finally:
        hook.remove()


def engine_of(
    model: Callable[[], nn.Module],
    recipe: Recipe,
    how: str,
    cache: str = "off",
    note: Callable[[str], None] = lambda line: None,
    workers: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Engine:
    task = Task(model, rows("cnn"), cache=cache)
    plans = {str(recipe.structure()): plan(how, width=2, workers=workers)}
    return Engine(task, 7, threads=workers, dtype=dtype, plans=plans, note=note)


def recipes_of(recipe: Recipe) -> list[Recipe]:
    return [replace(recipe, optimizer=replace(recipe.optimizer, lr=rate)) for rate in RATES]


def losses(engine: Engine, recipe: Recipe, repeats: Sequence[int] = (0, 1)) -> np.ndarray:
    cohort = Cohort(engine, recipes_of(recipe), repeats)
    cohort.advance(1.0)
    found = cohort.evaluate().loss
    engine.close()
    return found


@pytest.mark.parametrize("model", [Head, Inline, Between, InTraining, Closing])
@pytest.mark.parametrize("given", [{}, {"ema": 0.9}, {"accumulate": 2, "batch_size": 8}, {"mixup": 0.3}], ids=str)
def test_packed_looped_and_plain_give_the_same(model: Callable[[], nn.Module], given: dict[str, Any]) -> None:
    recipe = replace(PLAIN, **({"dropout": 0.0} if model in (Head, Inline) else {}), **given)
    found = {how: losses(engine_of(model, recipe, how), recipe) for how in ("packed", "looped")}
    assert found["packed"] == pytest.approx(found["looped"], abs=1e-9)
    kept = losses(engine_of(model, recipe, "packed", "auto"), recipe)
    assert kept == pytest.approx(found["looped"], abs=1e-9)
    if "mixup" not in given:
        alone = [train(Task(model, rows("cnn")), one, seed=7, dtype=torch.float64) for one in recipes_of(recipe)]
        assert [one.validation[0] for one in alone if one.validation] == pytest.approx(found["looped"][:, 0], abs=1e-9)


@pytest.mark.parametrize("how", ["packed", "looped"])
def test_a_frozen_backbone_runs_once_a_batch_for_all_lanes(how: str) -> None:
    engine = engine_of(Head, replace(PLAIN, dropout=0.5), how, workers=2)
    cohort = Cohort(engine, recipes_of(replace(PLAIN, dropout=0.5)), (0,))
    with counted(Backbone) as calls:
        cohort.advance(1.0)
        assert calls == [16] * group_of(cohort).total_steps
        calls.clear()
        cohort.evaluate()
        assert sum(calls) == len(engine.repeat(0).split.valid)
    engine.close()


@pytest.mark.parametrize("how", ["packed", "looped"])
def test_draws_behind_a_backbone_are_drawn_at_every_step(how: str) -> None:
    """A dropout layer with a rate of its own draws the same for all lanes, and anew at each step."""
    whole = engine_of(Head, PLAIN, how)
    step = group_of(Cohort(whole, recipes_of(PLAIN), (0,))).prepared.step
    assert [call.path for call in step.shared["train"]] == ["backbone"]
    whole.close()
    without = replace(PLAIN, dropout=0.0)
    assert np.abs(losses(engine_of(Head, PLAIN, how), PLAIN) - losses(engine_of(Head, without, how), without)).min() > 0


def test_kept_features_are_computed_once_for_the_whole_study() -> None:
    notes: list[str] = []
    engine = engine_of(Head, PLAIN, "packed", "auto", notes.append)
    cohort = Cohort(engine, recipes_of(PLAIN), (0,))
    with counted(Backbone) as calls:
        cohort.advance(1.0)
        cohort.evaluate()
        cohort.test_rows([0])
        assert sum(calls) == 165
        Cohort(engine, recipes_of(PLAIN), (0,)).advance(1.0)
        assert sum(calls) == 165
    assert [note for note in notes if note.startswith("cache: what frozen layers return for 165 examples takes")]
    engine.close()


def test_what_no_lane_changes_is_not_among_its_tensors() -> None:
    engine = engine_of(Head, PLAIN, "packed")
    cohort = Cohort(engine, recipes_of(PLAIN), (0,))
    (pack,) = group_of(cohort).packs
    assert sum(leaf[0].numel() for leaf in pack.blocks[0].state) < 2 * (8 * 4 + 4) + 2
    tensors, _ = state_of(cohort)
    assert sum(tensor.numel() for tensor in tensors.values()) <= 8 * (2 * (8 * 4 + 4) + 1)
    weights = group_of(cohort).prepared.step.weights(
        [leaf[0] for leaf in pack.blocks[0].state], pack.blocks[0].table[0, :, 0]
    )
    assert weights.keys() == engine.new_model(0).state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in engine.new_model(0).state_dict().items())
    engine.close()


@pytest.mark.parametrize("cache", ["off", "auto"])
@pytest.mark.parametrize("how", ["packed", "looped"])
def test_a_checkpoint_goes_on_bit_for_bit(how: str, cache: str) -> None:
    whole = engine_of(Head, PLAIN, how, cache, dtype=torch.float32)
    expected = losses(whole, PLAIN)
    first = engine_of(Head, PLAIN, how, cache, dtype=torch.float32)
    cohort = Cohort(first, recipes_of(PLAIN), (0, 1))
    cohort.advance(0.5)
    tensors, data = state_of(cohort)
    second = engine_of(Head, PLAIN, how, cache, dtype=torch.float32)
    again = Cohort(second, recipes_of(PLAIN), (0, 1))
    restore(again, tensors, data)
    again.advance(1.0)
    assert again.evaluate().loss.tobytes() == expected.tobytes()
    first.close()
    second.close()


def test_features_are_kept_in_a_file_and_a_folder_without_room_costs_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = losses(engine_of(Head, PLAIN, "packed"), PLAIN)
    notes: list[str] = []
    assert losses(engine_of(Head, PLAIN, "packed", str(tmp_path), notes.append), PLAIN) == pytest.approx(expected)
    assert any(str(tmp_path) in note and "once" in note for note in notes)
    assert not list(tmp_path.iterdir())

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    notes.clear()
    assert losses(engine_of(Head, PLAIN, "packed", str(tmp_path), notes.append), PLAIN) == pytest.approx(expected)
    assert len([note for note in notes if note.startswith("cache:") and "No space left" in note]) == 1
    assert not list(tmp_path.iterdir())


def test_a_cache_that_is_no_folder_is_refused() -> None:
    with pytest.raises(InputError, match=r"^cache = 'nowhere': must be auto, off, or a folder that is there$"):
        Task(Head, rows("cnn"), cache="nowhere")


def test_a_model_that_does_not_train_is_refused() -> None:
    with pytest.raises(InputError, match="model: has no parameter that trains"):
        Task(lambda: Head().requires_grad_(False), rows("cnn")).check_model()


MEMORY = """
import resource, torch
from torch import nn
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task

def model():
    frozen = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(4))).requires_grad_(False)
    return nn.Sequential(nn.Linear(64, 1024), frozen, nn.Linear(1024, 4))

x, y = torch.randn(200, 64), torch.arange(200) % 4
recipe = Recipe(optimizer=SGD(lr=0.01), batch_size=16, epochs=1)
engine = Engine(Task(model, (x, y)), 7, threads=1, plans={str(recipe.structure()): Plan(True, False, 16, 1, 1)})
cohort = Cohort(engine, [recipe] * 16, (0,))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cohort.advance(1.0)
cohort.evaluate()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
engine.close()
"""


def test_sixteen_lanes_take_no_sixteen_copies_of_frozen_weights() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    frozen = 4 * 1024 * 1025 * 4
    own = (64 * 1024 + 1024 + 1024 * 4 + 4) * 4
    # Beside what setting up took: states, gradients and new states of 16 lanes; 16 copies would be 268 MB.
    assert int(done.stdout.split()[-1]) < 16 * own * 6 + 3 * frozen
