"""Which class a lane takes each test row for."""

from dataclasses import replace

import numpy as np
import torch

from lanewise.lanes.packs.pack import Pack
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.early_stopping import Lanes, Stopping, ended_lanes
from lanewise.lanes.training.row_scores import rows_of


def predicted_classes(cohort: Cohort, candidate: int) -> list[np.ndarray | None]:
    """The class that `candidate` takes each test row for, int64 [rows], in every repeat; None where it diverged.

    The task must have classes. The lane runs by itself, as it stands at the end of its training.
    """
    engine, recipe = cohort.engine, cohort.recipes[candidate]
    structure = str(recipe.structure())
    group = next(one for one in cohort.groups if str(one.prepared.step.recipe.structure()) == structure)
    group = replace(group, prepared=engine.predicting(group.prepared, recipe, cohort.repeats[0]))
    found: list[np.ndarray | None] = []
    for pack, stopping in zip(group.packs, group.stopping, strict=True):
        lane = _lane(pack, stopping, candidate)
        if lane is None:
            found.append(None)
            continue
        rows = torch.arange(len(pack.feed.repeat.holdout.test))
        losses, classes = rows_of(group, pack, [lane], rows, test=True)
        sound = bool(np.isfinite(losses[candidate]).all())
        found.append(classes[candidate].astype(np.int64) if sound else None)
    return found


def _lane(pack: Pack, stopping: dict[int, Stopping], candidate: int) -> Lanes | None:
    """The lane of `candidate` by itself, in training or ended, or None where it has none."""
    for lanes in ended_lanes(stopping, 1, 1, {candidate}):
        return lanes
    for block in pack.blocks:
        if candidate in block.candidates:
            at = block.candidates.index(candidate)
            row = block.table[max(0, pack.step - 1)]
            return Lanes((candidate,), [leaf[at : at + 1] for leaf in block.state], row[:, at : at + 1])
    return None
