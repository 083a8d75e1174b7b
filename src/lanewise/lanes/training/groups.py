"""Lanes that share a structure, their packs, and the scores of evaluations."""

from dataclasses import dataclass

import numpy as np

from lanewise.lanes.packs.pack import Pack
from lanewise.lanes.packs.prepared import Prepared
from lanewise.lanes.training.early_stopping import Stopping
from lanewise.lanes.training.feedback import Plateaus


def evaluation_points(epochs: int) -> list[float]:
    """The progress at which a run of `epochs` epochs is evaluated: a learning curve's points; a plateau gets each.

    4, 8 or 16 points, evenly spread and no more than epochs if that can be, so that validation never costs much beside
    training.

    >>> evaluation_points(3), len(evaluation_points(20))
    ([0.25, 0.5, 0.75, 1.0], 16)
    """
    count = next(count for count in (16, 8, 4) if epochs >= count or count == 4)
    return [(point + 1) / count for point in range(count)]


@dataclass(frozen=True)
class Scores:
    """Of each candidate in each repeat, float64 [candidates, repeats]; NaN for lanes that left or diverged."""

    loss: np.ndarray
    metric: np.ndarray


@dataclass(eq=False)
class Group:
    """The lanes that share a structure: one pack for each repeat; `lane_rows` are evaluated by one call.

    `plateaus` and `stopping` hold, by repeat and candidate, what lanes do about how they are scored. `averaged` are the
    steps whose states are averaged, see `lanewise.lanes.training.averaging`.
    """

    prepared: Prepared
    packs: list[Pack]
    total_steps: int
    plateaus: list[dict[int, Plateaus]]
    stopping: list[dict[int, Stopping]]
    averaged: dict[int, int]
    lane_rows: int
