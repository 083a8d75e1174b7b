import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.parts.dropout import Dropout
from lanewise.parts.norm import lint_norm, variance_shift

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
        assert pairs(lint_norm(net.train(mode))) == [("dropout()", "1.after", 2.467), ("1.dropout", "1.after", 2.467)]
        assert net.training is mode


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
