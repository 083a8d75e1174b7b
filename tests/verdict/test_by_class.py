"""How the winner does on each class, against scikit-learn and against training alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor, nn

import lanewise as lw
from lanewise.data import hold_out
from lanewise.train import train
from lanewise.verdict.by_class import results
from lanewise.verdict.verdict import Verdict
from tests.record.records import eager_plans

SETTINGS: dict[str, Any] = {
    "candidates": 2, "repeats": 2, "generations": 1, "finalists": 2, "confirm": 2, "threads": 1, "seed": 4,
}  # fmt: skip


def rows() -> tuple[Tensor, list[str]]:
    """120 rows of three inputs in three named classes of unlike size."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(120, 3, generator=draw)
    at = torch.bucketize(x[:, 0] + 0.5 * torch.randn(120, generator=draw), torch.tensor([-0.3, 1.0]))
    return x, [["cat", "dog", "owl"][int(one)] for one in at]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def test_results_are_scikit_learns_means() -> None:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 4, 60)
    runs = [np.where(draw.random(60) < 0.5, y, draw.integers(0, 5, 60)) for _ in range(3)]
    found = results(y, runs, ["a", "b", "c", "d", "e", "f"])
    want = np.mean(
        [precision_recall_fscore_support(y, run, labels=range(6), zero_division=0)[:3] for run in runs], axis=0
    )
    assert [one.rows for one in found] == [*np.bincount(y, minlength=4), 0, 0]
    assert [one.precision for one in found] == pytest.approx(want[0])
    assert [one.recall for one in found[:4]] == pytest.approx(want[1][:4])
    assert [one.f1 for one in found[:5]] == pytest.approx(want[2][:5])
    assert [one.recall for one in found[4:]] == [None, None]
    assert found[5].f1 is None


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"early_stopping": "50%"}], ids=str)
def test_the_winners_classes_are_those_of_training_alone(options: dict[str, Any], tmp_path: Path) -> None:
    x, labels = rows()
    task = lw.Task(network, (x, np.array(labels)))
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.choice(0.1, 0.2)), batch_size=16, epochs=4, **options)
    engine = tmp_path / "given.json"
    engine.write_text(json.dumps({key: plan.to_dict() for key, plan in eager_plans(space).items()}))
    race = lw.race(task, space, out=tmp_path / "run", engine=engine, **SETTINGS)
    held = hold_out(task.source, 0)
    test_x, test_y = held.test.take(torch.arange(len(held.test)))
    assert isinstance(test_y, Tensor)
    runs = []
    for repeat in (2, 3):
        alone = train(task, race.winner, seed=4, repeat=repeat)
        with torch.no_grad():
            runs.append(alone.model(alone.scale.apply(test_x)).argmax(1).numpy())
    found, want = race.verdict.classes, results(test_y.numpy(), runs, ["cat", "dog", "owl"])
    assert [(one.name, one.rows) for one in found] == [(one.name, one.rows) for one in want]
    # In float32 a row between two classes may fall to either.
    assert [one.f1 for one in found] == pytest.approx([one.f1 for one in want], abs=0.05)
    whole = sum(one.rows * (one.recall or 0) for one in found) / len(test_y)
    assert whole == pytest.approx(race.verdict.test.mean)
    data = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert [one["name"] for one in data["classes"]] == ["cat", "dog", "owl"]
    assert Verdict.from_dict(data, "").classes == found
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The winner on each class" in page
    assert "Beside simple models" in page
    assert ">owl<" in page


def test_numbers_have_no_classes() -> None:
    x = rows()[0]
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.choice(0.1, 0.2)), batch_size=16, epochs=1)
    race = lw.race(lw.Task(lambda: nn.Linear(3, 1), (x, x[:, 0])), space, **SETTINGS)
    assert race.verdict.classes == ()
    assert race.verdict.to_dict()["classes"] == []
