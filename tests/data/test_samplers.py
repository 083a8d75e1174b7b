"""The rows of a DataLoader's sampler are those that are trained, validated and tested on."""

import itertools

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from torch.utils.data.distributed import DistributedSampler

from lanewise import data
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.record.identity import data_checksums
from lanewise.task.task import Task

ROWS = 60
ORDER = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0)).tolist()
TRAIN, VALID, TEST = ORDER[:30], ORDER[30:45], ORDER[45:]


class Rows(Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        return torch.tensor([float(row), 1.0]), row % 2


class Fixed(Sampler):
    """Any sampler of one's own, without a length."""

    def __init__(self, rows, wrap=lambda row: row):
        self.rows, self.wrap = rows, wrap

    def __iter__(self):
        return (self.wrap(row) for row in self.rows)


def seen(source):
    """The rows that train, validate and test."""
    held = data.hold_out(source, 0)
    split = held.split(0, lambda repeat: 0)
    parts = held.pool.take(split.train), held.pool.take(split.valid), held.test.take(torch.arange(len(held.test)))
    return [sorted(x[:, 0].long().tolist()) for x, _ in parts]


def batches_of(sampler, size=7):
    return {"batch_sampler": BatchSampler(sampler, size, drop_last=False)}


@pytest.mark.parametrize(
    "reading",
    [
        lambda rows: {"sampler": SubsetRandomSampler(rows), "batch_size": 10},
        lambda rows: {"sampler": SubsetRandomSampler(torch.tensor(rows))},
        lambda rows: {"sampler": SubsetRandomSampler(rows), "batch_size": None},
        lambda rows: {"sampler": Fixed(rows)},
        lambda rows: {"sampler": Fixed(rows, torch.tensor)},
        lambda rows: {"sampler": rows},
        lambda rows: batches_of(SubsetRandomSampler(rows)),
        lambda rows: {"batch_sampler": [rows[:4], rows[4:]]},
        lambda rows: {"sampler": BatchSampler(Fixed(rows), 5, False), "batch_size": None},
        lambda rows: {"sampler": WeightedRandomSampler([float(row in rows) for row in range(ROWS)], 9)},
        lambda rows: {"sampler": WeightedRandomSampler([float(row in rows) for row in range(ROWS)], len(rows), False)},
    ],
)
def test_the_rows_of_every_sampler_are_honoured(reading):
    given = {part: DataLoader(Rows(), **reading(rows)) for part, rows in zip(PARTS, (TRAIN, VALID, TEST), strict=True)}
    assert seen(data.load(given)) == [sorted(TRAIN), sorted(VALID), sorted(TEST)]


PARTS = ("train", "valid", "test")


@pytest.mark.parametrize(
    "sampler",
    [
        SequentialSampler(range(ROWS)),
        RandomSampler(range(ROWS)),
        DistributedSampler(Rows(), num_replicas=1, rank=0),
        Fixed(ORDER),
        WeightedRandomSampler(list(range(1, ROWS + 1)), ROWS, replacement=False),
    ],
)
def test_samplers_of_all_rows_change_nothing(sampler):
    source = data.load(DataLoader(Rows(), sampler=sampler))
    assert source.splitter.weights is None
    assert not source.sampled
    assert data_checksums(source) == data_checksums(data.load(Rows()))


def test_one_loader_of_some_rows_is_split_itself():
    source = data.load(DataLoader(Rows(), sampler=SubsetRandomSampler(TRAIN)))
    assert len(source) == 30
    assert sorted(itertools.chain(*seen(source))) == sorted(TRAIN)
    assert source.y.tolist() == [row % 2 for row in sorted(TRAIN)]
    # Which rows a sampler reads is part of what a run is.
    other = data.load(DataLoader(Rows(), sampler=SubsetRandomSampler(sorted(TRAIN)[:-2] + sorted(VALID)[-2:])))
    assert data_checksums(source)["sampler.train"] != data_checksums(other)["sampler.train"]
    few = SequentialSampler(range(20))
    assert seen(data.load({"train": DataLoader(Rows(), sampler=few), "valid": Subset(Rows(), range(20, 30))}))[
        1
    ] == list(range(20, 30))


def test_rows_of_tensors_stay_tensors():
    x, y = torch.arange(60.0)[:, None], torch.arange(60) % 2
    source = data.load(DataLoader(TensorDataset(x, y), sampler=SubsetRandomSampler(TRAIN)))
    assert source.x.flatten().tolist() == sorted(TRAIN)
    parts = random_split(TensorDataset(x, y), [40, 10, 10], generator=torch.Generator().manual_seed(3))
    found = seen(data.load(dict(zip(PARTS, parts, strict=True))))
    assert found == [sorted(part.indices) for part in parts]


def test_a_key_may_be_anything():
    class Named(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, name):
            row = int(name.removeprefix("row "))
            return torch.tensor([float(row), 1.0]), row % 2

    source = data.load(DataLoader(Named(), sampler=Fixed([f"row {number}" for number in range(4, 18)])))
    assert sorted(itertools.chain(*seen(source))) == list(range(4, 18))


def epoch_of(source, epoch=0):
    """The rows of an epoch's batches."""
    engine = Engine(Task(lambda: torch.nn.Linear(2, 2), source), 0, threads=1)
    feed = engine.feed(Recipe(optimizer=SGD(lr=0.1), batch_size=10, epochs=4), 0)
    order = feed.reading.order(epoch)
    return engine, order, engine.holdout.pool.take(order)[0][:, 0].long()


@pytest.mark.parametrize(
    "reading",
    [
        {"sampler": WeightedRandomSampler([9.0 if row < 20 else 1.0 for row in range(ROWS)], ROWS)},
        {"sampler": [row for row in range(ROWS) for _ in range(9 if row < 20 else 1)]},
        batches_of(WeightedRandomSampler([9.0 if row < 20 else 1.0 for row in range(ROWS)], ROWS)),
    ],
)
@pytest.mark.parametrize("cache", [False, True])
def test_training_rows_are_drawn_by_their_weights_and_no_others(reading, cache):
    source = data.load(DataLoader(Rows(), **reading), cache=cache)
    assert len(source) == ROWS
    engine, first, _ = epoch_of(source)
    split = engine.repeat(0).split
    assert sorted(torch.cat([split.train, split.valid]).tolist()) == list(range(48)), "no validation row is drawn twice"
    assert set(first.tolist()) <= set(split.train.tolist())
    drawn = torch.cat([epoch_of(source, epoch)[2] for epoch in range(20)])
    often = int((drawn < 20).sum()) / len(drawn)
    held = engine.holdout.pool.take(split.train)[0][:, 0]
    wanted = 9 * int((held < 20).sum()) / (9 * int((held < 20).sum()) + int((held >= 20).sum()))
    assert often == pytest.approx(wanted, abs=0.06)
    assert torch.equal(first, epoch_of(source)[1])
    assert not torch.equal(first, epoch_of(source, 1)[1])
    assert "split.weights" in data_checksums(source)
    assert "drawn by weight" in repr(source)


def test_weights_of_validation_rows_are_not_followed_and_a_note_says_so():
    given = {
        "train": DataLoader(Rows(), sampler=WeightedRandomSampler([float(row < 40) for row in range(ROWS)], 99)),
        "valid": DataLoader(Rows(), sampler=WeightedRandomSampler([float(row >= 40) * row for row in range(ROWS)], 9)),
    }
    source = data.load(given)
    assert seen(source)[1] == list(range(40, 60))
    notes = "\n".join(source.notes)
    for text in (
        "20 rows of weight 0",
        "draws 99 of 40 rows an epoch",
        "valid: its sampler's weights are not followed",
    ):
        assert text in notes


class Balanced(Sampler):
    """As samplers of other libraries do: draws by weights it keeps."""

    def __init__(self, rows):
        self.indices, self.num_samples = list(range(rows)), rows
        self.weights = torch.ones(rows, dtype=torch.double)

    def __iter__(self):
        return iter(torch.multinomial(self.weights, self.num_samples, replacement=True).tolist())


def test_samplers_of_other_libraries_that_keep_weights():
    assert data.load(DataLoader(Rows(), sampler=Balanced(ROWS))).splitter.weights.tolist() == [1.0] * ROWS
    assert data.load(DataLoader(Rows(), sampler=RandomSampler(Rows(), replacement=True))).splitter.weights is not None


class Changing(Sampler):
    def __iter__(self):
        self.first = getattr(self, "first", 0) + 10
        return iter(range(self.first))


@pytest.mark.parametrize(
    ("reading", "match"),
    [
        ({"sampler": Changing()}, "Changing gave other rows the second time: must give the same rows every epoch"),
        ({"sampler": Fixed(itertools.count(), lambda row: row % 7)}, "gives more than 6000 rows an epoch"),
        ({"sampler": Fixed([3, 60])}, r"Fixed gives row 60: must be in \[0, 59\]"),
        ({"sampler": SubsetRandomSampler([-1])}, r"gives row -1: must be in \[0, 59\]"),
        ({"sampler": Fixed([])}, "gives no rows: must be at least one"),
        ({"sampler": DistributedSampler(Rows(), num_replicas=4, rank=1)}, "reads one of 4 shares"),
        ({"sampler": WeightedRandomSampler([1.0] * ROWS, 30, False)}, "draws 30 of 60 rows without replacement"),
        ({"sampler": WeightedRandomSampler([0.0] * ROWS, 30)}, "must be 0 or more, and one above 0"),
    ],
)
def test_samplers_that_cannot_be_followed_are_refused_on_one_line(reading, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load(DataLoader(Rows(), **reading))
    assert "\n" not in str(caught.value)


def test_rows_in_two_parts_are_refused():
    rows = Rows()
    for other in (rows, DataLoader(rows), Subset(rows, [5]), ConcatDataset([Rows(), Subset(rows, [5])])):
        with pytest.raises(InputError, match=r"data test: .* rows are rows of train too: must share none"):
            data.load({"train": DataLoader(rows, sampler=range(10)), "test": other})
    data.load({"train": DataLoader(rows, sampler=range(10)), "test": Subset(rows, range(10, 20))})


def test_what_a_loader_drops_is_told():
    given = {
        "train": DataLoader(Rows(), sampler=TRAIN, drop_last=True),
        "valid": DataLoader(Rows(), 7, sampler=VALID, drop_last=True),
    }
    (note,) = data.load(given).notes
    assert note.startswith("data valid: drop_last is not followed")
    (twice,) = data.load(Subset(Rows(), [*range(20), 3, 3])).notes
    assert twice.startswith("data train: 2 rows of the Subset come again")


def test_the_global_generators_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    data.load(DataLoader(Rows(), sampler=Balanced(ROWS)))
    data.load(DataLoader(Rows(), sampler=Fixed(ORDER)))
    assert torch.equal(torch.rand(2), expected)


def test_rows_of_one_tensor_in_two_parts_are_refused_and_parts_of_it_are_not():
    x, y = torch.randn(40, 2), torch.arange(40) // 2 % 2

    def part(first, last, step=1):
        return TensorDataset(x[first:last:step], y[first:last:step])

    assert len(data.load({"train": part(0, 20), "valid": part(20, 30), "test": part(30, 40)})) == 30
    assert len(data.load({"train": part(0, 40, 2), "test": part(1, 40, 2)})) == 20
    for other in (part(19, 40), part(0, 40, 2), Subset(part(10, 40), range(5))):
        with pytest.raises(InputError, match="rows are rows of train too: must share none"):
            data.load({"train": part(0, 20), "test": other})


def test_rows_counted_from_the_end_are_the_same_rows():
    rows = Rows()
    with pytest.raises(InputError, match="data test: 1 of its 1 rows are rows of train too"):
        data.load({"train": Subset(rows, range(len(rows))), "test": Subset(rows, [-1])})


def of_datasets(source: data.Source, split: object, keys: list[int]) -> list[set[int]]:
    """The rows of the dataset in the parts of a split."""
    return [{keys[row] for row in part.tolist()} for part in (split.train, split.valid)]  # type: ignore[attr-defined]


def plain_rows(rows: int = 24) -> TensorDataset:
    return TensorDataset(torch.arange(2.0 * rows).reshape(rows, 2), torch.arange(rows) % 2)


KEYS = [*range(24), *range(12), 3, 3, 20, *range(24)]


@pytest.mark.parametrize("how", ["tensors", "subset of a subset", "items", "concatenated", "loader"])
@pytest.mark.parametrize("asked", [{}, {"split": "random"}, {"folds": 3}, {"groups": [key // 2 for key in KEYS]}])
def test_copies_of_a_row_are_in_one_part_of_every_split(how, asked):
    tensors = plain_rows()
    items = Subset(Rows(), range(24))
    dataset = {
        "tensors": lambda: Subset(tensors, KEYS),
        "subset of a subset": lambda: Subset(
            Subset(tensors, [*range(24), *KEYS]), [row + 24 for row in range(len(KEYS))]
        ),
        "items": lambda: Subset(items, KEYS),
        "concatenated": lambda: ConcatDataset([items, Subset(items, KEYS[24:])]),
        "loader": lambda: DataLoader(Subset(tensors, KEYS), batch_size=4),
    }[how]()
    source = data.load(dataset, **asked)
    (note,) = [note for note in source.notes if "come again" in note]
    assert note.startswith(f"data train: {len(KEYS) - 24} rows of the ")
    parts = source.splitter.hold_out(source.y, len(source), 1, 0.25)
    pool, test = of_datasets(source, parts, KEYS)
    assert pool
    assert test
    assert not pool & test
    held = data.hold_out(source, 1, 0.25)
    kept = [KEYS[row] for row in parts.train.tolist()]
    for repeat in range(3):
        split = held.split(repeat, lambda repeat: repeat)
        train, valid = of_datasets(source, split, kept)
        assert not train & valid
        assert train | valid == pool
        assert len(split.train) + len(split.valid) == len(kept), "copies are kept"


def test_copies_in_the_training_part_are_not_tested_on():
    dataset = plain_rows(40)
    parts = {"train": Subset(dataset, [*range(20)] * 3), "valid": Subset(dataset, range(20, 40))}
    source = data.load(parts)
    found = source.splitter.hold_out(source.y, len(source), 0, 0.2)
    keys = [*range(20)] * 3 + [*range(20, 40)]
    pool, test = of_datasets(source, found, keys)
    assert test
    assert not pool & test
    assert any("40 rows of the Subset come again" in note for note in source.notes)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"split": "time"}, "time: row 24 is row 0 of the dataset again and has another time"),
        ({"groups": range(len(KEYS))}, "groups: row 24 is row 0 of the dataset again and has another group"),
        ({"test": [0, 1]}, r"test and other rows, with rows that come again, share 2 rows"),
        ({"splits": [(range(20), range(24, 40))]}, r"splits\[0\]: .* with rows that come again, share 12 rows"),
    ],
)
def test_copies_that_would_be_in_two_parts_are_refused(asked, match):
    with pytest.raises(InputError, match=match):
        data.load(Subset(plain_rows(), KEYS), **asked)
