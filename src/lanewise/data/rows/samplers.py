"""Which rows of its dataset a DataLoader reads, by its sampler, and how often."""

import itertools
from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lanewise.data.rows.items import item_seed, kept_randomness, seed_all
from lanewise.data.rows.rows import EVALUATION_SEED
from lanewise.errors import InputError, one_line

MOST_PASSES = 100
"""A sampler that gives more than so many times the rows of its dataset is taken to have no end."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """The rows that a sampler reads.

    Attributes:
        keys: what the dataset is indexed by, one for each row, all different; None where it reads all in order.
        weights: float64 [rows], how often each is drawn beside the others; None where each comes once.
        notes: what users should know.
    """

    keys: list[Any] | None = None
    weights: Tensor | None = None
    notes: tuple[str, ...] = ()


def sampled(part: str, loader: "DataLoader[Any]") -> Sampled:
    """The rows that `loader` reads of its map-style dataset.

    The samplers of torch are taken at their word. Another is run through twice: it must give the same rows.

    Raises:
        InputError: rows that are not in the dataset, that change from epoch to epoch, or of which there are none.
    """
    dataset, where = loader.dataset, f"data {part}:"
    if isinstance(dataset, IterableDataset):
        return Sampled()
    batches, sampler = loader.batch_sampler, loader.sampler
    if batches is None and type(sampler) is BatchSampler:
        # Batches that the dataset reads whole.
        batches = sampler
    if batches is not None and type(batches) is not BatchSampler:
        return listed(where, batches, dataset, in_batches=True)
    dropped: tuple[str, ...] = ()
    if isinstance(batches, BatchSampler):
        sampler = batches.sampler
        if batches.drop_last and part != "train":
            dropped = (f"{where} drop_last is not followed: every row counts when recipes are compared",)
    found = by_type(where, sampler, dataset)
    found = listed(where, sampler, dataset) if found is None else found
    return Sampled(found.keys, found.weights, (*found.notes, *dropped))


def by_type(where: str, sampler: Any, dataset: Any) -> Sampled | None:
    """The rows of a sampler of torch's own, or None."""
    kind = type(sampler)
    if kind is SequentialSampler:
        return rows_of(where, kind, list(range(len(sampler.data_source))), dataset)
    if kind is SubsetRandomSampler:
        return rows_of(where, kind, as_keys(sampler.indices), dataset)
    if kind is RandomSampler:
        rows = len(sampler.data_source)
        chosen = rows_of(where, kind, list(range(rows)), dataset)
        drawn = sampler.num_samples
        notes = () if drawn == rows else (epoch_note(where, kind, drawn, rows),)
        weights = torch.ones(rows, dtype=torch.float64) if sampler.replacement else None
        return Sampled(chosen.keys, weights, notes)
    if kind is WeightedRandomSampler:
        return weighted(where, sampler, list(range(len(sampler.weights))), dataset)
    if kind is DistributedSampler:
        if sampler.num_replicas > 1:
            raise InputError(
                f"{where} DistributedSampler reads one of {sampler.num_replicas} shares, and another one every epoch:"
                " must be a sampler of fixed rows; give the DataLoader of a single process"
            )
        return rows_of(where, kind, list(range(len(sampler.dataset))), dataset)
    return None


def weighted(where: str, sampler: Any, keys: list[Any], dataset: Any) -> Sampled:
    """The rows whose weight is above 0, drawn by their weights."""
    weights = torch.as_tensor(sampler.weights, dtype=torch.float64).cpu()
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise InputError(f"{where} the weights of {type(sampler).__name__} must be 0 or more, and one above 0")
    drawn = weights > 0
    count, rows = int(drawn.sum()), len(weights)
    total = int(sampler.num_samples)
    notes: list[str] = []
    if count < rows:
        notes.append(f"{where} {rows - count} rows of weight 0, which are never drawn, are left out")
    found = rows_of(where, type(sampler), [key for key, one in zip(keys, drawn.tolist(), strict=True) if one], dataset)
    if not getattr(sampler, "replacement", True):
        if total < count:
            raise InputError(
                f"{where} {type(sampler).__name__} draws {total} of {count} rows without replacement:"
                " must draw all of them, or with replacement=True"
            )
        return Sampled(found.keys, None, (*notes, *found.notes))
    if total != count:
        notes.append(epoch_note(where, type(sampler), total, count))
    return Sampled(found.keys, weights[drawn], (*notes, *found.notes))


def listed(where: str, sampler: Any, dataset: Any, in_batches: bool = False) -> Sampled:
    """The rows that any other sampler gives, by running through it."""
    kind = type(sampler)
    weights = getattr(sampler, "weights", None)
    if not in_batches and isinstance(weights, (torch.Tensor, list, tuple)) and hasattr(sampler, "num_samples"):
        keys = as_keys(getattr(sampler, "indices", range(len(weights))))
        if len(keys) == len(weights):
            return weighted(where, sampler, keys, dataset)
    first, again = (run_through(where, sampler, dataset, in_batches) for _ in range(2))
    if sorted(map(repr, first)) != sorted(map(repr, again)):
        raise InputError(
            f"{where} {kind.__name__} gave other rows the second time: must give the same rows every epoch, in any"
            " order; for rows drawn by weight, use torch's WeightedRandomSampler"
        )
    notes = (f"{where} which rows {kind.__name__} puts together in a batch is not followed",) if in_batches else ()
    found = rows_of(where, kind, first, dataset)
    return Sampled(found.keys, found.weights, (*notes, *found.notes))


def run_through(where: str, sampler: Any, dataset: Any, in_batches: bool) -> list[Any]:
    """All that a sampler gives in an epoch, batches taken apart."""
    most = MOST_PASSES * max(1, len(dataset) if isinstance(dataset, Sized) else 1000)
    keys: list[Any] = []
    with kept_randomness():
        seed_all(EVALUATION_SEED)
        try:
            for given in itertools.islice(iter(sampler), most + 1):
                bulk = in_batches or isinstance(given, list) or (isinstance(given, torch.Tensor) and given.ndim > 0)
                keys += as_keys(given if bulk else [given])
        except Exception as error:
            raise InputError(f"{where} {type(sampler).__name__} fails ({one_line(error)})") from error
    if len(keys) > most:
        raise InputError(f"{where} {type(sampler).__name__} gives more than {most} rows an epoch: must come to an end")
    return keys


def as_keys(given: Any) -> list[Any]:
    """Row numbers as Python's own, and other keys as they are."""
    values = given.flatten().tolist() if isinstance(given, torch.Tensor) else list(given)
    return [value.item() if hasattr(value, "item") else value for value in values]


def rows_of(where: str, kind: type, keys: list[Any], dataset: Any) -> Sampled:
    """The rows `keys`; those that come several times in an epoch weigh as much more."""
    if not keys:
        raise InputError(f"{where} {kind.__name__} gives no rows: must be at least one")
    rows = len(dataset) if isinstance(dataset, Sized) else None
    numbers = all(isinstance(key, int) and not isinstance(key, bool) for key in keys)
    if numbers and rows is not None:
        wrong = [key for key in (min(keys), max(keys)) if not 0 <= key < rows]
        if wrong:
            raise InputError(f"{where} {kind.__name__} gives row {wrong[0]}: must be in [0, {rows - 1}]")
        if keys == list(range(rows)):
            return Sampled()
    counts: dict[Any, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    # In the order of the dataset, so that a sampler that shuffles is the same every time.
    different = sorted(counts) if numbers else sorted(counts, key=repr)
    if numbers and rows is not None and different == list(range(rows)):
        found: list[Any] | None = None
    else:
        found = different
    if len(different) == len(keys):
        return Sampled(found)
    weights = torch.tensor([counts[key] for key in different], dtype=torch.float64)
    if bool((weights == weights[0]).all()):
        return Sampled(found)
    more = len(keys) - len(different)
    note = f"{where} {kind.__name__} gives {more} rows more than once: training rows are drawn by how often they come"
    return Sampled(found, weights, (note,))


def epoch_note(where: str, kind: type, drawn: int, rows: int) -> str:
    """That an epoch is as long as there are training rows."""
    return (
        f"{where} {kind.__name__} draws {drawn} of {rows} rows an epoch: not followed, an epoch has as many rows as the"
        " training part"
    )


def marks(keys: list[Any]) -> Tensor:
    """`keys` as int64 numbers, a different one for each,, for a fingerprint."""
    if all(isinstance(key, int) for key in keys):
        return torch.tensor(keys, dtype=torch.int64)
    return torch.tensor([item_seed(0, key) for key in keys], dtype=torch.int64)


def origin(dataset: Any) -> list[tuple[int, Any]]:
    """(identity of the dataset it is read from, its key there) of every row, through Subset and ConcatDataset."""
    if isinstance(dataset, Subset):
        inner: Dataset[Any] = dataset.dataset
        if not isinstance(inner, (Subset, ConcatDataset)):
            keys = as_keys(dataset.indices)
            if type(inner) is TensorDataset:
                of_all = origin(inner)
                return [of_all[key] for key in keys]
            rows = len(inner) if isinstance(inner, Sized) else 0
            # Row -1 is the last one.
            return [(id(inner), key + rows if isinstance(key, int) and key < 0 else key) for key in keys]
        of_all = origin(inner)
        return [of_all[key] for key in as_keys(dataset.indices)]
    if isinstance(dataset, ConcatDataset):
        return [row for part in dataset.datasets for row in origin(part)]
    first = dataset.tensors[0] if type(dataset) is TensorDataset else None
    if first is None or not first.numel() or not first.stride(0):
        return [(id(dataset), row) for row in range(len(dataset))]
    # Datasets made of the same tensor, or of parts of it, have the rows that lie at the same place in memory.
    storage, step = first.untyped_storage().data_ptr(), first.stride(0) * first.element_size()
    start = first.storage_offset() * first.element_size()
    return [(storage, start + row * step) for row in range(len(dataset))]


def check_apart(datasets: dict[str, Any]) -> None:
    """Raise `InputError` if a row of one dataset is in two parts."""
    seen: dict[tuple[int, Any], str] = {}
    for part, dataset in datasets.items():
        if isinstance(dataset, IterableDataset):
            continue
        rows = set(origin(dataset))
        shared = [row for row in rows if row in seen]
        if shared:
            other = seen[shared[0]]
            raise InputError(
                f"data {part}: {len(shared)} of its {len(rows)} rows are rows of {other} too: must share none"
            )
        seen |= dict.fromkeys(rows, part)
