"""Rows of a map-style `torch.utils.data.Dataset`, read by the workers of a DataLoader as our own index lists say."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate

from lanewise.data.arrays.labels import single_labels
from lanewise.data.arrays.nested import leaves
from lanewise.data.arrays.targets import Target
from lanewise.data.rows.items import Batch, Collate, Failed, SeededItems
from lanewise.data.rows.padding import Padding
from lanewise.data.rows.rows import EVALUATION_SEED
from lanewise.errors import InputError


@dataclass(frozen=True)
class LoaderOptions:
    """How a DataLoader reads, as far as it is taken over; its batch size and shuffling are ours.

    Attributes:
        workers: processes that read ahead; 0 reads in this one. collate: the user's own `collate_fn`, or None.
        pin: whether batches are put into pinned memory, where there is a device. context: how workers are started.
    """

    workers: int = 0
    collate: Callable[[list[Any]], Any] | None = None
    pin: bool = False
    worker_init: Callable[[int], None] | None = None
    prefetch: int | None = None
    timeout: float = 0
    context: Any = None

    @classmethod
    def of(cls, loader: "DataLoader[Any]") -> "LoaderOptions":
        """What is taken over from `loader`."""
        own = loader.collate_fn
        batched = loader.batch_sampler is not None or loader.batch_size is not None
        return cls(
            workers=loader.num_workers,
            # torch's own functions put items together as ours does, but not pictures.
            collate=None if own is default_collate or not batched else own,
            pin=loader.pin_memory,
            worker_init=loader.worker_init_fn,
            prefetch=loader.prefetch_factor,
            timeout=loader.timeout,
            context=loader.multiprocessing_context,
        )

    def arguments(self) -> dict[str, Any]:
        """The arguments of a DataLoader that reads like this."""
        found: dict[str, Any] = {
            "num_workers": self.workers,
            "pin_memory": self.pin and torch.accelerator.is_available(),
        }
        if self.workers:
            found |= {"worker_init_fn": self.worker_init, "timeout": self.timeout}
            found |= {"multiprocessing_context": self.context, "prefetch_factor": self.prefetch}
        return found


class IndexLists:
    """The batch sampler that follows our lists: (row, epoch seed) of every row of every batch."""

    def __init__(self) -> None:
        self.indices: Sequence[torch.Tensor] = ()
        self.epoch_seed = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for index in self.indices:
            yield [(row, self.epoch_seed) for row in index.tolist()]

    def __len__(self) -> int:
        return len(self.indices)


class DatasetRows:
    """Rows of a map-style dataset.

    Python's, NumPy's and torch's global generators are seeded for every item from (epoch seed, row), so what is read
    depends on nothing else, however many workers read. A generator that the dataset keeps for itself is not seeded.

    Args:
        dataset: has `__getitem__` and `__len__`; its items are (x, y), or x alone.
        name: for messages. reading: by how many workers and how.
        target: what the targets are, once known: labels become int64 and numbers floating.
        replayable: whether reading the same row twice under one seed gave the same values.

    Attributes:
        classes: how many there are, once known. padding: how batches are padded to one shape, if they must be.
    """

    in_memory = False

    def __init__(
        self,
        dataset: Any,
        name: str = "dataset",
        reading: LoaderOptions | None = None,
        target: Target | None = None,
        replayable: bool = True,
    ) -> None:
        self.dataset, self.name, self.reading = dataset, name, reading or LoaderOptions()
        self.target, self.replayable = target, replayable
        self.classes: int | None = None
        self.padding: Padding | None = None
        self._items, self._collate = SeededItems(dataset, name), Collate(name, self.reading.collate)
        self._lists = IndexLists()
        self._loader: DataLoader[Any] | None = None
        self._busy = False

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, index: torch.Tensor) -> Batch:
        """(x, y) of the rows `index`, read in this process as one batch under `EVALUATION_SEED`."""
        wanted = [(row, EVALUATION_SEED) for row in index.tolist()]
        return self._checked(self._collate(self._items.__getitems__(wanted)), len(wanted))

    def batches(self, indices: Sequence[torch.Tensor], epoch_seed: int, *, start: int = 0) -> Iterator[Batch]:
        """(x, y) of every one of `indices`, read ahead by the workers.

        The workers live on from call to call. A second call before the first is read to its end gets its own.
        """
        if not indices:
            return
        kept = not self._busy
        lists = self._lists if kept else IndexLists()
        loader = self._kept_loader() if kept else self._new_loader(lists, persistent=False)
        lists.indices, lists.epoch_seed = indices, epoch_seed
        self._busy = self._busy or kept
        reading, sound = iter(loader), False
        try:
            for index, read in zip(indices, reading, strict=True):
                yield self._checked(read, len(index))
            sound = True
        except GeneratorExit:
            sound = True
            raise
        finally:
            if kept:
                self._busy = False
            if not sound:
                self.close()
            if not sound or not kept:
                end_workers(reading)

    def close(self) -> None:
        """End the workers that wait for the next epoch."""
        if self._loader is not None and self.reading.workers:
            end_workers(self._loader._iterator)
        self._loader = None

    def _kept_loader(self) -> "DataLoader[Any]":
        if self._loader is None:
            self._loader = self._new_loader(self._lists, persistent=self.reading.workers > 0)
        return self._loader

    def _new_loader(self, lists: IndexLists, persistent: bool) -> "DataLoader[Any]":
        with warnings.catch_warnings():
            # More workers than cores are the user's choice; their own DataLoader warns of them.
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            return DataLoader(
                self._items,
                batch_sampler=lists,
                collate_fn=self._collate,
                persistent_workers=persistent,
                # Seeds of the workers themselves, which would else be drawn from torch's global generator.
                generator=torch.Generator().manual_seed(EVALUATION_SEED),
                **self.reading.arguments(),
            )

    def _checked(self, read: Batch | Failed, rows: int) -> Batch:
        if isinstance(read, Failed):
            raise InputError(read.reason)
        x, y = read
        for leaf in (*leaves(x), *(() if y is None else (y,))):
            if leaf.ndim < 1 or len(leaf) != rows:
                raise InputError(f"data {self.name}: a batch of {rows} rows came as {list(leaf.shape)}: must keep rows")
        return finished(self.name, (x, y), self.target, self.classes, self.padding)


def end_workers(reading: Any) -> None:
    """End the workers of a DataLoader's iterator now.

    Left to the garbage collector, an iterator held by a traceback may lose its queues first, and wait 5 s for workers
    that cannot hear it.
    """
    shut_down = getattr(reading, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


def finished(name: str, batch: Batch, target: Target | None, classes: int | None, padding: Padding | None) -> Batch:
    """A batch as it is given on: targets in their type, checked, and everything in one shape."""
    x, y = batch
    y = as_targets(name, y, target)
    if classes is not None and y is not None and len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
        wrong = int(y.max()) if int(y.max()) >= classes else int(y.min())
        raise InputError(f"data {name}: a row has the label {wrong}: must be 0..{classes - 1}, as when all were read")
    return (x, y) if padding is None else padding.applied(f"data {name}:", (x, y))


def as_targets(name: str, y: Any, target: Target | None) -> Any:
    """Targets of a batch in the type that `target` has."""
    if target is None or (y is None and target == "none"):
        return y
    if y is None:
        raise InputError(f"data {name}: y is missing: items must be pairs (x, y), or say target='none'")
    if target == "none":
        raise InputError(f"data {name}: items are pairs (x, y) and target = 'none': name what y is, or leave it out")
    if target == "number":
        return y if y.is_floating_point() else y.to(torch.float64)
    if y.is_floating_point() and bool((y != y.floor()).any()):
        raise InputError(f"data {name}: y has values that are not whole: must be labels or tokens")
    return (single_labels(f"data {name}: y", y) if target == "class" else y).to(torch.int64)
