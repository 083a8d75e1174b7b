import copy

import pytest
import torch
from torch import nn
from torch.func import grad, vmap

from lanewise.errors import InputError
from lanewise.parts.norm import GhostBatchNorm, batch_norm, ghost_batch_norm

F64 = torch.float64


def chunks_one_by_one(module, x, cuts):
    """The virtual batches through plain torch, one after another."""
    return torch.cat([module(part) for part in x.split(cuts)])


def reference(channels, dims, momentum=0.2):
    module = (nn.BatchNorm1d if dims == 2 else nn.BatchNorm2d)(channels, momentum=momentum, dtype=F64)
    nn.init.uniform_(module.weight, 0.5, 2)
    nn.init.normal_(module.bias)
    return module


@pytest.mark.parametrize(
    ("rows", "space", "cuts"),
    [
        (8, (), [4, 4]),
        (10, (), [4, 4, 2]),
        (9, (), [4, 5]),  # one row left over joins the virtual batch before
        (5, (), [5]),
        (3, (), [3]),
        (9, (2, 3), [4, 4, 1]),  # with space one row is enough
    ],
)
def test_equals_torch_on_one_virtual_batch_after_another(rows, space, cuts):
    torch.manual_seed(0)
    module = reference(3, 2 + len(space))
    ghost = GhostBatchNorm(3, virtual_size=4, momentum=0.2).double()
    ghost.load_state_dict(module.state_dict())
    for _ in range(20):
        x = torch.randn(rows, 3, *space, dtype=F64, requires_grad=True)
        direction = torch.randn_like(x)
        y, wanted = ghost.train()(x), chunks_one_by_one(module.train(), x, cuts)
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-14)
        ours = torch.autograd.grad((y.sin() * direction).sum(), [x, ghost.weight, ghost.bias])
        theirs = torch.autograd.grad((wanted.sin() * direction).sum(), [x, module.weight, module.bias])
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(ghost.running_mean, module.running_mean, rtol=0, atol=1e-14)
        torch.testing.assert_close(ghost.running_var, module.running_var, rtol=0, atol=1e-14)
        torch.testing.assert_close(ghost.eval()(x), module.eval()(x), rtol=0, atol=1e-13)
    assert ghost.num_batches_tracked == 20


@pytest.mark.parametrize("space", [(), (2, 2)], ids=["mlp", "cnn"])
def test_lanes_with_momenta_of_their_own_equal_each_alone(space):
    torch.manual_seed(1)
    x = torch.randn(3, 10, 5, *space, dtype=F64)
    weight, mean = torch.rand(3, 5, dtype=F64), torch.zeros(3, 5, dtype=F64)
    momentum = torch.tensor([0.0, 0.3, 1.0], dtype=F64)

    def one(x, weight, mean, momentum):
        def loss(weight):
            y, *running = ghost_batch_norm(x, weight, None, mean, mean + 1, momentum, 1e-5, True, 4)
            return y.sin().sum(), (y, *running)

        gradient, rest = grad(loss, has_aux=True)(weight)
        return gradient, *rest

    together = vmap(one)(x, weight, mean, momentum)
    for lane in range(3):
        alone = one(x[lane], weight[lane], mean[lane], float(momentum[lane]))
        torch.testing.assert_close([part[lane] for part in together], list(alone), rtol=0, atol=1e-14)


def test_a_virtual_batch_as_large_as_the_batch_is_plain_batch_norm():
    x, mean, var = torch.randn(6, 2, dtype=F64), torch.zeros(2, dtype=F64), torch.ones(2, dtype=F64)
    torch.testing.assert_close(
        ghost_batch_norm(x, None, None, mean, var, 0.1, 1e-5, True, 6),
        batch_norm(x, None, None, mean, var, 0.1, 1e-5, True),
    )


def test_without_running_statistics():
    torch.manual_seed(2)
    layer = GhostBatchNorm(2, virtual_size=4, affine=False, track_running_stats=False)
    x = torch.randn(8, 2)
    torch.testing.assert_close(layer(x)[:4], nn.functional.batch_norm(x[:4], None, None, training=True))
    torch.testing.assert_close(layer.eval()(x), nn.functional.batch_norm(x, None, None, training=True))


def test_copies_and_prints():
    layer = GhostBatchNorm(2, virtual_size=4)
    assert copy.deepcopy(layer).virtual_size == 4
    assert "virtual_size=4" in repr(layer)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GhostBatchNorm(2, virtual_size=0), r"virtual_size = 0: must be an integer in \[1, inf\)"),
        (lambda: GhostBatchNorm(2, 4, momentum=2.0), "momentum = 2.0"),
        (lambda: GhostBatchNorm(2, 4, momentum=None), "momentum = None"),
        (lambda: GhostBatchNorm(2, 4, eps=0.0), "eps = 0.0"),
        (lambda: GhostBatchNorm(2, 4)(torch.ones(1, 2)), r"1 value\(s\) per channel"),
        (lambda: GhostBatchNorm(2, 1)(torch.ones(4, 2)), r"1 value\(s\) per channel"),
        (lambda: GhostBatchNorm(2, 4)(torch.ones(0, 2)), r"0 value\(s\) per channel"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
