"""Scores of a pack's lanes on given rows, in calls that fit into memory."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.packs.feed import Feed
from lanewise.lanes.packs.pack import grouped, padded
from lanewise.lanes.packs.plan import EAGER_WIDTH, NARROWEST_PACK
from lanewise.lanes.packs.prepared import Prepared
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.training.early_stopping import Lanes
from lanewise.metrics import Metric
from lanewise.task.models import seeded

USUAL_LANES = 16
LEAST_BATCHES = 32
"""Parts of the rows where an objective scores whole batches: intervals take them for rows."""

MERGED_BYTES = 32 * 2**20
"""Blocks whose states take more together are not copied into wider ones to be scored: large models gain nothing."""
SHARED_LANE_ROWS = 3000
"""Rows times lanes for each worker below which one worker does it all."""
SPILL = 1.25
"""A part may be this many times too large, rather than leave a small one over."""

ScoresByLane = tuple[dict[int, np.ndarray], dict[int, np.ndarray]]
"""Losses and metrics by candidate, float64 [rows] each."""


def evaluated_lane_rows(images: bool) -> int:
    """Rows times lanes that one evaluation call holds, where blocks have 16 lanes: bounds its memory."""
    return 4096 if images else 8192


def merged(blocks: Sequence[Lanes], rows: int, workers: int) -> list[Lanes]:
    """The lanes of narrow `blocks` in wide ones, so that what a call of `rows` rows costs at least is paid less often.

    There is one for each worker, or fewer where that leaves little to each: eager calls share Python's lock.
    """
    lanes = sum(len(block.candidates) for block in blocks)
    shared = min(workers, max(1, lanes * rows // SHARED_LANE_ROWS))
    width = max(NARROWEST_PACK, min(EAGER_WIDTH, math.ceil(lanes / shared)))
    states = sum(leaf.numel() * leaf.element_size() for block in blocks for leaf in block.state)
    if len(blocks) <= math.ceil(lanes / width) or states > MERGED_BYTES:
        return list(blocks)
    places = [(block, at) for block in blocks for at in range(len(block.candidates))]
    return [_together(padded(group, NARROWEST_PACK), len(group)) for group in grouped(places, width)]


def _together(places: Sequence[tuple[Lanes, int]], own: int) -> Lanes:
    """One block of the lanes at `places`, (block, place in it) each, of which all but the first `own` pad it."""
    stretches: list[tuple[Lanes, int, int]] = []
    for block, at in places:
        if stretches and stretches[-1][0] is block and stretches[-1][2] == at:
            stretches[-1] = (block, stretches[-1][1], at + 1)
        else:
            stretches.append((block, at, at + 1))
    leaves = zip(*(block.state for block, _, _ in stretches), strict=True)
    state = [torch.cat([leaf[a:b] for leaf, (_, a, b) in zip(parts, stretches, strict=True)]) for parts in leaves]
    row = torch.cat([block.row[:, a:b] for block, a, b in stretches], dim=1)
    return Lanes(tuple(block.candidates[at] for block, at in places[:own]), state, row)


def scored(
    prepared: Prepared, feed: Feed, blocks: Sequence[Lanes], rows: Tensor, lane_rows: int, test: bool = False
) -> ScoresByLane:
    """(losses, metrics) of `rows` of the pool, or of the test data, for the lanes of all `blocks`.

    An objective that scores whole batches gives one loss and one metric for each batch of nearly one size instead.

    Args:
        lane_rows: rows times lanes that one call holds, if the blocks have 16 lanes.
    """
    # No more rows than eight batches either: training shows that a batch fits into memory, with what its gradients
    # take. How wide the blocks are does not matter, or it would show in the last bits.
    size = max(1, min(lane_rows // USUAL_LANES, 8 * feed.batch_size))
    if prepared.step.batchwise:
        size = prepared.step.batch_rows
    parts = evaluated_parts(rows, size, prepared.step.objective.by_row)

    def score(block: Lanes, leaves: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), seeded(feed.repeat.evaluation_seed, prepared.step.draws_itself):
            losses, metrics = prepared.evaluate(*block.state, block.row, *leaves)
        return losses.double().cpu(), metrics.double().cpu()

    batches = feed.repeat.evaluated(parts, feed.dtype, feed.device, test)
    pieces: list[list[tuple[Tensor, Tensor]]] = [[] for _ in blocks]
    coming = prepared.workers.submit(next, batches, None)
    numbers = iter(parts)
    while (batch := coming.result()) is not None:
        coming = prepared.workers.submit(next, batches, None)
        leaves = feed.evaluated_leaves(batch, "eval", next(numbers), test)
        jobs = [partial(score, block, leaves) for block in blocks]
        for piece, result in zip(pieces, prepared.workers.run(jobs), strict=True):
            piece.append(result)
    found: ScoresByLane = ({}, {})
    for block, piece in zip(blocks, pieces, strict=True):
        for which in (0, 1):
            whole = torch.cat([part[which] for part in piece], dim=1).numpy()
            found[which].update({c: whole[lane] for lane, c in enumerate(block.candidates)})
    return found


def contributions(
    metric: Metric, repeat: Repeat, rows: Tensor, test: bool, losses: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """The metric of a set of rows as the contributions of its rows, turned so that greater is better, float64 [rows].

    Args:
        rows: of the pool, or of the test rows. losses: one a row. scores: as `Objective.scores` gives them.
    """
    if metric.of_set is None:
        return scores
    if metric.fraction and not np.isfinite(losses).all():
        # What a diverged lane puts out may be right by chance, and every row counts for the others.
        return np.zeros(len(rows))
    return metric.contributions(scores, repeat.targets(rows, test), repeat.unit)


def evaluated_parts(rows: Tensor, size: int, by_row: bool) -> tuple[Tensor, ...]:
    """`rows` in parts of about `size`; for scores of whole batches, in at least 32 parts of nearly one size."""
    if by_row:
        return torch.tensor_split(rows, math.ceil(len(rows) / (SPILL * size)))
    count = max(-(-len(rows) // size), min(len(rows), LEAST_BATCHES))
    return torch.tensor_split(rows, count)
