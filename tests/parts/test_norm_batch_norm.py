import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from lanewise.errors import InputError
from lanewise.parts.norm import batch_norm, cumulative_momentum

SHAPES = {"mlp": (16, 5), "sequence": (4, 5, 7), "cnn": (6, 5, 4, 3), "volume": (2, 5, 3, 2, 2)}
MODULES = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
F64 = torch.float64


def oracle(shape, momentum=0.3, eps=1e-3, affine=True, track=True):
    module = MODULES[len(shape)](shape[1], eps, momentum, affine, track, dtype=F64)
    if affine:
        nn.init.uniform_(module.weight, 0.5, 2)
        nn.init.normal_(module.bias)
    return module


def apart(a, b):
    return max(float((x - y).detach().abs().max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_torch_over_many_steps(shape, affine):
    torch.manual_seed(0)
    module = oracle(shape, affine=affine)
    weight, bias = module.weight, module.bias
    mean, var = module.running_mean.clone(), module.running_var.clone()
    for step in range(30):
        x = (torch.randn(shape, dtype=F64) * (1 + step / 10) + step).requires_grad_()
        direction = torch.randn(shape, dtype=F64)
        leaves = [x, weight, bias] if affine else [x]
        y, mean, var = batch_norm(x, weight, bias, mean, var, 0.3, 1e-3, True)
        wanted = module.train()(x)
        ours, theirs = (torch.autograd.grad((out.sin() * direction).sum(), leaves) for out in (y, wanted))
        assert apart([y], [wanted]) < 2e-14
        assert apart(ours, theirs) < 1e-12
        assert apart([mean, var], [module.running_mean, module.running_var]) < 1e-13
        assert not mean.requires_grad
        y, *unchanged = batch_norm(x, weight, bias, mean, var, 0.3, 1e-3, False)
        wanted = module.eval()(x)
        ours, theirs = (torch.autograd.grad((out.sin() * direction).sum(), leaves) for out in (y, wanted))
        assert apart([y], [wanted]) < 2e-13  # values grow with the step, and torch multiplies out x scale + shift
        assert apart(ours, theirs) < 1e-11
        assert unchanged[0] is mean
        assert unchanged[1] is var


def test_forward_is_within_1e_14_for_standard_values():
    torch.manual_seed(1)
    x, zeros, ones = torch.randn(64, 8, dtype=F64), torch.zeros(8, dtype=F64), torch.ones(8, dtype=F64)
    y, _, _ = batch_norm(x, None, None, zeros, ones, 0.1, 1e-5, True)
    assert apart([y], [nn.functional.batch_norm(x, None, None, None, None, True)]) < 1e-14


def test_second_derivatives_are_exact():
    torch.manual_seed(2)
    x = torch.randn(5, 3, dtype=F64, requires_grad=True)
    weight, bias = torch.rand(3, dtype=F64, requires_grad=True), torch.rand(3, dtype=F64, requires_grad=True)
    zeros, ones = torch.zeros(3, dtype=F64), torch.ones(3, dtype=F64)
    torch.autograd.gradgradcheck(
        lambda x, w, b: batch_norm(x, w, b, zeros, ones, 0.1, 1e-2, True)[0], (x, weight, bias)
    )


def lanes_of(shape, lanes=4):
    torch.manual_seed(3)
    channels = shape[1]
    arguments = {
        "x": torch.randn(lanes, *shape, dtype=F64) + 1,
        "weight": torch.rand(lanes, channels, dtype=F64) + 0.5,
        "bias": torch.randn(lanes, channels, dtype=F64),
        "mean": torch.randn(lanes, channels, dtype=F64),
        "var": torch.rand(lanes, channels, dtype=F64),
        "momentum": torch.tensor([0.0, 0.05, 0.5, 1.0], dtype=F64),
    }
    return list(arguments.values())


def one_lane(x, weight, bias, mean, var, momentum):
    """Gradients of some loss, with everything else that batch norm gives, of one lane."""

    def loss(x, weight, bias):
        y, *running = batch_norm(x, weight, bias, mean, var, momentum, 1e-5, True)
        seen, *_ = batch_norm(x, weight, bias, mean, var, momentum, 1e-5, False)
        return (y.sin() * seen.cos()).sum(), (y, seen, *running)

    return grad(loss, argnums=(0, 1, 2), has_aux=True)(x, weight, bias)


def torch_lane(x, weight, bias, mean, var, momentum):
    module = MODULES[x.ndim](x.shape[1], 1e-5, float(momentum), dtype=F64)
    state = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
    module.load_state_dict(state, strict=False)
    x = x.clone().requires_grad_()
    # A copy of the statistics: torch's backward would read those that the training pass has moved.
    seen = nn.functional.batch_norm(x, mean.clone(), var.clone(), module.weight, module.bias)
    y = module.train()(x)
    gradients = torch.autograd.grad((y.sin() * seen.cos()).sum(), [x, module.weight, module.bias])
    return gradients, (y, seen, module.running_mean, module.running_var)


@pytest.mark.parametrize("mode", ["eager", "make_fx", "compile"])
@pytest.mark.parametrize("shape", [SHAPES["mlp"], SHAPES["cnn"]], ids=["mlp", "cnn"])
def test_lanes_with_momenta_of_their_own_equal_each_alone(shape, mode):
    arguments = lanes_of(shape)
    packed = vmap(one_lane)
    if mode == "make_fx":
        packed = make_fx(packed)(*arguments)
    elif mode == "compile":
        packed = torch.compile(packed, fullgraph=True)
    together = pytree.tree_leaves(packed(*arguments))
    for lane in range(4):
        alone = torch_lane(*(given[lane] for given in arguments))
        assert apart([part[lane].detach() for part in together], pytree.tree_leaves(alone)) < 1e-12


def test_without_running_statistics_the_batch_normalises_in_both_modes():
    torch.manual_seed(4)
    module, x = oracle((8, 5), track=False), torch.randn(8, 5, dtype=F64)
    for training in (True, False):
        y, *none = batch_norm(x, module.weight, module.bias, None, None, 0.1, 1e-3, training)
        assert apart([y], [module.train(training)(x)]) < 1e-14
        assert none == [None, None]


def test_cumulative_momentum_averages_all_batches():
    torch.manual_seed(5)
    module = oracle((8, 5), momentum=None)
    mean, var = module.running_mean.clone(), module.running_var.clone()
    for step in range(5):
        x = torch.randn(8, 5, dtype=F64)
        module(x)
        _, mean, var = batch_norm(x, None, None, mean, var, cumulative_momentum(torch.tensor(step)), 1e-3, True)
    assert apart([mean, var], [module.running_mean, module.running_var]) < 1e-7  # torch's factor is a float32 tensor's


def test_low_precision_input_is_normalised_in_float32():
    torch.manual_seed(6)
    x = (torch.randn(64, 5) + 30).bfloat16()
    y, mean, var = batch_norm(x, torch.ones(5), None, torch.zeros(5), torch.ones(5), 0.1, 1e-5, True)
    exact, *_ = batch_norm(x.double(), None, None, torch.zeros(5), torch.ones(5), 0.1, 1e-5, True)
    assert (y.dtype, mean.dtype, var.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert apart([y.double()], [exact]) < 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(1, 3)}, r"conv1: 1 value\(s\) per channel in training .*at least 2; take larger batches"),
        ({"x": torch.ones(0, 3)}, "0 value"),
        ({"x": torch.ones(3)}, r"\(3,\): must be \[N, C\]"),
        ({"momentum": None}, r"momentum = None: must be a number in \[0, 1\]; .*cumulative_momentum"),
        ({"momentum": 1.5}, r"momentum = 1.5: must be a number in \[0, 1\]"),
        ({"momentum": float("nan")}, "momentum = nan"),
        ({"eps": 0.0}, r"eps = 0.0: must be a number in \(0"),
        ({"eps": -1e-5}, "eps = -1e-05"),
        ({"running_mean": torch.zeros(1)}, r"running_mean of shape \(1,\): must be \(3,\)"),
        ({"running_var": None}, "both or neither"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"x": torch.ones(4, 3), "running_mean": torch.zeros(3), "running_var": torch.ones(3)}
    given |= {"weight": None, "bias": None, "momentum": 0.1, "eps": 1e-5, "training": True, **change}
    with pytest.raises(InputError, match=message):
        batch_norm(**given, where="conv1")


def test_one_row_is_fine_in_evaluation_and_with_space():
    mean, var = torch.zeros(3), torch.ones(3)
    assert batch_norm(torch.ones(1, 3), None, None, mean, var, 0.1, 1e-5, False)[0].shape == (1, 3)
    assert batch_norm(torch.ones(1, 3, 2), None, None, mean, var, 0.1, 1e-5, True)[0].shape == (1, 3, 2)
