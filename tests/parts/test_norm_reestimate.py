import random

import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, TensorDataset

from lanewise.errors import InputError
from lanewise.parts.dropout import Dropout
from lanewise.parts.norm import GhostBatchNorm, Statistics, merged, reestimate

F64 = torch.float64


def mlp(norm=nn.BatchNorm1d):
    torch.manual_seed(0)
    net = nn.Sequential(
        norm(4), nn.Linear(4, 6), norm(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 5), norm(5), Dropout(0.5)
    )
    return net.double()


def cnn():
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.5))
    return net.double()


def rows(count, *shape):
    torch.manual_seed(1)
    return torch.randn(count, *shape, dtype=F64) * torch.arange(1, count + 1, dtype=F64).view(-1, *[1] * len(shape)) + 3


def statistics(net):
    return [
        value.clone()
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for value in (module.running_mean, module.running_var)
    ]


def close(a, b, within=1e-12):
    return all(torch.allclose(x, y, rtol=within, atol=within) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("sizes", [[32], [8] * 4, [10, 10, 10, 2], [15, 15, 2], [31, 1], [1] * 31 + [1], [5, 1, 20, 6]])
@pytest.mark.parametrize(
    ("net", "shape"), [(mlp, (4,)), (cnn, (3, 5, 5)), (lambda: mlp(lambda c: GhostBatchNorm(c, 4)), (4,))]
)
def test_the_first_norm_gets_the_statistics_of_the_whole_set_however_it_is_cut(net, shape, sizes):
    data, net = rows(32, *shape), net()
    reestimate(net, data.split(sizes))
    values = data.transpose(0, 1).flatten(1)
    assert close([net[0].running_mean, net[0].running_var], [values.mean(1), values.var(1)])


@pytest.mark.parametrize(("net", "shape"), [(mlp, (4,)), (cnn, (3, 5, 5))])
def test_every_norm_gets_pooled_statistics_by_hand(net, shape):
    """A second implementation: inputs of each norm collected, batch by batch, in training mode with dropout off."""
    net, batches = net(), rows(30, *shape).split([12, 12, 6])
    reestimate(net, batches)
    given = {}
    for x in batches:
        for place, layer in enumerate(net):
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                given.setdefault(place, []).append(x.transpose(0, 1).flatten(1))
                x = nn.functional.batch_norm(x, None, None, layer.weight, layer.bias, True)
            elif not isinstance(layer, (nn.Dropout, nn.Dropout2d, Dropout)):
                x = layer(x)
    for place, values in given.items():
        values = torch.cat(values, 1)
        assert close([net[place].running_mean, net[place].running_var], [values.mean(1), values.var(1)])
    assert len(given) == sum(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in net)


def test_the_order_of_the_batches_does_not_matter():
    batches = list(rows(50, 4).split([16, 16, 16, 2]))
    found = []
    for seed in range(4):
        random.Random(seed).shuffle(batches)
        net = mlp()
        reestimate(net, batches)
        found.append(statistics(net))
    assert all(close(found[0], other, 1e-14) for other in found[1:])
    net = mlp()
    update_bn(batches, net)
    first = statistics(net)
    update_bn(batches[::-1], net)
    assert not close(first, found[0], 1e-3)  # torch counts the two rows as much as sixteen


def test_equal_batches_of_one_set_agree_with_torch_in_the_mean():
    batches = torch.randn(64, 4, dtype=F64).split(16)
    ours, theirs = mlp().eval(), mlp().eval()
    for net in (ours, theirs):
        net[4].p = 0.0
        net[7].rate = 0.0
    reestimate(ours, batches)
    update_bn(batches, theirs)
    assert close(statistics(ours)[::2], statistics(theirs)[::2], 1e-6)  # torch's factor is a float32 tensor's


class Counting(nn.Module):
    """A buffer that changes whatever the mode, and a module that is never called."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.unused = nn.BatchNorm1d(4)

    def forward(self, x):
        self.calls += 1
        return x


def untouched(net):
    """Everything of `net` but running statistics, the modes and the hooks included."""
    state = {name: value.clone() for name, value in net.state_dict().items() if "running" not in name}
    layers = [
        (m.training, getattr(m, "momentum", None), len(m._forward_hooks), len(m._forward_pre_hooks))
        for m in net.modules()
    ]
    return state, layers, torch.get_rng_state()


def same(a, b):
    return all(torch.equal(a[0][name], b[0][name]) for name in a[0]) and a[1] == b[1] and torch.equal(a[2], b[2])


@pytest.mark.parametrize("training", [True, False])
def test_all_else_stays_as_it_was(training):
    net = nn.Sequential(Counting(), *mlp()).double().train(training)
    net[1].eval()
    net[3].momentum = None
    net(rows(8, 4))
    batches = rows(20, 4).split(8)
    before, addresses = untouched(net), [buffer.data_ptr() for buffer in net.buffers()]
    done = reestimate(net, batches)
    assert same(before, untouched(net))
    assert addresses == [buffer.data_ptr() for buffer in net.buffers()]
    assert (done.layers, done.unused, done.batches, done.skipped) == (("1", "3", "7"), ("0.unused",), 3, ())
    assert net[0].unused.running_mean.tolist() == [0] * 4


def test_a_batch_that_is_not_finite_is_left_out_everywhere():
    good = rows(24, 4).split(8)
    bad = rows(8, 4).clone()
    bad[3, 2] = torch.nan
    huge = torch.full((8, 4), 1e300, dtype=F64)
    huge[0] = -1e300
    net, wanted = mlp(), mlp()
    net[0].running_mean.fill_(torch.nan)  # a diverged run's statistics do not spoil the new ones
    done = reestimate(net, [bad, good[0], huge, good[1], good[2]])
    reestimate(wanted, good)
    assert (done.skipped, done.batches) == ((0, 2), 3)
    assert close(statistics(net), statistics(wanted))


def test_a_batch_of_one_row_counts_where_it_can():
    first, batches = rows(9, 4), rows(9, 4).split([8, 1])
    net, without = mlp(), mlp()
    done = reestimate(net, batches)
    reestimate(without, batches[:1])
    assert done.batches == 2
    assert close([net[0].running_mean], [first.mean(0)])
    assert close(statistics(net)[2:], statistics(without)[2:])


def test_a_shared_norm_sees_all_its_inputs():
    norm = nn.BatchNorm1d(4).double()
    data = rows(16, 4)
    reestimate(nn.Sequential(norm, norm), data.split(8))
    normalised = torch.cat([nn.functional.batch_norm(x, None, None, training=True) for x in data.split(8)])
    values = torch.cat([data, normalised])
    assert close([norm.running_mean, norm.running_var], [values.mean(0), values.var(0)])


def test_loaders_and_a_forward_of_one_s_own():
    data = rows(20, 4)
    loader = DataLoader(TensorDataset(data, torch.zeros(20)), batch_size=8)
    by_loader, by_forward = mlp(), mlp()
    reestimate(by_loader, loader)
    reestimate(by_forward, [{"x": x} for x in data.split(8)], forward=lambda net, batch: net(batch["x"]))
    assert close(statistics(by_loader), statistics(by_forward))


def test_a_compiled_model_runs_eagerly():
    net, batches = mlp(), rows(21, 4).split([8, 8, 4, 1])
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    compiled = torch.compile(net, backend=backend, fullgraph=True)
    compiled(rows(8, 4))
    assert len(graphs) == 1
    for _ in range(2):
        reestimate(compiled, batches)
    assert len(graphs) == 1
    wanted = mlp()
    reestimate(wanted, batches)
    assert close(statistics(net), statistics(wanted))


def test_nothing_to_do():
    done = reestimate(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), [])
    assert (done.layers, done.batches) == ((), 0)


def broken(net, batch):
    net(batch)
    raise RuntimeError("half way")


@pytest.mark.parametrize(
    ("batches", "forward", "error", "message"),
    [
        ([], None, InputError, "batches = no batch"),
        ([torch.full((4, 4), torch.nan, dtype=F64)], None, InputError, "1 batches with statistics that are not finite"),
        ([rows(1, 4)], None, InputError, "batch norm 0 was given 1 value per channel: must be at least 2"),
        ([{"x": rows(8, 4)}], None, InputError, "a batch of type dict: .*forward="),
        ([rows(8, 4)], broken, RuntimeError, "half way"),
    ],
)
def test_a_failure_leaves_the_model_unchanged(batches, forward, error, message):
    net = mlp()
    batch = rows(8, 4)
    net(batch)
    before, running = untouched(net), statistics(net)
    with pytest.raises(error, match=message):
        reestimate(net, batches, forward)
    assert same(before, untouched(net))
    assert close(running, statistics(net), 0)


def test_merging_works_in_lanes_and_keeps_small_variances_beside_large_means():
    torch.manual_seed(2)
    values = torch.randn(3, 40, 5, dtype=F64) + 1e8

    def one(values):
        total = None
        for part in values.split([10, 29, 1]):
            seen = Statistics(len(part), part.mean(0), (part - part.mean(0)).square().sum(0))
            total = seen if total is None else merged(total, seen)
        return total.mean, total.variance

    mean, variance = vmap(one)(values)
    torch.testing.assert_close(mean, values.mean(1), rtol=1e-15, atol=0)
    torch.testing.assert_close(variance, values.var(1), rtol=1e-7, atol=0)


class Counted(nn.Module):
    """Counts how often it runs."""

    runs = 0

    def forward(self, x):
        type(self).runs += 1
        return x


def counted(batches, forward=None, twice=False):
    """(runs behind the last batch norm, its statistics) of a model that ends in something else."""
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(4)
    model = nn.Sequential(nn.Linear(4, 4), norm, nn.ReLU(), nn.Linear(4, 4), *([norm] if twice else []), Counted())
    Counted.runs = 0
    reestimate(model, batches, forward)
    return Counted.runs, norm.running_mean.clone(), norm.running_var.clone()


def test_batches_end_at_the_last_batch_norm_once_all_have_been_heard():
    torch.manual_seed(4)
    batches = list(torch.randn(5, 8, 4))
    runs, *short = counted(batches)
    all_runs, *whole = counted(batches, forward=lambda model, batch: model(batch))
    assert (runs, all_runs) == (1, 5)
    for mine, expected in zip(short, whole, strict=True):
        assert torch.equal(mine, expected)


def test_batches_run_to_the_end_where_a_batch_norm_is_used_twice():
    assert counted(list(torch.randn(5, 8, 4)), twice=True)[0] == 5
