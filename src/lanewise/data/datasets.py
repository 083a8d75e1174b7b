"""A `torch.utils.data.Dataset` or DataLoader as a source: its parts, its targets, and whether it is kept in memory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

from lanewise.data.arrays.labels import has_labels
from lanewise.data.arrays.nested import byte_count, leaves, row_count
from lanewise.data.arrays.targets import ONE_HOT, CheckedTarget, Target, as_target, many_hot_note
from lanewise.data.dataset_targets import BLOCK, read_targets
from lanewise.data.rows.dataset_rows import DatasetRows, LoaderOptions, as_targets
from lanewise.data.rows.items import Batch, joined
from lanewise.data.rows.iterable_rows import IterableRows, same
from lanewise.data.rows.padding import Padding, Shapes, learnt_padding, padding_note, row_shapes
from lanewise.data.rows.rows import EVALUATION_SEED, ChainedRows, Progress, Rows, in_blocks, untold
from lanewise.data.rows.samplers import Sampled, check_apart, marks, origin, sampled
from lanewise.data.source.source import Source, from_arrays, test_target
from lanewise.data.splitting.splitter import Splitter
from lanewise.errors import InputError, a_type

CACHE_BYTES = 2**31
PARTS = ("train", "valid", "test")

LOOKED_AT = 64
"""Rows by which targets of several whole numbers are taken for classes, for labels or for tokens."""

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
        cache_bytes: keep no more than this. progress: called with (rows done, rows in all, 0 if unknown).
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
        InputError: parts of different kinds, targets that cannot be learnt, an iterable without a part to validate on,
            rows that are in two parts, a sampler whose rows are not the same every epoch.
    """
    parts = dict(given) if isinstance(given, Mapping) else {"train": given}
    extra = [str(part) for part in parts if part not in PARTS]
    if extra or parts.get("train") is None:
        raise InputError(f"data has the parts {', '.join(map(str, parts))}: must be train and may be valid and test")
    things = {part: parts[part] for part in PARTS if parts.get(part) is not None}
    for part, thing in things.items():
        if not hasattr(thing, "__getitem__") and not hasattr(thing, "__iter__"):
            raise InputError(f"data {part}: is {a_type(thing)}; must be a Dataset or a DataLoader")
    found = {part: sampled(part, thing) for part, thing in things.items() if isinstance(thing, DataLoader)}
    pairs = {part: opened(thing, found.get(part, Sampled())) for part, thing in things.items()}
    check_apart({part: dataset for part, (dataset, _) in pairs.items()})
    source = from_parts(pairs, wishes)
    notes = [*(note for one in found.values() for note in one.notes), *source.notes]
    if (copies := copies_in(pairs["train"][0])) is not None and not {"valid", "test"} <= set(pairs):
        twice = len(copies) - len(torch.unique(copies))
        notes.append(
            f"data train: {twice} rows of the {type(pairs['train'][0]).__name__} come again: all copies of a row are in"
            " the same part of a split, and each counts as a row"
        )
        # Rows of a part to validate on follow those to train on, and are none of them.
        others = torch.arange(len(copies), len(source))
        source = replace(source, splitter=source.splitter.with_copies(torch.cat([copies, others])))
    for part, one in found.items():
        if part != "train" and one.weights is not None:
            notes.append(f"data {part}: its sampler's weights are not followed: every row counts once")
    weights = found["train"].weights if "train" in found else None
    if weights is not None:
        of_others = torch.ones(len(source) - len(weights), dtype=torch.float64)
        source = replace(source, splitter=replace(source.splitter, weights=torch.cat([weights, of_others])))
    keys = {part: marks(one.keys) for part, one in found.items() if one.keys is not None}
    return replace(source, notes=tuple(notes), sampled=keys)


def copies_in(dataset: Any) -> torch.Tensor | None:
    """The number of the first row that is the same row of the dataset, int64 [rows]; None where all are different."""
    if not isinstance(dataset, (Subset, ConcatDataset)):
        return None
    first: dict[Any, int] = {}
    found = [first.setdefault(key, row) for row, key in enumerate(origin(dataset))]
    return torch.tensor(found) if len(first) < len(found) else None


def from_parts(pairs: Mapping[str, tuple[Any, LoaderOptions]], wishes: Wishes) -> Source:
    """The source of (dataset, how it is read) of every part."""
    streamed = {part for part, (dataset, _) in pairs.items() if isinstance(dataset, IterableDataset)}
    if "train" in streamed and not {"valid", "test"} <= set(pairs):
        raise InputError("data: an iterable dataset cannot be split: give {'train': ..., 'valid': ..., 'test': ...}")
    if streamed and "train" not in streamed and "valid" in streamed:
        raise InputError("data: valid is iterable and train is not: must be of one kind")
    if set(pairs) == {"train"} and pairs["train"][1].collate is None and (found := tensors_of(pairs["train"][0])):
        return of_tensors(found, wishes.target)
    rows = {part: reader(part, dataset, reading, wishes) for part, (dataset, reading) in pairs.items()}
    return source_of(rows, wishes)


def opened(thing: Any, found: Sampled) -> tuple[Any, LoaderOptions]:
    """(the rows of a dataset that are read, how)."""
    dataset, reading = (
        (thing.dataset, LoaderOptions.of(thing)) if isinstance(thing, DataLoader) else (thing, LoaderOptions())
    )
    return dataset if found.keys is None else Subset(dataset, found.keys), reading


def tensors_of(dataset: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of a TensorDataset, or of some of its rows; empty for any other dataset."""
    if type(dataset) is Subset and type(dataset.dataset) is TensorDataset:
        index = torch.as_tensor(list(dataset.indices), dtype=torch.int64)
        return tuple(tensor[index] for tensor in dataset.dataset.tensors)
    return dataset.tensors if type(dataset) is TensorDataset else ()


def of_tensors(tensors: tuple[torch.Tensor, ...], target: Target | None) -> Source:
    """The source of a TensorDataset, its tensors as they are: two are (x, y), others inputs.

    With a `target` named, the last of three and more is y.
    """
    if len(tensors) == 1 or target == "none" or (target is None and len(tensors) > 2):
        return from_arrays("dataset", {"x": tensors if len(tensors) > 1 else tensors[0]}, "none", images=False)
    x = tensors[0] if len(tensors) == 2 else tensors[:-1]
    return from_arrays("dataset", {"x": x, "y": tensors[-1]}, target or kind_of(tensors[-1]), images=False)


def reader(part: str, dataset: Any, reading: LoaderOptions, wishes: Wishes) -> DatasetRows | IterableRows:
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
    notes += [note for part_rows in rows.values() if isinstance(part_rows, IterableRows) for note in part_rows.notes]
    example = rows["train"].take(torch.arange(min(2, len(rows["train"]))))
    splitter = Splitter()
    if "valid" in rows:
        train, valid = (torch.arange(len(rows[part])) for part in ("train", "valid"))
        splitter = Splitter(splits=((train, valid + len(train)),))
    kind = wishes.target or kind_of(example[1], rows["train"])
    if wishes.target is None and kind == "class" and example[1].ndim == 2 and example[1].shape[1] > 1:
        notes.append(ONE_HOT.format("data: y"))
    labelled = wishes.target is None and kind == "number" and not example[1].is_floating_point()
    wanted, known = None, {}
    if any(part_rows.reading.collate is not None for part_rows in rows.values()):
        shapes = {}
        for part, part_rows in rows.items():
            shapes[part], known[part] = all_shapes(part_rows, wishes.progress)
        padding = learnt_padding("data:", dict(rows), shapes)
        if padding is not None:
            notes.append(padding_note("data:", example[0], padding))
            wanted = unscaled(example[0], padding)
            for part_rows in rows.values():
                part_rows.padding = padding
    for part_rows in rows.values():
        part_rows.target = kind
    as_targets("train", example[1], kind)
    example = rows["train"].take(torch.arange(min(2, len(rows["train"]))))
    if wishes.cache:
        needed = row_bytes(example) * sum(len(part) for part in rows.values())
        if needed <= wishes.cache_bytes:
            kept = held_in_memory(rows, wishes)
            if labelled and not has_labels(kept.y):
                kept = held_in_memory(rows, wishes, "tokens")
            elif wishes.target is None and kept.target == "number" and kept.y.ndim > 1 and has_labels(kept.y):
                notes.append(many_hot_note("data: y", kept.y))
            return replace(kept, notes=(*kept.notes, *notes), splitter=splitter, standardise=wanted)
        notes.append(f"data: {needed:,} bytes do not fit into the cache of {wishes.cache_bytes:,}: read every epoch")
    checked, test_y = CheckedTarget(None, kind), None
    if kind in ("class", "number"):
        y = {}
        for part, part_rows in rows.items():
            y[part], told = read_targets(part_rows, wishes.progress, known.get(part))
            notes += told
        of_pool = torch.cat([y[part] for part in ("train", "valid") if part in y])
        if labelled and not has_labels(of_pool):
            # The rows that were looked at held 0 and 1 only, and others do not.
            kind = "tokens"
        else:
            checked = as_target("data: y", of_pool, kind)
            test_y = test_target("data:", y["test"], checked) if "test" in y else None
        for part_rows in rows.values():
            part_rows.classes, part_rows.target = checked.classes, kind
        if wishes.target is None and kind == "number" and of_pool.ndim > 1 and has_labels(of_pool):
            notes.append(many_hot_note("data: y", of_pool))
    pool = ChainedRows(rows["train"], rows["valid"]) if "valid" in rows else rows["train"]
    return Source(
        name="dataset",
        rows=pool,
        y=checked.y,
        test_rows=rows.get("test"),
        y_test=test_y,
        classes=checked.classes,
        target=kind,
        notes=(*checked.notes, *notes),
        splitter=splitter,
        example=example[0],
        standardise=wanted,
    )


def kind_of(y: torch.Tensor | None, rows: Rows | None = None) -> Target:
    """What targets are, by those of a few rows: floating ones are numbers, even if they are whole.

    Args:
        rows: to look at more of them, where whole numbers may be labels, or tokens that happen to be 0 and 1.
    """
    if y is None:
        return "none"
    if y.is_floating_point():
        return "number"
    if y.ndim < 2 or (y.ndim == 2 and y.shape[1] == 1):
        return "class"
    if y.ndim > 2 or not has_labels(y):
        return "number" if y.dtype is torch.bool else "tokens"
    if rows is not None:
        looked = min(LOOKED_AT, len(rows))
        step = looked if isinstance(rows, IterableRows) else len(rows)
        y = rows.take(torch.arange(looked) * step // looked)[1]
    if not has_labels(y):
        return "tokens"
    return "class" if bool((y.sum(1) == 1).all()) else "number"


def unscaled(x: Any, padding: Padding) -> Any:
    """That padded floating inputs are not standardised, since padding would no longer be what the model expects."""
    flat = [False if pad is not None else None for _, pad in zip(leaves(x), padding.pads, strict=False)]
    if isinstance(x, torch.Tensor):
        return flat[0]
    return dict(zip(x, flat, strict=True)) if isinstance(x, Mapping) else tuple(flat)


def all_shapes(rows: DatasetRows | IterableRows, progress: Progress) -> tuple[list[Shapes], list[Any]]:
    """(the shapes, the targets) of every row put together alone."""
    found: list[Shapes] = []
    y = []
    for batch in rows.batches(in_blocks(torch.arange(len(rows)), 1), EVALUATION_SEED):
        found.append(row_shapes(batch))
        y.append(batch[1])
        if len(found) % 1000 == 0 or len(found) == len(rows):
            progress(len(found), len(rows))
    rows.close()
    return found, y


def row_bytes(example: Batch) -> int:
    """Bytes of one row."""
    x, y = example
    return -(-(byte_count(x) + byte_count(y)) // row_count(x))


def held_in_memory(rows: dict[str, DatasetRows | IterableRows], wishes: Wishes, target: Target | None = None) -> Source:
    """The source with all rows read once, its targets those of the rows, or `target`."""
    for part_rows in rows.values():
        part_rows.target = target or part_rows.target
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
