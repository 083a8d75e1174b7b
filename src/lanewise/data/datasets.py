"""A `torch.utils.data.Dataset` or DataLoader as a source: its parts, its targets, and whether it is kept in memory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

from lanewise.data.arrays import as_tensor
from lanewise.data.dataset_rows import DatasetRows, Reading, as_targets
from lanewise.data.items import Batch, joined
from lanewise.data.iterable_rows import IterableRows, same
from lanewise.data.nested import byte_count, row_count
from lanewise.data.rows import EVALUATION_SEED, ChainedRows, Progress, Rows, in_blocks, untold
from lanewise.data.source import Source, from_arrays, test_target
from lanewise.data.splitter import Splitter
from lanewise.data.targets import CheckedTarget, Target, as_target
from lanewise.errors import InputError

CACHE_BYTES = 2**31
PARTS = ("train", "valid", "test")
BLOCK = 256
"""Rows that are read at once when all are."""

PROBED = 8
"""Rows at which listed targets are compared with those of the items: transforms may make others of them."""

UNREPEATABLE = (
    "data {}: the same rows gave other values when they were read again, so it draws from random numbers of its own;"
    " a resumed run loses nothing, but need not be identical"
)


@dataclass(frozen=True)
class Wishes:
    """How a dataset is to be taken.

    Attributes:
        target: what the targets are, if not what they look like.
        cache: whether it gives the same values every time, so that it may be kept in memory.
        cache_bytes: keep no more than this. progress: told (rows done, rows in all); 0 in all where nobody knows.
    """

    target: Target | None = None
    cache: bool = False
    cache_bytes: int = CACHE_BYTES
    progress: Progress = untold


def is_dataset(thing: Any) -> bool:
    """Whether `thing` is a DataLoader or a dataset, of torch's classes or by its methods."""
    if isinstance(thing, (DataLoader, torch.utils.data.Dataset)):
        return True
    if isinstance(thing, (str, bytes, os.PathLike, Mapping, list, tuple)) or hasattr(thing, "__array__"):
        return False
    return hasattr(thing, "__getitem__") and hasattr(thing, "__len__")


def from_datasets(given: Any, wishes: Wishes) -> Source:
    """The source of a dataset, or of a mapping with `train` and, where there are, `valid` and `test`.

    Raises:
        InputError: parts of different kinds, targets that cannot be learnt, an iterable without a part to validate on.
    """
    parts = dict(given) if isinstance(given, Mapping) else {"train": given}
    extra = [str(part) for part in parts if part not in PARTS]
    if extra or "train" not in parts:
        raise InputError(f"data has the parts {', '.join(map(str, parts))}: must be train and may be valid and test")
    return from_parts({part: opened(thing) for part, thing in parts.items() if thing is not None}, wishes)


def from_parts(pairs: Mapping[str, tuple[Any, Reading]], wishes: Wishes) -> Source:
    """The source of (dataset, how it is read) of every part."""
    streamed = {part for part, (dataset, _) in pairs.items() if isinstance(dataset, IterableDataset)}
    if "train" in streamed and not {"valid", "test"} <= set(pairs):
        raise InputError("data: an iterable dataset cannot be split: give {'train': ..., 'valid': ..., 'test': ...}")
    if streamed and "train" not in streamed and "valid" in streamed:
        raise InputError("data: valid is iterable and train is not: must be of one kind")
    if set(pairs) == {"train"} and type(pairs["train"][0]) is TensorDataset and pairs["train"][1].collate is None:
        return of_tensors(pairs["train"][0].tensors, wishes.target)
    rows = {part: reader(part, dataset, reading, wishes) for part, (dataset, reading) in pairs.items()}
    return source_of(rows, wishes)


def opened(thing: Any) -> tuple[Any, Reading]:
    """(dataset, how it is read)."""
    return (thing.dataset, Reading.of(thing)) if isinstance(thing, DataLoader) else (thing, Reading())


def of_tensors(tensors: tuple[torch.Tensor, ...], target: Target | None) -> Source:
    """The source of a TensorDataset, its tensors as they are: two are (x, y), others inputs.

    With a `target` named, the last of three and more is y.
    """
    if len(tensors) == 1 or target == "none" or (target is None and len(tensors) > 2):
        return from_arrays("dataset", {"x": tensors if len(tensors) > 1 else tensors[0]}, "none", images=False)
    x = tensors[0] if len(tensors) == 2 else tensors[:-1]
    return from_arrays("dataset", {"x": x, "y": tensors[-1]}, target or kind_of(tensors[-1]), images=False)


def reader(part: str, dataset: Any, reading: Reading, wishes: Wishes) -> DatasetRows | IterableRows:
    """The rows of one part."""
    if isinstance(dataset, IterableDataset):
        return IterableRows(dataset, part, reading, progress=wishes.progress)
    if not len(dataset):
        raise InputError(f"data {part}: the dataset is empty: must have at least one row")
    rows = DatasetRows(dataset, part, reading)
    first = torch.arange(min(2, len(rows)))
    rows.replayable = same(rows.take(first), rows.take(first))
    return rows


def source_of(rows: dict[str, DatasetRows | IterableRows], wishes: Wishes) -> Source:
    """The source of the rows of every part, with targets read where they are needed to split or to scale."""
    notes = [UNREPEATABLE.format(part) for part, part_rows in rows.items() if not part_rows.replayable]
    example = rows["train"].take(torch.arange(min(2, len(rows["train"]))))
    splitter = Splitter()
    if "valid" in rows:
        train, valid = (torch.arange(len(rows[part])) for part in ("train", "valid"))
        splitter = Splitter(splits=((train, valid + len(train)),))
    kind = wishes.target or kind_of(example[1])
    for part_rows in rows.values():
        part_rows.target = kind
    as_targets("train", example[1], kind)
    if wishes.cache:
        wanted = row_bytes(example) * sum(len(part) for part in rows.values())
        if wanted <= wishes.cache_bytes:
            kept = held_in_memory(rows, wishes)
            return replace(kept, notes=(*kept.notes, *notes), splitter=splitter)
        notes.append(f"data: {wanted:,} bytes do not fit into the cache of {wishes.cache_bytes:,}: read every epoch")
    checked, test_y = CheckedTarget(None, kind), None
    if kind in ("class", "number"):
        y = {part: read_targets(part_rows, wishes.progress) for part, part_rows in rows.items()}
        of_pool = torch.cat([y[part] for part in ("train", "valid") if part in y])
        checked = as_target("data: y", of_pool, kind)
        test_y = test_target("data:", y["test"], checked) if "test" in y else None
    pool = ChainedRows(rows["train"], rows["valid"]) if "valid" in rows else rows["train"]
    return Source(
        name="dataset",
        x=None,
        y=checked.y,
        x_test=None,
        y_test=test_y,
        classes=checked.classes,
        target=kind,
        notes=(*checked.notes, *notes),
        splitter=splitter,
        reader=pool,
        test_reader=rows.get("test"),
        example=example[0],
    )


def kind_of(y: torch.Tensor | None) -> Target:
    """What targets are, by those of a few rows: floating ones are numbers, even if they are whole."""
    if y is None:
        return "none"
    return "number" if y.is_floating_point() else "tokens" if y.ndim > 1 else "class"


def row_bytes(example: Batch) -> int:
    """Bytes of one row."""
    x, y = example
    return -(-(byte_count(x) + byte_count(y)) // row_count(x))


def held_in_memory(rows: dict[str, DatasetRows | IterableRows], wishes: Wishes) -> Source:
    """The source with all rows read once."""
    held = {part: everything(part_rows, wishes.progress) for part, part_rows in rows.items()}
    x, y = joined([held[part] for part in ("train", "valid") if part in held])
    x_test, y_test = held.get("test", (None, None))
    given = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    return from_arrays("dataset", given, rows["train"].target, images=False)


def everything(rows: Rows, progress: Progress) -> Batch:
    """All rows as one batch; the workers that read them end."""
    found = []
    for number, batch in enumerate(rows.batches(in_blocks(torch.arange(len(rows)), BLOCK), EVALUATION_SEED), start=1):
        found.append(batch)
        progress(min(number * BLOCK, len(rows)), len(rows))
    rows.close()
    return joined(found)


def read_targets(rows: Rows, progress: Progress) -> torch.Tensor:
    """The targets of all rows: those that the dataset lists, if they are the ones that its items have; else read."""
    listed = listed_targets(rows.dataset) if isinstance(rows, DatasetRows) else None
    if listed is not None and len(listed) == len(rows):
        probed = torch.arange(PROBED) * len(rows) // PROBED
        found = rows.take(probed)[1]
        if found is not None and found.shape[1:] == listed.shape[1:] and torch.equal(found, listed[probed].to(found)):
            progress(len(rows), len(rows))
            return listed.to(found.dtype)
    parts, done = [], 0
    for _, y in rows.batches(in_blocks(torch.arange(len(rows)), BLOCK), EVALUATION_SEED):
        parts.append(y)
        done += len(y)
        progress(done, len(rows))
    if isinstance(rows, DatasetRows):
        rows.close()
    return torch.cat(parts)


def listed_targets(dataset: Any) -> torch.Tensor | None:
    """The targets that `dataset` lists as `targets` or `labels`, also through Subset and ConcatDataset."""
    if isinstance(dataset, Subset):
        of_all = listed_targets(dataset.dataset)
        return None if of_all is None else of_all[torch.as_tensor(list(dataset.indices), dtype=torch.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [listed_targets(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return torch.cat(known) if known and len(known) == len(parts) else None
    for name in ("targets", "labels"):
        found = getattr(dataset, name, None)
        if isinstance(found, (list, tuple, np.ndarray, torch.Tensor)) and len(found):
            try:
                return as_tensor(name, list(found) if isinstance(found, tuple) else found)
            except InputError:
                continue
    return None
