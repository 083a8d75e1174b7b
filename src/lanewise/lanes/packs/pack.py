"""The lanes of one repeat that share a structure, held in blocks of one fixed width."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.compile.compiled import Compiled
from lanewise.lanes.compile.program import Program
from lanewise.lanes.packs.feed import Chunk, Feed
from lanewise.lanes.step.in_place import PlainLoop
from lanewise.lanes.step.numbers import stack_tables
from lanewise.parts.reals import has_mean
from lanewise.task.models import seeded

T = TypeVar("T")


@dataclass(eq=False)
class Block:
    """The lanes that one call of the program advances.

    Attributes:
        candidates: whose lanes these are, in order; lanes past their number pad the block to its width.
        state: tensors [width, ...].
        table: numbers at every step [steps, count, width].
        losses: training loss of the steps done so far, [steps, candidates], in pieces.
        ahead: steps done beyond those of its pack, while others of the pack still train on the same chunk.
        mean: mean of the states taken in since it was begun anew, or nothing. taken: how many they were.
    """

    candidates: tuple[int, ...]
    state: list[Tensor]
    table: Tensor
    losses: list[Tensor] = field(default_factory=list)
    ahead: int = 0
    mean: list[Tensor] = field(default_factory=list)
    taken: int = 0

    def run(self, program: Program, chunk: Chunk, rows: Tensor) -> None:
        """Train on `chunk`, whose steps have the numbers `rows` [steps, count, width]."""
        self.state, losses = advance(program, self.state, chunk, rows)
        self.losses.append(losses[:, : len(self.candidates)])
        self.ahead = len(chunk)

    def take_in(self, number: int) -> None:
        """Let the present state be the one called `number`, from 0, of those that `mean` is the mean of.

        Counters and other whole numbers are those of the last state. Asked twice for the same number it does nothing:
        where memory ran out for another block, all are asked again.
        """
        if number == 0:
            self.mean = [leaf.clone() for leaf in self.state]
        elif number != self.taken:
            return
        else:
            self.mean = [
                mean.lerp(leaf, 1 / (number + 1)) if has_mean(leaf) else leaf.clone()
                for mean, leaf in zip(self.mean, self.state, strict=True)
            ]
        self.taken = number + 1


def advance(program: Program, state: list[Tensor], chunk: Chunk, rows: Tensor) -> tuple[list[Tensor], Tensor]:
    """(state, losses [steps, width]) after the steps of `chunk`; `state` itself is left as it was."""
    losses = []
    with torch.no_grad():
        if isinstance(program, Compiled):
            return program.stretch(state, [rows, *chunk.leaves])
        if isinstance(program, PlainLoop):
            return program.stretch(state, [rows, *chunk.leaves], chunk.seeds)
        for at in range(len(chunk)):
            with seeded(chunk.seeds[at]) if chunk.seeds else contextlib.nullcontext():
                *state, loss = program(*state, rows[at], *chunk.step(at))
            losses.append(loss)
    return state, torch.stack(losses)


class Pack:
    """All lanes of one structure in one repeat.

    Args:
        feed: batches and draws of the repeat.
        tables: candidate -> numbers at every step [steps, count].
        start: the state of one lane before its first step, the same for all candidates.
        width: lanes to a block, at most. least: lanes to a block, at least, reached by padding; the width by default.
    """

    def __init__(
        self,
        feed: Feed,
        tables: dict[int, np.ndarray],
        start: Sequence[Tensor],
        width: int,
        least: int | None = None,
    ) -> None:
        self.feed, self.tables, self.width = feed, tables, width
        self.least = width if least is None else least
        self.dtype, self.device = feed.dtype, feed.device
        self.step = 0
        self.diverged: dict[int, int] = {}
        self.blocks = [
            Block(group, [self._filled(leaf, group) for leaf in start], self.table_of(group))
            for group in grouped(tables, width)
        ]

    @property
    def candidates(self) -> list[int]:
        """The candidates that still have a lane here, in the order of the blocks."""
        return [candidate for block in self.blocks for candidate in block.candidates]

    def _filled(self, leaf: Tensor, group: Sequence[int]) -> Tensor:
        return leaf.expand(max(len(group), self.least), *leaf.shape).clone()

    def table_of(self, group: Sequence[int], tables: dict[int, np.ndarray] | None = None) -> Tensor:
        """The numbers of a block of the candidates `group`, padded by the first of them."""
        chosen = tables or self.tables
        return stack_tables([chosen[candidate] for candidate in padded(group, self.least)], self.dtype, self.device)

    def keep(self, candidates: Iterable[int]) -> None:
        """Let all other lanes leave; the rest closes up into full blocks, the last one padded if need be."""
        staying = set(candidates)
        places = [(b, at, c) for b in self.blocks for at, c in enumerate(b.candidates) if c in staying]
        if len(places) == len(self.candidates):
            return
        blocks = []
        for first in range(0, len(places), self.width):
            group = places[first : first + self.width]
            lanes = padded(group, self.least)
            state = _gathered([(block.state, at) for block, at, _ in lanes])
            mean = _gathered([(block.mean, at) for block, at, _ in lanes])
            names = tuple(candidate for _, _, candidate in group)
            blocks.append(Block(names, state, self.table_of(names), mean=mean, taken=lanes[0][0].taken))
        self.blocks = blocks

    def narrow(self, width: int, least: int) -> None:
        """Go on in blocks of other widths: each block is cut into blocks of `width`, padded to `least`."""
        self.width, self.least = width, least
        self.blocks = [piece for block in self.blocks for piece in self._pieces(block)]

    def _pieces(self, block: Block) -> list[Block]:
        found = []
        for names in grouped(block.candidates, self.width):
            first = block.candidates.index(names[0])
            lanes = padded(range(first, first + len(names)), self.least)
            state = [leaf[lanes] for leaf in block.state]
            mean = [leaf[lanes] for leaf in block.mean]
            losses = [piece[:, first : first + len(names)] for piece in block.losses]
            found.append(Block(names, state, self.table_of(names), losses, block.ahead, mean, block.taken))
        return found

    def replace_tables(self, tables: dict[int, np.ndarray]) -> None:
        """Give some candidates other numbers from now on."""
        self.tables = self.tables | tables
        for block in self.blocks:
            if tables.keys() & set(block.candidates):
                block.table = self.table_of(block.candidates)

    def mean_loss(self) -> dict[int, float]:
        """Mean training loss of each candidate since the last call, and a note of the lanes that diverged in it."""
        means: dict[int, float] = {}
        for block in self.blocks:
            if not block.losses:
                continue
            # Lane by lane in memory, or how a mean is added up would depend on how many lanes there are.
            losses = np.ascontiguousarray(torch.cat(block.losses).double().cpu().numpy().T)
            finite = np.isfinite(losses)
            first = self.step - losses.shape[1]
            means |= dict(zip(block.candidates, losses.mean(axis=1).tolist(), strict=True))
            for at in np.flatnonzero(~finite.all(axis=1)):
                self.diverged.setdefault(block.candidates[at], first + int(finite[at].argmin()))
            block.losses.clear()
        return means


def _gathered(lanes: Sequence[tuple[list[Tensor], int]]) -> list[Tensor]:
    """The leaves of some lanes, (stacked leaves, place in them) each, stacked anew."""
    return [torch.stack([leaves[leaf][at] for leaves, at in lanes]) for leaf in range(len(lanes[0][0]))]


def grouped(items: Iterable[T], width: int) -> list[tuple[T, ...]]:
    """`items` in groups of `width`, the last one maybe shorter."""
    listed = list(items)
    return [tuple(listed[at : at + width]) for at in range(0, len(listed), width)]


def padded(group: Sequence[T], least: int) -> list[T]:
    """`group` filled up to `least` items with its first."""
    return [*group, *[group[0]] * (least - len(group))]
