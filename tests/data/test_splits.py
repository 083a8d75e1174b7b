import numpy as np
import pytest
import torch

from lanewise import data
from lanewise.errors import InputError


def labels(*counts, seed=0):
    y = torch.from_numpy(np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)))
    return y.to(torch.int64)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("counts", [(20, 20), (13, 57, 101), (10, 1000)])
def test_parts_are_disjoint_complete_and_stratified(counts, fraction):
    y = labels(*counts)
    for seed in range(5):
        rows = data.split(y, seed, fraction)
        for part in (rows.train, rows.valid):
            assert part.dtype == torch.int64
            assert torch.equal(part, part.sort().values)
        assert torch.equal(torch.cat([rows.train, rows.valid]).sort().values, torch.arange(len(y)))
        assert len(rows.valid) == round(fraction * len(y))
        share = torch.bincount(y[rows.valid]) - torch.tensor(counts) * len(rows.valid) / len(y)
        assert share.abs().max() < 1


def test_the_seed_alone_decides():
    y = labels(30, 30)
    first, again, other = data.split(y, 3), data.split(y, 3), data.split(y, 4)
    assert torch.equal(first.valid, again.valid)
    assert not torch.equal(first.valid, other.valid)


def test_every_row_validates_sometimes():
    y = labels(8, 8)
    seen = torch.cat([data.split(y, seed).valid for seed in range(60)])
    assert torch.equal(seen.unique(), torch.arange(16))


def test_hold_out_keeps_rows_and_labels_together():
    y = labels(25, 35, 40)
    x = torch.stack([torch.arange(100), y], dim=1)
    held = data.hold_out(data.load((x, y)), seed=5)
    assert len(held.test_y) == 20
    assert torch.bincount(held.test_y).tolist() == [5, 7, 8]
    assert torch.equal(held.pool.x[:, 1], held.pool_y)
    assert torch.equal(held.test.x[:, 1], held.test_y)
    rows = torch.cat([held.pool.x[:, 0], held.test.x[:, 0]])
    assert torch.equal(rows.sort().values, torch.arange(100))
    assert held.pool.x.dtype == x.dtype


def test_the_sources_own_test_data_is_passed_on_uncopied():
    y = labels(10, 10)
    source = data.load((torch.zeros(20, 3, dtype=torch.uint8), y, torch.ones(6, 3, dtype=torch.uint8), y[:6]))
    held = data.hold_out(source, seed=0)
    assert held.pool.x is source.x
    assert held.pool_y is source.y
    assert held.test.x is source.x_test
    assert held.test_y is source.y_test


def test_smallest_class_that_is_sure_to_be_in_both_parts():
    enough, too_few = labels(4, 96), labels(3, 97)
    for seed in range(30):
        rows = data.split(enough, seed)
        assert len(enough[rows.valid].unique()) == len(enough[rows.train].unique()) == 2
    with pytest.raises(InputError, match=r"class 0 has 3 of 100 rows, too few .* fraction 0\.25; must be at least 4"):
        data.split(too_few, 0)


@pytest.mark.parametrize(
    ("counts", "arguments", "match"),
    [
        ((1, 1), {}, r"2 rows are too few to split with fraction 0\.25"),
        ((1, 9), {}, "class 0 has 1 of 10 rows"),
        ((9, 2), {"fraction": 0.9}, "class 1 has 2 of 11 rows"),
        ((9, 9), {"fraction": 0.0}, r"fraction = 0\.0: must be a number in \(0, 1\)"),
        ((9, 9), {"fraction": 1.0}, r"fraction = 1\.0"),
        ((9, 9), {"fraction": float("nan")}, "fraction = nan"),
        ((9, 9), {"seed": -1}, r"seed = -1: must be an integer in \[0, 4294967295\]"),
        ((9, 9), {"seed": 2**32}, "seed = 4294967296"),
        ((9, 9), {"seed": 1.0}, r"seed = 1\.0"),
        ((9, 9), {"seed": True}, "seed = True"),
    ],
)
def test_what_cannot_be_split_is_refused(counts, arguments, match):
    y = labels(*counts)
    with pytest.raises(InputError, match=match):
        data.split(y, **{"seed": 0, **arguments})
    with pytest.raises(InputError):
        data.hold_out(data.load((torch.zeros(len(y), 1), y)), **{"seed": 0, "fraction": 0.25, **arguments})
