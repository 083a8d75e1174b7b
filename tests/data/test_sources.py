import pathlib
import zipfile

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from lanewise import data
from lanewise.errors import InputError
from tests.data.damage import assert_damage_is_noticed

X = np.arange(24.0).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def test_digits():
    source = data.load("digits")
    assert (source.name, source.classes, source.is_image, source.input_shape) == ("digits", 10, True, (1, 8, 8))
    assert source.x.shape == (1797, 1, 8, 8)
    assert source.x.dtype == torch.uint8
    assert (int(source.x.min()), int(source.x.max())) == (0, 16)
    assert source.y.dtype == torch.int64
    assert torch.bincount(source.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert source.x_test is None
    assert data.load(source) is source


@pytest.mark.parametrize("kind", ["tuple", "mapping", "tensors", "lists", "file"])
def test_the_same_arrays_in_every_form(tmp_path, kind):
    values = (X, Y, X[:3] + 0.5, Y[:3])
    names = dict(zip(("x", "y", "x_test", "y_test"), values, strict=True))
    forms = {
        "tuple": values,
        "mapping": names,
        "tensors": tuple(map(torch.from_numpy, values)),
        "lists": tuple(value.tolist() for value in values),
        "file": tmp_path / "rows.npz",
    }
    np.savez_compressed(tmp_path / "rows.npz", **names)
    source = data.load(forms[kind])
    assert source.x.dtype == torch.float64
    assert np.array_equal(source.x.numpy(), X)
    assert np.array_equal(source.x_test.numpy(), X[:3] + 0.5)
    assert source.y.tolist() == Y.tolist()
    assert source.y_test.tolist() == Y[:3].tolist()
    assert (source.classes, source.is_image, source.input_shape) == (3, False, (4,))


def test_test_data_may_be_absent():
    for given in ((X, Y), {"x": X, "y": Y}, (X, Y, None, None)):
        source = data.load(given)
        assert source.x_test is None
        assert source.y_test is None


def test_arrays_are_not_copied():
    x = np.zeros((4, 3), dtype=np.uint8)
    assert data.load((x, [0, 1, 0, 1])).x.data_ptr() == x.ctypes.data
    tensor = torch.zeros(4, 3)
    assert data.load((tensor, [0, 1, 0, 1])).x.data_ptr() == tensor.data_ptr()


def test_arrays_that_torch_cannot_share_are_copied_right():
    read_only = X.copy()
    read_only.flags.writeable = False
    for x in (read_only, X.astype(">f8"), np.asfortranarray(X), X[::-1][::-1], np.repeat(X, 2, axis=1)[:, ::2]):
        assert np.array_equal(data.load((x, Y)).x.numpy(), X)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [("bool", "bool"), ("float16", "float16"), ("int64", "int64"), ("uint16", "int32"), ("uint32", "int64")],
)
def test_types_are_kept_or_widened_without_loss(stored, kept):
    largest = True if stored == "bool" else np.iinfo(stored).max if "int" in stored else 1.5
    x = np.array([[largest], [0]], dtype=stored)
    found = data.load((x, [0, 1])).x
    assert str(found.dtype) == f"torch.{kept}"
    assert found[0, 0].item() == largest


def test_bfloat16_and_parameters():
    x = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.bfloat16))
    found = data.load((x, [0, 1])).x
    assert found.dtype == torch.bfloat16
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((4, 8, 9), (4, 1, 8, 9)),
        ((4, 3, 8, 9), (4, 3, 8, 9)),
        ((4, 8, 9, 3), (4, 3, 8, 9)),
        ((4, 8, 9, 1), (4, 1, 8, 9)),
        ((4, 8, 9, 4), (4, 4, 8, 9)),
        ((4, 8, 9, 2), (4, 8, 9, 2)),
        ((4, 3, 8, 3), (4, 3, 8, 3)),
        ((4, 1, 3, 3), (4, 1, 3, 3)),
    ],
)
def test_images_get_channels_first(given, wanted):
    x = np.random.default_rng(0).integers(0, 255, given, dtype=np.uint8)
    found = data.load((x, [0, 1, 0, 1])).x
    assert found.shape == wanted
    assert found.is_contiguous()
    turned = x.reshape(wanted) if len(given) == 3 or given == wanted else np.moveaxis(x, 3, 1)
    assert np.array_equal(found.numpy(), turned)


@pytest.mark.parametrize("y", [Y.astype(float), Y.astype(np.uint16), Y.tolist(), torch.tensor(Y, dtype=torch.int8)])
def test_whole_numbers_of_any_type_are_labels(y):
    found = data.load((X, y)).y
    assert found.dtype == torch.int64
    assert found.tolist() == Y.tolist()


@pytest.mark.parametrize(
    "kind", [list, np.array, lambda y: np.array(y, dtype=object), lambda y: np.array(y, dtype="S")]
)
def test_labels_may_be_names(tmp_path, kind):
    names = ["dog", "ant", "cat", "ant", "dog", "cat"]
    source = data.load((X, kind(names), X[:2], kind(names[:2])))
    assert source.class_names == ("ant", "cat", "dog")
    assert source.y.tolist() == [2, 0, 1, 0, 2, 1]
    assert source.y_test.tolist() == [2, 0]
    np.savez(tmp_path / "rows.npz", x=X, y=np.array(names))
    assert data.load(tmp_path / "rows.npz").class_names == ("ant", "cat", "dog")
    assert data.load((X, Y)).class_names is None


def test_truth_values_are_two_classes():
    assert data.load((X, Y > 1)).classes == 2


def test_a_folder_called_like_built_in_data_can_be_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert data.load("digits").name == "digits"
    for reached in ("./digits", pathlib.Path("digits")):
        with pytest.raises(InputError, match=r"has no train-images"):
            data.load(reached)


ALLOWED = "must be digits, a folder with IDX files"


@pytest.mark.parametrize("name", ["digit", "no/such/folder", "no-such.npz", "", "a\0b", "x" * 5000])
def test_an_unknown_name_lists_what_is_allowed(name):
    with pytest.raises(InputError, match=ALLOWED):
        data.load(name)


@pytest.mark.parametrize("given", [None, 3, X, [X, Y], torch.zeros(2, 2)])
def test_another_kind_of_thing_lists_what_is_allowed(given):
    with pytest.raises(InputError, match=rf"data is (?:None|an? \w+): {ALLOWED}"):
        data.load(given)


def test_a_file_of_unknown_kind(tmp_path):
    (tmp_path / "rows.doc").write_text("1,2")
    with pytest.raises(InputError, match=f"rows.doc': a file of unknown kind; {ALLOWED}"):
        data.load(tmp_path / "rows.doc")


def changed(array, at, value):
    array = array.copy()
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ((X,), "data has 1 arrays"),
        ((X, Y, X), "data has 3 arrays"),
        ({"x": X}, "has x; must have x and y"),
        ({}, "has nothing; must have x and y"),
        ({"x": X, "y": Y, "x_tset": X}, "has x, y, x_tset; must have x and y"),
        ((X, Y, X, None), "only one of x_test and y_test"),
        ((X[:0], Y[:0]), r"x is empty \(shape \[0, 4\]\)"),
        ((X[:, :0], Y), r"x is empty \(shape \[6, 0\]\)"),
        ((X, Y[:0]), "y is empty"),
        ((X, Y, X[:0], Y[:0]), "x_test is empty"),
        ((X, Y * 0), r"y has one class only \(label 0\): must have at least two"),
        (([[1, 2], [3]], [0, 1]), "x is ragged: all rows must have the same shape"),
        ((np.array([[1, 2], [3]], dtype=object), [0, 1]), "x holds Python objects"),
        ((X.astype(str), Y), "x holds text: must be numbers"),
        ((X + 1j, Y), "x is complex128: must be bool, uint8"),
        ((torch.zeros(6, 4) + 1j, Y), "x is complex64: must be bool, uint8"),
        ((X.astype(np.uint64), Y), "x is uint64: must be"),
        ((X.astype(np.longdouble), Y), r"x is (longdouble|float128|float96): must be"),
        ((np.zeros((6, 4), dtype="M8[s]"), Y), "x is datetime64"),
        ((np.ma.masked_array(X, X > 3), Y), "x is a masked array"),
        ((torch.zeros(6, 4).to_sparse(), Y), "x is sparse or nested: must be one dense array"),
        ((torch.zeros(6, 4, device="meta"), Y), "x is on the meta device"),
        ((3.5, Y), r"x is a single number \(shape \[\]\): must have at least one row"),
        ((X, Y[:5]), "x has 6 rows and y 5 labels"),
        ((X, Y, X[:2], Y[:3]), "x_test has 2 rows and y_test 3 labels"),
        ((changed(X, (4, 1), np.nan), Y), "x has 1 NaN or infinite values, first in row 4"),
        ((changed(X, (slice(2, None, 3), 1), -np.inf), Y), "x has 2 NaN or infinite values, first in row 2"),
        ((X, Y, changed(X, 0, np.nan), Y), "x_test has 4 NaN or infinite values, first in row 0"),
        ((X, Y - 1), r"y has the label -1 in row 0: labels must be 0\.\.K-1"),
        (
            (X, Y + 1),
            r"y has 3 different labels, 1, 2, 3: must be 0\.\.2; numpy\.unique\(labels, return_inverse=True\)",
        ),
        ((X, Y * 2), r"y has 3 different labels, 0, 2, 4: must be 0\.\.2"),
        ((np.zeros((40, 1)), np.arange(40) + 5), r"y has 40 different labels, 5, 6, 7, 8, 9, 10, \.\.\., 44: must"),
        ((X, changed(Y.astype(float), 2, np.nan)), "y has 1 NaN or infinite values, first in row 2"),
        ((X, changed(Y.astype(float), 2, np.inf)), "y has 1 NaN or infinite values, first in row 2"),
        ((X, np.array([1, "a", 2, 3, 4, 5], dtype=object)), "y holds Python objects"),
        ((X, ["a"] * 6), r"y has one class only"),
        ((X, [["a", "b"]] * 6), r"y has shape \[6, 2\]: must be \[rows\], one class name for each row"),
        ((X, list("abcabc"), X[:2], ["a", "z"]), "y_test has labels that are not in y: z; must be a, b, c"),
        ((X, list("abcabc"), X[:2], [0, 1]), "y_test must be class names"),
        ((X, Y[:, None], X, Y + 1), r"y_test has labels that are not in y: 3; must be 0\.\.2"),
        ((X, np.eye(3, dtype=int)[Y], X, np.eye(3, dtype=int)[Y][:, ::-1] * 2), r"y_test has shape \[6, 3\]"),
        ((X, Y, X, Y + 1), r"y_test has labels that are not in y: 3; must be 0\.\.2"),
        ((X, Y, X, Y - 1), "y_test has the label -1 in row 0"),
        ((X, Y, X[:, :3], Y), r"x_test has rows of shape \[3\]; must be \[4\] as in x"),
        ((X, Y, X.astype(np.uint8), Y), r"x_test is torch\.uint8; must be torch\.float64 as in x"),
    ],
)
def test_bad_arrays_are_named_on_one_line(given, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load(given)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("data ")


def test_the_bad_row_is_found_beyond_the_first_block(monkeypatch):
    monkeypatch.setattr("lanewise.data.arrays.checks.CHUNK_BYTES", 64)
    with pytest.raises(InputError, match="x has 2 NaN or infinite values, first in row 3"):
        data.load((changed(changed(X, (3, 0), np.nan), (5, 3), np.inf), Y))


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_npz_with_other_names(tmp_path):
    with pytest.raises(InputError, match=r"rows\.npz: has x_train, y_train; must have x and y"):
        data.load(write_npz(tmp_path / "rows.npz", x_train=X, y_train=Y))


class Harmful:
    """Makes the folder `at` when it is unpickled."""

    def __init__(self, at):
        self.at = at

    def __reduce__(self):
        return pathlib.Path.mkdir, (self.at,)


def test_npz_never_unpickles(tmp_path):
    path = write_npz(tmp_path / "rows.npz", x=np.array([Harmful(tmp_path / "harm"), 1], dtype=object), y=[0, 1])
    with pytest.raises(InputError, match=r"rows\.npz: x holds Python objects"):
        data.load(path)
    assert not (tmp_path / "harm").exists()


def test_npz_damaged_at_every_place(tmp_path):
    assert_damage_is_noticed(write_npz(tmp_path / "rows.npz", x=X, y=Y), X, every=7)


def test_npz_with_damage_that_no_checksum_reports(tmp_path):
    path = tmp_path / "rows.npz"
    np.save(tmp_path / "x.npy", X)
    sound = (tmp_path / "x.npy").read_bytes()
    for spoilt in (
        sound.replace(b"{", b"[", 1),
        sound.replace(b"(6, 4), }", b"(6, 4),  "),
        sound.replace(b"(6, 4), }" + b" " * 11, b"(99999999999999, 4)}"),
        sound[:-1],
    ):
        assert spoilt != sound
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", spoilt)
        with pytest.raises(InputError, match=r"rows\.npz: x is damaged") as caught:
            data.load(path)
        assert "\n" not in str(caught.value)


def test_npz_that_is_encrypted(tmp_path):
    path = write_npz(tmp_path / "rows.npz", x=X, y=Y)
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x is damaged or too large \(RuntimeError: File .* is encrypted"):
        data.load(path)


def test_npz_that_is_something_else(tmp_path):
    np.save(tmp_path / "rows.npy", X)
    single = (tmp_path / "rows.npy").rename(tmp_path / "rows.npz")
    with pytest.raises(InputError, match=r"rows\.npz: is a single array"):
        data.load(single)
    single.write_text("hello")
    with pytest.raises(InputError, match=r"rows\.npz: is no \.npz archive, or a damaged one"):
        data.load(single)
    with zipfile.ZipFile(single, "w") as archive:
        archive.writestr("x.txt", "hello")
    with pytest.raises(InputError, match=r"rows\.npz: x\.txt is no NumPy array"):
        data.load(single)


def test_a_source_prints_as_a_few_lines(tmp_path):
    series = np.zeros((6, 5, 3)) + np.arange(6)[:, None, None]
    named = data.load(({"tokens": Y[:, None], "series": series, "mask": Y > 1}, Y), folds=3)
    assert str(named).splitlines()[:7] == [
        "data arrays",
        "  rows: 6; test rows: set apart from them",
        "  x['tokens']: tokens, int64 [rows, 1]",
        "  x['series']: series, float64 [rows, 5, 3]",
        "  x['mask']: truth values, bool [rows]",
        "  y: 3 classes",
        "  split: by class, 3 folds",
    ]
    assert all(line.startswith("  note: ") for line in str(named).splitlines()[7:])
    for source in (data.load("digits"), data.load((X, X, X, X)), data.load(TensorDataset(torch.zeros(3, 1)))):
        assert len(str(source).splitlines()) < 8
        assert "tensor(" not in str(source)
        assert "tensor(" not in repr(data.hold_out(source, 0))
        assert "tensor(" not in repr(source.splitter)
    assert "4 of their own" in str(data.load((X, Y, X[:4], Y[:4])))
