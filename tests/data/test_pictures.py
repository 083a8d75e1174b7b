import builtins

import numpy as np
import pytest
import torch
from PIL import Image

from lanewise import data
from lanewise.errors import InputError


def picture(path, seed=0, size=(5, 4), mode="RGB"):
    """A picture of random pixels, (height, width) = size."""
    shape = (*size, 3) if mode == "RGB" else size
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def folder(root, classes=("cat", "dog"), count=6, **given):
    return {
        f"{name}/{number}.png": picture(root / name / f"{number}.png", seed=10 * place + number, **given)
        for place, name in enumerate(classes)
        for number in range(count)
    }


def test_pictures_by_class(tmp_path):
    pixels = list(folder(tmp_path).values())
    (tmp_path / "cat" / "notes.txt").write_text("ignored")
    (tmp_path / ".cache").mkdir()
    told = []
    source = data.load(tmp_path, progress=lambda *at: told.append(at))
    assert (source.name, source.class_names, source.classes) == (str(tmp_path), ("cat", "dog"), 2)
    assert source.x.dtype == torch.uint8
    assert source.x.shape == (12, 3, 5, 4)
    assert source.y.tolist() == [0] * 6 + [1] * 6
    for found, wanted in zip(source.x, pixels, strict=True):
        assert np.array_equal(found.numpy(), np.moveaxis(wanted, 2, 0))
    assert told == [(12, 12)]


def test_grey_pictures_have_one_channel_unless_some_have_colour(tmp_path):
    pixels = folder(tmp_path, mode="L")
    grey = data.load(tmp_path)
    assert grey.x.shape == (12, 1, 5, 4)
    assert np.array_equal(grey.x[0, 0].numpy(), pixels["cat/0.png"])
    picture(tmp_path / "dog" / "0.png")
    assert data.load(tmp_path).x.shape == (12, 3, 5, 4)


def test_resized(tmp_path):
    folder(tmp_path)
    picture(tmp_path / "dog" / "large.jpg", size=(30, 40))
    with pytest.raises(
        InputError, match=r"0\.png has 5x4 pixels \(height x width\) and large\.jpg 30x40: must be of one"
    ):
        data.load(tmp_path)
    assert data.load(tmp_path, size=8).x.shape == (13, 3, 8, 8)
    assert data.load(tmp_path, size=(6, 9)).x.shape == (13, 3, 6, 9)


def test_train_valid_and_test_folders(tmp_path):
    for part, count in (("train", 8), ("val", 3), ("test", 2)):
        folder(tmp_path / part, count=count)
    for given in ({}, {"cache_bytes": 100}):
        source = data.load(tmp_path, **given)
        held = data.hold_out(source, 0)
        rows = held.split(0, lambda r: r)
        assert [len(part) for part in (rows.train, rows.valid, held.test)] == [16, 6, 4]
        assert held.pool.take(rows.valid)[1].tolist() == [0, 0, 0, 1, 1, 1]
        assert (source.class_names, source.name) == (("cat", "dog"), str(tmp_path))


def test_pictures_that_do_not_fit_are_read_when_they_are_wanted(tmp_path):
    folder(tmp_path)
    kept, read = data.load(tmp_path), data.load(tmp_path, cache_bytes=100)
    assert read.x is None
    assert read.y.tolist() == kept.y.tolist()
    index = torch.tensor([7, 0, 3])
    ((x, y),) = read.rows.batches([index], 0)
    read.rows.close()
    assert torch.equal(x, kept.x[index])
    assert torch.equal(y, kept.y[index])


def test_turned_as_the_camera_says(tmp_path):
    folder(tmp_path, size=(5, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat" / "turned.png", exif=exif)
    source = data.load(tmp_path)
    assert source.x.shape == (13, 3, 5, 4)
    # Orientation 6: the top of the scene is on the right of what is stored.
    assert np.array_equal(source.x[6].permute(1, 2, 0), np.rot90(pixels, k=-1))


def test_bad_folders_are_named_on_one_line(tmp_path):
    folder(tmp_path / "b")
    (tmp_path / "b" / "cow").mkdir()
    (tmp_path / "c" / "train").mkdir(parents=True)
    for part, classes in (("train", ("cat", "dog")), ("test", ("cow",))):
        folder(tmp_path / "c" / part, classes)
    folder(tmp_path / "d")
    (tmp_path / "d" / "cat" / "2.png").write_bytes(b"no picture")
    folder(tmp_path / "e")
    whole = (tmp_path / "e" / "cat" / "2.png").read_bytes()
    (tmp_path / "e" / "cat" / "2.png").write_bytes(whole[:60])
    folder(tmp_path / "f")
    cases = [
        ("b", {}, "the folder of the class 'cow' holds no picture"),
        ("c", {}, "test has the class 'cow', which the training pictures have not"),
        ("d", {}, "2.png is no picture, or a damaged one"),
        ("e", {}, "2.png (is no picture|cannot be read)"),
        ("f", {"size": 0}, "size = 0: must be a whole number of pixels"),
        ("f", {"size": (1, 2, 3)}, "must be a whole number of pixels from 1 up"),
        ("f", {"drop": ["a"]}, "only tables have columns"),
    ]
    for name, given, match in cases:
        with pytest.raises(InputError, match=match) as caught:
            data.load(tmp_path / name, **given)
        assert "\n" not in str(caught.value)


def test_one_class_only(tmp_path):
    folder(tmp_path, classes=("cat",))
    with pytest.raises(InputError, match="only 'cat': must have at least two classes"):
        data.load(tmp_path)


def test_only_pictures_are_resized():
    with pytest.raises(InputError, match="size = 8: only folders of pictures are resized"):
        data.load("digits", size=8)


def test_without_pillow_a_line_says_what_to_install(tmp_path, monkeypatch):
    folder(tmp_path)
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs Pillow: pip install 'lanewise\[images\]'"):
        data.load(tmp_path)
