"""Small questions about recipes, run eagerly, so that nothing is measured."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lanewise.lanes.packs.plan import Plan
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine
from lanewise.questions.question import Question
from lanewise.questions.side_by_side import SideBySide, SideBySideSettings
from lanewise.recipe.recipe import Recipe
from lanewise.record import traces
from lanewise.record.folder import RunFolder
from lanewise.task.task import Task
from tests.record.records import model, rows

EAGER = Plan(packed=True, compiled=False, width=32, workers=1, threads=1, why="given")
RECIPE = Recipe(
    optimizer=SGD(lr=0.1 * Cosine(warmup="20%"), momentum=0.9), l2=1e-3, dropout=0.1, batch_size=12, epochs=2
)


def eager_plans(recipes: Iterable[Recipe]) -> dict[str, Plan]:
    """Eager packs for the structures of `recipes`."""
    return {str(recipe.structure()): EAGER for recipe in recipes}


def task() -> Task:
    """Three classes of 120 rows, and a small perceptron with norms and dropout."""
    return Task(model, rows())


def run_of(
    question: Question, recipes: Iterable[Recipe], folder: RunFolder | None = None, repeats: int = 2, **given: Any
) -> SideBySide:
    """A run that writes a checkpoint whenever it can; `recipes` have all the structures there are in it."""
    settings = SideBySideSettings(repeats, seed=1)
    return SideBySide(
        given.pop("task", None) or task(), question, settings, folder=folder, plans=eager_plans(recipes), threads=1,
        every=0, **given,
    )  # fmt: skip


def on_record(folder: Path) -> dict[str, Any]:
    """All that a finished run has on record, timings excepted."""
    verdict = json.loads((folder / "verdict.json").read_text())
    del verdict["seconds"]
    tables = [traces.read(folder / f"{name}.parquet").to_pydict() for name in ("traces", "candidates")]
    files = sorted(path.name for path in folder.iterdir())
    return {"files": files, "verdict": verdict, "curves": repr(tables), "best": (folder / "best.yaml").read_text()}
