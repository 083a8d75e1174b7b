import gzip
import pathlib
import struct

import numpy as np
import pytest
import torch

from lanewise import data
from lanewise.errors import InputError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array):
    """The bytes of an IDX file, written from the format's description."""
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def arrays(rows=12, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (rows, 5, 4), dtype=np.uint8), (np.arange(rows) % 3).astype(np.uint8)


def write_folder(folder, joint="-", ending="", parts=("train", "t10k")):
    """The standard files with 12 training rows and 6 test rows of 3 classes."""
    for part, rows in (("train", 12), ("t10k", 6)):
        if part in parts:
            for kind, array in zip(("images-idx3", "labels-idx1"), arrays(rows, seed=rows), strict=True):
                content = idx_bytes(array)
                name = f"{part}-{kind}-ubyte".replace("-idx", f"{joint}idx") + ending
                (folder / name).write_bytes(gzip.compress(content) if ending else content)
    return folder


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("joint", ["-", "."])
def test_reads_all_spellings_of_the_standard_names(tmp_path, joint, ending):
    source = data.load(write_folder(tmp_path, joint, ending))
    x, y = arrays(12, seed=12)
    x_test, y_test = arrays(6, seed=6)
    assert source.name == str(tmp_path)
    assert source.x.dtype == torch.uint8
    assert source.y.dtype == source.y_test.dtype == torch.int64
    assert source.x.shape == (12, 1, 5, 4)
    assert torch.equal(source.x[:, 0], torch.from_numpy(x))
    assert torch.equal(source.x_test[:, 0], torch.from_numpy(x_test))
    assert source.y.tolist() == y.tolist()
    assert source.y_test.tolist() == y_test.tolist()
    assert (source.classes, source.is_image, source.input_shape) == (3, True, (1, 5, 4))


def test_a_folder_called_like_built_in_data_keeps_a_name_that_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    source = data.load(write_folder(pathlib.Path("digits")))
    assert source.name == "./digits"
    assert torch.equal(data.load(source.name).x, source.x)


def test_test_files_may_be_missing_together(tmp_path):
    source = data.load(str(write_folder(tmp_path, parts=("train",))))
    assert source.x_test is None
    assert source.y_test is None


@pytest.mark.parametrize("kind", ["int16", "int32", "float32", "float64", "int8"])
def test_every_type_of_the_format_arrives_in_native_byte_order(tmp_path, kind):
    write_folder(tmp_path, parts=("train",))
    images = (np.random.default_rng(1).normal(0, 40, (12, 5, 4))).astype(kind)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(images))
    x = data.load(tmp_path).x
    assert str(x.dtype) == f"torch.{kind}"
    assert np.array_equal(x[:, 0].numpy(), images)


@pytest.mark.parametrize(
    ("gone", "match"),
    [
        ("train-images-idx3-ubyte", r"has no train-images-idx3-ubyte or train-images-idx3-ubyte\.gz; it holds t10k-im"),
        ("train-labels-idx1-ubyte", "has no train-labels-idx1-ubyte"),
        ("t10k-images-idx3-ubyte", "has no t10k-images-idx3-ubyte"),
        ("t10k-labels-idx1-ubyte", "has no t10k-labels-idx1-ubyte"),
    ],
)
def test_a_missing_file_is_named(tmp_path, gone, match):
    (write_folder(tmp_path) / gone).unlink()
    with pytest.raises(InputError, match=match):
        data.load(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no train-images-idx3-ubyte.*the folder is empty"):
        data.load(tmp_path)


IMAGES = idx_bytes(arrays()[0])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (IMAGES[:-1], "cut short; the header says 12 x 5 x 4 values, 240 bytes, and there are 239"),
        (IMAGES + b"\0", "too long; the header says 12 x 5 x 4 values, 240 bytes, and there are more"),
        (IMAGES[:9], "cut short inside the header"),
        (b"", r"starts with bytes \(none\), which is no IDX header"),
        (b"\x89PNG" + IMAGES, "starts with bytes 89 50 4e 47, which is no IDX header"),
        (b"\0\0\x0a\x03" + IMAGES[4:], "no IDX header"),
        (b"\0\0\x08\0" + IMAGES[4:], "no IDX header"),
        (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], "cut short; the header says 4294967295 x 4294967295 x"),
        (gzip.compress(IMAGES), "starts with bytes 1f 8b"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, match):
    (write_folder(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=f"train-images-idx3-ubyte: .*{match}"):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda content: content[:-12], "the gzip stream is cut short"),
        (lambda content: content[:3], "the gzip stream is cut short"),
        (lambda content: b"no gzip" + content, "no sound gzip file"),
        (lambda content: content[:-8] + b"\xff" * 4 + content[-4:], r"no sound gzip file \(CRC check failed"),
        (lambda content: content[:12] + b"\xff" * 9 + content[21:], "no sound gzip file"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1]), "cut short; the header says"),
    ],
)
def test_a_damaged_gzip_file_is_named(tmp_path, spoil, match):
    path = write_folder(tmp_path, ending=".gz") / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=f"t10k-images-idx3-ubyte.gz: {match}"):
        data.load(tmp_path)


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    path = write_folder(tmp_path) / "train-images-idx3-ubyte"
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="train-images-idx3-ubyte: cannot be read"):
        data.load(tmp_path)


def test_images_and_labels_of_different_lengths(tmp_path):
    (write_folder(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx_bytes(arrays(9)[1]))
    with pytest.raises(InputError, match=f"{tmp_path}: x has 12 rows and y 9 labels"):
        data.load(tmp_path)
