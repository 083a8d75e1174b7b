import numpy as np
import pytest
import torch

from lanewise import data
from lanewise.errors import InputError


@pytest.fixture(params=[None, 100], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    """Small data in one block, and in blocks of a few rows."""
    if request.param:
        monkeypatch.setattr("lanewise.data.arrays.checks.CHUNK_BYTES", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16])
def test_flat_rows_by_feature(dtype):
    x = np.random.default_rng(0).uniform(0, 250, (50, 3)).astype(dtype)
    scale = data.Standardise.fit(torch.from_numpy(x))
    assert scale.mean.shape == scale.std.shape == (3,)
    assert scale.mean.dtype == scale.std.dtype == torch.float64
    np.testing.assert_allclose(scale.mean, x.astype(np.float64).mean(0), rtol=1e-14)
    np.testing.assert_allclose(scale.std, x.astype(np.float64).std(0), rtol=1e-14)
    out = scale.apply(torch.from_numpy(x), torch.float64)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(out.std(0, correction=0), 1, rtol=1e-13)


@pytest.mark.usefixtures("blocks")
def test_images_by_channel():
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5), dtype=np.uint8)
    x[:, 1] //= 7
    scale = data.Standardise.fit(torch.from_numpy(x))
    assert scale.mean.shape == scale.std.shape == (3, 1, 1)
    np.testing.assert_allclose(scale.mean.flatten(), x.mean((0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(scale.std.flatten(), x.std((0, 2, 3)), rtol=1e-14)
    out = scale.apply(torch.from_numpy(x))
    assert out.dtype == torch.float32
    assert out.shape == x.shape
    wanted = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("blocks")
def test_only_the_training_rows_count():
    """The other rows may be anything at all: nothing of them leaks into the statistics."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 2)))
    y = torch.arange(40) % 2
    rows = data.split(y, seed=1)
    before = data.Standardise.fit(x, rows.train)
    x[rows.valid] = 1e6
    after = data.Standardise.fit(x, rows.train)
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.std, after.std)
    np.testing.assert_allclose(before.mean, x[rows.train].mean(0), rtol=1e-12)
    assert data.Standardise.fit(x).mean.min() > 1e5


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-300, 1e300, 1 / 3])
def test_a_constant_feature_becomes_zero(value):
    """Rounding in the mean of equal numbers must not turn into a standard deviation of 1e-17."""
    x = torch.stack([torch.full((30,), value, dtype=torch.float64), torch.arange(30.0, dtype=torch.float64)], dim=1)
    scale = data.Standardise.fit(x)
    assert scale.mean[0] == value
    assert scale.std[0] == 1
    assert scale.apply(x)[:, 0].tolist() == [0.0] * 30
    assert torch.isfinite(scale.apply(x)).all()


@pytest.mark.parametrize("unit", [1e-200, 1e-5, 1e150])
def test_the_unit_of_a_feature_does_not_matter(unit):
    x = torch.tensor([[1.0], [2.0], [6.0]], dtype=torch.float64)
    wanted = data.Standardise.fit(x).apply(x, torch.float64)
    torch.testing.assert_close(
        data.Standardise.fit(x * unit).apply(x * unit, torch.float64), wanted, rtol=1e-14, atol=0
    )


def test_large_offsets_keep_their_digits():
    """Seconds since 1970 in float64: float32 arithmetic would lose all below 128 s."""
    x = 1.7e9 + torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    torch.testing.assert_close(data.Standardise.fit(x).apply(x).flatten(), torch.tensor([-(1.5**0.5), 0, 1.5**0.5]))


def test_no_rows_stay_no_rows():
    assert data.Standardise.fit(torch.rand(4, 3)).apply(torch.rand(0, 3)).shape == (0, 3)


def test_inputs_are_left_alone():
    x = torch.tensor([[1.0], [3.0]])
    data.Standardise.fit(x).apply(x)
    assert x.tolist() == [[1.0], [3.0]]


@pytest.mark.parametrize(
    ("x", "rows", "match"),
    [
        (torch.zeros(3, 2), torch.zeros(0, dtype=torch.int64), "no training rows"),
        (torch.tensor([[1e308], [-1e308]], dtype=torch.float64), None, "x spreads too widely"),
    ],
)
def test_what_cannot_be_measured_is_refused(x, rows, match):
    with pytest.raises(InputError, match=match):
        data.Standardise.fit(x, rows)


def test_rows_of_another_shape_are_refused():
    flat, image = data.Standardise.fit(torch.rand(4, 3)), data.Standardise.fit(torch.rand(4, 3, 2, 2))
    for scale, other in ((flat, torch.rand(4, 2)), (flat, torch.rand(4, 3, 2, 2)), (image, torch.rand(4, 1, 2, 2))):
        with pytest.raises(InputError, match="must have the 3 channels or features measured"):
            scale.apply(other)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(
    ("shape", "axes", "kept"),
    [((30,), (0,), ()), ((30, 7, 4), (0, 1), (1, 4)), ((30, 3, 2, 4, 5), (0, 2, 3, 4), (3, 1, 1, 1))],
)
def test_single_numbers_series_and_volumes(shape, axes, kept):
    x = np.random.default_rng(0).normal(5, 3, shape)
    scale = data.Standardise.fit(torch.from_numpy(x), torch.arange(20))
    assert scale.mean.shape == scale.std.shape == kept
    np.testing.assert_allclose(scale.mean, x[:20].mean(axes).reshape(kept), rtol=1e-12)
    np.testing.assert_allclose(scale.std, x[:20].std(axes).reshape(kept), rtol=1e-12)
    wanted = (x - x[:20].mean(axes).reshape(kept)) / x[:20].std(axes).reshape(kept)
    np.testing.assert_allclose(scale.apply(torch.from_numpy(x), torch.float64), wanted, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_tokens_stay_and_whole_numbers_of_images_do_not(dtype):
    tokens = torch.tensor([[1, 5], [2, 0]], dtype=dtype)
    scale = data.Standardise.fit(tokens)
    assert scale.mean is scale.std is None
    assert scale.apply(tokens) is tokens
    image = torch.tensor([2, 4], dtype=dtype).reshape(2, 1, 1, 1)
    assert data.Standardise.fit(image).apply(image).flatten().tolist() == [-1, 1]


def test_nested_inputs_each_by_its_own_statistics():
    x = {"tokens": torch.tensor([[1], [2], [3]]), "age": torch.tensor([1.0, 3.0, 50.0]), "flat": torch.rand(3, 2)}
    rows = torch.tensor([0, 1])
    scale = data.Standardise.fit(x, rows)
    out = scale.apply(x)
    assert list(out) == ["tokens", "age", "flat"]
    assert torch.equal(out["tokens"], x["tokens"])
    assert out["age"].tolist() == [-1, 1, 48]
    assert torch.equal(out["flat"], data.Standardise.fit(x["flat"], rows).apply(x["flat"]))
    several = data.Standardise.fit((x["age"], x["tokens"])).apply((x["age"], x["tokens"]))
    assert isinstance(several, tuple)
    assert torch.equal(several[1], x["tokens"])


@pytest.mark.usefixtures("blocks")
def test_missing_numbers_are_put_at_the_training_mean():
    x = torch.tensor([[1.0, torch.nan], [3.0, torch.nan], [torch.nan, 4.0], [9.0, 6.0]], dtype=torch.float64)
    scale = data.Standardise.fit(x, torch.tensor([0, 1, 2]))
    assert scale.mean.tolist() == [2, 4]
    assert scale.std.tolist() == [1, 1]
    assert scale.apply(x).tolist() == [[-1, 0], [1, 0], [0, 0], [7, 2]]
    nothing = data.Standardise.fit(x, torch.tensor([0, 1]))
    assert (nothing.mean[1], nothing.std[1]) == (0, 1)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8, torch.int8, torch.int16, torch.bool])
def test_features_of_0_and_1_keep_their_values(dtype):
    x = torch.tensor([[1, 0, 0, 9], [1, 1, 0, 7], [1, 0, 0, 8]]).to(dtype)
    found = data.Standardise.fit(x).apply(x)
    assert found.dtype is torch.float32
    assert torch.equal(found[:, :3], x[:, :3].float())
    if dtype is not torch.bool:
        torch.testing.assert_close(found[:, 3].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
        assert found[:, 3].tolist() != x[:, 3].tolist()


@pytest.mark.parametrize(
    ("mask", "wanted"),
    [
        (torch.tensor([[True, False]] * 3), torch.bool),
        (torch.tensor([[1, 0]] * 3, dtype=torch.uint8), torch.float32),
        (torch.tensor([[255, 0]] * 3, dtype=torch.uint8), torch.float32),
        (torch.ones(3, 4, 4), torch.float32),
        (torch.tensor([[1, 0]] * 3, dtype=torch.int64), torch.int64),
        (torch.arange(18).reshape(3, 2, 3), torch.int64),
    ],
)
def test_masks_and_indices_beside_other_inputs_are_given_as_they_are(mask, wanted):
    x = {"age": torch.tensor([1.0, 3.0, 8.0]), "mask": mask}
    source = data.load((x, [0, 1, 0]))
    found = data.Standardise.fit(source.x).apply(source.x)
    assert found["mask"].dtype is wanted
    assert torch.equal(found["mask"], mask.to(wanted))
    assert abs(float(found["age"].sum())) < 1e-6
    assert source.notes[0].startswith("data arrays: x['mask']: ")
    assert source.notes[0].endswith("standardised: x['age']")


def test_pictures_of_bytes_are_scaled_as_ever():
    black_and_white = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).reshape(4, 1, 1, 1).expand(4, 1, 3, 3)
    assert data.Standardise.fit(black_and_white).apply(black_and_white).unique().tolist() == [-1, 1]


def test_what_is_standardised_may_be_said():
    x = {"age": torch.tensor([1.0, 3.0]), "mask": torch.tensor([1.0, 0.0]), "ids": torch.tensor([[4], [6]])}

    def given(standardise, inputs=x):
        source = data.load((inputs, [0, 1]), standardise=standardise)
        scale = data.Standardise.fit(source.x, None, source.standardise)
        return source, scale.apply(source.x)

    assert given(True)[1]["age"].tolist() == [-1, 1]
    assert given(True)[1]["mask"].tolist() == [1, 0]
    assert given(False)[1]["age"].tolist() == [1, 3]
    source, found = given(["mask", "ids"])
    assert (found["age"].tolist(), found["mask"].tolist(), found["ids"].flatten().tolist()) == (
        [1, 3],
        [1, -1],
        [-1, 1],
    )
    assert "x['age']: left as it is; standardised: x['mask'], x['ids']" in source.notes[0]
    assert source.asked == {"standardise": ["mask", "ids"]}
    assert given({"age": False})[1]["mask"].tolist() == [1, 0]
    assert given({"age": False})[1]["age"].tolist() == [1, 3]
    assert given([0], (x["age"], x["age"]))[1][1].tolist() == [1, 3]
    assert given(False, torch.tensor([[4.0], [6.0]]))[1].flatten().tolist() == [4, 6]
    assert given(False, torch.arange(36, dtype=torch.uint8).reshape(2, 2, 3, 3))[1].max() == 35
    again = data.load(data.load((x, [0, 1])), standardise=False)
    assert again.standardise == {"age": False, "mask": False, "ids": False}
    assert len(again.notes) == 1
    for wrong in ("agee", ["age", "weight"], {"age": 1}):
        with pytest.raises(InputError, match=r"standardise = .*: must be"):
            given(wrong)
    with pytest.raises(InputError, match="must be True or False for one array without names"):
        given("age", torch.zeros(2, 1))


def test_columns_of_a_table_by_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("age,town,y\n1,a,0\n3,b,1\n5,a,0\n")
    for standardise, wanted in ((True, [0, 1]), (False, [1, 1]), ({"age": False}, [1, 1]), (["town"], [1, 0])):
        source = data.load(path, target="y", standardise=standardise)
        scale = data.Standardise.fit(source.x, None, source.standardise)
        assert [int(mean == 0) for mean in scale.mean.expand(3)[:2].tolist()] == wanted
    with pytest.raises(InputError, match="a name or number of an input \\(age, town=a, town=b\\)"):
        data.load(path, target="y", standardise=["city"])


def test_other_nesting_than_measured_is_refused():
    age, tokens = torch.rand(4), torch.zeros(4, 2, dtype=torch.int64)
    for measured, given in (
        ({"age": age}, age),
        ({"age": age}, {"old": age}),
        ((age, tokens), (age,)),
        (age, (age,)),
        (tokens, tokens.double()),
        (age, age[:, None]),
    ):
        with pytest.raises(InputError, match=r"x (is|has shape) "):
            data.Standardise.fit(measured).apply(given)


def test_several_inputs_that_are_all_standardised_are_told():
    x = {"ids": np.arange(6, dtype=np.int16), "age": np.arange(6.0)}
    assert data.load((x, [0, 1] * 3)).notes == ("data arrays: standardised: x['ids'], x['age']",)
    pixels = np.arange(24).reshape(6, 1, 2, 2)
    assert "four axes are taken for images and standardised" in data.load((pixels, [0, 1] * 3)).notes[0]
