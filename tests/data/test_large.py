"""Data that is too large to copy: maps of files, archives, pictures of bytes."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import lanewise as lw
from lanewise import data
from lanewise.data.arrays import room
from lanewise.data.arrays.fingerprint import checksum
from lanewise.data.arrays.moments import mean_and_std
from lanewise.data.source.splits import hold_out
from lanewise.errors import InputError
from lanewise.lanes.packs.feed import BatchReader
from lanewise.lanes.packs.repeat import Repeat
from lanewise.predictor import save_model
from lanewise.train import train
from tests.data.damage import assert_damage_is_noticed

ROWS, FEATURES = 20_000, 1_000
MIB = 2**20

MEASURE = """
import json, sys, threading, time

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

import numpy as np, torch
from lanewise import data
from lanewise.data.arrays.fingerprint import checksum
from lanewise.data.source.splits import hold_out
from lanewise.lanes.packs.repeat import Repeat

folder, float32, cpu = sys.argv[1], torch.float32, torch.device("cpu")
y = np.arange(20_000) % 2

def opened(name):
    return np.load(f"{folder}/{name}.npy", mmap_mode="r"), y

def of_torch():
    return torch.from_file(f"{folder}/raw", size=20_000 * 1_000, dtype=float32).view(20_000, 1_000), y

KINDS = {
    "archive": lambda: f"{folder}/plain.npz", "compressed": lambda: f"{folder}/small.npz",
    "map": lambda: opened("rows"), "by column": lambda: opened("columns"), "pictures": lambda: opened("pictures"),
    "torch": of_torch, "numbers": lambda: (opened("rows")[0], opened("rows")[0]),
}

peak, watching = 0, True

def watch():
    global peak
    while watching:
        peak = max(peak, anonymous())
        time.sleep(0.0005)

def pass_through(given):
    source = data.load(given)
    for part in (source.x, source.y):
        checksum(part)
    held = hold_out(source, 0)
    for index in range(2):
        repeat = Repeat.draw(held, 0, index)
        repeat.rows(repeat.split.train[:64], float32, cpu)
        repeat.targets(repeat.split.valid[:64])

pass_through((np.random.default_rng(0).normal(size=(200, 4)), np.arange(200) % 2))
threading.Thread(target=watch, daemon=True).start()
found = {}
for kind, make in KINDS.items():
    before = anonymous()
    peak = before
    pass_through(make())
    found[kind] = max(peak, anonymous()) - before
watching = False
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of 80 MB: large enough that a copy shows, and that nothing small is copied for speed."""
    folder = tmp_path_factory.mktemp("large")
    some = np.random.default_rng(0).normal(size=(ROWS, 10)).astype(np.float32)
    x, y = np.tile(some, FEATURES // 10), np.arange(ROWS) % 2
    np.save(folder / "rows.npy", x)
    np.save(folder / "columns.npy", np.asfortranarray(x))
    np.save(folder / "pictures.npy", (np.tile(some, 384) * 20 + 100).astype(np.uint8).reshape(ROWS, 32, 40, 3))
    x.tofile(folder / "raw")
    np.savez(folder / "plain.npz", x=x, y=y)
    np.savez_compressed(folder / "small.npz", x=np.zeros_like(x) + y[:, None].astype(np.float32), y=y)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory is no file's")
def test_memory_beside_a_large_file(folder):
    """Loading, splitting, measuring and gathering take no copy of a map, and hold what is compressed once."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURE, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    found, whole = json.loads(done.stdout), 4 * ROWS * FEATURES
    assert found.pop("compressed") < 1.2 * whole + 20 * MIB
    assert {kind: taken for kind, taken in found.items() if taken > 60 * MIB} == {}


@pytest.fixture
def all_large(monkeypatch):
    """What is taken for large from some megabytes on is so from the first byte on."""
    monkeypatch.setattr("lanewise.data.arrays.large.LARGE_BYTES", 1)


def arrays(rows=120, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    return draw.normal(size=(rows, 4)).astype(np.float32) + y[:, None].astype(np.float32), y


def mapped(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def plain():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))


def test_a_map_trains_as_the_array_in_memory(tmp_path, all_large):
    x, y = arrays()
    recipe = lw.Recipe(epochs=2, batch_size=16)
    forms = [(x, y), (mapped(tmp_path / "x.npy", x), y), (mapped(tmp_path / "f.npy", np.asfortranarray(x)), y)]
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    forms.append(tmp_path / "rows.npz")
    results = [train(lw.Task(plain, form), recipe, progress=False) for form in forms]
    for result in results[1:]:
        assert result.test == results[0].test
        for name, weights in results[0].model.state_dict().items():
            assert torch.equal(result.model.state_dict()[name], weights)


def test_large_and_small_data_give_the_same_rows(tmp_path, monkeypatch):
    """Left in its file, with channels innermost, or copied in an order of its own: the same pictures, bit for bit."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 8, 9, 3), dtype=np.uint8)
    given = mapped(tmp_path / "x.npy", pixels), np.arange(60) % 3
    found = []
    for limit in (2**26, 1):
        monkeypatch.setattr("lanewise.data.arrays.large.LARGE_BYTES", limit)
        repeat = Repeat.draw(hold_out(data.load(given), 0), 0, 0)
        found.append(repeat.rows(repeat.split.train, torch.float32, torch.device("cpu")))
        assert repeat.holdout.pool.take(torch.tensor([3]))[0].dtype == torch.uint8
    (small, small_y), (large, large_y) = found
    assert large.is_contiguous()
    torch.testing.assert_close(large, small, rtol=1e-6, atol=1e-6)
    assert torch.equal(large_y, small_y)


def test_a_read_only_map_is_neither_copied_nor_warned_of(tmp_path):
    x, y = arrays()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = data.load((given := mapped(tmp_path / "x.npy", x), y))
    assert source.x.data_ptr() == given.ctypes.data


def test_a_plain_archive_is_a_map_and_a_compressed_one_is_not(tmp_path, all_large):
    x, y = arrays()
    for save, is_map in ((np.savez, True), (np.savez_compressed, False)):
        save(tmp_path / "rows.npz", x=x, y=y)
        source = data.load(tmp_path / "rows.npz")
        assert np.array_equal(source.x.numpy(), x)
        assert bool(source.rows.files) is is_map


@pytest.mark.parametrize("stored", [">f4", ">i2", "<f8"])
def test_archives_of_either_byte_order(tmp_path, all_large, stored):
    x = (arrays()[0] * 100).astype(stored)
    np.savez(tmp_path / "rows.npz", x=np.asfortranarray(x), y=arrays()[1])
    assert np.array_equal(data.load(tmp_path / "rows.npz").x.numpy(), x.astype(x.dtype.newbyteorder("=")))


def test_a_large_archive_damaged_at_every_place(tmp_path, all_large):
    x, y = arrays(12)
    np.savez(path := tmp_path / "rows.npz", x=x, y=y)
    assert_damage_is_noticed(path, x, every=5)


def test_what_a_large_archive_must_not_hold(tmp_path, all_large):
    y = arrays()[1]
    for x, why in ((np.array([[{}], [1]], dtype=object), "holds Python objects"), (np.zeros((0, 3)), "is empty")):
        np.savez(tmp_path / "rows.npz", x=x, y=y)
        with pytest.raises(InputError, match=rf"rows\.npz: x {why}"):
            data.load(tmp_path / "rows.npz")


def test_a_file_that_was_cut_short_is_refused_before_it_is_read(tmp_path):
    x, y = np.zeros((4096, 8), dtype=np.float32) + np.arange(8, dtype=np.float32), np.arange(4096) % 2
    given = mapped(tmp_path / "x.npy", x)
    source = data.load((given, y))
    raw = tmp_path / "raw"
    x.tofile(raw)
    of_torch = data.load((torch.from_file(str(raw), shared=True, size=x.size).view(x.shape), y))
    for path, rows in ((tmp_path / "x.npy", source.rows), (raw, of_torch.rows)):
        with path.open("r+b") as file:
            file.truncate(8192)
        with pytest.raises(
            InputError, match=r"x is a map of a file that was cut short .* 8,192 are left; load it again"
        ):
            rows.take(torch.tensor([4095]))
    with pytest.raises(InputError, match="cut short"):
        data.load((given, y))


def test_a_file_that_is_gone_stays_mapped(tmp_path):
    x, y = arrays()
    source = data.load((mapped(tmp_path / "x.npy", x), y))
    (tmp_path / "x.npy").unlink()
    assert torch.equal(source.rows.take(torch.tensor([7]))[0][0], torch.from_numpy(x[7]))


def blocks_of(x, once):
    parts = [slice(0, 7), slice(7, 8), slice(8, len(x))]
    return mean_and_std(lambda at: x[at], parts, (0,), (1, x.shape[1]), lambda part: None, x.device, once)


def test_one_pass_measures_what_two_do():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=draw, dtype=torch.float64)
    x[:, 0] += 1e6
    x[:, 1] = 3.25
    x[torch.rand(50, generator=draw) < 0.5, 2] = torch.nan
    x[:, 3] = torch.nan
    x[:7, 4] = torch.nan
    for one, two in zip(blocks_of(x, True), blocks_of(x, False), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12, equal_nan=True)
    assert blocks_of(x, True)[0][0, [1, 3]].tolist() == [3.25, 0]


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_one_pass_is_not_misled_by_the_unit(unit):
    x = torch.arange(20, dtype=torch.float64)[:, None] * unit
    mean, std = blocks_of(x, True)
    assert mean.item() == pytest.approx(9.5 * unit)
    assert std.item() == pytest.approx(np.arange(20).std() * unit)


def test_large_data_is_measured_once_for_all_repeats(monkeypatch):
    monkeypatch.setattr("lanewise.data.source.splits.MEASURED_ONCE", 1)
    monkeypatch.setattr("lanewise.data.arrays.large.LARGE_BYTES", 1)
    x, y = arrays()
    held = hold_out(data.load((x, y)), 0)
    scales = [Repeat.draw(held, 0, index).scale for index in range(3)]
    assert scales[0] is scales[1] is scales[2]
    pool = held.pool.take(torch.arange(len(held.pool)))[0].double()
    torch.testing.assert_close(scales[0].mean, pool.mean(0))
    torch.testing.assert_close(scales[0].std, pool.std(0, correction=0))
    # In time, later rows may be of another scale, and are none to learn from.
    held = hold_out(data.load((x, y), split="time"), 0)
    repeats = [Repeat.draw(held, 0, index) for index in range(2)]
    assert repeats[0].scale is repeats[1].scale
    train_rows = held.pool.take(repeats[0].split.train)[0].double()
    torch.testing.assert_close(repeats[0].scale.mean, train_rows.mean(0))


def test_a_note_says_that_large_data_is_measured_once(monkeypatch):
    monkeypatch.setattr("lanewise.data.loading.MEASURED_ONCE", 1)
    assert "standardised by all examples but the test examples" in data.load(arrays()).notes[-1]
    assert not data.load(arrays(), split="time").notes
    assert data.load(arrays(), standardise=False).notes == ("data arrays: x: left as it is",)


def test_large_numbers_to_be_learnt_stay_with_their_rows(all_large):
    x, _ = arrays()
    y = x[:, :3].astype(np.float64) * 5 + 2
    held = hold_out(data.load((x, y)), 0)
    assert held.pool_y is None
    repeat = Repeat.draw(held, 0, 0)
    rows = repeat.targets(repeat.split.train)
    torch.testing.assert_close(repeat.target_scale.mean, rows.mean(0))
    torch.testing.assert_close(repeat.target_scale.std, rows.std(0, correction=0))


def test_a_checksum_does_not_depend_on_how_elements_lie(monkeypatch):
    x = torch.arange(600.0).view(10, 60)
    wanted = checksum(x)
    monkeypatch.setattr("lanewise.data.arrays.checks.CHUNK_BYTES", 1000)
    assert checksum(x) == checksum(x.T.contiguous().T) == wanted


def test_memory_of_batches_is_used_again_only_when_nobody_holds_it():
    shape = (3, room.SMALLEST)
    first = room.empty(shape, torch.float32)
    view, where = first.fill_(1)[1:], first.data_ptr()
    del first
    second = room.empty(shape, torch.float32).fill_(2)
    assert second.data_ptr() != where
    assert bool((view == 1).all())
    del view
    assert room.empty(shape, torch.float32).data_ptr() == where


def test_a_folder_of_arrays_and_a_single_one(tmp_path, all_large):
    x, y = arrays()
    for name, array in (("x", x), ("y", y), ("x_test", x[:9]), ("y_test", y[:9])):
        np.save(tmp_path / f"{name}.npy", array)
    source = data.load(tmp_path)
    assert np.array_equal(source.x.numpy(), x)
    assert np.array_equal(source.y.numpy(), y)
    assert len(source.test_rows) == 9
    assert source.rows.files
    alone = data.load(tmp_path / "x.npy", target="none")
    assert (alone.y, len(alone)) == (None, len(x))
    with pytest.raises(InputError, match=r"x\.npy: has x; must have x and y, .* say target='none'"):
        data.load(tmp_path / "x.npy")


OBJECTS = "it holds Python objects, or is no array"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda sound: b"hello", OBJECTS),
        (lambda sound: sound.replace(b"'<f4'", b"'|O' "), OBJECTS),
        (lambda sound: b"", "EOFError"),
        (lambda sound: sound[:-8], "ValueError: mmap length is greater than file"),
        (lambda sound: sound[:20], "ValueError: EOF"),
    ],
)
def test_a_damaged_npy_file_is_refused(tmp_path, all_large, spoil, why):
    x, y = arrays()
    np.save(tmp_path / "y.npy", y)
    np.save(path := tmp_path / "x.npy", x)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=rf"x\.npy: is no \.npy file, or a damaged one \({why}") as caught:
        data.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_large_whole_numbers_are_features_of_models_by_name_without_a_copy(tmp_path, monkeypatch):
    x, y = np.random.default_rng(0).integers(-5, 900, (120, 4)), np.arange(120) % 2
    x[:, 2] %= 2
    recipe, found = lw.Recipe(epochs=1, batch_size=16), []
    for limit in (2**26, 1):
        monkeypatch.setattr("lanewise.data.arrays.large.LARGE_BYTES", limit)
        task = lw.Task("mlp:3", (given := mapped(tmp_path / "x.npy", x), y))
        found.append(train(task, recipe, progress=False))
        assert (task.source.x.data_ptr() == given.ctypes.data) is (limit == 1)
    for name, weights in found[0].model.state_dict().items():
        torch.testing.assert_close(found[1].model.state_dict()[name], weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
@pytest.mark.parametrize("shape", [(6, 5), (6, 7, 8), (6, 9, 8, 3)])
def test_large_unsigned_numbers_are_widened_by_the_batch(tmp_path, monkeypatch, kind, shape):
    x, y, found = np.arange(np.prod(shape)).reshape(shape).astype(kind) * 9 + 60_000, np.arange(6) % 2, []
    for limit in (2**26, 1):
        monkeypatch.setattr("lanewise.data.arrays.large.LARGE_BYTES", limit)
        source = data.load((mapped(tmp_path / "x.npy", x), y))
        rows = source.rows.take(torch.tensor([5, 2]))[0]
        found.append((rows, source.sample, source.notes, data.Standardise.fit(source.x)))
    (small, sample, notes, scale), (large, large_sample, large_notes, large_scale) = found
    assert torch.equal(large, small)
    assert large.dtype == small.dtype
    assert torch.equal(large_sample, sample)
    assert large_notes == notes
    for one, two in ((scale.mean, large_scale.mean), (scale.std, large_scale.std)):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(two, one)


def test_a_predictor_takes_a_map(tmp_path, all_large):
    x, y = arrays()
    trained = train(lw.Task("mlp:3", (x, y)), lw.Recipe(epochs=1), progress=False)
    save_model(trained, tmp_path / "m.safetensors")
    predictor = lw.load_model(tmp_path / "m.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(predictor(mapped(tmp_path / "x.npy", x)), predictor(x))


def test_memory_of_old_batches_makes_room_for_that_of_new_ones():
    held = [room.empty((room.MOST_FREE // 4,), torch.uint8) for _ in range(5)]
    del held
    new = room.empty((room.SMALLEST,), torch.uint8)
    where = new.data_ptr()
    del new
    assert room.empty((room.SMALLEST,), torch.uint8).data_ptr() == where
    assert sum(map(len, room._free.values())) <= room.MOST_FREE


def test_lanes_are_given_the_same_batches_of_a_map_as_of_the_array_in_memory(tmp_path, all_large):
    x, y = arrays()
    cpu, found = torch.device("cpu"), []
    for form in (x, mapped(tmp_path / "x.npy", x)):
        repeat = Repeat.draw(hold_out(data.load((form, y)), 0), 0, 0)
        found.append(BatchReader(repeat, 8, torch.float32, cpu).steps(2, 6))
    (one, one_y), (other, other_y) = found
    assert one.shape == (4, 8, 4)
    assert torch.equal(other, one)
    assert torch.equal(other_y, one_y)
