import random
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from lanewise import data
from lanewise.data.rows.items import kept_randomness
from lanewise.data.rows.rows import sample
from lanewise.errors import InputError

LISTS = [torch.tensor([3, 0, 7]), torch.tensor([1, 9]), torch.tensor([4, 4])]


class Noisy(Dataset):
    """Rows that draw from all three global generators, as augmentation does."""

    def __init__(self, rows=12):
        self.rows = rows

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        drawn = [random.random(), np.random.rand(), float(torch.rand(()))]
        return torch.tensor([row, *drawn], dtype=torch.float64), row % 3


class Plain(Dataset):
    def __init__(self, items, **listed):
        self.items = items
        self.__dict__.update(listed)
        self.reads = 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        self.reads += 1
        item = self.items[row]
        if isinstance(item, Exception):
            raise item
        return item


def loader_of(dataset, workers=0, **given):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        return DataLoader(dataset, num_workers=workers, **given)


def read(rows, seed, lists=LISTS):
    return list(rows.batches(lists, seed))


def equal(first, second):
    return all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, second, strict=True))


def add_to(items):
    """Puts pairs together, with noise of its own."""
    x, y = torch.utils.data.default_collate(items)
    return x + torch.rand(()), y


def test_what_is_read_depends_on_the_row_and_the_seed_alone():
    alone = data.DatasetRows(Noisy())
    wanted = read(alone, 5)
    assert [x[:, 0].tolist() for x, _ in wanted] == [[3, 0, 7], [1, 9], [4, 4]]
    assert [y.tolist() for _, y in wanted] == [[0, 0, 1], [1, 0], [1, 1]]
    assert torch.equal(wanted[2][0][0], wanted[2][0][1])
    random.seed(99)
    torch.rand(3)
    assert equal(wanted, read(alone, 5))
    assert not torch.equal(wanted[0][0], read(alone, 6)[0][0])
    # In another batch and another order, the row is the same.
    assert torch.equal(read(alone, 5, [torch.tensor([7, 5])])[0][0][0], wanted[0][0][2])
    assert torch.equal(alone.take(LISTS[0])[0], read(alone, data.EVALUATION_SEED)[0][0])


@pytest.mark.parametrize("collate", [None, add_to])
def test_workers_change_nothing_and_live_on(collate):
    wanted = {seed: read(data.load({"train": loader_of(Noisy(), collate_fn=collate)}).rows, seed) for seed in (1, 2)}
    rows = data.load({"train": loader_of(Noisy(), 2, collate_fn=collate)}).rows
    try:
        assert equal(read(rows, 1), wanted[1])
        workers = [worker.pid for worker in rows._loader._iterator._workers]
        # One left before its end, then one begun while another is under way.
        next(rows.batches(LISTS, 2))
        first = rows.batches(LISTS, 2)
        begun = [next(first)]
        assert equal(read(rows, 1), wanted[1])
        assert equal([*begun, *first], wanted[2])
        assert [worker.pid for worker in rows._loader._iterator._workers] == workers
    finally:
        rows.close()


def test_the_global_generators_are_left_alone():
    with kept_randomness():
        expected = random.random(), np.random.rand(), torch.rand(2)
    rows = data.DatasetRows(Noisy())
    read(rows, 1)
    rows.take(LISTS[0])
    found = random.random(), np.random.rand(), torch.rand(2)
    assert expected[:2] == found[:2]
    assert torch.equal(expected[2], found[2])


def test_no_batches_no_reading():
    assert read(data.DatasetRows(Noisy()), 0, []) == []


def picture(mode, value):
    return Image.new(mode, (4, 3), value)


@pytest.mark.parametrize(
    ("item", "shape", "dtype"),
    [
        (torch.ones(2, 3), (2, 3), torch.float32),
        (np.ones((2, 3)), (2, 3), torch.float64),
        (4.5, (), torch.float64),
        (np.float32(4.5), (), torch.float32),
        (7, (), torch.int64),
        ([1, 2, 3], (3,), torch.int64),
    ],
)
def test_items_of_every_kind(item, shape, dtype):
    x, y = data.DatasetRows(Plain([(item, 0), (item, 1)])).take(torch.tensor([0, 1]))
    assert (x.shape, x.dtype, y.tolist()) == ((2, *shape), dtype, [0, 1])


@pytest.mark.parametrize(
    ("mode", "value", "wanted"),
    [
        ("RGB", (9, 8, 7), [9, 8, 7]),
        ("L", 5, [5]),
        ("1", 1, [255]),
        ("RGBA", (1, 2, 3, 4), [1, 2, 3, 4]),
        ("P", 0, [0] * 3),
    ],
)
def test_pictures_become_bytes_channels_first(mode, value, wanted):
    x, _ = data.DatasetRows(Plain([(picture(mode, value), 0)] * 2)).take(torch.tensor([0, 1]))
    assert (x.dtype, x.shape) == (torch.uint8, (2, len(wanted), 3, 4))
    assert x[1, :, 2, 3].tolist() == wanted


def test_nested_items_and_batches_without_targets():
    x, y = data.DatasetRows(Plain([({"a": 1.0, "b": [1, 2]}, 0.5)] * 3)).take(torch.arange(3))
    assert {name: leaf.shape for name, leaf in x.items()} == {"a": (3,), "b": (3, 2)}
    assert y.dtype == torch.float64
    for item in ({"ids": [1, 2], "label": 3}, ([1, 2], 3, 4.0), torch.ones(5)):
        x, y = data.DatasetRows(Plain([item] * 3)).take(torch.arange(3))
        assert y is None
        assert type(x) is type(item)


def test_the_source_of_a_dataset():
    source = data.load(Noisy(30))
    assert (source.target, source.classes, len(source), source.x) == ("class", 3, 30, None)
    assert source.input_shape == (4,)
    assert source.y.tolist() == [row % 3 for row in range(30)]
    assert source.rows.replayable
    held = data.hold_out(source, 0)
    assert (len(held.pool), len(held.test), held.pool.in_memory) == (24, 6, False)
    for rows, y in ((held.pool, held.pool_y), (held.test, held.test_y)):
        x, read_y = rows.take(torch.arange(len(rows)))
        assert torch.equal(x[:, 0].long() % 3, y)
        assert torch.equal(read_y, y)
    seen = [x[:, 0].tolist() for rows in (held.pool, held.test) for x, _ in rows.batches([torch.arange(len(rows))], 3)]
    assert sorted(seen[0] + seen[1]) == list(range(30))


@pytest.mark.parametrize(
    ("y", "target", "classes"), [(0.5, "number", None), ([1, 2], "tokens", None), ([0.5, 1.5], "number", None)]
)
def test_other_targets(y, target, classes):
    y = torch.tensor(y)
    source = data.load(Plain([(torch.zeros(3), y + row) for row in range(10)]))
    assert (source.target, source.classes) == (target, classes)
    assert (source.y is None) == (target == "tokens")
    held = data.hold_out(source, 0)
    assert len(held.split(0, lambda r: r).valid) == 2
    assert held.pool.take(torch.arange(3))[1].shape == (3, *y.shape)


def test_whole_numbers_may_be_numbers():
    source = data.load(Plain([(torch.zeros(3), row * 7) for row in range(10)]), target="number")
    assert source.y.dtype == source.rows.take(torch.arange(3))[1].dtype == torch.float64


@pytest.mark.parametrize("name", ["targets", "labels"])
def test_listed_targets_save_reading_where_items_are_known_to_have_them(name, monkeypatch):
    items = [(torch.zeros(2), row % 2) for row in range(50)]
    plain = Plain(items, **{name: [row % 2 for row in range(50)]})
    # As for torchvision's own classes.
    monkeypatch.setattr(Plain, "__module__", "torchvision.datasets.plain")
    told = []
    assert data.load(plain, progress=lambda *at: told.append(at)).y.tolist() == [row % 2 for row in range(50)]
    assert plain.reads < 20
    assert told == [(50, 50)]
    subset = ConcatDataset([Subset(plain, [1, 3, 5, 6]), Subset(plain, [0, 1])])
    assert data.load(subset).y.tolist() == [1, 1, 1, 0, 0, 1]
    assert plain.reads < 60
    plain.target_transform = int
    data.load(subset)
    assert plain.reads < 90
    plain.reads = 0
    data.load(plain)
    assert plain.reads > 50


def test_listed_targets_that_the_items_do_not_have_are_not_believed():
    plain = Plain([(torch.zeros(2), row % 2) for row in range(50)], targets=[0, 1, 2, 3, 4] * 10)
    told = []
    assert data.load(plain, progress=lambda *at: told.append(at)).classes == 2
    assert told == [(50, 50)]
    assert plain.reads >= 50


@pytest.mark.parametrize(
    ("listed", "note"),
    [
        ([0, 1] * 24 + [2, 1], "1 of the targets that the dataset lists differ from those of its items"),
        ([1, 0] * 25, "50 of the targets that the dataset lists differ"),
        ([0, 1], "the dataset lists 2 targets and has 50 rows"),
        (np.array([0, 1] * 30), "the dataset lists 60 targets and has 50 rows"),
        (torch.tensor([0, 1] * 25), None),
    ],
)
def test_labels_are_those_of_the_items_whatever_the_dataset_lists(listed, note):
    items = [(torch.zeros(2), row % 2) for row in range(50)]
    source = data.load(Plain(items, targets=listed, classes=["a", "b", "c"]))
    assert (source.classes, source.y.tolist()) == (2, [row % 2 for row in range(50)])
    assert (note is None and not source.notes) or note in source.notes[0]


def test_a_label_that_was_not_there_when_all_were_read_is_named():
    class Growing(Noisy):
        largest = 1

        def __getitem__(self, row):
            return torch.zeros(2), min(row % 3, self.largest)

    source = data.load(Growing())
    assert source.classes == 2
    Growing.largest = 2
    with pytest.raises(InputError, match=r"train: a row has the label 2: must be 0\.\.1, as when all were read"):
        source.rows.take(torch.arange(6))


def test_kept_in_memory_if_it_fits():
    plain = Plain([(torch.full((2,), row), row % 2) for row in range(600)])
    told = []
    source = data.load(plain, cache=True, progress=lambda *at: told.append(at))
    assert source.rows.in_memory
    assert torch.equal(source.x[:, 0], torch.arange(600))
    assert told == [(256, 600), (512, 600), (600, 600)]
    large = data.load(plain, cache=True, cache_bytes=100)
    assert large.x is None
    assert "do not fit into the cache" in large.notes[0]
    floats = data.load(Plain([(torch.zeros(2), float(row % 2)) for row in range(9)]), cache=True)
    assert floats.target == "number"


def test_tensor_datasets_are_arrays():
    x, y = torch.rand(9, 4, 5), torch.arange(9) % 3
    source = data.load(TensorDataset(x, y))
    assert source.x.data_ptr() == x.data_ptr()
    assert source.x.shape == (9, 4, 5)
    assert source.classes == 3
    assert isinstance(data.load(TensorDataset(x, x[:, 0], y)).x, tuple)
    assert data.load(TensorDataset(x, x[:, 0], y), target="class").classes == 3


def test_validation_and_test_data_of_their_own():
    def part(rows, first):
        return Plain([(torch.tensor([first + row]), row % 2) for row in range(rows)])

    for cache in (False, True):
        source = data.load({"train": part(20, 0), "valid": part(6, 100), "test": part(4, 200)}, cache=cache)
        held = data.hold_out(source, 0)
        split = held.split(3, lambda r: r)
        assert held.pool.take(split.train)[0].flatten().tolist() == list(range(20))
        assert held.pool.take(split.valid)[0].flatten().tolist() == list(range(100, 106))
        assert held.test.take(torch.arange(4))[0].flatten().tolist() == list(range(200, 204))
        assert held.pool.take(torch.tensor([25, 2, 20]))[0].flatten().tolist() == [105, 2, 100]
        found = list(held.pool.batches([torch.tensor([1, 0]), torch.tensor([21])], 0))
        assert [x.flatten().tolist() for x, _ in found] == [[1, 0], [101]]
        without = data.hold_out(data.load({"train": part(20, 0), "valid": part(6, 100)}, cache=cache), 0)
        rows = without.split(0, lambda r: r)
        assert without.pool.take(rows.valid)[0].flatten().tolist() == list(range(100, 106))
        assert len(without.test) == 4
        assert len(rows.train) == 16


def test_a_dataset_with_a_generator_of_its_own_is_noticed():
    class Own(Noisy):
        def __init__(self):
            super().__init__()
            self.generator = np.random.default_rng(0)

        def __getitem__(self, row):
            return torch.tensor(self.generator.random()), row % 2

    source = data.load(Own())
    assert not source.rows.replayable
    assert "need not be identical" in source.notes[0]


class Broken(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, row):
        if row == 4:
            raise OSError("no such file")
        return torch.zeros(2), row % 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_row_that_cannot_be_read_is_named_on_one_line(workers):
    with pytest.raises(
        InputError, match=r"train: row 4 cannot be read \(OSError: no such file, at test_dataset_rows.py"
    ) as e:
        data.load(loader_of(Broken(), workers))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("items", "match"),
    [
        ([(torch.zeros(2), 0), (torch.zeros(3), 1)], r"x has rows of different shapes \(\[2\], \[3\]\)"),
        ([(torch.zeros(2), 0), (torch.zeros(2).long(), 1)], "x has rows of different types"),
        ([({"a": 1.0}, 0), ({"b": 1.0}, 1)], "x has rows with different parts"),
        ([(torch.zeros(2), 0), torch.zeros(2)], "some items are pairs"),
        ([(torch.tensor([0, np.nan]), 0)] * 2, "x has 2 NaN or infinite values, first in row 0"),
        ([(torch.zeros(2), np.nan)] * 2, "y has 2 NaN"),
        ([("word", 0)] * 2, "x holds text"),
        ([({"a": {"b": 1}}, 0)] * 2, r"x has the names \['a'\]: must be at least one, each with one array"),
        ([(torch.zeros(2), 1)] * 2, "y has one class only"),
        ([(torch.zeros(2), 1), (torch.zeros(2), 5)], "y has 2 different labels, 1, 5"),
        ([], "the dataset is empty"),
    ],
)
def test_bad_items_are_named_on_one_line(items, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load(Plain(items))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"train": Noisy(), "tset": Noisy()}, "data has the parts train, tset: must be train"),
        (
            {"train": Noisy(), "test": Plain([(torch.zeros(4), 3)])},
            r"y_test has labels that are not in y: 3; must be 0\.\.2",
        ),
    ],
)
def test_bad_parts(given, match):
    with pytest.raises(InputError, match=match):
        data.load(given)


@pytest.mark.parametrize("cache", [False, True])
def test_targets_must_be_there_if_they_are_named_and_only_then(cache):
    with pytest.raises(InputError, match="y is missing: items must be pairs"):
        data.load(Plain([torch.zeros(2)] * 3), target="class", cache=cache)
    with pytest.raises(InputError, match=r"items are pairs .* and target = 'none'"):
        data.load(Noisy(), target="none", cache=cache)
    assert data.load(Plain([torch.zeros(2)] * 3), cache=cache).target == "none"


def test_a_collate_function_that_loses_rows_is_noticed():
    loader = loader_of(Noisy(), collate_fn=lambda items: (torch.zeros(1, 4), torch.zeros(1).long()))
    with pytest.raises(InputError, match=r"a batch of 2 rows came as \[1, 4\]: must keep rows"):
        data.load(loader)


def test_statistics_of_rows_that_are_read():
    rows = data.DatasetRows(Plain([(torch.tensor([float(row)]), 0) for row in range(200)]))
    assert sample(rows, torch.arange(100, 200))[0].flatten().tolist() == list(range(100, 200))
    few = sample(rows, torch.arange(200), most_bytes=12 * 10)[0].flatten()
    assert few.tolist() == list(range(0, 200, 20))
    assert data.Standardise.fit(few[:, None]).mean.item() == 90


def eye(row):
    return torch.eye(3, dtype=torch.int64)[row % 3]


@pytest.mark.parametrize(
    ("label", "target", "note"),
    [
        (lambda row: torch.tensor([row % 3]), "class", ""),
        (eye, "class", "every row has a single 1"),
        (lambda row: eye(row).bool(), "class", "every row has a single 1"),
        (lambda row: 1 - eye(row), "number", "several labels of each row"),
        (lambda row: (1 - eye(row)).bool(), "number", "several labels of each row"),
        (lambda row: (1 - eye(row)).float(), "number", "several labels of each row"),
        (lambda row: 1 - eye(row) + (row == 31) * 7, "tokens", ""),
        (lambda row: torch.full((2, 2), row % 4), "tokens", ""),
    ],
)
@pytest.mark.parametrize("cache", [False, True])
def test_labels_of_every_shape(label, target, note, cache):
    rows = 5 * 64
    source = data.load(Plain([(torch.tensor([float(row), 2.5]), label(row)) for row in range(rows)]), cache=cache)
    assert source.target == target
    assert note in "".join(source.notes)
    if target == "class":
        assert source.y.tolist() == [row % 3 for row in range(rows)]
    _, y = source.rows.take(torch.tensor([4, 31]))
    wanted = torch.stack([label(4), label(31)])
    assert torch.equal(y.double(), (torch.tensor([1, 1]) if target == "class" else wanted).double())
