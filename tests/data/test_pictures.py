import builtins

import numpy as np
import pytest
import torch
from PIL import Image

from lanewise import data
from lanewise.data.formats import picture_kinds
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


def saved(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


def two_classes(root, image, suffix="png", **how):
    for name in "ab":
        for number in range(3):
            saved(root / name / f"{number}.{suffix}", image(name, number), **how)


def deep(name, number):
    return np.full((4, 4), 1000 * number + (40000 if name == "b" else 300), dtype=np.uint16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("cache_bytes", [2**20, 1])
def test_grey_of_16_bits_is_kept_in_either_order_of_bytes(tmp_path, order, cache_bytes):
    def image(name, number):
        values = deep(name, number).astype(f"{order}u2")
        return Image.frombytes("I;16" if order == "<" else "I;16B", (4, 4), values.tobytes())

    two_classes(tmp_path, image, "tif")
    source = data.load(tmp_path, cache_bytes=cache_bytes)
    x, _ = source.rows.take(torch.arange(6))
    assert (x.dtype, x.shape) == (torch.int32, (6, 1, 4, 4))
    assert x[:, 0, 0, 0].tolist() == [300, 1300, 2300, 40000, 41000, 42000]
    assert "16 bits" in source.notes[0]
    assert data.load(tmp_path, size=2).x.shape == (6, 1, 2, 2)
    picture(tmp_path / "a" / "bytes.png", size=(4, 4), mode="L")
    with pytest.raises(
        InputError, match=r"pictures of different depths, .*: must all be of 8 bits, 16 bits or floating"
    ):
        data.load(tmp_path)


def test_floating_pixels(tmp_path):
    two_classes(tmp_path, lambda name, number: Image.fromarray(np.full((4, 4), number + 0.5, dtype=np.float32)), "tif")
    assert data.load(tmp_path).x[:, 0, 0, 0].tolist() == [0.5, 1.5, 2.5] * 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_mode_that_is_understood(mode):
    found = picture_kinds.as_pixels(Image.new("RGB", (3, 2), (200, 10, 10)).convert(mode))
    assert (found.dtype, found.shape[1:]) == (torch.uint8, (2, 3))
    if mode in ("P", "RGB", "CMYK"):
        assert found[0].min() > 150


def test_a_mode_that_is_not_understood_is_named():
    odd = Image.new("RGB", (3, 2))
    odd._mode = "BGR;15"
    with pytest.raises(InputError, match="has pixels of mode 'BGR;15': must be one of 1, L, LA"):
        picture_kinds.as_pixels(odd)


def shaped(mode):
    """A picture whose shape is in its alpha alone."""

    def image(name, number):
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[slice(0, 4) if name == "a" else slice(4, 8), :, 3] = 255
        pixels[pixels[:, :, 3] == 0, :3] = 17 * number
        return Image.fromarray(pixels).convert(mode)

    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_drawn_in_alpha_is_kept_and_hidden_colours_are_not(tmp_path, mode):
    suffix = "tif" if mode == "PA" else "png"
    two_classes(tmp_path, shaped(mode) if mode != "PA" else shaped("LA"), "png" if suffix == "tif" else suffix)
    source = data.load(tmp_path)
    assert source.x.shape == (6, 4, 8, 8)
    assert not torch.equal(source.x[0], source.x[3])
    assert torch.equal(source.x[0], source.x[2]), "colours that nobody sees make no difference"
    assert "6 of 6 pictures are transparent somewhere" in source.notes[0]


def test_an_alpha_that_hides_nothing_is_no_channel(tmp_path):
    two_classes(tmp_path, lambda name, number: Image.new("RGBA", (4, 4), (number, 2, 3, 255)))
    assert data.load(tmp_path).x.shape == (6, 3, 4, 4)


def test_transparent_palettes_and_colours(tmp_path):
    def image(name, number):
        found = Image.new("P", (4, 4), 1)
        found.putpalette([0, 0, 0, 250, 0, 0])
        found.paste(0, (0, 0, 2, 4) if name == "a" else (2, 0, 4, 4))
        return found

    two_classes(tmp_path, image, transparency=0)
    x = data.load(tmp_path).x
    assert x.shape[1] == 4
    assert x[0, 3, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("TRAIN", "Val"), ("training", "dev", "testing"), ("train", "validation")]
)
def test_parts_by_any_usual_name(tmp_path, names):
    for name in names:
        folder(tmp_path / name, count=4)
    source = data.load(tmp_path)
    assert source.class_names == ("cat", "dog")
    held = data.hold_out(source, 0)
    assert len(held.pool) + len(held.test) == 8 * len(names)
    assert (source.test_rows is not None) == any(name.lower().startswith("test") for name in names)


def test_two_folders_of_one_part_or_none_to_train_on_are_refused(tmp_path):
    for part in ("val", "Valid"):
        folder(tmp_path / part)
    with pytest.raises(InputError, match="both are the valid data: must be one"):
        data.load(tmp_path)
    (tmp_path / "val").rename(tmp_path / "test")
    with pytest.raises(InputError, match="has Valid, test and no folder of training pictures"):
        data.load(tmp_path)


def test_classes_may_be_called_like_parts(tmp_path):
    folder(tmp_path, classes=("train", "bus", "test"))
    assert data.load(tmp_path).class_names == ("bus", "test", "train")


def test_folders_beside_the_parts_are_left_out_with_a_count(tmp_path):
    for part in ("train", "test"):
        folder(tmp_path / part)
    folder(tmp_path / "unlabelled", classes=(".", "more"), count=2)
    picture(tmp_path / "train" / "loose.png")
    notes = "\n".join(data.load(tmp_path).notes)
    told = "4 pictures in folders beside the parts, which must be called train, valid or test (unlabelled)"
    assert f"left out: {told}" in notes
    assert "left out: 1 pictures that are in no folder of a class (loose.png)" in notes


def test_what_is_left_out_is_counted(tmp_path):
    folder(tmp_path)
    picture(tmp_path / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    (tmp_path / "cat" / "._0.png").write_bytes(b"\0\5\x16\7resource fork")
    for name in ("Thumbs.db", "notes.txt", "desktop.ini"):
        (tmp_path / "dog" / name).write_text("no picture")
    picture(tmp_path / "loose.png")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = data.load(tmp_path)
    assert len(source) == 12
    notes = "\n".join(source.notes)
    for text in (
        "left out: 2 hidden files and folders (._0.png, .ipynb_checkpoints)",
        "left out: 3 files that are no pictures by their names",
        "left out: 1 pictures that are in no folder of a class (loose.png)",
        "left out: 1 broken links and other things that are no files (gone.png)",
    ):
        assert text in notes


def test_links_to_folders_are_followed_but_not_round_in_a_circle(tmp_path):
    folder(tmp_path / "data")
    picture(tmp_path / "more" / "deep" / "1.png")
    (tmp_path / "data" / "cat" / "link").symlink_to(tmp_path / "more")
    (tmp_path / "data" / "cat" / "circle").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "cow").symlink_to(tmp_path / "more")
    source = data.load(tmp_path / "data")
    assert source.class_names == ("cat", "cow", "dog")
    assert torch.bincount(source.y)[1] == 1
    assert "links to a folder that they are in" in "".join(source.notes)


def test_all_usual_endings_are_read(tmp_path):
    folder(tmp_path)
    for name in ("a.JFIF", "b.JPEG", "c.jpe", "d.WebP", "e.TIFF", "f.bmp"):
        kind = {"JFIF": "JPEG", "jpe": "JPEG"}.get(name[2:], name[2:].upper())
        saved(tmp_path / "cat" / name, Image.new("RGB", (4, 5)), format=kind)
    source = data.load(tmp_path)
    assert len(source) == 18
    assert source.notes == ()


def test_further_frames_are_left_out_with_a_count(tmp_path):
    folder(tmp_path, size=(5, 4))
    frames = [Image.new("RGB", (4, 5), (40 * number, 9, 9)) for number in range(4)]
    for name in ("moving.gif", "pages.tif"):
        saved(tmp_path / "cat" / name, frames[0], save_all=True, append_images=frames[1:])
    source = data.load(tmp_path)
    assert source.notes == (
        f"data {tmp_path}: left out: 6 frames or pages of 2 pictures, of which the first one is read",
    )


@pytest.mark.parametrize("names", [("training_set", "test_set"), ("Train-images", "Test-images"), ("traindata", "dev")])
def test_parts_whose_names_say_that_they_are_data(tmp_path, names):
    for name in names:
        folder(tmp_path / name)
    source = data.load(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert len(source) + (0 if source.x_test is None else len(source.x_test)) == 24


def test_classes_that_hold_the_same_folders_are_told(tmp_path):
    for name in ("A", "B"):
        folder(tmp_path / name)
    assert "are taken for classes, though all hold the same folders (cat, dog)" in data.load(tmp_path).notes[0]


def test_pictures_that_lose_depth_are_counted(tmp_path):
    folder(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / name / "deep.ppm").write_bytes(b"P6 5 4 65535\n" + bytes(range(120)))
    note = "2 of 14 pictures have channels of 16 bits, of which Pillow reads 8"
    assert any(note in told for told in data.load(tmp_path, size=4).notes)
