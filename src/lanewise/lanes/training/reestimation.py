"""Batch norm statistics of averaged weights and states, lane by lane: those of training rows, taken anew.

An average of weights computes other activations than any of the weights it was made of. `parts/norm/reestimate.py` is
the same for one model, and `lanewise train` uses it.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.workers import Workers
from lanewise.lanes.packs.feed import Feed
from lanewise.lanes.step.step import LaneStep
from lanewise.lanes.training.early_stopping import Lanes
from lanewise.task.models import seeded

LEAST_ROWS, MOST_ROWS = 256, 1024
"""Of 1024 rows a mean is off by 3% of its standard deviation and a variance by 4%, as much as running statistics of
batches of 64 with a momentum of 0.1; of 256 rows by twice as much."""
SHARE = 0.25
"""Of the rows trained on since the last evaluation are as many as needed, between these two; forward only, that costs a
twelfth of the training's arithmetic."""
PASSED_BATCHES = 4
"""Batches that one pass holds; training shows that as many rows fit into memory without a backward pass."""


def rows_to_take(epochs: int, training_rows: int, evaluations: int) -> int:
    """Training rows that statistics are taken of before each of a run's `evaluations`.

    >>> [rows_to_take(20, rows, 16) for rows in (500, 2000, 60_000)]
    [256, 625, 1024]
    """
    return round(min(max(SHARE * epochs * training_rows / evaluations, LEAST_ROWS), MOST_ROWS))


def reestimated(
    step: LaneStep, program: Program, workers: Workers, feed: Feed, blocks: Sequence[Lanes], rows: int
) -> list[Lanes]:
    """`blocks` with the statistics that the weights of each lane give on about `rows` training rows."""
    totals = [Totals(step.normed) for _ in blocks]

    def observe(block: Lanes, total: Totals, leaves: tuple[Tensor, ...]) -> None:
        with torch.no_grad(), seeded(feed.repeat.evaluation_seed, step.draws_itself):
            total.add(program(*block.state, block.row, *leaves))

    asked = step.batch_rows, rows, PASSED_BATCHES
    for part, batch in zip(feed.first_parts(*asked), feed.first_rows(*asked), strict=True):
        leaves = feed.evaluated_leaves(batch, "observe", part, test=False)
        workers.run([partial(observe, block, total, leaves) for block, total in zip(blocks, totals, strict=True)])
    return [
        Lanes(block.candidates, step.with_statistics(block.state, total.statistics()), block.row)
        for block, total in zip(blocks, totals, strict=True)
    ]


class Totals:
    """Statistics of all batches so far, for the lanes of a block; `layers` are those that their step normalises by.

    A batch in which any statistic of a lane is not finite is left out for that lane.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers = layers
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, found: Sequence[Tensor]) -> None:
        """Take in mean, squares [lanes, channels] and number [lanes] of every layer, float64, one after the other.

        Source: Chan, Golub and LeVeque, 1979; see `lanewise.parts.norm.merged`.
        """
        layers = list(zip(found[::3], found[1::3], (number[:, None] for number in found[2::3]), strict=True))
        sound = torch.stack([(mean + squares).isfinite().all(1) for mean, squares, _ in layers]).all(0)[:, None]
        before = self._found or [(torch.zeros_like(m), torch.zeros_like(s), torch.zeros_like(n)) for m, s, n in layers]
        self._found = [together(old, new, sound) for old, new in zip(before, layers, strict=True)]

    def statistics(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Layer -> mean and unbiased variance, [lanes, channels]; NaN for a lane without a sound batch."""
        found = {}
        for layer, (mean, squares, number) in zip(self._layers, self._found, strict=True):
            none = torch.where(number > 0, 0.0, torch.nan)
            found[layer] = mean + none, squares / (number - 1) + none
        return found


def together(
    old: tuple[Tensor, ...], new: tuple[Tensor, Tensor, Tensor], sound: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, squares, number) of the values of both, for lanes where the `new` are not `sound` of the `old` alone."""
    mean, squares, number = (torch.where(sound, part, 0.0) for part in new)
    total = old[2] + number
    share = number / total.clamp(min=1)
    difference = torch.where(sound, mean - old[0], 0.0)
    return old[0] + difference * share, old[1] + squares + difference**2 * (old[2] * share), total
