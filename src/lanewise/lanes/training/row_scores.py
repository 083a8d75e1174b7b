"""Scores of rows for lanes as they stand."""

from functools import partial

from torch import Tensor

from lanewise.lanes.packs.pack import Pack
from lanewise.lanes.training.averaging import RUNG_ROWS
from lanewise.lanes.training.early_stopping import Lanes
from lanewise.lanes.training.groups import Group, evaluation_points
from lanewise.lanes.training.reestimation import reestimated, rows_to_take
from lanewise.lanes.training.scoring import ScoresByLane, contributions, merged, scored


def standing(pack: Pack, states: list[list[Tensor]] | None = None) -> list[Lanes]:
    """The lanes in training as they stand, or with other `states` of their blocks."""
    states = [block.state for block in pack.blocks] if states is None else states
    row_at = max(0, pack.step - 1)
    blocks = zip(pack.blocks, states, strict=True)
    return [Lanes(block.candidates, state, block.table[row_at]) for block, state in blocks]


def rows_of(
    group: Group, pack: Pack, blocks: list[Lanes], rows: Tensor, test: bool = False, anew: bool = False
) -> ScoresByLane:
    """Scores of `rows`; batch norm's statistics are taken `anew`, as they always are of averaged weights."""
    prepared = group.prepared
    if prepared.plan.packed and not prepared.step.holds_images:
        blocks = merged(blocks, len(rows), prepared.workers.count)
    if prepared.step.normed and (anew or prepared.step.averages):
        epochs = prepared.step.recipe.epochs
        taken = rows_to_take(epochs, len(pack.feed.repeat.split.train), len(evaluation_points(epochs)))
        taken = RUNG_ROWS if anew else taken
        blocks = reestimated(prepared.step, prepared.statistics, prepared.workers, pack.feed, blocks, taken)
    losses, scores = scored(prepared, pack.feed, blocks, rows, group.lane_rows, test)
    of_set = partial(contributions, prepared.step.objective.metric, pack.feed.repeat, rows, test)
    return losses, {candidate: of_set(losses[candidate], scores[candidate]) for candidate in losses}
