"""Small races whose records are compared: what a resumed run must have in common with one that was never killed."""

import json
import os
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import Tensor, nn

from lanewise.lanes.packs.plan import Plan
from lanewise.parts.norm import GhostBatchNorm
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.schedules import Constant, Cosine, Plateau
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.record import traces
from lanewise.sampling.sampler import Sampler
from lanewise.sampling.samplers import quiet
from lanewise.study.settings import RaceSettings

SPACE = Recipe(
    optimizer=choice(
        SGD(
            lr=log(1e-2, 4.0) * choice(Constant(), Cosine(), Plateau(patience=0, beta=0.5, threshold=0.5)),
            momentum=uniform(0.0, 0.9),
        ),
        Adam(lr=log(1e-3, 3e-1)),
    ),
    dropout=uniform(0.0, 0.3),
    early_stopping=choice("25%", "100%"),
    batch_size=12,
    epochs=2,
)
SETTINGS = RaceSettings(candidates=8, repeats=2, generations=2, finalists=3, confirm=2, seed=5)


def shared_url(folder: Path) -> str:
    """A database that several studies share: a file in `folder`, or the one that LANEWISE_TEST_STORAGE names."""
    return os.environ.get("LANEWISE_TEST_STORAGE") or f"sqlite:///{folder / 'shared.db'}"


def rows(seed: int = 5) -> tuple[Tensor, Tensor]:
    """120 rows around three centres."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(120) % 3
    centres = 2 * torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    return centres[y] + 1.5 * torch.randn(120, 6, generator=generator), y


def model() -> nn.Module:
    """A small perceptron with batch norm, ghost batch norm and dropout, all of which keep a state or draw."""
    return nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(8, 8),
        GhostBatchNorm(8, 6),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def eager_plans(space: Recipe = SPACE) -> dict[str, Plan]:
    """Eager packs for every structure that `space` holds, so that nothing is measured."""
    sampler = Sampler(space, 0, None)
    eager = Plan(packed=True, compiled=False, width=4, workers=1, threads=1, why="given")
    return {str(recipe.structure()): eager for recipe in sampler.ask(30, 0)}


def record(folder: Path) -> dict[str, Any]:
    """All that a finished run has on record, timings excepted."""
    verdict = json.loads((folder / "verdict.json").read_text())
    del verdict["seconds"]
    tables = {
        name: [
            column.to_numpy().tobytes() if column.type == "double" else column.to_pylist() for column in table.columns
        ]
        for name in ("traces", "candidates")
        for table in [traces.read(folder / f"{name}.parquet")]
    }
    with quiet():
        trials = optuna.load_study(study_name="race", storage=f"sqlite:///{folder / 'study.db'}").trials
    return {
        "files": sorted(path.name for path in folder.iterdir() if path.name != "report.html"),
        "verdict": verdict,
        "tables": tables,
        "best": (folder / "best.yaml").read_text(),
        "engine": (folder / "engine.json").read_text(),
        "trials": [
            (str(t.state), t.number, t.params, t.value, t.intermediate_values, t.user_attrs, t.distributions)
            for t in trials
        ],
    }
