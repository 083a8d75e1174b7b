"""Batches that the user's `collate_fn` pads train in lanes, padded to the longest row of all."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lanewise import data
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import plan


def length_of(row):
    return 5 if row % 17 == 0 else 1 + row % 2


class Rows(Dataset):
    def __init__(self, count=68, kind=torch.float32):
        self.count, self.kind = count, kind

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        return torch.full((length_of(row), 3), row % 9 + 1).to(self.kind), row % 2


class Stream(IterableDataset):
    def __iter__(self):
        return (Rows()[row] for row in range(68))


def pad(items, **how):
    return nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True, **how), torch.tensor(
        [y for _, y in items]
    )


def in_order_of_length(items):
    return pad(sorted(items, key=lambda item: -len(item[0])))


def with_mask(items):
    x, y = pad(items)
    lengths = torch.tensor([len(item) for item, _ in items])
    return {"x": x, "mask": torch.arange(x.shape[1]) < lengths[:, None], "lengths": lengths.float()}, y


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.out = nn.Dropout(0.2), nn.Linear(3, 2)

    def forward(self, x):
        return self.drop(self.out(x)).mean(1)


def test_every_batch_has_the_longest_rows_length():
    source = data.load(DataLoader(Rows(), collate_fn=pad))
    assert source.input_shape == (5, 3)
    for index in (torch.tensor([1, 2, 3]), torch.tensor([17, 2])):
        x, _ = source.rows.take(index)
        assert x.shape == (len(index), 5, 3)
        for row, found in zip(index.tolist(), x, strict=True):
            assert found[: length_of(row)].eq(row % 9 + 1).all()
            assert not found[length_of(row) :].any()
    (note,) = [note for note in source.notes if "differ in length" in note]
    assert "x to [5, 3] with 0" in note


def test_padded_rows_train_in_lanes_and_alone():
    task = Task(Mean, DataLoader(Rows(), collate_fn=pad))
    recipe = Recipe(optimizer=SGD(lr=0.1), batch_size=8, epochs=1)
    plans = {str(recipe.structure()): plan("packed")}
    cohort = Cohort(Engine(task, 0, threads=1, plans=plans), [recipe, recipe], (0,))
    cohort.advance(1.0)
    assert torch.isfinite(torch.as_tensor(train(task, recipe).validation)).all()


def test_padding_is_put_where_the_collate_function_puts_it():
    left = data.load(DataLoader(Rows(), collate_fn=lambda items: pad(items, padding_value=-7, padding_side="left")))
    x, _ = left.rows.take(torch.tensor([2, 3]))
    assert x[0, :, 0].tolist() == [-7] * 4 + [3]
    tokens = data.load(DataLoader(Rows(kind=torch.int64), collate_fn=in_order_of_length))
    assert tokens.rows.take(torch.tensor([2, 3]))[0].shape == (2, 5, 3)
    targets = data.load(
        DataLoader(
            Rows(kind=torch.int64),
            collate_fn=lambda items: (pad(items)[0], pad(items, padding_value=-100)[0][..., 0]),
        )
    )
    assert targets.target == "tokens"
    assert targets.rows.take(torch.tensor([2]))[1].tolist() == [[3, -100, -100, -100, -100]]


def test_masks_are_padded_and_padded_numbers_are_not_standardised():
    source = data.load(DataLoader(Rows(), collate_fn=with_mask))
    repeat = Engine(Task(lambda: Masked(), source), 0, threads=1).repeat(0)
    x, _ = repeat.rows(torch.arange(6), torch.float32, torch.device("cpu"))
    assert x["mask"].dtype is torch.bool
    assert x["x"][~x["mask"]].eq(0).all()
    assert x["x"][x["mask"]].ge(1).all()
    assert x["lengths"].lt(0).any(), "what is not padded is"
    asked = data.load(DataLoader(Rows(), collate_fn=with_mask), standardise=["x"])
    repeat = Engine(Task(lambda: Masked(), asked), 0, threads=1).repeat(0)
    x, _ = repeat.rows(torch.arange(6), torch.float32, torch.device("cpu"))
    assert x["x"].lt(0).any()
    assert x["lengths"].ge(1).all()


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 2)

    def forward(self, x, mask, lengths):
        return self.out(x.masked_fill(~mask[..., None], 0.0)).sum(1) / lengths[:, None]


@pytest.mark.parametrize("cache", [False, True])
def test_parts_are_padded_alike(cache):
    parts = {
        part: DataLoader(Rows(count), collate_fn=pad) for part, count in (("train", 40), ("valid", 9), ("test", 4))
    }
    source = data.load(parts, cache=cache)
    held = data.hold_out(source, 0)
    assert held.pool.take(torch.arange(49))[0].shape == (49, 5, 3)
    assert held.test.take(torch.arange(1, 4))[0].shape == (3, 5, 3)


def test_streams_are_padded_too():
    parts = {part: DataLoader(Stream(), collate_fn=pad) for part in ("train", "valid", "test")}
    source = data.load(parts)
    shapes = {tuple(x.shape[1:]) for x, _ in source.rows.batches([torch.arange(1, 4), torch.arange(4, 9)], 0, start=1)}
    assert shapes == {(5, 3)}


def test_padding_that_cannot_be_learnt_is_refused():
    def spread(items):
        most = max(len(x) for x, _ in items)
        return torch.stack([x.repeat(most, 1)[:most] for x, _ in items]), torch.tensor([y for _, y in items])

    class Ramp(Rows):
        def __getitem__(self, row):
            return torch.arange(3.0 * length_of(row)).reshape(-1, 3), row % 2

    with pytest.raises(InputError, match="collate_fn pads rows of different lengths otherwise than by one number"):
        data.load(DataLoader(Ramp(), collate_fn=spread))


def test_rows_that_grow_are_named():
    class Growing(Rows):
        longer = 0

        def __getitem__(self, row):
            return torch.ones(length_of(row) + self.longer, 3), row % 2

    source = data.load(DataLoader(Growing(), collate_fn=pad))
    Growing.longer = 1
    with pytest.raises(InputError, match=r"rows of shape \[6, 3\], and the longest were \[5, 3\] at first"):
        source.rows.take(torch.tensor([17]))
