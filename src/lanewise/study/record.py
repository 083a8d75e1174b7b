"""What stays of a finished race: curves, the winner's recipe, the verdict."""

from collections.abc import Sequence

import numpy as np

from lanewise.recipe_file import save
from lanewise.study.candidate import Candidate
from lanewise.study.folder import RunFolder
from lanewise.study.verdict import Verdict
from lanewise.task import Task

COLUMNS = ("confirmation", "candidate", "repeat", "progress", "training_loss", "validation_loss", "metric")


def write_results(
    folder: RunFolder, task: Task, candidates: Sequence[Candidate], confirmed: Sequence[Candidate], verdict: Verdict
) -> None:
    """Write `curves.npz`, its metric in the metric's own direction, and `best.yaml`."""
    rows = [
        (phase, c.number, repeat, *point)
        for phase, pool in enumerate((candidates, confirmed))
        for c in pool
        for repeat, points in c.curves.items()
        for point in points
    ]
    columns = np.array(rows, dtype=np.float64).T
    columns[-1] = verdict.kind.turned(columns[-1])
    # The sign of a NaN says nothing, differs by the processor, and is not kept by a checkpoint.
    columns[np.isnan(columns)] = np.nan
    folder.write_curves(dict(zip(COLUMNS, columns, strict=True)))
    save(verdict.winner, folder.best, task.names)


def finish(folder: RunFolder, verdict: Verdict) -> None:
    """Write `verdict.json`, by which the run counts as finished, and remove what only an unfinished one needs."""
    folder.write_json(folder.verdict.name, verdict.to_dict())
    folder.checkpoints.remove()
