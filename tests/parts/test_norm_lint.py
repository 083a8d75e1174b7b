import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.parts.dropout import Dropout
from lanewise.parts.norm import lint_norm, variance_shift
from lanewise.parts.stochastic_depth import StochasticDepth

F64 = torch.float64


def pairs(findings):
    return [(found.dropout, found.norm, round(found.factor, 3)) for found in findings]


@pytest.mark.parametrize(("mean", "rate"), [(0.0, 0.5), (1.0, 0.3), (3.0, 0.9)])
def test_the_formula_is_what_batch_norm_stores(mean, rate):
    torch.manual_seed(0)
    x = torch.randn(400_000, 1, dtype=F64) * 2 + mean
    norm = nn.BatchNorm1d(1, momentum=1.0, dtype=F64)
    norm(F.dropout(x, rate))
    wanted = float(variance_shift(rate, x.mean(), x.var()))
    assert abs(float(norm.running_var / x.var()) / wanted - 1) < 0.02


def test_relu_of_standard_normal_values_at_one_half():
    torch.manual_seed(1)
    x = torch.randn(400_000, 1, dtype=F64).relu()
    (found,) = lint_norm(nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(1)))
    norm = nn.BatchNorm1d(1, momentum=1.0, dtype=F64)
    norm(F.dropout(x, 0.5))
    assert round(found.factor, 2) == 2.47
    assert abs(float(norm.running_var / x.var()) / found.factor - 1) < 0.02


def test_names_layers_and_follows_what_lies_between():
    net = nn.Sequential(
        nn.Dropout2d(0.2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    )
    assert pairs(lint_norm(net)) == [("0", "3", 1.25)]
    (found,) = lint_norm(net)
    assert str(found).startswith(
        "dropout 0 (rate 0.2) is in front of batch norm 3: in training it stores 1.25 times the variance"
    )


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.dropout, self.after = (
            nn.Linear(4, 4),
            nn.BatchNorm1d(4),
            Dropout(0.5),
            nn.BatchNorm1d(4),
        )

    def forward(self, x):
        y = F.dropout(F.relu(self.layer(self.norm(x))), 0.5, self.training)
        return self.after(F.dropout(x, training=False) + self.dropout(y.relu()))


def test_functions_and_branches_are_seen():
    net = nn.Sequential(nn.Identity(), Residual())
    for mode in (True, False):
        # Beside the other term of the sum the branch's noise counts half: 1 + (2.467 - 1) / 2.
        assert pairs(lint_norm(net.train(mode))) == [("dropout()", "1.after", 1.733), ("1.dropout", "1.after", 1.733)]
        assert net.training is mode


class Block(nn.Module):
    """A residual block whose branch is dropped by `drop`; the sum goes on through `then`."""

    def __init__(self, drop, branch, then):
        super().__init__()
        self.branch, self.drop, self.then = branch, drop, then

    def forward(self, x):
        return self.then(x + self.drop(self.branch(x)))


def scaled_linear(width, scale, bias=0.0):
    layer = nn.Linear(width, width)
    nn.init.normal_(layer.weight, std=scale / width**0.5)
    nn.init.constant_(layer.bias, bias)
    return layer


def stored_over_seen(net, norm, data):
    """Stored variance over the variance in evaluation of batch norm `norm`, by many training passes."""
    norm.momentum = None
    norm.reset_running_stats()
    for _ in range(40):
        net.train()(data)
    stored = norm.running_var.clone()
    seen = []
    with torch.no_grad():
        handle = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        net.eval()(data)
        handle.remove()
    dims = [dim for dim in range(seen[0].ndim) if dim != 1]
    return float(stored.sum() / seen[0].var(dims).sum())


@pytest.mark.parametrize("drop", [StochasticDepth(0.4), nn.Dropout(0.4), Dropout(0.4)], ids=["depth", "torch", "ours"])
@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.3, 0.0), (2.0, 1.5)])
def test_a_branch_that_is_dropped_shifts_the_sum_by_its_share(drop, scale, bias):
    torch.manual_seed(5)
    net = nn.Sequential(Block(drop, scaled_linear(30, scale, bias), nn.Identity()), nn.BatchNorm1d(30)).double()
    data = torch.randn(4_000, 30, dtype=F64)
    (found,) = lint_norm(net, data.split(1_000))
    truth = stored_over_seen(net, net[1], data)
    assert (found.norm, found.basis) == ("1", "measured")
    assert abs((found.factor - 1) / (truth - 1) - 1) < 0.05
    assert found.factor < 1 / 0.6 or bias


def test_equal_and_independent_terms_need_no_data():
    torch.manual_seed(6)
    net = nn.Sequential(Block(StochasticDepth(0.5), scaled_linear(60, 1.0), nn.Identity()), nn.BatchNorm1d(60)).double()
    (found,) = lint_norm(net)
    assert found.factor == 1.5
    assert found.basis.endswith("else more; the terms of a sum taken to be equal")
    assert abs(stored_over_seen(net, net[1], torch.randn(8_000, 60, dtype=F64)) - 1.5) < 0.05


def test_images_and_layers_behind_the_sum():
    torch.manual_seed(7)
    blocks = [Block(StochasticDepth(rate), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 40, 1)) for rate in (0.3,)]
    net = nn.Sequential(nn.Conv2d(2, 6, 3), *blocks, nn.BatchNorm2d(40)).double()
    data = torch.randn(300, 2, 9, 9, dtype=F64)
    (found,) = lint_norm(net, [data])
    truth = stored_over_seen(net, net[2], data)
    assert abs((found.factor - 1) / (truth - 1) - 1) < 0.25


def test_every_block_dilutes_the_noise_of_those_before_it():
    torch.manual_seed(8)

    def blocks(norm):
        inner = [nn.Sequential(norm(50), scaled_linear(50, 1.0)) for _ in range(2)]
        drops = StochasticDepth(0.5), StochasticDepth(0.2)
        made = [Block(drop, branch, nn.Identity()) for drop, branch in zip(drops, inner, strict=True)]
        return nn.Sequential(*made, nn.BatchNorm1d(50)).double()

    last = [("0.drop", "2", 1.25), ("1.drop", "2", 1.125)]
    assert pairs(lint_norm(blocks(nn.BatchNorm1d))) == [("0.drop", "1.branch.0", 1.5), *last]
    net, data = blocks(nn.LayerNorm), torch.randn(8_000, 50, dtype=F64)
    assert pairs(lint_norm(net)) == last
    excess = sum(found.factor - 1 for found in lint_norm(net, [data]))
    assert abs(excess / (stored_over_seen(net, net[2], data) - 1) - 1) < 0.05


class Shifted(nn.Module):
    """Adds a parameter and a number, which have no variance, behind a dropout."""

    def __init__(self):
        super().__init__()
        self.shift, self.drop, self.norm = nn.Parameter(torch.ones(4)), nn.Dropout(0.5), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.drop(x) + self.shift + 1.0)


def test_a_shift_dilutes_nothing():
    assert pairs(lint_norm(Shifted())) == [("drop", "norm", 2.0)]


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Dropout(0.1), nn.BatchNorm1d(4))

    def forward(self, x):
        return self.body(x) if x.sum() > 0 else x


def test_parts_of_a_model_that_cannot_be_traced():
    assert pairs(lint_norm(nn.Sequential(nn.Linear(4, 4), Untraceable()))) == [("1.body.0", "1.body.1", 1.111)]


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 4)),
        nn.Sequential(nn.Dropout(0.0), nn.BatchNorm1d(4)),
        nn.Sequential(nn.Dropout(0.5), nn.LayerNorm(4), nn.BatchNorm1d(4)),
        nn.Sequential(nn.AlphaDropout(0.5), nn.BatchNorm1d(4)),
    ],
    ids=["behind", "zero", "layer-norm-between", "alpha"],
)
def test_what_is_well_placed_is_not_named(net):
    assert lint_norm(net) == []


def test_measured_factors_are_what_happens():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(5, 40), nn.Tanh(), nn.Dropout(0.4), nn.BatchNorm1d(40)).double()
    nn.init.normal_(net[0].bias)
    data = torch.randn(20_000, 5, dtype=F64)
    (found,) = lint_norm(net, data.split(6_000))
    net[3].momentum = 1.0
    net(data)
    truth = float(net[3].running_var.sum() / net[:2](data).detach().var(0).sum())
    assert found.basis == "measured"
    assert abs(found.factor / truth - 1) < 0.02
    assert found.factor > 1.2 / 0.6


def test_bad_input_is_named():
    with pytest.raises(InputError, match=r"rate = 1.0: must be a number in \[0, 1\)"):
        variance_shift(1.0, torch.zeros(1), torch.ones(1))
