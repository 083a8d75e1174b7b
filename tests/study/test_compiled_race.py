"""A whole race compiles one program for each structure, and nothing after that: counted by torch's own counters."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lanewise.lanes.packs.plan import Plan
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine, Plateau
from lanewise.recipe.ranges import choice, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.study.progress import Observer, Progress
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task

SPACE = Recipe(
    optimizer=SGD(lr=log(0.01, 0.3) * choice(Cosine(), Plateau(patience=0, threshold=0.5)), momentum=uniform(0.0, 0.9)),
    dropout=uniform(0.0, 0.3),
    early_stopping=choice("25%", "50%"),
    batch_size=16,
    epochs=2,
)
SETTINGS = RaceSettings(candidates=8, repeats=1, generations=2, finalists=2, confirm=2, seed=1, pruner="halving")
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler")


def compilations() -> dict[str, Any]:
    """torch's own counters of what Dynamo and Inductor have done in this process."""
    from torch._dynamo.utils import counters
    from torch._inductor import metrics

    kernels = {"kernels": metrics.generated_kernel_count, "nodes": metrics.ir_nodes_pre_fusion}
    return {**{kind: dict(counts) for kind, counts in counters.items() if counts}, **kernels}


class Counts(Observer):
    """Remembers the counters whenever the race has come further, and stops it in the phase `until`."""

    def __init__(self, until: str = "never") -> None:
        self.until, self.seen = until, [compilations()]

    def show(self, progress: Progress) -> None:
        self.seen.append(compilations())
        if progress.phase.startswith(self.until):
            raise KeyboardInterrupt


def study(folder: RunFolder | None, observer: Observer) -> Study:
    y = torch.arange(90) % 3
    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0)) + y[:, None]
    compiled = Plan(packed=True, compiled=True, width=4, workers=1, threads=1)
    plans = {str(SPACE.structure()): compiled}
    return Study(
        Task("mlp:5", (x, y)), SPACE, SETTINGS, folder=folder, observer=observer, threads=1, plans=plans, every=0
    )


@pytest.mark.slow
@needs_compiler
def test_a_race_compiles_once_and_so_does_one_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a folder where no library is.
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path / "cache"))
    # Survivors closed up after two rungs, cool-downs, lanes that stop early, evaluation, a second generation.
    stopped = Counts("confirming")
    begun = study(RunFolder(tmp_path / "run"), stopped)
    with pytest.raises(KeyboardInterrupt):
        begun.run()
    before, first, *rest = stopped.seen
    assert first["kernels"] > before["kernels"], "the counters see what is compiled"
    assert all(seen == first for seen in rest)
    assert len(rest) >= 8
    assert {candidate.stopped_at for candidate in begun.candidates} >= {0.25, 0.5, None}

    going_on = Counts()
    again = study(RunFolder.reopened(tmp_path / "run"), going_on)
    again.run()
    before, first, *rest = going_on.seen
    assert rest
    assert all(seen == first for seen in rest)
    assert again.engine.costs.compile > 0
    assert compilations() == first, "neither the test rows nor the report's numbers compile anything"
