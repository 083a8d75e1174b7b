"""What a task trains for and compares, as a record keeps it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lanewise.api.resume import recorded_task
from lanewise.errors import InputError
from lanewise.record.identity import check_unchanged
from lanewise.report.page.commands import aim_options
from lanewise.task.task import Task


@pytest.mark.parametrize("aim", [{"metric": "cross entropy"}, {"class_weights": [1.0, 2.0, 1.0, 1.0]}], ids=str)
def test_what_is_compared_is_taken_from_the_record(aim: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).normal(size=(80, 6)), y=np.arange(80) % 4)
    made = Task("mlp:4", str(tmp_path / "mine.npz"), **aim)
    record = {"model_built_in": True, "model": "mlp:4", "data_given": str(tmp_path / "mine.npz"), **made.aims}
    again = recorded_task(json.loads(json.dumps(record)), "resume x")
    assert again.objective == made.objective
    assert aim_options(again)
    assert aim_options(Task("mlp:4", str(tmp_path / "mine.npz"))) == []


def test_an_objective_of_ones_own_is_asked_for_again(tmp_path: Path) -> None:
    data = torch.randn(80, 6), torch.arange(80) % 4
    mine = Task("mlp:4", data, lambda model, batch: torch.nn.functional.cross_entropy(model(batch[0]), batch[1]))
    with pytest.raises(InputError, match=r"its objective or metric, <lambda>, is your own"):
        recorded_task({"model_built_in": True, "model": "mlp:4", "data_given": "digits", **mine.aims}, "resume x")
    with pytest.raises(InputError, match="objective was custom when the run began and is classification"):
        check_unchanged(mine.aims, Task("mlp:4", data), "resume x")


def test_a_metric_of_ones_own_is_asked_for_again() -> None:
    def right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs.argmax(1) == targets).float()

    mine = Task("mlp:4", (torch.randn(80, 6), torch.arange(80) % 4), metric=right)
    assert mine.aims["function"] == "right"
    with pytest.raises(InputError, match=r"its objective or metric, right, is your own"):
        recorded_task({"model_built_in": True, "model": "mlp:4", "data_given": "digits", **mine.aims}, "resume x")
    assert Task("mlp:4", "digits", metric="cross entropy").aims["function"] is None


def test_balanced_classes_weigh_the_same() -> None:
    y = torch.tensor([0] * 60 + [1] * 20)
    weights = Task("mlp:4", (torch.randn(80, 6), y), class_weights="balanced").aims["class_weights"]
    assert weights == pytest.approx([80 / 120, 80 / 40])
    assert weights[0] * 60 == pytest.approx(weights[1] * 20)
