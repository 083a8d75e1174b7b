"""Batch norm statistics of averaged weights, lane by lane: those of training rows, taken anew before each scoring.

An average of weights computes other activations than any of the weights it was made of. `parts/norm/reestimate.py` is
the same for one model, and `lanewise train` uses it.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from lanewise.lanes.batch import batch_leaves
from lanewise.lanes.feed import Feed
from lanewise.lanes.program import Program
from lanewise.lanes.step import LaneStep
from lanewise.lanes.stopping import Lanes
from lanewise.lanes.workers import Workers
from lanewise.models import seeded

REESTIMATED_ROWS = 1024
"""Training rows that statistics are taken of, or a batch where that is more. A mean is then off by 3% of its standard
deviation and a variance by 4%, as much as by running statistics of batches of 64 with a momentum of 0.1."""


def reestimated(step: LaneStep, program: Program, workers: Workers, feed: Feed, blocks: Sequence[Lanes]) -> list[Lanes]:
    """`blocks` with the statistics that the averaged weights of each lane give on training rows."""
    totals = [Totals(step.normed) for _ in blocks]

    def hear(block: Lanes, total: Totals, leaves: tuple[Tensor, ...]) -> None:
        with torch.no_grad(), seeded(feed.repeat.evaluation_seed, step.draws_itself):
            total.add(program(*block.state, block.row, *leaves))

    for batch in feed.first_batches(step.batch_rows, REESTIMATED_ROWS):
        leaves = batch_leaves(*batch)
        workers.run([partial(hear, block, total, leaves) for block, total in zip(blocks, totals, strict=True)])
    return [
        Lanes(block.candidates, step.with_statistics(block.state, total.statistics()), block.row)
        for block, total in zip(blocks, totals, strict=True)
    ]


class Totals:
    """Means and sums of squares of all batches so far, for the lanes of a block; `normed` is that of their step.

    A batch in which any statistic of a lane is not finite is left out for that lane.
    """

    def __init__(self, normed: dict[str, int]) -> None:
        self._normed = normed
        self._batches: Tensor | None = None
        self._found: list[tuple[Tensor, Tensor]] = []

    def add(self, found: Sequence[Tensor]) -> None:
        """Take in (mean, squares) of every layer, float64 [lanes, channels] each, one after the other.

        Source: Chan, Golub and LeVeque, 1979; see `lanewise.parts.norm.merged`.
        """
        pairs = list(zip(found[::2], found[1::2], strict=True))
        sound = torch.stack([(mean + squares).isfinite().all(1) for mean, squares in pairs]).all(0)[:, None]
        if self._batches is None:
            self._batches = torch.zeros_like(sound, dtype=torch.float64)
            self._found = [(torch.zeros_like(mean), torch.zeros_like(squares)) for mean, squares in pairs]
        before, self._batches = self._batches, self._batches + sound
        share = sound / self._batches.clamp(min=1)
        for at, (number, (mean, squares)) in enumerate(zip(self._normed.values(), pairs, strict=True)):
            old_mean, old_squares = self._found[at]
            difference = torch.where(sound, mean - old_mean, 0.0)
            squares = old_squares + torch.where(sound, squares, 0.0) + difference**2 * (number * before * share)
            self._found[at] = old_mean + difference * share, squares

    def statistics(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Layer -> mean and unbiased variance, [lanes, channels]; NaN for a lane without a sound batch."""
        assert self._batches is not None
        found = {}
        for (layer, number), (mean, squares) in zip(self._normed.items(), self._found, strict=True):
            none = torch.where(self._batches > 0, 0.0, torch.nan)
            found[layer] = mean + none, squares / (number * self._batches - 1) + none
        return found
