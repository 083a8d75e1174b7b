"""Rows that come in an order of their own, read by one process or by workers."""

import random

import pytest
import torch
from torch.utils.data import IterableDataset

from lanewise import data
from lanewise.data.rows.rows import in_blocks
from lanewise.errors import InputError
from tests.data.test_dataset_rows import Noisy, loader_of


class Counting(IterableDataset):
    def __init__(self, rows=50, first=0, fewer=0):
        self.rows, self.first, self.fewer, self.passes = rows, first, fewer, 0

    def __iter__(self):
        self.passes += 1
        info = torch.utils.data.get_worker_info()
        share = slice(None) if info is None else slice(info.id, None, info.num_workers)
        rows = self.rows - (self.fewer if self.passes > 3 else 0)
        for row in range(rows)[share]:
            yield torch.tensor([self.first + row, random.random(), float(torch.rand(()))]), row % 2


def of_iterables(**given):
    return data.load({"train": Counting(**given), "valid": Counting(8, 100), "test": Counting(4, 200)})


def test_an_iterable_is_read_in_order_from_its_start():
    source = of_iterables()
    assert (len(source), source.target, source.classes) == (58, "class", 2)
    held = data.hold_out(source, 0)
    split = held.split(5, lambda r: r)
    assert (len(split.train), len(split.valid), len(held.test)) == (50, 8, 4)
    lists = in_blocks(split.train, 20)[:2]
    first, again, other = ([x for x, _ in held.pool.batches(lists, seed)] for seed in (1, 1, 2))
    assert [part[:, 0].tolist() for part in first] == [list(range(20)), list(range(20, 40))]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert len({tuple(row) for row in first[0][:, 1:].tolist()}) == 20
    # What others draw between the batches changes nothing.
    disturbed = []
    for x, _ in held.pool.batches(lists, 1):
        disturbed.append(x)
        random.random()
        torch.rand(7)
    assert all(torch.equal(a, b) for a, b in zip(first, disturbed, strict=True))
    ((rest, _),) = held.pool.batches(lists[1:], 1, start=20)
    assert torch.equal(rest, first[1])
    ((valid, y),) = held.pool.batches([split.valid], 0)
    assert valid[:, 0].tolist() == list(range(100, 108))
    assert torch.equal(y, held.pool_y[split.valid])
    assert held.pool.take(torch.tensor([3, 55, 1]))[0][:, 0].tolist() == [3, 105, 1]


def test_an_iterable_with_workers_is_replayed_too():
    part = {"valid": Counting(8, 100), "test": Counting(4, 200)}
    source = data.load({"train": loader_of(Counting(70), 2), **part})
    rows = source.rows
    first, again = ([x for x, _ in rows.batches([torch.arange(70)], 1)] for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert sorted(first[0][:, 0].tolist()) == list(range(70))
    assert source.y[:70].tolist() == [int(row) % 2 for row in first[0][:, 0]]


def test_an_iterable_that_changes_is_noticed():
    class Changing(Counting):
        def __iter__(self):
            self.passes += 1
            yield from ((torch.tensor([float(self.passes)]), row % 2) for row in range(10))

    parts = {"valid": Counting(8), "test": Counting(4)}
    assert "need not be identical" in data.load({"train": Changing(), **parts}, target="class").notes[0]
    with pytest.raises(InputError, match="48 rows came this time, 50 the first time; every pass must give as many"):
        list(of_iterables(fewer=2).rows.batches([torch.arange(50)], 0))


class Unshared(IterableDataset):
    """Every worker reads all of its rows, in an order and with noise of its own random numbers."""

    def __init__(self, rows=50, told=None, shuffled=False):
        self.rows, self.shuffled = rows, shuffled
        if told is not None:
            self.__class__ = type("Told", (Unshared,), {"__len__": lambda self: told})

    def __iter__(self):
        order = random.sample(range(self.rows), self.rows) if self.shuffled else range(self.rows)
        for row in order:
            yield torch.tensor([row, float(torch.rand(()))]), row % 2


def share(worker):
    """The `worker_init_fn` of the manual: each worker gets its part of the rows."""
    info = torch.utils.data.get_worker_info()
    each = -(-info.dataset.rows // info.num_workers)
    info.dataset.first, info.dataset.rows = worker * each, each


class FirstOn(Counting):
    def __iter__(self):
        return ((torch.tensor([float(row)]), row % 2) for row in range(self.first, self.first + self.rows))


@pytest.mark.parametrize("shuffled", [False, True])
def test_workers_that_do_not_share_rows_out_are_one(shuffled):
    part = {"valid": Counting(8, 100), "test": Counting(4, 200)}
    source = data.load({"train": loader_of(Unshared(50, shuffled=shuffled), 2), **part})
    assert len(source) == 58
    ((x, _),) = source.rows.batches([torch.arange(50)], 3)
    assert sorted(x[:, 0].tolist()) == list(range(50))
    assert "its 2 workers read 50 rows more than there are" in source.notes[0]


def test_rows_that_worker_init_fn_shares_out_come_once():
    part = {"valid": Counting(8, 100), "test": Counting(4, 200)}
    source = data.load({"train": loader_of(FirstOn(20), 2, worker_init_fn=share), **part})
    ((x, _),) = source.rows.batches([torch.arange(20)], 3)
    assert sorted(x[:, 0].tolist()) == list(range(20))
    assert source.notes == ()


def test_rows_that_are_the_same_themselves_are_no_reason():
    class Same(Counting):
        def __iter__(self):
            return ((torch.zeros(2), row % 2) for row, _ in enumerate(super().__iter__()))

    part = {"valid": Counting(8, 100), "test": Counting(4, 200)}
    source = data.load({"train": loader_of(Same(20), 2), **{name: Same(4) for name in part}})
    assert len(source) == 24
    assert source.notes == ()
    assert source.rows.first.reading.workers == 2


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("told", [10, 70])
def test_a_length_that_is_not_true_is_not_believed(told, workers):
    part = {"valid": Counting(8, 100), "test": Counting(4, 200)}
    source = data.load({"train": loader_of(Unshared(30, told), workers), **part})
    assert len(source) == 38
    assert source.notes == (f"data train: len() says {told} rows, and 30 were read: 30 are used",)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"train": Counting()}, "an iterable dataset cannot be split"),
        ({"train": Noisy(), "valid": Counting()}, "valid is iterable and train is not"),
        ({"train": Counting(0), "valid": Counting(), "test": Counting()}, "train: gives no rows"),
    ],
)
def test_iterables_that_cannot_be_used(given, match):
    with pytest.raises(InputError, match=match):
        data.load(given)


def test_iterables_that_cannot_be_read_again():
    class Once(IterableDataset):
        def __init__(self):
            self.rows = iter([(torch.zeros(2), row % 2) for row in range(5)])

        def __iter__(self):
            return self.rows

    with pytest.raises(InputError, match="gives no rows the second time: __iter__ must start anew"):
        data.IterableRows(Once())
    with pytest.raises(InputError, match="is an iterator, used up after one pass"):
        data.IterableRows(iter([1, 2]))
