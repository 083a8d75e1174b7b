"""Targets of a Dataset: read row by row, or taken from its own list where that can be trusted."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset

from lanewise.data.arrays.checks import as_tensor
from lanewise.data.rows.dataset_rows import DatasetRows, as_targets
from lanewise.data.rows.iterable_rows import IterableRows
from lanewise.data.rows.rows import EVALUATION_SEED, Progress, Rows, in_blocks
from lanewise.errors import InputError

BLOCK = 256
"""Rows that are read at once when all are."""
PROBED = 8
"""Rows at which listed targets are compared with those of the items: transforms may make others of them."""


def read_targets(rows: Rows, progress: Progress, read: list[Any] | None = None) -> tuple[torch.Tensor, list[str]]:
    """(the targets of all rows, notes): those of the items, or a list where it is known to be what items are made of.

    Args:
        read: the targets of all rows, where they have been read already.
    """
    known = listed_targets(rows.dataset) if isinstance(rows, DatasetRows) else None
    if (
        read is None
        and known is not None
        and len(known) == len(rows)
        and isinstance(rows, DatasetRows)
        and is_trusted(rows.dataset)
    ):
        probed = torch.arange(PROBED) * len(rows) // PROBED
        found = rows.take(probed)[1]
        if found is not None and found.shape[1:] == known.shape[1:] and torch.equal(found, known[probed].to(found)):
            progress(len(rows), len(rows))
            return known.to(found.dtype), []
    parts, done = [], 0
    if read is None:
        for _, y in rows.batches(in_blocks(torch.arange(len(rows)), BLOCK), EVALUATION_SEED):
            parts.append(y)
            done += len(y)
            progress(done, len(rows))
        rows.close()
    elif isinstance(rows, (DatasetRows, IterableRows)):
        parts = [as_targets(rows.name, y, rows.target) for y in read]
    found = torch.cat(parts)
    return found, [] if known is None else told_otherwise(rows, known, found)


def told_otherwise(rows: Rows, known: torch.Tensor, read: torch.Tensor) -> list[str]:
    """A note if the targets that a dataset lists are not those of its items."""
    where = f"data {getattr(rows, 'name', '')}:"
    if len(known) != len(read):
        told = f"the dataset lists {len(known)} targets and has {len(read)} rows"
        return [f"{where} {told}: the targets of its items are used"]
    if known.shape != read.shape:
        return []
    different = int((known.to(read.dtype) != read).reshape(len(read), -1).any(1).sum())
    told = f"{different} of the targets that the dataset lists differ from those of its items, which are used"
    return [f"{where} {told}"] if different else []


def is_trusted(dataset: Any) -> bool:
    """Whether the targets that `dataset` lists are known to be those of its items, so that these need not be read.

    Those of torchvision's own classes are, if nothing is made of them (`target_transform`, `transforms`).
    """
    if isinstance(dataset, Subset):
        return is_trusted(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return all(map(is_trusted, dataset.datasets))
    if getattr(type(dataset), "lists_targets_of_items", False):
        return True
    usual = type(getattr(dataset, "transforms", None)).__name__ in ("NoneType", "StandardTransform")
    own = type(dataset).__module__.startswith("torchvision.datasets")
    return own and usual and getattr(dataset, "target_transform", None) is None


def listed_targets(dataset: Any) -> torch.Tensor | None:
    """The targets that `dataset` lists as `targets` or `labels`, also through Subset and ConcatDataset."""
    if isinstance(dataset, Subset):
        of_all = listed_targets(dataset.dataset)
        index = list(dataset.indices)
        if of_all is None or not all(
            isinstance(row, (int, np.integer)) and -len(of_all) <= row < len(of_all) for row in index
        ):
            return None
        return of_all[torch.as_tensor(index, dtype=torch.int64)]
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
