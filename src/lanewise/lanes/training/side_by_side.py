"""Groups of packs trained side by side, chunk by chunk, each chunk of rows read once for all."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import torch

from lanewise.errors import InputError, one_line
from lanewise.lanes.machine.memory import is_out_of_memory
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.feed import Chunk
from lanewise.lanes.packs.pack import Block, Pack
from lanewise.lanes.packs.trials import synchronise
from lanewise.lanes.training.averaging import cut
from lanewise.lanes.training.checkpointer import Checkpointer
from lanewise.lanes.training.groups import Group

T = TypeVar("T")
Convoy = list[tuple[Group, list[Pack]]]
"""Groups that train on the same rows side by side, with those of their packs that have lanes in training."""


class Training:
    """Groups of lanes in training.

    Args:
        engine: runs them.

    Attributes:
        groups: all of them. progress: the fraction of their runs that lanes have been trained.
        checkpointer: decides between two chunks of steps whether to save everything.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.groups: list[Group] = []
        self.progress = 0.0
        self.checkpointer = Checkpointer()

    def advance(self, progress: float) -> None:
        """Train all live lanes up to the fraction `progress` of their runs."""
        for together in self._together():
            target = round(progress * together[0].total_steps)
            convoy = [(group, [pack for pack in group.packs if pack.blocks]) for group in together]
            if convoy[0][1][0].step < target:
                self._with_memory(together[0], partial(self._train, convoy, target))
        self.progress = progress

    def _together(self) -> list[list[Group]]:
        """The groups with lanes in training; those that are given the same rows at the same steps stand together."""
        found: dict[tuple[int, ...], list[Group]] = {}
        for group in self.groups:
            packs = [pack for pack in group.packs if pack.blocks]
            if packs:
                key = (packs[0].feed.batch_size, group.total_steps, packs[0].step)
                found.setdefault(key, []).append(group)
        return list(found.values())

    def _with_memory(self, group: Group, work: Callable[[], T]) -> T:
        """What `work()` returns; where memory runs out it is done again with fewer lanes at a time.

        `group` is at work unless `_rounds` says that another is. Nothing is lost: the state of a block is replaced when
        a chunk of its steps is done, not before.
        """
        while True:
            self._at_work = group
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                refused = one_line(error)[:200]
            # Not in the handler: the error holds the tensors of the step that failed.
            group = self._at_work
            prepared = self.engine.narrowed(group.prepared)
            if prepared is None:
                raise InputError(f"out of memory, with {group.prepared.plan.width} lane(s) at a time: {refused}")
            group.prepared, group.lane_rows = prepared, max(1, group.lane_rows // 2)
            for pack in group.packs:
                pack.narrow(prepared.plan.width, prepared.least)

    def _train(self, convoy: Convoy, target: int) -> None:
        begun = time.perf_counter()
        packs = [pack for _, packs in convoy for pack in packs]
        averaged = convoy[0][0].averaged

        def train(group: Group, block: Block, chunk: Chunk, start: int, stop: int) -> None:
            if not block.ahead:
                block.run(group.prepared.train, chunk, block.table[start:stop])

        def count_time() -> None:
            nonlocal begun
            synchronise(self.engine.device)
            self.engine.costs.train += time.perf_counter() - begun
            begun = time.perf_counter()

        def reached(step: int) -> None:
            nonlocal begun
            if step in averaged:
                for block in (block for pack in packs for block in pack.blocks):
                    block.take_in(averaged[step])
            for pack in packs:
                self._count(pack, step - pack.step)
                pack.step = step
                for block in pack.blocks:
                    block.ahead = 0
            if self.checkpointer.due():
                count_time()
                self.checkpointer.save()
                begun = time.perf_counter()

        self._rounds(convoy, packs[0].step, target, train, reached)
        count_time()

    def _rounds(
        self,
        convoy: Convoy,
        start: int,
        stop: int,
        job: Callable[..., None],
        reached: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Call job(group, block, chunk, first, end) for every block, chunk by chunk, on the workers; then reached(end).

        All groups train on a chunk before the next, so that its rows are read once. The next one is made by the workers
        too, while they train on the present one.
        """
        shortest = min((packs[0].feed for _, packs in convoy), key=lambda feed: feed.length)
        spans = list(cut(shortest.spans(start, stop), convoy[0][0].averaged))

        def fetch(group: Group, packs: list[Pack], span: tuple[int, int]) -> "list[Future[Chunk]]":
            return [group.prepared.workers.submit(pack.feed.chunk, *span) for pack in packs]

        def run(group: Group, packs: list[Pack], coming: "list[Future[Chunk]]", number: int) -> "list[Future[Chunk]]":
            self._at_work = group
            chunks = [future.result() for future in coming]
            after = fetch(group, packs, spans[number + 1]) if number + 1 < len(spans) else []
            with torch.random.fork_rng(devices=[], enabled=group.prepared.step.draws_itself):
                group.prepared.workers.run(
                    partial(job, group, block, chunk, *spans[number])
                    for pack, chunk in zip(packs, chunks, strict=True)
                    for block in pack.blocks
                )
            return after

        try:
            coming = [fetch(group, packs, spans[0]) for group, packs in convoy]
            for number, (_, end) in enumerate(spans):
                coming = [run(*each, futures, number) for each, futures in zip(convoy, coming, strict=True)]
                reached(end)
        finally:
            for _, packs in convoy:
                for pack in packs:
                    pack.feed.reading.release()

    def _count(self, pack: Pack, steps: int) -> None:
        lane_steps = len(pack.candidates) * steps
        self.engine.costs.lane_steps += lane_steps
        self.engine.costs.lane_epochs += lane_steps / pack.feed.steps_per_epoch
