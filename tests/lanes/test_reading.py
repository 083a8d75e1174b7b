"""Rows that are read from elsewhere are read once for all lanes of a repeat, whatever their structure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lanewise.data import load
from lanewise.data.rows.kept import KeptRows
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.feed import KEPT_SPANS
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD, Adam
from lanewise.recipe.recipe import Recipe
from lanewise.record.identity import check_unchanged, data_checksums
from lanewise.task.task import Task
from tests.lanes.cases import all_bits, group_of, pack_of, plan

ROWS = 100
X, Y = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1)), torch.arange(ROWS) % 2
FIRST = Recipe(optimizer=SGD(lr=0.1), batch_size=6, epochs=2)
OTHERS = [replace(FIRST, optimizer=Adam(lr=0.01)), replace(FIRST, clip=1.0), replace(FIRST, early_stopping="50%")]


class Counted(Dataset[tuple[Tensor, int]]):
    """Rows with noise of their own, which count how often they are read."""

    def __init__(self) -> None:
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        self.reads[row] += 1
        return X[row] + 0.1 * torch.randn(5), int(Y[row])


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def cohort_of(recipes: list[Recipe], repeats: tuple[int, ...] = (0,)) -> tuple[Cohort, Counted]:
    data = Counted()
    plans = {str(recipe.structure()): plan("packed") for recipe in recipes}
    cohort = Cohort(Engine(Task(model, data), 3, threads=1, plans=plans), recipes, repeats)
    data.reads.clear()
    return cohort, data


def trained(cohort: Cohort, progress: tuple[float, ...] = (0.25, 0.5, 1.0)) -> None:
    for point in progress:
        cohort.advance(point)


def test_structures_of_one_batch_size_share_one_reading() -> None:
    alone, once = cohort_of([FIRST], (0, 1))
    together, shared = cohort_of([FIRST, *OTHERS], (0, 1))
    assert len(together.groups) == 3
    for cohort in (alone, together):
        trained(cohort)
    assert shared.reads == once.reads
    assert once.reads.total() == 2 * 2 * 60
    assert all_bits(alone) == all_bits_of(together, 1)


def all_bits_of(cohort: Cohort, lanes: int) -> list[list[bytes]]:
    """The lanes of the first candidates."""
    cohort.live = list(range(lanes))
    return all_bits(cohort)


def test_a_cool_down_is_read_once_too() -> None:
    (alone, once), (together, shared) = cohort_of([FIRST]), cohort_of([FIRST, *OTHERS])
    for cohort in (alone, together):
        trained(cohort, (0.25,))
        cohort.cool_down(0.1)
        trained(cohort, (0.5,))
    assert shared.reads == once.reads


def test_rows_that_validate_or_test_are_read_once() -> None:
    cohort, data = cohort_of([FIRST, *OTHERS], (0, 1))
    for _ in range(3):
        cohort.evaluate()
    split = [cohort.engine.repeat(index).split for index in (0, 1)]
    pool = [row for part in split for row in part.valid.tolist()]
    assert data.reads.total() == len(pool)
    for candidates in ([0], [1], [0, 1]):
        cohort.test_rows(candidates)
    assert data.reads.total() == len(pool) + len(cohort.engine.holdout.test)


def test_other_batch_sizes_and_lengths_read_for_themselves_and_train_alike() -> None:
    others = [replace(FIRST, batch_size=10), replace(FIRST, epochs=1)]
    together, shared = cohort_of([FIRST, *others])
    trained(together)
    lone = []
    for number, recipe in enumerate([FIRST, *others]):
        alone, _ = cohort_of([recipe])
        trained(alone)
        lone += all_bits(alone)
        assert group_of(alone).total_steps == group_of(together, number).total_steps
    assert all_bits(together) == lone
    assert shared.reads.total() == 2 * 60 + 2 * 60 + 60


def test_no_more_is_kept_than_a_few_stretches() -> None:
    cohort, _ = cohort_of([FIRST, *OTHERS])
    reading = pack_of(cohort).feed.reading
    assert all(group.packs[0].feed.reading is reading for group in cohort.groups)
    for start in range(8):
        reading.steps(start, start + 1)
    assert len(reading._kept) == KEPT_SPANS
    cohort.advance(0.5)
    assert not reading._kept


def test_a_race_that_goes_on_notices_other_rows_of_the_same_number_and_targets() -> None:
    class Stored(Dataset[tuple[Tensor, int]]):
        def __init__(self, x: Tensor) -> None:
            self.x = x

        def __len__(self) -> int:
            return ROWS

        def __getitem__(self, row: int) -> tuple[Tensor, int]:
            return self.x[row] + 0.1 * torch.randn(5), int(Y[row])

    changed = X.clone()
    changed[75] += 1.0
    known, other = (data_checksums(Task("mlp:3", Stored(x)).source) for x in (X, changed))
    assert known == data_checksums(Task("mlp:3", Stored(X)).source), "what is drawn in an item is drawn again"
    assert known["rows"] == other["rows"] == "100"
    recorded = {"data_checksums": known, "model_checksums": None}
    check_unchanged(recorded, Task("mlp:3", Stored(X)), "resume x")
    with pytest.raises(InputError, match="the data changed since the run began: sampled x was"):
        check_unchanged(recorded, Task("mlp:3", Stored(changed)), "resume x")
    older = {name: text for name, text in known.items() if not name.startswith("sampled")}
    check_unchanged({**recorded, "data_checksums": older}, Task("mlp:3", Stored(changed)), "resume x")


def test_rows_that_do_not_fit_are_read_each_time() -> None:
    data = Counted()
    rows = load(data).rows
    assert rows is not None
    data.reads.clear()
    parts = [torch.arange(10), torch.arange(10, 15)]
    row_bytes = 5 * 4 + 8
    for most, reads in ((15 * row_bytes, 15), (15 * row_bytes - 1, 45), (0, 45)):
        kept = KeptRows(rows, most)
        data.reads.clear()
        found = [list(kept.batches(parts)) for _ in range(3)]
        assert data.reads.total() == reads
        assert all(torch.equal(a[0], b[0]) for again in found[1:] for a, b in zip(found[0], again, strict=True))
    assert [len(x) for x, _ in kept.batches(list(cut(15, 4)))] == [4, 4, 4, 3]


def cut(rows: int, size: int) -> Iterator[Any]:
    yield from torch.split(torch.arange(rows), size)
