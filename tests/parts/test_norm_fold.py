import pytest
import torch
from torch import nn

from lanewise.parts.norm import GhostBatchNorm, fold_norm, freeze_norm

F64 = torch.float64


def trained(net, *shape, steps=5):
    """`net` in float64 with running statistics and affine parameters that are not the initial ones."""
    torch.manual_seed(0)
    net = net.double()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    for _ in range(steps):
        net(torch.randn(*shape, dtype=F64) * 2 + 1)
    return net


def difference(net, done, *shape):
    x = torch.randn(*shape, dtype=F64)
    return float((net.eval()(x) - done.model(x)).detach().abs().max())


def norms(net):
    return [name for name, module in net.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.before = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = self.norm1(self.conv1(self.before(x).relu())).relu()
        return x + self.norm2(self.conv2(y))


class Branches(nn.Module):
    """Its forward depends on values, so only its parts can be traced."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.blocks = nn.ModuleList([Block(4), Block(4)])
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Dropout(0.5), nn.BatchNorm1d(6))
        self.last = nn.BatchNorm1d(6)

    def forward(self, x):
        if x.mean() > 100:
            x = x / 2
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.last(self.head(x))


def test_a_residual_network_computes_the_same_without_its_batch_norms():
    net = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Block(4), nn.Flatten()), 8, 3, 6, 6)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    done = fold_norm(net)
    assert done.folded == {"1": "0", "2.norm1": "2.conv1", "2.norm2": "2.conv2"}
    assert done.left == {"2.before": "the output of 1 goes elsewhere too"}
    assert norms(done.model) == ["2.before"]
    assert difference(net, done, 4, 3, 6, 6) < 1e-13
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert not done.model.training


def test_a_model_that_cannot_be_traced_is_folded_in_parts():
    net = trained(Branches(), 8, 3, 4, 4)
    done = fold_norm(net)
    assert done.folded == {
        "stem.1": "stem.0",
        "blocks.0.norm1": "blocks.0.conv1",
        "blocks.0.norm2": "blocks.0.conv2",
        "blocks.1.norm1": "blocks.1.conv1",
        "blocks.1.norm2": "blocks.1.conv2",
        "head.3": "head.1",
    }
    assert done.left == {
        "blocks.0.before": "nothing is in front of it",
        "blocks.1.before": "nothing is in front of it",
        "last": "the code that calls it could not be traced",
    }
    assert difference(net, done, 4, 3, 4, 4) < 1e-13


def test_a_chain_with_an_untraceable_link_is_folded_around_it():
    stem = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    net = trained(nn.Sequential(stem, Branches(), nn.Linear(6, 2), nn.BatchNorm1d(2)), 8, 3, 4, 4)
    done = fold_norm(net)
    assert {"0.1": "0.0", "3": "2", "1.stem.1": "1.stem.0"}.items() <= done.folded.items()
    assert difference(net, done, 4, 3, 4, 4) < 1e-13


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Linear(5, 4), nn.BatchNorm1d(4), (8, 5)),
        (nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, affine=False), (8, 5)),
        (nn.Linear(5, 4), GhostBatchNorm(4, 3), (8, 5)),
        (nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6, eps=1e-2), (8, 4, 9)),
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), (8, 4, 5, 5)),
        (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (4, 2, 4, 4, 4)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), (8, 4, 5, 5)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_each_kind_of_layer(layer, norm, shape):
    net = trained(nn.Sequential(layer, nn.Identity(), norm), *shape)
    freeze_norm(net)
    done = fold_norm(net)
    assert done.folded == {"2": "0"}
    assert not done.left
    assert difference(net, done, *shape) < 1e-13


def test_norms_behind_one_another_go_into_one_layer():
    net = trained(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.BatchNorm1d(4)), 8, 3)
    done = fold_norm(net)
    assert done.folded == {"1": "0", "3": "0"}
    assert difference(net, done, 8, 3) < 1e-13


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.other = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.other(self.layer(self.norm(self.layer(x))))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        y = self.layer(x)
        return y + self.norm(y)


class Read(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.layer(x)) @ self.layer.weight


def hooked():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    net[0].register_forward_hook(lambda *_: None)
    return net


@pytest.mark.parametrize(
    ("net", "shape", "reasons"),
    [
        (nn.Sequential(nn.BatchNorm1d(3)), (8, 3), {"0": "nothing is in front of it"}),
        (Shared(), (8, 3), {"norm": "layer is used more than once", "other": "layer is used more than once"}),
        (Twice(), (8, 3), {"norm": "the output of layer goes elsewhere too"}),
        (Read(), (8, 3), {"norm": "layer is used more than once"}),
        (hooked(), (8, 3), {"1": "0 has hooks"}),
        (
            nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)),
            (8, 3),
            {"1": "it keeps no running statistics"},
        ),
        (
            nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(4)),
            (8, 4, 3),
            {"1": "it does not normalise the outputs of 0 but dimension 1"},
        ),
        (
            nn.Sequential(nn.ConvTranspose1d(4, 4, 3, groups=4), nn.BatchNorm1d(4)),
            (8, 4, 3),
            {"1": "0 is transposed with 4 groups, which torch's fusion does not cover"},
        ),
        (
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3)),
            (8, 3),
            {"1": "in front of it is ParametrizedLinear 0, no convolution or linear layer"},
        ),
    ],
    ids=["first", "shared", "twice", "read", "hooked", "untracked", "wide", "transposed", "parametrized"],
)
def test_what_cannot_be_folded_is_named_with_the_reason(net, shape, reasons):
    net = trained(net, *shape)
    done = fold_norm(net)
    assert not done.folded
    assert done.left == reasons
    assert difference(net, done, *shape) == 0


def test_an_example_shows_a_norm_over_another_dimension():
    net = trained(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), 8, 4, 4)
    done = fold_norm(net, example=torch.zeros(2, 4, 4, dtype=F64))
    assert done.left == {"1": "it does not normalise the outputs of 0 but dimension 1"}
    assert fold_norm(net, example=(torch.zeros(2, 4, dtype=F64),)).folded == {"1": "0"}


def test_a_model_without_batch_norm():
    done = fold_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    assert (done.folded, done.left) == ({}, {})
