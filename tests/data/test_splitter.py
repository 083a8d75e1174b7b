import datetime

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from lanewise import data
from lanewise.errors import InputError

ROWS = 60
X = np.arange(ROWS * 1.0)[:, None]
Y = np.arange(ROWS) % 3


def seed_of(repeat):
    return 1000 + repeat


def rows_in(x):
    """The numbers of the rows, which are their only feature."""
    return x.flatten().long()


def parts(source, repeat=0, seed=0):
    """Row numbers that train, validate and test."""
    held = data.hold_out(source, seed)
    split = held.split(repeat, seed_of)
    return rows_in(held.pool.x[split.train]), rows_in(held.pool.x[split.valid]), rows_in(held.test.x)


def complete(*of_rows):
    return torch.equal(torch.cat(of_rows).sort().values, torch.arange(ROWS))


@pytest.mark.parametrize("given", [{}, {"split": "class"}])
def test_by_class_as_without_a_splitter(given):
    held = data.hold_out(data.load((X, Y), **given), 4)
    wanted = data.split(held.pool_y, seed_of(2))
    found = held.split(2, seed_of)
    assert torch.equal(found.train, wanted.train)
    assert torch.equal(found.valid, wanted.valid)
    assert torch.equal(data.split(held, seed_of(2)).valid, wanted.valid)
    assert torch.bincount(held.test_y).tolist() == [4, 4, 4]


def test_at_random():
    assert complete(*parts(data.load((X, Y), split="random")))
    shares = {
        tuple(torch.bincount(held.test_y, minlength=3).tolist())
        for held in (data.hold_out(data.load((X, Y), split="random"), seed) for seed in range(10))
    }
    assert len(shares) > 1
    assert len(parts(data.load((X, X[:, 0])))[1]) == 12


@pytest.mark.parametrize("kind", [list, np.array, lambda names: torch.tensor([int(name[1:]) for name in names])])
def test_groups_stay_together(kind):
    group = [f"p{row // 4 % 12}" for row in range(ROWS)]
    source = data.load((X, Y), groups=kind(group))
    seen = set()
    for repeat in range(6):
        found = parts(source, repeat, seed=repeat)
        assert complete(*found)
        names = [{group[row] for row in part.tolist()} for part in found]
        assert not names[0] & names[1]
        assert not (names[0] | names[1]) & names[2]
        assert abs(len(found[2]) - 12) <= 4
        assert abs(len(found[1]) - 12) <= 4
        seen.add(tuple(found[1].tolist()))
    assert len(seen) > 1


def test_all_classes_are_trained_on_whatever_the_groups():
    rare = np.zeros(40, dtype=int)
    rare[[3, 30]] = 1
    group = np.arange(40) // 4
    for seed in range(30):
        held = data.hold_out(data.load((X[:40], rare), groups=group), seed)
        assert held.pool_y.unique().tolist() == [0, 1]
    alone = np.repeat([0, 1], 20)
    with pytest.raises(InputError, match="none left all classes in the training rows"):
        data.hold_out(data.load((X[:40], alone), groups=alone), 0)


@pytest.mark.parametrize("kind", ["order", "numbers", "dates"])
def test_in_time(kind):
    shuffled = np.random.default_rng(0).permutation(ROWS)
    if kind == "order":
        source, when = data.load((X, Y), split="time"), np.arange(ROWS)
    elif kind == "numbers":
        source, when = data.load((X, Y), time=shuffled / 7), shuffled
    else:
        start = datetime.date(2020, 1, 1)
        dates = np.array([start + datetime.timedelta(int(day)) for day in shuffled], dtype="datetime64[D]")
        source, when = data.load((X, Y), time=dates), shuffled
    train, valid, test = parts(source)
    assert complete(train, valid, test)
    assert [len(train), len(valid), len(test)] == [36, 12, 12]
    assert when[train].max() < when[valid].min()
    assert when[valid].max() < when[test].min()
    assert all(torch.equal(a, b) for a, b in zip((train, valid, test), parts(source, 3, 5), strict=True))


def test_rows_of_one_time_stay_together():
    when = np.repeat(np.arange(6), 10)
    train, valid, test = parts(data.load((X, Y), time=when))
    times = [set(when[part].tolist()) for part in (train, valid, test)]
    assert [len(part & other) for part, other in ((times[0], times[1]), (times[1], times[2]))] == [0, 0]
    assert max(times[0]) < min(times[1])
    two = np.repeat([0, 1], [2, 58])
    held = data.hold_out(data.load((X, Y), time=two), 0)
    assert rows_in(held.pool.x).tolist() == [0, 1]


def test_folds_validate_every_row_once_and_are_drawn_anew():
    held = data.hold_out(data.load((X, Y), folds=4), 0)
    rounds = [[held.split(repeat, seed_of).valid for repeat in range(first, first + 4)] for first in (0, 4)]
    for folds in rounds:
        assert torch.equal(torch.cat(folds).sort().values, torch.arange(48))
        for valid in folds:
            assert torch.bincount(held.pool_y[valid]).tolist() == [4, 4, 4]
    assert not torch.equal(rounds[0][0], rounds[1][0])
    assert torch.equal(held.split(2, seed_of).valid, rounds[0][2])
    split = held.split(1, seed_of)
    assert torch.equal(torch.cat([split.train, split.valid]).sort().values, torch.arange(48))


def test_folds_of_uneven_classes_differ_by_one_row_at_most():
    y = torch.from_numpy(np.repeat([0, 1, 2], [11, 23, 9]))
    splitter = data.Splitter.checked(len(y), folds=4)
    counts = torch.stack([torch.bincount(y[splitter.split(y, len(y), fold, seed_of).valid]) for fold in range(4)])
    assert (counts.max(0).values - counts.min(0).values).max() <= 1
    assert counts.sum(1).max() - counts.sum(1).min() <= 1


def test_folds_of_groups_and_of_numbers():
    group = np.arange(ROWS) // 5
    held = data.hold_out(data.load((X, Y), groups=group, folds=3), 1)
    folds = [held.split(repeat, seed_of).valid for repeat in range(3)]
    assert torch.equal(torch.cat(folds).sort().values, torch.arange(len(held.pool_y)))
    names = [set((rows_in(held.pool.x[fold]) // 5).tolist()) for fold in folds]
    assert not names[0] & names[1]
    assert not names[1] & names[2]
    numbers = data.hold_out(data.load((X, X[:, 0] / 7), folds=3), 1)
    assert torch.equal(
        torch.cat([numbers.split(repeat, seed_of).valid for repeat in range(3)]).sort().values, torch.arange(48)
    )


def test_folds_in_time_roll_forward():
    held = data.hold_out(data.load((X, Y), split="time", folds=3), 0)
    for repeat, end in enumerate((12, 24, 36)):
        split = held.split(repeat, seed_of)
        assert split.train.tolist() == list(range(end))
        assert split.valid.tolist() == list(range(end, end + 12))
    assert held.split(3, seed_of).train.tolist() == list(range(12))


def test_rows_given_by_users():
    mask = np.zeros(ROWS, dtype=bool)
    mask[50:] = True
    given = [(np.arange(30), np.arange(30, 50)), ([40, 41, 3], [1, 2])]
    source = data.load((X, Y), splits=given, test=mask)
    for repeat in range(4):
        train, valid, test = parts(source, repeat)
        assert train.tolist() == sorted(np.asarray(given[repeat % 2][0]).tolist())
        assert valid.tolist() == list(given[repeat % 2][1])
        assert test.tolist() == list(range(50, 60))
    only_test = data.load((X, Y), test=[3, 1, 59])
    train, valid, test = parts(only_test)
    assert test.tolist() == [1, 3, 59]
    assert complete(train, valid, test)


def test_test_rows_are_taken_from_those_that_never_validate():
    valid = np.arange(0, ROWS, 3)[:15]
    source = data.load((X, Y), splits=[(np.setdiff1d(np.arange(ROWS), valid), valid)])
    train, found, test = parts(source)
    assert found.tolist() == valid.tolist()
    assert len(test) == 9
    assert complete(train, found, test)
    with pytest.raises(InputError, match="splits validate on all rows, so none is left to test on: give test, too"):
        data.hold_out(data.load((X, Y), splits=[(range(30), range(30, 60)), (range(30, 60), range(30))]), 0)


def test_the_rule_holds_for_rows_that_are_read():
    class Numbers(torch.utils.data.Dataset):
        def __len__(self):
            return ROWS

        def __getitem__(self, row):
            return X[row], int(Y[row])

    held = data.hold_out(data.load(Numbers(), split="time"), 0)
    split = held.split(0, seed_of)
    assert held.pool.take(split.valid)[0].flatten().tolist() == list(range(36, 48))
    assert held.test.take(torch.arange(12))[0].flatten().tolist() == list(range(48, 60))


def test_a_source_may_be_given_another_rule():
    source = data.load((X, Y))
    assert data.load(source) is source
    assert data.load(source, folds=3).splitter.folds == 3
    own_test = data.load((X, Y, X, Y), groups=np.arange(ROWS) // 5)
    assert data.hold_out(own_test, 0).splitter.groups is own_test.splitter.groups


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"split": "date"}, "split = 'date': must be class, random, time"),
        ({"split": "time", "groups": Y}, "split = 'time': groups and splits say it already"),
        ({"split": "random", "time": Y}, "split = 'random' and time: must be one of them"),
        ({"groups": Y, "time": Y}, "groups and time: must be one of them"),
        ({"splits": [([1], [2])], "folds": 3}, "splits and folds: must be one of them"),
        ({"groups": Y[:3]}, r"groups has shape \[3\]: must be \[60\], one for each row"),
        ({"groups": [None, *Y[1:]]}, "groups has no value in row 0"),
        ({"groups": X[:, 0] * np.nan}, "groups has NaN"),
        ({"groups": Y * 0}, "all 60 rows are of one group"),
        ({"time": Y * 0}, "time: all rows are of the same time"),
        ({"time": list("ab") * 30}, "time is <U1: must be numbers or dates"),
        ({"time": X[:, 0] * np.nan}, "time has missing values"),
        ({"folds": 1}, "folds = 1: must be a whole number from 2 up"),
        ({"folds": True}, "folds = True"),
        ({"folds": 17}, "folds = 17: class 0 has 16 rows beside the test rows; must be at least 17"),
        ({"folds": 49, "split": "random"}, "folds = 49: there are 48 rows"),
        ({"folds": 30, "groups": np.arange(ROWS) // 5}, r"folds = 30: there are \d+ groups"),
        ({"folds": 4, "time": np.repeat([0, 1, 2], 20)}, "too few different times"),
        ({"splits": [([1], [1, 2])]}, r"splits\[0\]: training and validation rows share 1 rows, first row 1"),
        ({"splits": [([1],)]}, r"splits\[0\] has 1 parts: must be \(train, valid\)"),
        ({"splits": [([1], [60])], "test": [2]}, r"splits\[0\]\[1\] has row 60: must be in \[0, 59\]"),
        ({"splits": [([1], [-1])], "test": [2]}, r"has row -1: must be in \[0, 59\]"),
        ({"splits": [([1, 1], [2])]}, r"splits\[0\]\[0\] has row 1 twice"),
        ({"splits": [([], [2])]}, r"splits\[0\]\[0\] is .* must be|is empty"),
        ({"splits": [([1], [2])], "test": [2, 3]}, r"splits\[0\] and test share 1 rows, first row 2"),
        ({"test": [0.5]}, "test is torch.float64 .* must be row numbers or a mask"),
        ({"test": [True, False]}, r"test is a mask of shape \[2\]: must be \[60\]"),
        ({"test": range(ROWS)}, "test has all rows"),
    ],
)
def test_what_contradicts_itself_is_refused_on_one_line(given, match):
    with pytest.raises(InputError, match=match) as caught:
        data.hold_out(data.load((X, Y), **given), 0).split(0, seed_of)
    assert "\n" not in str(caught.value)


def test_what_does_not_go_with_the_data():
    with pytest.raises(InputError, match="test: the data brings test rows of its own"):
        data.load((X, Y, X, Y), test=[1])
    with pytest.raises(InputError, match="split = 'class': the targets are no classes"):
        data.load((X, X[:, 0] / 7), split="class")
    valid = {
        part: torch.utils.data.TensorDataset(torch.zeros(6, 2), torch.arange(6) % 2) for part in ("train", "valid")
    }
    with pytest.raises(InputError, match="folds: validation data is given already"):
        data.load(valid, folds=3)


def test_balanced_weights_are_those_of_scikit_learn():
    y = torch.from_numpy(np.repeat([0, 1, 2], [10, 3, 27]))
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    np.testing.assert_allclose(data.balanced_weights(y, 3), wanted, rtol=1e-15)
    assert data.balanced_weights(y, 3, torch.tensor([0, 10, 13])) == (1, 1, 1)
    with pytest.raises(InputError, match="class 2 has no training row"):
        data.balanced_weights(y, 3, torch.arange(12))


def test_groups_that_are_lists_are_named():
    x, y = np.zeros((6, 2)), [0, 1] * 3
    found = data.load((x, y), groups=[[1], [1], [2], [2], [3], [3]]).splitter.groups
    assert found.tolist() == [0, 0, 1, 1, 2, 2]
    held = np.empty(6, dtype=object)
    held[:] = [[1], [1], [2], [2], [3], [3]]
    for groups, match in (
        ([[1], [1, 2], 2, 2, 3, 3], "groups has a list for some rows: must be one value for each row"),
        (held, "groups has a list in row 0: must be one name or number for each row"),
        ([[1, 2]] * 6, r"groups has shape \[6, 2\]: must be \[6\]"),
    ):
        with pytest.raises(InputError, match=match):
            data.load((x, y), groups=groups)
