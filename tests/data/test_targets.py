import numpy as np
import pytest
import torch

from lanewise import data
from lanewise.data.arrays.targets import MOST_FLOAT_CLASSES
from lanewise.errors import InputError

X = np.arange(24.0).reshape(6, 4)
WHOLE = np.array([0.0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("y", "target", "dtype"),
    [
        (WHOLE.astype(int), "class", torch.int64),
        (WHOLE, "class", torch.int64),
        (WHOLE + 1, "number", torch.float64),
        (WHOLE + 0.5, "number", torch.float64),
        (WHOLE.astype(np.float32) * 2, "number", torch.float32),
        (X, "number", torch.float64),
        (WHOLE[:, None], "number", torch.float64),
        (np.arange(12).reshape(6, 2), "tokens", torch.int64),
        (np.arange(12, dtype=np.uint16).reshape(6, 2), "tokens", torch.int64),
    ],
)
def test_what_targets_look_like(y, target, dtype):
    source = data.load((X, y))
    assert (source.target, source.y.dtype) == (target, dtype)
    assert np.array_equal(source.y.numpy(), y)
    assert source.classes == (3 if target == "class" else None)


def test_floating_classes_come_with_a_note_and_may_be_numbers():
    assert "say target='number'" in data.load((X, WHOLE)).notes[0]
    source = data.load((X, WHOLE), target="number")
    assert (source.target, source.classes, source.y.dtype, source.notes) == ("number", None, torch.float64, ())
    assert data.load((X, WHOLE.astype(int)), target="number").y.tolist() == WHOLE.tolist()


def test_many_whole_floating_numbers_are_numbers():
    for count, target in ((MOST_FLOAT_CLASSES, "class"), (MOST_FLOAT_CLASSES + 1, "number")):
        y = np.arange(2.0 * count) // 2
        assert data.load((np.zeros((2 * count, 1)), y)).target == target
        assert data.load((np.zeros((2 * count - 1, 1)), y[1:])).target == "number"


def test_ignored_tokens_are_kept():
    y = [[1, -100, 3], [0, 2, -100]]
    assert data.load((np.zeros((2, 3)), y)).y.tolist() == y


def test_test_targets_are_checked_as_the_training_targets_are():
    source = data.load((X, WHOLE + 0.5, X, WHOLE.astype(np.float32)))
    assert (source.target, source.y_test.dtype) == ("number", torch.float64)
    assert data.load((X, WHOLE, X[:2], WHOLE[:2])).y_test.tolist() == [0, 1]
    tokens = np.arange(12).reshape(6, 2)
    assert data.load((X, tokens, X, tokens + 9)).y_test.tolist() == (tokens + 9).tolist()


@pytest.mark.parametrize(
    ("y", "target", "match"),
    [
        (WHOLE, "label", "target = 'label': must be class, number, tokens, none"),
        (WHOLE, "none", "y is given and target = 'none'"),
        (WHOLE + 0.5, "class", r"y has the label 0\.5 in row 0: labels must be whole numbers 0\.\.K-1"),
        (WHOLE + 1, "class", r"y has 3 different labels, 1, 2, 3: must be 0\.\.2"),
        (WHOLE.astype(int) + 1, None, "target='number' makes them numbers"),
        (np.arange(12).reshape(6, 2), "class", r"y has shape \[6, 2\]: must be \[rows\]"),
        (np.ones((6, 2)), "class", "y has 2 labels in row 0: classes must have one in every row; for several, say"),
        (WHOLE * 0, None, "y is the same number in every row: there is nothing to learn"),
        (np.stack([WHOLE, WHOLE * 0], 1), None, r"y\[:, 1\] is the same number in every row"),
        (WHOLE + np.inf, None, "y has 6 NaN or infinite values"),
        (np.zeros((6, 2, 2)), None, "y is the same number in every row"),
        (np.zeros((6, 0)), None, r"y is empty \(shape \[6, 0\]\)"),
        (np.zeros((6, 2, 2), dtype=int) - 3, None, "y has the token -3 in row 0: must be 0 or more, or -100"),
        (X, "tokens", r"y is float64 of shape \[6, 4\]: tokens must be whole numbers \[rows, T\]"),
        (np.zeros((6, 0), dtype=int), "tokens", "y is empty"),
        (np.array([[1, 2]] * 5 + [[-7, -100]]), None, "y has the token -7 in row 5: must be 0 or more, or -100"),
    ],
)
def test_bad_targets_are_named_on_one_line(y, target, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load((X, y), target=target)
    assert str(caught.value).startswith(("data arrays: y", "target = "))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y", "y_test", "match"),
    [
        (X, X[:, :3], r"y_test has rows of shape \[3\]; must be \[4\] as in y"),
        (WHOLE + 0.5, WHOLE * np.nan, "y_test has 6 NaN"),
        (np.arange(12).reshape(6, 2), X[:, :2], "y_test is float64 .* tokens must be whole numbers"),
    ],
)
def test_bad_test_targets(y, y_test, match):
    with pytest.raises(InputError, match=match):
        data.load((X, y, X, y_test))


@pytest.mark.parametrize("y", [WHOLE + 0.25, np.arange(12).reshape(6, 2)])
def test_other_targets_than_classes_are_split_at_random(y):
    source = data.load((np.arange(6.0), y))
    held = data.hold_out(source, 1, 0.5)
    rows = torch.cat([held.pool.x, held.test.x]).long()
    assert torch.equal(torch.cat([held.pool_y, held.test_y]), source.y[rows])
    assert sorted(rows.tolist()) == list(range(6))
    assert {tuple(data.split(source.y, seed).valid.tolist()) for seed in range(20)} != {(0, 1)}


def test_target_scale_by_the_training_rows():
    y = torch.from_numpy(np.random.default_rng(0).normal([5, -300, 2], [1, 50, 0], (40, 3)))
    train = torch.arange(25)
    scale = data.TargetScale.fit(y, train)
    np.testing.assert_allclose(scale.mean, y[:25].numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(scale.std, [*y[:25, :2].numpy().std(0), 1], rtol=1e-12)
    scaled = scale.apply(y)
    assert scaled.dtype == torch.float32
    torch.testing.assert_close(scale.invert(scaled), y.float(), rtol=1e-5, atol=1e-5)
    assert data.TargetScale.fit(y[:, 0]).mean.shape == ()


def test_target_scale_refuses_what_has_no_spread_to_measure():
    for y, rows, match in (
        (torch.arange(3), None, "only floating targets"),
        (torch.rand(3), torch.zeros(0, dtype=torch.int64), "no training rows"),
        (torch.tensor([1e308, -1e308], dtype=torch.float64), None, "y spreads too widely"),
    ):
        with pytest.raises(InputError, match=match):
            data.TargetScale.fit(y, rows)


@pytest.mark.parametrize("dtype", [int, bool, np.uint8, np.int32])
@pytest.mark.parametrize("form", ["[rows, 1]", "one-hot"])
def test_labels_of_other_shapes_are_classes(dtype, form):
    labels = WHOLE.astype(int) % 2
    y = (np.eye(2)[labels] if form == "one-hot" else labels[:, None]).astype(dtype)
    source = data.load((X, y, X, y))
    assert (source.target, source.classes, source.y.tolist(), source.y_test.tolist()) == (
        "class",
        2,
        *[labels.tolist()] * 2,
    )
    assert ("every row has a single 1" in "".join(source.notes)) == (form == "one-hot")


def test_names_may_be_in_a_column():
    source = data.load((X, [["a"], ["b"]] * 3, X, [["a"], ["a"]] * 3))
    assert (source.class_names, source.y_test.tolist()) == (("a", "b"), [0] * 6)


SEVERAL = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]] * 2)


@pytest.mark.parametrize("dtype", [float, np.float32, int, bool, np.uint8])
@pytest.mark.parametrize("target", [None, "number"])
def test_several_labels_of_a_row_are_left_as_they_are(dtype, target):
    source = data.load((X, SEVERAL.astype(dtype)), target=target)
    assert source.target == "number"
    scale = data.TargetScale.fit(source.y, torch.tensor([0, 1]))
    assert torch.equal(scale.apply(source.y), torch.tensor(SEVERAL, dtype=torch.float32))
    assert target or source.notes == (
        "data arrays: y: 3 columns of 0 and 1 are taken for several labels of each row and left unscaled",
    )
    with pytest.raises(InputError, match="y_test has other numbers than 0 and 1"):
        data.load((X, SEVERAL.astype(float), X, SEVERAL * 2.0))


def test_a_single_label_as_a_number_and_columns_beside_labels():
    y = torch.tensor([0.0, 1, 1, 0])
    assert torch.equal(data.TargetScale.fit(y).apply(y), y)
    both = torch.stack([y, torch.tensor([1.0, 2, 3, 4])], 1)
    scaled = data.TargetScale.fit(both).apply(both)
    assert torch.equal(scaled[:, 0], y)
    assert abs(float(scaled[:, 1].sum())) < 1e-6


@pytest.mark.parametrize(
    ("y", "target", "dtype"),
    [
        (np.random.default_rng(0).normal(size=(6, 4, 5)), "number", torch.float64),
        (np.random.default_rng(0).normal(size=(6, 4, 5)) > 0, "number", torch.float64),
        (np.random.default_rng(0).integers(5, size=(6, 4, 5)), "tokens", torch.int64),
        (np.random.default_rng(0).integers(2, size=(6, 4, 5), dtype=np.uint8), "tokens", torch.int64),
    ],
)
def test_maps_of_targets(y, target, dtype):
    source = data.load((X, y))
    assert (source.target, source.y.dtype, list(source.y.shape)) == (target, dtype, [6, 4, 5])
    if target == "number":
        scale = data.TargetScale.fit(source.y)
        assert scale.mean.shape == (4, 5)
        assert len(scale.mean.unique()) == 1
        torch.testing.assert_close(scale.invert(scale.apply(source.y, torch.float64)), source.y)
        if y.dtype == bool:
            assert torch.equal(scale.apply(source.y), torch.from_numpy(y).float())
