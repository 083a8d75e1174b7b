"""What the examination of a model finds: a fault is told from rounding."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.model import agreement
from lanewise.lanes.packs.engine import Engine
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task


def test_rounding_in_float32_does_not_count_as_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    # A tolerance that float32 cannot keep: float64 then shows that nothing else is wrong.
    monkeypatch.setattr(agreement, "TOLERANCE", 1e-10)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(64, 6, generator=generator), torch.arange(64) % 3
    recipe = Recipe(batch_size=16, epochs=1)

    def traits(make: Any) -> Any:
        return Engine(Task(make, data), 0, threads=1).trial(recipe, 0).step.traits

    assert not traits(lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))).real

    class Hidden(nn.Module):
        """Reaches a layer that a copy does not have."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)
            self.call = lambda x: self.layer(x)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.call(x)
            return found

    assert "layer.bias, layer.weight" in traits(Hidden).real
