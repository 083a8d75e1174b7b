"""Lanes that stop early: what each was at its best, and where those rest that have ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lanewise.lanes.packs.pack import Pack, grouped, padded
from lanewise.parts.early_stopping import StoppingState, early_stopping
from lanewise.parts.schedules.duration import RunLength
from lanewise.recipe.recipe import Recipe


def patience_of(recipe: Recipe, total_steps: int, steps_per_epoch: int) -> int | None:
    """Steps without a better validation loss after which a lane of `recipe` stops, or None if it never does."""
    if recipe.early_stopping is None:
        return None
    return RunLength(total_steps, steps_per_epoch).steps("early_stopping", recipe.early_stopping)


@dataclass(frozen=True, eq=False)
class Lanes:
    """Lanes to be scored together: `state` [lanes or more, ...], and the numbers `row` [count, lanes or more]."""

    candidates: tuple[int, ...]
    state: list[Tensor]
    row: Tensor


@dataclass(eq=False)
class Stopping:
    """The early stopping of one lane.

    Attributes:
        patience: in steps. seen: what the measurements so far have come to. metric: at the least loss, turned so that
            greater is better. state, row: the lane and its numbers at the least loss. ended: whether the lane rests.
    """

    patience: int
    seen: StoppingState = field(default_factory=StoppingState)
    metric: float = 0.0
    state: list[Tensor] = field(default_factory=list)
    row: Tensor | None = None
    ended: bool = False

    def observe(self, pack: Pack, candidate: int, loss: float, metric: float, last: bool) -> None:
        """Take in what the lane of `candidate` was just scored; at the `last` evaluation of its run it ends."""
        before = self.seen
        self.seen = early_stopping(before, pack.step, loss, self.patience)
        if self.seen.diverged:
            self.state, self.row = [], None
        elif (self.seen.loss, self.seen.step) != (before.loss, before.step):
            block = next(block for block in pack.blocks if candidate in block.candidates)
            at = block.candidates.index(candidate)
            self.metric = metric
            self.state = [leaf[at].clone(memory_format=torch.contiguous_format) for leaf in block.state]
            self.row = block.table[max(0, pack.step - 1), :, at].clone()
        self.ended = self.seen.best and (last or self.seen.stopped)


def ended_lanes(lanes: dict[int, Stopping], width: int, least: int, among: Iterable[int] | None = None) -> list[Lanes]:
    """The lanes that have ended, all or those of the candidates `among`, in blocks of at most `width`."""
    asked = [c for c, lane in lanes.items() if lane.ended and (among is None or c in set(among))]
    return [_together([(c, lanes[c]) for c in names], least) for names in grouped(asked, width)]


def _together(named: Sequence[tuple[int, Stopping]], least: int) -> Lanes:
    lanes = padded([lane for _, lane in named], least)
    state = [torch.stack(leaves) for leaves in zip(*(lane.state for lane in lanes), strict=True)]
    row = torch.stack([lane.row for lane in lanes if lane.row is not None], dim=-1)
    return Lanes(tuple(candidate for candidate, _ in named), state, row)
