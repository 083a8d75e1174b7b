"""Rows that come in an order of their own: a `torch.utils.data.IterableDataset`, read from its start every epoch."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from lanewise.data.arrays.nested import leaves, take
from lanewise.data.arrays.targets import Target
from lanewise.data.rows.dataset_rows import LoaderOptions, end_workers, finished
from lanewise.data.rows.items import (
    Batch,
    collated,
    item_seed,
    kept_randomness,
    place,
    random_state,
    seed_all,
    set_random_state,
)
from lanewise.data.rows.padding import Padding
from lanewise.data.rows.rows import EVALUATION_SEED, Progress, untold
from lanewise.data.rows.shares import AlikeWorkers, digests, in_several
from lanewise.errors import InputError, one_line

BLOCK = 32
"""Items that a worker sends at a time."""


class IterableRows:
    """Rows of an iterable dataset: an epoch is one pass, and index lists count rows but do not choose them.

    Every pass makes a new iterator, with the global generators of Python, NumPy and torch seeded from the epoch seed.
    With several workers each reads its own share, as the dataset says; blocks of 32 items take turns. Where they do not
    share the rows out but read the same ones, a single worker reads, and a note says so.

    Args:
        dataset: gives items (x, y), or x alone. name: for messages. reading: by how many workers and how.
        count: rows of a pass; by default they are counted by a first pass.
        target: what the targets are, once known.

    Attributes:
        classes: how many there are, once known. padding: how batches are padded to one shape, if they must be.
        notes: what users should know of how the rows are read.

    Raises:
        InputError: nothing comes, or what comes cannot be read again.
    """

    in_memory = False

    def __init__(
        self,
        dataset: Any,
        name: str = "dataset",
        reading: LoaderOptions | None = None,
        count: int | None = None,
        target: Target | None = None,
        progress: Progress = untold,
    ) -> None:
        self.dataset, self.name, self.reading, self.target = dataset, name, reading or LoaderOptions(), target
        self.classes: int | None = None
        self.padding: Padding | None = None
        self.notes: tuple[str, ...] = ()
        if isinstance(dataset, Iterator):
            raise InputError(f"data {name}: is an iterator, used up after one pass: give an IterableDataset")
        first, again = self._start(), self._start()
        self.replayable = bool(first) and same(first, again)
        if not first:
            raise InputError(f"data {name}: gives no rows" + (" the second time" if again else ""))
        if not again:
            raise InputError(f"data {name}: gives no rows the second time: __iter__ must start anew")
        self.count = self._counted(progress) if count is None else count

    def __len__(self) -> int:
        return self.count

    def take(self, index: torch.Tensor) -> Batch:
        """(x, y) of the rows `index` of a pass under `EVALUATION_SEED`, which is read up to the last of them."""
        if not len(index):
            raise InputError(f"data {self.name}: no rows are wanted: must be at least one")
        wanted, places = torch.unique(index, return_inverse=True)
        reader, kept, at = self._items(EVALUATION_SEED), [], 0
        for row in wanted.tolist():
            kept += list(itertools.islice(reader, row - at, row - at + 1))
            at = row + 1
        if len(kept) < len(wanted):
            raise InputError(f"data {self.name}: has no row {int(wanted[len(kept)])}: fewer came than at first")
        x, y = self._batch(kept, EVALUATION_SEED, 0)
        return take(x, places), take(y, places)

    def batches(self, indices: Sequence[torch.Tensor], epoch_seed: int, *, start: int = 0) -> Iterator[Batch]:
        """The next rows of a pass, as many to a batch as every one of `indices` is long, after the first `start`."""
        if not indices:
            return
        reader, at = self._items(epoch_seed), start
        skipped = sum(1 for _ in itertools.islice(reader, start))
        for index in indices:
            items = list(itertools.islice(reader, len(index))) if skipped == start else []
            if len(items) < len(index):
                raise InputError(
                    f"data {self.name}: {skipped + at - start + len(items)} rows came this time, {self.count} the first"
                    " time; every pass must give as many"
                )
            yield self._batch(items, epoch_seed, at)
            at += len(index)

    def close(self) -> None:
        """Workers end with their pass."""

    def _batch(self, items: list[Any], epoch_seed: int, at: int) -> Batch:
        with kept_randomness():
            seed_all(item_seed(epoch_seed, at, len(items)))
            try:
                x, y = collated(f"data {self.name}:", items, self.reading.collate)
            except InputError:
                raise
            except Exception as error:
                raise InputError(f"data {self.name}: collate_fn failed ({one_line(error)}{place(error)})") from error
        return finished(self.name, (x, y), self.target, self.classes, self.padding)

    def _items(self, epoch_seed: int) -> Iterator[Any]:
        """The items of one pass, one by one."""
        try:
            if not self.reading.workers:
                yield from own_randomness(self.dataset, epoch_seed)
                return
            for block in self._blocks(epoch_seed, list):
                yield from block
        except (InputError, GeneratorExit):
            raise
        except Exception as error:
            raise InputError(f"data {self.name}: cannot be read ({one_line(error)}{place(error)})") from error

    def _start(self) -> Batch | None:
        """The first rows of a pass, or None."""
        items = list(itertools.islice(self._items(EVALUATION_SEED), 8))
        return self._batch(items, EVALUATION_SEED, 0) if items else None

    def _blocks(self, epoch_seed: int, collate: Callable[[list[Any]], Any], alike: bool = False) -> Iterator[Any]:
        """What `collate` makes of blocks of items; `alike` starts all workers with the same random numbers."""
        arguments = self.reading.arguments() | {"pin_memory": False}
        if alike:
            arguments["worker_init_fn"] = AlikeWorkers(self.reading.worker_init)
        loader = DataLoader(
            self.dataset if isinstance(self.dataset, IterableDataset) else Streamed(self.dataset),
            batch_size=BLOCK,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(epoch_seed),
            **arguments,
        )
        reading = iter(loader)
        try:
            yield from reading
        finally:
            end_workers(reading)

    def _counted(self, progress: Progress) -> int:
        """How many rows come: whatever the dataset says of its length, they are counted."""
        if self.reading.workers > 1:
            self._check_shares()
        count = 0
        for count, _ in enumerate(self._items(EVALUATION_SEED), start=1):
            if count % 1000 == 0:
                progress(count, 0)
        progress(count, count)
        try:
            told = len(self.dataset)
        except Exception:
            return count
        if told != count:
            self.notes += (f"data {self.name}: len() says {told} rows, and {count} were read: {count} are used",)
        return count

    def _check_shares(self) -> None:
        """Read with a single worker, with a note, if several read rows twice that it reads once."""
        streams = self._streams()
        several = in_several(streams)
        if not several and self.replayable:
            return
        workers, self.reading = self.reading, replace(self.reading, workers=1)
        alone = Counter(row for stream in self._streams().values() for row in stream)
        together = Counter(row for stream in streams.values() for row in stream)
        more = together.total() - alone.total()
        if more > 0 and (not self.replayable or alone.keys() >= together.keys()):
            self.notes += (
                f"data {self.name}: its {workers.workers} workers read {more} rows more than there are, because the"
                " dataset does not share them out (torch.utils.data.get_worker_info): one worker reads",
            )
            return
        self.reading = workers
        if more > 0:
            self.notes += (f"data {self.name}: {several} rows come from more than one of its workers",)

    def _streams(self) -> dict[int, list[int]]:
        """A number for every row that each worker reads, started with the same random numbers."""
        found: dict[int, list[int]] = {}
        try:
            for worker, rows in self._blocks(EVALUATION_SEED, digests, alike=True):
                found.setdefault(worker, []).extend(rows)
        except Exception as error:
            raise InputError(f"data {self.name}: cannot be read ({one_line(error)}{place(error)})") from error
        return found


class Streamed(IterableDataset[Any]):
    """Any object with `__iter__` as an IterableDataset."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        return iter(self.source)


def own_randomness(source: Any, seed: int) -> Iterator[Any]:
    """The items of `source`, whose draws from the global generators follow from `seed` and disturb nobody else's."""
    advance: Callable[[], Any] | None = None
    state: tuple[Any, ...] | None = None
    while True:
        with kept_randomness():
            if state is None or advance is None:
                seed_all(seed)
                advance = iter(source).__next__
            else:
                set_random_state(state)
            try:
                item = advance()
            except StopIteration:
                return
            state = random_state()
        yield item


def same(first: Batch | None, again: Batch | None) -> bool:
    """Whether two batches hold the same values."""
    if first is None or again is None:
        return first is again
    parts = [[*leaves(x), *(() if y is None else (y,))] for x, y in (first, again)]
    return len(parts[0]) == len(parts[1]) and all(torch.equal(a, b) for a, b in zip(*parts, strict=True))
