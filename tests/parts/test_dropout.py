import copy

import pytest
import torch
from torch import nn
from torch.func import vmap

from lanewise.errors import InputError
from lanewise.parts.dropout import Dropout, dropout, uniform_shape
from lanewise.parts.stochastic_depth import StochasticDepth, depth_rates, stochastic_depth

F64 = torch.float64
SPATIAL = {3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d}


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_equals_torch_given_torch_s_mask(rate):
    torch.manual_seed(0)
    x = torch.rand(50, 20, dtype=F64) + 1
    wanted = nn.functional.dropout(x, rate)
    uniform = torch.where(wanted == 0, rate / 2, (1 + rate) / 2)
    torch.testing.assert_close(dropout(x, rate, uniform), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(64, 30, 5), (64, 30, 5, 4), (64, 30, 3, 2, 2)])
def test_spatial_dropout_drops_whole_channels_as_torch_does(shape):
    torch.manual_seed(1)
    x = torch.rand(shape, dtype=F64) + 1
    for y in (Dropout(0.25, kind="spatial")(x), SPATIAL[len(shape)](0.25)(x)):
        channels = y.flatten(2)
        dropped = channels[..., 0] == 0
        assert torch.equal((channels == 0).all(2), dropped)
        assert torch.equal((channels == 0).any(2), dropped)
        assert abs(float(dropped.double().mean()) - 0.25) < 0.04  # 1920 channels: four standard deviations
        torch.testing.assert_close(y[y != 0], x[y != 0] / 0.75)


def test_the_expectation_is_the_input():
    generator = torch.Generator().manual_seed(2)
    y = Dropout(0.4, generator=generator)(torch.ones(200_000, dtype=F64))
    assert abs(float(y.mean()) - 1) < 0.01  # standard deviation sqrt(0.4/0.6/200000) = 0.002
    assert abs(float((y == 0).double().mean()) - 0.4) < 0.005


@pytest.mark.parametrize("kind", ["plain", "spatial", "rows"])
def test_lanes_share_the_draw_and_keep_their_rates(kind):
    torch.manual_seed(3)
    x = torch.randn(4, 6, 3, 5, 5, dtype=F64)
    uniform = torch.rand(uniform_shape(kind, x.shape[1:]))
    rates = torch.tensor([0.0, 0.2, 0.2, 0.8], dtype=F64)
    together = vmap(dropout, in_dims=(0, 0, None))(x, rates, uniform)
    for lane in range(4):
        torch.testing.assert_close(together[lane], dropout(x[lane], float(rates[lane]), uniform), rtol=0, atol=0)
    gone = together == 0
    assert torch.equal(gone[1], gone[2])
    assert (gone[3] | ~gone[2]).all()
    assert not gone[0].any()


def test_layer_draws_from_its_generator_and_can_be_scheduled():
    x = torch.ones(100, 10)
    layer = Dropout(0.5, generator=torch.Generator().manual_seed(4))
    global_state = torch.get_rng_state()
    first = layer(x)
    assert torch.equal(torch.get_rng_state(), global_state)
    again = Dropout(0.5, generator=torch.Generator().manual_seed(4))
    assert torch.equal(again(x), first)
    layer.rate = 0.0
    assert layer(x) is x
    layer.rate = 0.9
    assert float((layer(x) == 0).float().mean()) > 0.8
    assert layer.eval()(x) is x
    assert "rate=0.9" in repr(layer)
    assert torch.equal(copy.deepcopy(again)(x), again(x))


def test_low_precision_input_keeps_its_type():
    y = dropout(torch.ones(4, dtype=torch.bfloat16), torch.tensor(0.5, dtype=F64), torch.tensor([0.0, 0.4, 0.5, 0.9]))
    assert y.dtype == torch.bfloat16
    assert y.tolist() == [0, 0, 2, 2]


def test_stochastic_depth_drops_rows():
    torch.manual_seed(5)
    branch = torch.rand(2000, 3, 2, 2, dtype=F64) + 1
    y = StochasticDepth(0.3)(branch)
    rows = y.flatten(1)
    gone = (rows == 0).all(1)
    assert torch.equal((rows == 0).any(1), gone)
    assert abs(float(gone.double().mean()) - 0.3) < 0.05
    torch.testing.assert_close(y[~gone], branch[~gone] / 0.7)
    uniform = torch.rand(2000)
    rates = torch.tensor([0.1, 0.6], dtype=F64)
    together = vmap(stochastic_depth, in_dims=(None, 0, None))(branch, rates, uniform)
    for lane in range(2):
        assert torch.equal(together[lane], stochastic_depth(branch, float(rates[lane]), uniform))


def rate_set_to(rate):
    Dropout(0.5).rate = rate


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dropout(torch.ones(2), 1.0, torch.ones(2)), r"dropout: rate = 1.0: must be a number in \[0, 1\)"),
        (lambda: dropout(torch.ones(2), -0.1, torch.ones(2)), "rate = -0.1"),
        (lambda: dropout(torch.ones(2), float("nan"), torch.ones(2)), "rate = nan"),
        (lambda: dropout(torch.ones(2, dtype=torch.int64), 0.1, torch.ones(2)), "torch.int64: must be a floating"),
        (lambda: Dropout(1.0), "Dropout: rate = 1.0"),
        (lambda: StochasticDepth(1.5), "StochasticDepth: rate = 1.5"),
        (lambda: rate_set_to(2), "Dropout: rate = 2"),
        (lambda: Dropout(0.5, kind="channel"), "kind = 'channel': must be one of plain, spatial, rows"),
        (lambda: uniform_shape("channel", (2, 3)), "kind = 'channel'"),
        (lambda: uniform_shape("spatial", (3,)), "at least 2 dimensions"),
        (lambda: stochastic_depth(torch.ones(4, 2), 0.5, torch.ones(4, 1)), r"must be one a row, \(4,\)"),
        (lambda: depth_rates(1.0, 3), "last = 1.0"),
        (lambda: depth_rates(0.5, 0), "blocks = 0"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
