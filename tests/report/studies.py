"""Small finished studies to report on: real races on few rows, for two epochs."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from lanewise.data import Source, load
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Constant, Cosine, Linear
from lanewise.recipe.ranges import choice, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.study.progress import Observer, Progress
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task

ROWS, FEATURES, CLASSES = 150, 6, 3
TOO_HIGH = 1e30
"""A learning rate at which the first steps overflow."""

SPACE = Recipe(
    optimizer=SGD(lr=choice(0.05, 0.2) * choice(Cosine(), Linear(warmup="5%"), Constant()), momentum=uniform(0.5, 0.9)),
    l2=choice(0.0, 1e-3),
    dropout=0.3 * Linear(),
    batch_size=16,
    epochs=2,
)
DIVERGING = Recipe(optimizer=SGD(lr=choice(0.1 * Cosine(), TOO_HIGH)), batch_size=16, epochs=2)


class Recorder(Observer):
    """Keeps what a study tells."""

    def __init__(self) -> None:
        self.told: list[str | Progress] = []

    def note(self, line: str) -> None:
        self.told.append(line)

    def show(self, progress: Progress) -> None:
        self.told.append(progress)


def source(name: str) -> Source:
    """Clouds of points, one for each class, under a name of one's choice."""
    y = np.arange(ROWS) % CLASSES
    noise = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0)).numpy()
    return replace(load((noise + 2 * np.eye(FEATURES)[y], y)), name=name)


def model() -> nn.Module:
    """A small network with batch norm and dropout."""
    return nn.Sequential(
        nn.Linear(FEATURES, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, CLASSES)
    )


def finished(space: Recipe = SPACE, name: str = "clouds", observer: Observer | None = None, **settings: Any) -> Study:
    """A study of `space` that has come to its verdict."""
    chosen = {"candidates": 4, "repeats": 2, "generations": 2, "finalists": 3, "confirm": 2} | settings
    chosen["finalists"] = min(chosen["finalists"], chosen["candidates"])
    study = Study(Task(model, source(name)), space, RaceSettings(**chosen), observer=observer, threads=1)
    study.run()
    return study
