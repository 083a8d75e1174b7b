import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.parts.losses import LOSSES, cross_entropy, half_mean, half_sum, mean
from lanewise.parts.smoothing import smoothed_cross_entropy

F64 = torch.float64


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("space", [(), (3, 2)], ids=["rows", "places"])
def test_smoothing_equals_torch(smoothing, space):
    torch.manual_seed(0)
    logits = (torch.randn(7, 5, *space, dtype=F64) * 4).requires_grad_()
    labels = torch.randint(5, (7, *space))
    ours = smoothed_cross_entropy(logits, labels, smoothing)
    wanted = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(ours, wanted, rtol=1e-14, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, wanted)), rtol=0, atol=1e-15)
    torch.testing.assert_close(cross_entropy(logits, labels), F.cross_entropy(logits, labels), rtol=1e-14, atol=0)


def test_lanes_with_smoothings_of_their_own_equal_each_alone():
    torch.manual_seed(1)
    logits, labels = torch.randn(3, 8, 4, dtype=F64), torch.randint(4, (8,))
    smoothing = torch.tensor([0.0, 0.1, 0.4], dtype=F64)
    together = vmap(grad(smoothed_cross_entropy), in_dims=(0, None, 0))(logits, labels, smoothing)
    for lane in range(3):
        given = logits[lane].clone().requires_grad_()
        F.cross_entropy(given, labels, label_smoothing=float(smoothing[lane])).backward()
        torch.testing.assert_close(together[lane], given.grad, rtol=0, atol=1e-15)


def test_squared_errors_differ_by_their_factors():
    torch.manual_seed(2)
    prediction, target = torch.randn(6, 3, dtype=F64), torch.randn(6, 3, dtype=F64)
    torch.testing.assert_close(half_sum(prediction, target), F.mse_loss(prediction, target, reduction="sum") / 2)
    torch.testing.assert_close(mean(prediction, target), F.mse_loss(prediction, target))
    torch.testing.assert_close(half_mean(prediction, target), half_sum(prediction, target) / 6)
    torch.testing.assert_close(grad(half_sum)(prediction, target), prediction - target)
    assert set(LOSSES) == {"half_sum", "mean", "half_mean", "cross_entropy"}


def test_losses_work_in_lanes():
    torch.manual_seed(3)
    prediction, target = torch.randn(4, 6, 3, dtype=F64), torch.randn(6, 3, dtype=F64)
    for loss in (half_sum, mean, half_mean):
        together = vmap(loss, in_dims=(0, None))(prediction, target)
        torch.testing.assert_close(together, torch.stack([loss(lane, target) for lane in prediction]))


@pytest.mark.parametrize(
    ("loss", "output", "target", "message"),
    [
        (half_sum, torch.ones(4), torch.ones(4, 1), r"prediction \(4,\) and target \(4, 1\): must be of one shape"),
        (mean, torch.tensor(1.0), torch.tensor(1.0), "must be of one shape"),
        (half_mean, torch.ones(4, 1), torch.ones(4), "must be of one shape"),
        (cross_entropy, torch.ones(4, 2), torch.ones(4), "of type torch.float32: must be .* integer type"),
        (cross_entropy, torch.ones(4, 2), torch.ones(4, 1, dtype=torch.int64), r"\[N, K, ...\] and \[N, ...\]"),
        (cross_entropy, torch.ones(4), torch.ones(4, dtype=torch.int64), r"logits \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(loss, output, target, message):
    with pytest.raises(InputError, match=message):
        loss(output, target)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(InputError, match=rf"smoothing = {smoothing}: must be a number in \[0, 1\]"):
        smoothed_cross_entropy(torch.ones(4, 2), torch.ones(4, dtype=torch.int64), smoothing)
