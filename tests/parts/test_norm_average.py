import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lanewise.errors import InputError
from lanewise.parts.norm import AveragedWeights, exponential_average, reestimate, uniform_average

F64 = torch.float64


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)).double()


def train(model, *averages, steps=20):
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 4, dtype=F64)).square().mean().backward()
        optimizer.step()
        for average in averages:
            getattr(average, "update", getattr(average, "update_parameters", None))(model)


@pytest.mark.parametrize("decay", [None, 0.0, 0.9])
def test_equals_torch_s_averaged_model(decay):
    model = net()
    ours = AveragedWeights(model, decay)
    theirs = AveragedModel(model, multi_avg_fn=None if decay is None else get_ema_multi_avg_fn(decay))
    train(model, ours, theirs)
    for (name, a), b in zip(ours.model.state_dict().items(), theirs.module.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14, msg=name)
    assert ours.count == 20
    assert not any(parameter.requires_grad for parameter in ours.model.parameters())


def test_statistics_are_those_of_the_averaged_weights():
    model, data = net(), torch.randn(40, 4, dtype=F64)
    average = AveragedWeights(model)
    train(model, average)
    stale = average.model[1].running_mean.clone()
    done = average.reestimate(data.split(16))
    assert done.layers == ("1",)
    hidden = average.model[0](data)
    torch.testing.assert_close(average.model[1].running_mean, hidden.mean(0))
    torch.testing.assert_close(average.model[1].running_var, hidden.var(0))
    assert not torch.allclose(stale, average.model[1].running_mean)
    assert torch.equal(model[1].running_mean, stale)


def test_goes_on_from_a_saved_state():
    model = net()
    whole = AveragedWeights(model, 0.9)
    train(model, whole, steps=10)
    resumed = AveragedWeights(net(), None)
    resumed.load_state_dict(whole.state_dict())
    train(model, whole, resumed, steps=5)
    assert (resumed.count, resumed.decay) == (15, 0.9)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parameters_that_hold_integers_are_copied():
    model = nn.Module()
    model.table = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
    average = AveragedWeights(model)
    for value in (1, 4):
        model.table.fill_(value)
        average.update(model)
    assert average.model.table.tolist() == [4, 4]


def test_the_decay_can_be_scheduled():
    model = nn.Linear(1, 1, bias=False)
    average = AveragedWeights(model, 0.9)
    for value, decay in ((1.0, 0.9), (2.0, 0.5), (4.0, 0.0)):
        nn.init.constant_(model.weight, value)
        average.decay = decay
        average.update(model)
    assert average.model.weight.item() == 4.0


def test_formulas_in_lanes():
    values = torch.randn(10, 3, 4, dtype=F64)
    uniform = values[0]
    decay = torch.tensor([0.0, 0.5, 0.9], dtype=F64)
    exponential = values[0]
    for count, value in enumerate(values[1:], start=1):
        uniform = vmap(uniform_average, in_dims=(0, 0, None))(uniform, value, count)
        exponential = vmap(exponential_average)(exponential, value, decay)
    torch.testing.assert_close(uniform, values.mean(0))
    for lane in range(3):
        weights = (1 - decay[lane]) * decay[lane] ** torch.arange(9, -1, -1, dtype=F64)
        weights[0] = decay[lane] ** 9
        torch.testing.assert_close(exponential[lane], (weights.view(-1, 1) * values[:, lane]).sum(0))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AveragedWeights(net(), 1.0), r"decay = 1.0: must be a number in \[0, 1\)"),
        (lambda: exponential_average(torch.ones(1), torch.ones(1), -0.1), "decay = -0.1"),
        (lambda: AveragedWeights(net()).reestimate([torch.ones(4, 4)]), "0 updates: must be at least 1"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_reestimation_after_averaging_lowers_the_distance_to_the_truth():
    """Averaging without it evaluates with the statistics of other weights."""
    model, data = net(), torch.randn(64, 4, dtype=F64)
    average = AveragedWeights(model)
    train(model, average)
    truth = average.model[0](data)
    stale = (average.model[1].running_mean - truth.mean(0)).abs().max()
    reestimate(average.model, [data])
    assert (average.model[1].running_mean - truth.mean(0)).abs().max() < 1e-12 < stale
