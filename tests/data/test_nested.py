import numpy as np
import pytest
import torch

from lanewise import data
from lanewise.data.arrays import nested
from lanewise.errors import InputError

TOKENS = np.arange(12).reshape(6, 2)
SERIES = np.linspace(0, 1, 6 * 5 * 3).reshape(6, 5, 3)
AGE = np.arange(6.0)
Y = np.array([0, 1, 2, 0, 1, 2])
NAMED = {"tokens": TOKENS, "series": SERIES, "age": AGE}


def test_a_dict_and_a_tuple_keep_names_order_and_types():
    named, several = data.load((NAMED, Y)), data.load((tuple(NAMED.values()), Y))
    assert list(named.x) == list(NAMED)
    assert isinstance(several.x, tuple)
    for found in (tuple(named.x.values()), several.x):
        assert [leaf.dtype for leaf in found] == [torch.int64, torch.float64, torch.float64]
        assert all(np.array_equal(leaf, given) for leaf, given in zip(found, NAMED.values(), strict=True))
    assert (len(named), named.classes, named.target, named.is_image) == (6, 3, "class", False)
    assert named.input_shapes == {"tokens": (2,), "series": (5, 3), "age": ()}
    assert several.input_shapes == ((2,), (5, 3), ())
    assert several.input_shape == (2,)


def test_a_note_says_which_inputs_are_tokens():
    (note,) = data.load((NAMED, Y)).notes
    assert note.startswith("data arrays: x['tokens']: whole numbers are taken for tokens")
    assert data.load((AGE, Y)).notes == ()


@pytest.mark.parametrize(
    ("dtype", "images", "wanted"),
    [
        (np.uint8, None, (6, 1, 5, 3)),
        (np.uint16, None, (6, 1, 5, 3)),
        (np.int64, None, (6, 5, 3)),
        (np.int64, True, (6, 1, 5, 3)),
        (np.float32, None, (6, 5, 3)),
        (np.float32, True, (6, 1, 5, 3)),
        (np.uint8, False, (6, 5, 3)),
    ],
)
def test_three_axes_are_images_or_series(dtype, images, wanted):
    assert data.load((np.ones((6, 5, 3), dtype=dtype), Y), images=images).x.shape == wanted


def test_channels_last_may_be_kept():
    assert data.load((np.ones((6, 9, 8, 3)), Y), images=False).x.shape == (6, 9, 8, 3)


def test_test_rows_have_the_same_names(tmp_path):
    test = {name: array[:4] for name, array in reversed(NAMED.items())}
    source = data.load((NAMED, Y, test, Y[:4]))
    assert source.test_rows is not None
    assert {name: len(leaf) for name, leaf in source.x_test.items()} == {"tokens": 4, "series": 4, "age": 4}
    np.savez(
        tmp_path / "rows.npz",
        y=Y,
        y_test=Y[:4],
        **{f"x.{name}": array for name, array in NAMED.items()},
        **{f"x_test.{name}": array for name, array in test.items()},
    )
    read = data.load(tmp_path / "rows.npz")
    for part in ("x", "x_test"):
        ours, theirs = getattr(source, part), getattr(read, part)
        assert list(ours) == list(theirs) == list(NAMED)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    held = data.hold_out(source, 0)
    assert held.test.x is source.x_test


def test_a_tuple_of_rows_is_one_array():
    assert data.load((((1.0, 2.0), (3.0, 4.0)), (0, 1))).x.tolist() == [[1, 2], [3, 4]]


def test_hold_out_and_split_keep_the_rows_of_all_inputs_together():
    rows = np.arange(40)
    source = data.load(({"a": rows * 1.0, "b": np.stack([rows, rows], 1)}, rows % 2))
    held = data.hold_out(source, 3)
    assert len(held.test_y) == 8
    for x, y in ((held.pool.x, held.pool_y), (held.test.x, held.test_y)):
        assert torch.equal(x["a"].long(), x["b"][:, 1])
        assert torch.equal(x["b"][:, 0] % 2, y)


def test_without_targets():
    for source in (data.load(({"ids": TOKENS}, None)), data.load({"x": {"ids": TOKENS}})):
        assert (source.y, source.classes, source.target) == (None, None, "none")
    assert data.load({"x": AGE}, target="none").target == "none"
    held = data.hold_out(data.load({"x": np.arange(50.0)}, target="none"), 1)
    assert held.pool_y is held.test_y is None
    assert sorted([*held.pool.x.tolist(), *held.test.x.tolist()]) == list(range(50))
    split = data.split(held, 0)
    assert sorted([*split.train.tolist(), *split.valid.tolist()]) == list(range(40))
    assert not torch.equal(split.valid, data.split(held, 1).valid)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (({}, Y), r"x has the names \[\]: must be at least one"),
        (({3: AGE}, Y), r"x has the names \[3\]: must be at least one, all text"),
        (({"a": {"b": AGE}}, Y), r"x\['a'\] is a dict itself: must be one array"),
        (({"a": AGE, "b": AGE[:5]}, Y), r"x\['a'\] has 6 rows and x\['b'\] 5; must be as many"),
        (((AGE, AGE[:5]), Y), r"x\[0\] has 6 rows and x\[1\] 5; must be as many"),
        (({"a": AGE * np.nan}, Y), r"x\['a'\] has 6 NaN or infinite values, first in row 0"),
        (({"a": SERIES[:, :0]}, Y), r"x\['a'\] is empty"),
        (({"a": AGE}, Y[:3]), "x has 6 rows and y 3 labels"),
        (({"a": AGE}, Y, {"b": AGE}, Y), "x_test is a dict of b; must be a dict of a as x is"),
        (({"a": AGE}, Y, AGE, Y), "x_test is one array; must be a dict of a as x is"),
        (((AGE, AGE), Y, (AGE,), Y), "x_test is a tuple of 1; must be a tuple of 2"),
        (({"a": AGE}, Y, {"a": SERIES}, Y), r"x_test\['a'\] has rows of shape \[5, 3\]; must be \[\] as in x\['a'\]"),
        (({"a": AGE}, Y, {"a": AGE > 3}, Y), r"x_test\['a'\] is torch.bool; must be torch.float64 as in x\['a'\]"),
        ({"x": AGE}, "has x; must have x and y, .* say target='none' or give x as a dict"),
        ({"x": {"a": AGE}, "x_test": {"a": AGE}, "y_test": Y}, "has y_test and no y"),
        ({"x": {"a": AGE}, "y": Y, "x_test": {"a": AGE}}, "only one of x_test and y_test"),
    ],
)
def test_bad_nesting_is_named_on_one_line(given, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load(given)
    assert "\n" not in str(caught.value)


def test_helpers_work_through_every_tensor():
    x = (torch.zeros(3, 2), torch.zeros(3, dtype=torch.uint8))
    assert nested.byte_count(x) == 27
    assert nested.row_count(x) == 3
    assert [len(leaf) for leaf in nested.take(x, slice(2))] == [2, 2]
    assert nested.take(None, slice(2)) is None
    assert nested.mapped(lambda a, b: int(a.sum() + b), x, (1, 2)) == (1, 2)
