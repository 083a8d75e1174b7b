"""What all lanes of a repeat are given at a step: the batch and the random draws, made once and shared."""

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lanewise.data.arrays.nested import Inputs, Targets, leaves, mapped
from lanewise.data.arrays.room import empty
from lanewise.data.rows.items import Batch, joined
from lanewise.errors import InputError
from lanewise.lanes.machine.streams import stream, stream_seed
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.packs.shared import Shared
from lanewise.lanes.step.batch import batch_leaves
from lanewise.lanes.step.channels_last import channels_last
from lanewise.parts.part import Variable
from lanewise.recipe.recipe import Recipe

CHUNK_BYTES = 16 * 2**20
LONGEST_CHUNK = 16
KEPT_SPANS = 3
"""Stretches of steps of a repeat that are kept: the present one, the next, and one for whoever is late.

Rows in memory do without the last: they are gathered again at the cost of a copy.
"""


@dataclass(frozen=True)
class Chunk:
    """Some consecutive steps.

    Attributes:
        x: inputs, each tensor [steps, rows, ...]. y: targets [steps, rows, ...], or None. draws: [steps, ...] each.
        constants: what no step changes. given: what layers are given instead of computing it, [steps, ...] each.
        seeds: for a model that draws from torch's global generator itself, the seed of every step.
    """

    x: Inputs
    y: Targets
    draws: tuple[Tensor, ...]
    seeds: tuple[int, ...] = ()
    constants: tuple[Tensor, ...] = ()
    given: tuple[Tensor, ...] = ()

    @cached_property
    def leaves(self) -> tuple[Tensor, ...]:
        """What a program is given beside state and numbers, each [steps, ...]: constants, batch, draws, `given`."""
        batch = batch_leaves(self.x, self.y)
        constants = (leaf.expand(len(batch[0]), *leaf.shape) for leaf in self.constants)
        return (*constants, *batch, *self.draws, *self.given)

    def __len__(self) -> int:
        return len(batch_leaves(self.x, self.y)[0])

    def step(self, number: int) -> list[Tensor]:
        """The batch and draws of one of the steps."""
        return [leaf[number] for leaf in self.leaves]

    def first(self) -> "Chunk":
        """The first of the steps."""
        x, y = (None if nested is None else mapped(lambda leaf: leaf[:1], nested) for nested in (self.x, self.y))
        draws, given = (tuple(leaf[:1] for leaf in leaves) for leaves in (self.draws, self.given))
        return replace(self, x=x, y=y, draws=draws, seeds=self.seeds[:1], given=given)

    def channels_last(self) -> "Chunk":
        """The same with the channels of images, and of draws for them, innermost in memory."""
        y = None if self.y is None else mapped(channels_last, self.y)
        draws, given = (tuple(map(channels_last, leaves)) for leaves in (self.draws, self.given))
        constants = tuple(channels_last(leaf, leading=0) for leaf in self.constants)
        return replace(self, x=mapped(channels_last, self.x), y=y, draws=draws, constants=constants, given=given)


def rows_per_step(recipe: Recipe, rows: int) -> int:
    """Rows of all batches that a step accumulates; all training rows for optimizers that use the whole set."""
    count = recipe.accumulate
    whole = not isinstance(recipe.optimizer, Variable) and recipe.optimizer.whole_set
    return rows // count * count if whole else recipe.batch_size * count


class BatchReader:
    """The rows of one repeat in batches of one size, read once for all lanes, whatever their structure.

    The stretches last asked for are kept until `release`, so that several feeds which train side by side share them.
    """

    def __init__(self, repeat: Repeat, batch_size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.repeat, self.batch_size, self.dtype, self.device = repeat, batch_size, dtype, device
        self.steps_per_epoch = len(repeat.split.train) // batch_size
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], tuple[Inputs, Targets]] = OrderedDict()
        self._given_lock = threading.Lock()
        self._given: OrderedDict[Any, tuple[Tensor, ...]] = OrderedDict()
        self._order: tuple[int, Tensor] | None = None
        self._ahead: tuple[int, Iterator[Batch]] | None = None

    def steps(self, start: int, stop: int) -> tuple[Inputs, Targets]:
        """(inputs, targets) of the steps `start` to `stop` of one epoch, each tensor [steps, rows, ...]."""
        with self._lock:
            if (start, stop) not in self._kept:
                read = self.repeat.scaled(self._read(start, stop), self.dtype, self.device)
                x, y = (at_steps(nested, stop - start) for nested in read)
                self._kept[start, stop] = x, y
                while len(self._kept) > KEPT_SPANS - self.repeat.holdout.pool.in_memory:
                    self._kept.popitem(last=False)
            return self._kept[start, stop]

    def given(self, shared: Shared, start: int, stop: int, parts: int) -> tuple[Tensor, ...]:
        """What layers are given in the steps `start` to `stop`, each of so many `parts`: computed once."""
        key = (id(shared), start, stop, parts)
        with self._given_lock:
            if key not in self._given:
                x, y = self.steps(start, stop)
                epoch, first = divmod(start, self.steps_per_epoch)
                rows = self.order(epoch)[first * self.batch_size : (first + stop - start) * self.batch_size]
                self._given[key] = shared.of_steps(x, y, rows, stop - start, parts)
                while len(self._given) > KEPT_SPANS:
                    self._given.popitem(last=False)
            return self._given[key]

    def release(self) -> None:
        """Let go of what is kept."""
        with self._lock, self._given_lock:
            self._kept.clear()
            self._given.clear()

    def order(self, epoch: int) -> Tensor:
        """The training rows in the order of an epoch; where rows have weights, as many draws by these."""
        if self._order is None or self._order[0] != epoch:
            train, weights = self.repeat.split.train, self.repeat.holdout.splitter.weights
            shuffle = stream(self.repeat.study_seed, self.repeat.index, "order", epoch)
            self._order = (epoch, train[order_of(len(train), shuffle, None if weights is None else weights[train])])
        return self._order[1]

    def _read(self, start: int, stop: int) -> Batch:
        """The rows of the steps `start` to `stop` as they are stored; read in order, they are read ahead."""
        epoch, first = divmod(start, self.steps_per_epoch)
        holdout, order, size = self.repeat.holdout, self.order(epoch), self.batch_size
        if holdout.pool.in_memory:
            return holdout.pool.take(order[first * size : (first + stop - start) * size])
        if self._ahead is None or self._ahead[0] != start:
            self._ahead = None  # what was read ahead ends before anything else is begun
            lists = torch.split(order[first * size : self.steps_per_epoch * size], size)
            seed = stream_seed(self.repeat.study_seed, self.repeat.index, "augmentation", epoch)
            self._ahead = (start, holdout.pool.batches(lists, seed, start=first * size))
        _, batches = self._ahead
        found = [next(batches) for _ in range(stop - start)]
        self._ahead = (stop, batches) if stop % self.steps_per_epoch else None
        return joined(found)


def order_of(rows: int, generator: torch.Generator, weights: Tensor | None) -> Tensor:
    """The order of an epoch, int64 [rows]: every row once, or as many draws, with replacement, by the `weights`."""
    if weights is None:
        return torch.randperm(rows, generator=generator)
    # Not torch.multinomial, which takes 2^24 rows at most.
    upto = weights.to(torch.float64).cumsum(0)
    drawn = torch.rand(rows, generator=generator, dtype=torch.float64) * upto[-1]
    return torch.searchsorted(upto, drawn, right=True).clamp(max=rows - 1)


def at_steps(nested: Any, steps: int) -> Any:
    """Every tensor [rows, ...] as [steps, rows of a step, ...]."""
    return None if nested is None else mapped(lambda leaf: leaf.view(steps, -1, *leaf.shape[1:]), nested)


class Feed:
    """The batches and draws of one repeat at one batch size, at any step.

    Rows are shuffled anew each epoch; the last rows that do not fill a batch are left out in that epoch. A `reading`
    may be shared with feeds of other structures; by default a feed has its own.

    Attributes:
        channels_last: whether chunks are made with the channels of images innermost in memory.
        shared: what the lanes of the repeat share, or None. parts: batches that a step accumulates.

    Raises:
        InputError: a larger batch than training rows.
    """

    def __init__(
        self,
        repeat: Repeat,
        batch_size: int,
        draws: dict[str, tuple[int, ...]],
        dtype: torch.dtype,
        device: torch.device,
        seeded: bool = False,
        reading: BatchReader | None = None,
        channels_last: bool = False,
        shared: Shared | None = None,
        parts: int = 1,
    ) -> None:
        rows = len(repeat.split.train)
        if batch_size > rows:
            raise InputError(
                f"batch_size = {batch_size}: there are {rows} training rows; must be in [1, {rows}], all batches that "
                "a step accumulates counted"
            )
        self.repeat, self.batch_size, self.draw_shapes = repeat, batch_size, draws
        self.dtype, self.device, self.seeded, self.channels_last = dtype, device, seeded, channels_last
        self.steps_per_epoch = rows // batch_size
        one, _ = repeat.holdout.pool.take(repeat.split.train[:1])
        step_bytes = batch_size * sum(leaf.numel() for leaf in leaves(one)) * dtype.itemsize
        step_bytes += sum(math.prod(shape) for shape in draws.values()) * dtype.itemsize
        self.shared, self.parts = shared, parts
        if shared is not None:
            step_bytes += batch_size * shared.row_bytes
        # The length depends on the data and the model alone, never on the lanes, because draws are seeded by chunk. A
        # power of two, so that no stretch of a feed crosses the boundaries of a longer one's chunks.
        self.length = 2 ** int(math.log2(max(1, min(LONGEST_CHUNK, CHUNK_BYTES // step_bytes))))
        self.reading = BatchReader(repeat, batch_size, dtype, device) if reading is None else reading

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Consecutive (first, end) steps from `start` to `stop`, none across a chunk's or an epoch's boundary."""
        while start < stop:
            in_epoch = start % self.steps_per_epoch
            end_of_chunk = start - in_epoch % self.length + self.length
            end_of_epoch = start - in_epoch + self.steps_per_epoch
            end = min(stop, end_of_chunk, end_of_epoch)
            yield start, end
            start = end

    def chunk(self, start: int, stop: int) -> Chunk:
        """The steps `start` to `stop`, which must be one of `spans`."""
        epoch, first = divmod(start, self.steps_per_epoch)
        steps = stop - start
        x, y = self.reading.steps(start, stop)
        chunk = Chunk(x, y, self._draws(epoch, first, steps), self._seeds(start, stop))
        if self.shared is not None:
            given = self.reading.given(self.shared, start, stop, self.parts)
            chunk = replace(chunk, constants=self.shared.constants, given=given)
        return chunk.channels_last() if self.channels_last else chunk

    def example(self, steps: int = 1) -> Chunk:
        """As many of the first steps as there are in an epoch, to try things out: no worker reads ahead for them."""
        steps = min(steps, self.steps_per_epoch)
        x, y = self.repeat.rows(self.reading.order(0)[: steps * self.batch_size], self.dtype, self.device)
        x, y = (at_steps(nested, steps) for nested in (x, y))
        chunk = Chunk(x, y, self._draws(0, 0, steps), self._seeds(0, steps))
        if self.shared is None:
            return chunk
        given = self.shared.of_steps(x, y, None, steps, self.parts)
        return replace(chunk, constants=self.shared.constants, given=given)

    def evaluated_leaves(
        self, batch: tuple[Inputs, Targets], mode: str, rows: Tensor, test: bool
    ) -> tuple[Tensor, ...]:
        """What a program that trains nothing is given beside state and numbers.

        Args:
            mode: see `lanewise.lanes.model.forms`. rows: of the pool, or of the test rows, that make the `batch`.
        """
        leaves = batch_leaves(*batch)
        if self.shared is None:
            return leaves
        return (*self.shared.constants, *leaves, *self.shared.of_rows(mode, *batch, rows, test))

    def first_rows(self, size: int, rows: int, together: int) -> Iterator[tuple[Inputs, Targets]]:
        """The first batches of `size` rows of the first epoch: at least one, and as many as hold `rows` if there are.

        `together` of them come as one. Rows that are read from elsewhere are augmented as in that epoch.
        """
        seed = stream_seed(self.repeat.study_seed, self.repeat.index, "augmentation", 0)
        batches = self.repeat.holdout.pool.batches(self.first_parts(size, rows, together), seed)
        return (self.repeat.scaled(batch, self.dtype, self.device) for batch in batches)

    def first_parts(self, size: int, rows: int, together: int) -> tuple[Tensor, ...]:
        """The numbers of the rows of each batch that `first_rows` gives."""
        order = self.reading.order(0)
        count = max(1, min(len(order) // size, -(-rows // size)))
        return torch.split(order[: count * size], together * size)

    def _seeds(self, start: int, stop: int) -> tuple[int, ...]:
        study, repeat = self.repeat.study_seed, self.repeat.index
        return tuple(stream_seed(study, repeat, "model", step) for step in range(start, stop)) if self.seeded else ()

    def _draws(self, epoch: int, first: int, steps: int) -> tuple[Tensor, ...]:
        number, skipped = divmod(first, self.length)
        source = stream(self.repeat.study_seed, self.repeat.index, "masks", epoch, number)
        made = []
        for shape in self.draw_shapes.values():
            size = (self.length, *shape)
            drawn = torch.rand(size, generator=source, dtype=self.dtype, out=empty(size, self.dtype))
            made.append(drawn[skipped : skipped + steps].to(self.device))
        return tuple(made)
