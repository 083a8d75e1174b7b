import copy
import pickle

import pytest
import torch
from torch import nn

from lanewise.parts.norm import Frozen, GhostBatchNorm, freeze_norm, reestimate, unfreeze_norm


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 5),
        GhostBatchNorm(5, 4),
        nn.LayerNorm(5),
    )


def step(net):
    loss = net(torch.randn(8, 3, 4, 4)).square().sum()
    loss.backward()


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_frozen_layers_stay_in_evaluation_mode():
    net = model()
    names = list(net.state_dict())
    assert freeze_norm(net) == ["1", "5"]
    assert freeze_norm(net) == []
    before = state(net)
    for _ in range(3):
        step(net.train())
        net.train(True)
        net.eval()
    after = net.state_dict()
    assert list(after) == names
    assert all(torch.equal(before[name], after[name]) for name in names if name[0] in "15")
    assert net[1].weight.grad is None
    assert bool((net[0].weight.grad != 0).any())
    x = torch.randn(8, 3, 4, 4)
    torch.testing.assert_close(net.train()(x), net.eval()(x))


def test_unfreezing_undoes_it():
    net = model()
    net[1].bias.requires_grad_(False)
    freeze_norm(net)
    net.train()
    assert unfreeze_norm(net) == ["1", "5"]
    assert type(net[1]) is nn.BatchNorm2d
    assert type(net[5]) is GhostBatchNorm
    assert net[1].training
    assert net[1].weight.requires_grad
    assert not net[1].bias.requires_grad
    before = state(net)
    step(net)
    assert not torch.equal(before["1.running_mean"], net[1].running_mean)
    assert unfreeze_norm(net) == []


def test_the_affine_parameters_may_stay_trainable():
    net = model()
    before = state(net)
    freeze_norm(net, affine=False)
    step(net.train())
    assert bool((net[1].weight.grad != 0).all())
    assert torch.equal(before["1.running_mean"], net[1].running_mean)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"]
)
def test_copies_stay_frozen_and_can_be_unfrozen(duplicate):
    net = model()
    freeze_norm(net)
    other = duplicate(net).train()
    assert isinstance(other[1], Frozen)
    assert isinstance(other[1], nn.BatchNorm2d)
    assert not other[1].training
    assert unfreeze_norm(other) == ["1", "5"]
    assert type(other[1]) is nn.BatchNorm2d
    assert other[1].weight.requires_grad
    assert isinstance(net[1], Frozen)
    x = torch.randn(8, 3, 4, 4)
    torch.testing.assert_close(net.eval()(x), other.eval()(x))


def test_reestimation_leaves_frozen_layers_alone():
    net = model()
    freeze_norm(net)
    unfreeze_norm(net[1])
    before = state(net)
    done = reestimate(net, [torch.randn(8, 3, 4, 4) + 1])
    assert done.layers == ("1",)
    assert torch.equal(before["5.running_mean"], net[5].running_mean)
    assert not torch.equal(before["1.running_mean"], net[1].running_mean)


def test_layers_without_running_statistics_cannot_be_frozen():
    assert freeze_norm(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False))) == []
