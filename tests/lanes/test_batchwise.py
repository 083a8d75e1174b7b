"""Batch norm without running statistics: its scores depend on which rows are evaluated together."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.train import train
from tests.lanes.test_complex import lane_loss

X = np.random.default_rng(0).normal(size=(300, 6))
Y = (X[:, 0] > 0).astype(np.int64)
RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=8, epochs=1)


def untracked() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(), nn.Linear(8, 2))


def instances() -> nn.Module:
    """Rows by themselves: as in torch, one row is enough."""
    norm = nn.InstanceNorm1d(3, affine=True)
    return nn.Sequential(nn.Unflatten(1, (3, 2)), norm, nn.Flatten(), nn.Linear(6, 2))


def task(model: Any, valid: int, test: int) -> lw.Task:
    splits = [(range(100), range(100, 100 + valid))]
    return lw.Task(model, lw.load((X, Y), splits=splits, test=range(200, 200 + test)))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("model", [untracked, instances])
def test_lanes_and_training_alone_evaluate_the_same_rows_together(model: Any, packed: bool) -> None:
    made = task(model, 97, 50)
    alone = train(made, RECIPE, seed=3, dtype=torch.float64).validation[0]
    assert lane_loss(made, RECIPE, packed) == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize(("valid", "test", "named"), [(1, 50, "validation data"), (50, 1, "test data")])
def test_one_row_is_refused_before_training(valid: int, test: int, named: str) -> None:
    made = task(untracked, valid, test)
    shown: list[int] = []
    with pytest.raises(lw.InputError, match=f"{named}: has 1 row, and batch norm '1' has no running statistics"):
        train(made, RECIPE, show=lambda *step: shown.append(step[0]))
    with pytest.raises(lw.InputError, match=f"{named}: has 1 row"):
        lane_loss(made, RECIPE, packed=True)
    assert not shown


def test_one_row_is_enough_where_no_layer_needs_others() -> None:
    assert train(task(instances, 1, 1), RECIPE).validation is not None
    assert train(task(lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2)), 1, 1), RECIPE).validation is not None
