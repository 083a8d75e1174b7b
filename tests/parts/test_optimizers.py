"""Each optimizer over 100 steps in float64 against an implementation of somebody else's or the paper's notation."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from lanewise.errors import InputError
from lanewise.parts.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    GradientDescent,
    Lion,
    Muon,
    Numbers,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    State,
)
from lanewise.parts.optimizers.muon import orthogonalised
from lanewise.parts.optimizers.optimizer import bias_correction
from lanewise.parts.part import Timed, Variable
from lanewise.parts.roles import Role

STEPS = 100
SPECIAL = (
    GradientDescent(),
    SGD(),
    SGD(momentum=0.9, nesterov=True),
    Adam(),
    Adam(amsgrad=True),
    AdamW(),
    RMSprop(),
    RMSprop(centered=True, momentum=0.5),
    Lion(),
    Muon(),
    Muon(nesterov=False, match_adamw=True),
    ScheduleFreeSGD(),
    ScheduleFreeAdamW(),
)
VARIANTS = (*SPECIAL, *(kind() for kind in OPTIMIZERS if kind not in map(type, SPECIAL)))


def label(optimizer: Optimizer) -> str:
    return optimizer.structure()


def gradient(param: Tensor, t: int) -> Tensor:
    """Of a badly scaled valley with walls, plus noise that depends on the step alone."""
    noise = torch.randn(param.shape, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
    curvature = torch.logspace(-2, 0.5, param.numel(), dtype=torch.float64).reshape(param.shape)
    return curvature * param + torch.sin(3 * param) + 0.3 * noise.to(param.dtype)


def start(shape: tuple[int, ...] = (5, 3)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def changing(optimizer: Optimizer, t: int) -> dict[str, float]:
    """The optimizer's numbers at step t: each moves in its own rhythm, and the momentum of some rests at 0 at times."""
    swing = {name: 0.5 + 0.4 * math.sin(0.1 * t + place) for place, name in enumerate(optimizer.number_names())}
    numbers = {"lr": 0.02 * swing["lr"]}
    for name in optimizer.number_names():
        if name in ("momentum", "dampening", "alpha", "beta1", "beta2", "adam_beta1", "adam_beta2"):
            numbers[name] = 0.9 * swing[name] + 0.09
        elif name != "lr":
            numbers[name] = 0.03 * swing[name]
    return numbers


def run(
    optimizer: Optimizer,
    numbers: Callable[[Optimizer, int], dict[str, Any]] = changing,
    shape: tuple[int, ...] = (5, 3),
) -> tuple[Tensor, Tensor]:
    """The parameter and the weights to evaluate after all steps."""
    param = start(shape)
    optimizer_state = optimizer.init(param)
    for t in range(STEPS):
        n = numbers(optimizer, t)
        param, optimizer_state = optimizer.update(param, gradient(param, t), optimizer_state, n, t)
    return param, optimizer.evaluated(param, optimizer_state, numbers(optimizer, STEPS - 1))


def run_torch(optimizer: type[torch.optim.Optimizer], groups: Callable[[int], dict[str, Any]], **flags: bool) -> Tensor:
    param = torch.nn.Parameter(start())
    theirs = optimizer([param], **{**groups(0), **flags})
    for t in range(STEPS):
        theirs.param_groups[0].update(groups(t))
        param.grad = gradient(param.detach(), t)
        theirs.step()
    return param.detach()


def assert_same(ours: Tensor, theirs: Tensor, tolerance: float = 1e-12) -> None:
    assert torch.isfinite(ours).all()
    assert not torch.allclose(ours, start(tuple(ours.shape)), atol=1e-3), "the run did not move"
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def sometimes_zero(optimizer: Optimizer, t: int) -> dict[str, float]:
    return {**changing(optimizer, t), "momentum": 0.0 if t % 10 < 3 else 0.9 * t / STEPS, "dampening": 0.0}


def with_momentum(optimizer: Optimizer, t: int) -> dict[str, float]:
    return {**changing(optimizer, t), "momentum": 0.5 + 0.4 * t / STEPS, "dampening": 0.0}


def without_dampening(optimizer: Optimizer, t: int) -> dict[str, float]:
    return {**changing(optimizer, t), "dampening": 0.0}


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        (SGD(), without_dampening),
        (SGD(), changing),
        (SGD(), sometimes_zero),
        (SGD(momentum=0.9, nesterov=True), with_momentum),
    ],
)
def test_sgd_is_torchs(optimizer: SGD, numbers: Callable[[Optimizer, int], dict[str, float]]) -> None:
    theirs = run_torch(torch.optim.SGD, lambda t: numbers(optimizer, t), nesterov=optimizer.nesterov)
    assert_same(run(optimizer, numbers)[0], theirs)


def test_dampening_spares_the_first_gradient_only() -> None:
    def late(optimizer: Optimizer, t: int) -> dict[str, float]:
        return {"lr": 0.02, "momentum": 0.9, "dampening": 0.7}

    assert_same(run(SGD(), late)[0], run_torch(torch.optim.SGD, lambda t: late(SGD(), t)))


def test_gradient_descent_is_sgd_without_momentum() -> None:
    theirs = run_torch(torch.optim.SGD, lambda t: {"lr": changing(GradientDescent(), t)["lr"]})
    assert_same(run(GradientDescent())[0], theirs)
    assert GradientDescent.whole_set
    assert not any(optimizer.whole_set for optimizer in OPTIMIZERS if optimizer is not GradientDescent)


@pytest.mark.parametrize("optimizer", [Adam(), Adam(amsgrad=True), AdamW(), AdamW(amsgrad=True)], ids=label)
def test_adam_and_adamw_are_torchs(optimizer: Adam) -> None:
    def groups(t: int) -> dict[str, Any]:
        n = changing(optimizer, t)
        return {"betas": (n.pop("beta1"), n.pop("beta2")), **n}

    theirs = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
    assert_same(run(optimizer)[0], run_torch(theirs, groups, amsgrad=optimizer.amsgrad))


@pytest.mark.parametrize("numbers", [changing, sometimes_zero])
@pytest.mark.parametrize("optimizer", [RMSprop(), RMSprop(centered=True)], ids=label)
def test_rmsprop_is_torchs(optimizer: RMSprop, numbers: Callable[[Optimizer, int], dict[str, float]]) -> None:
    # torch allocates its momentum buffer at the first step, and only if the momentum is above 0 there.
    def from_above_zero(optimizer: Optimizer, t: int) -> dict[str, float]:
        return {name: numbers(optimizer, t)[name] for name in optimizer.number_names()} | (
            {} if t else {"momentum": 0.5}
        )

    theirs = run_torch(torch.optim.RMSprop, lambda t: from_above_zero(optimizer, t), centered=optimizer.centered)
    assert_same(run(optimizer, from_above_zero)[0], theirs)


@pytest.mark.parametrize("match", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_muon_is_torchs_once_torch_keeps_the_dtype(
    nesterov: bool, match: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "bfloat16", Tensor.clone)
    optimizer, param = Muon(nesterov=nesterov, match_adamw=match), torch.nn.Parameter(start(shape))
    theirs = torch.optim.Muon([param], nesterov=nesterov, adjust_lr_fn="match_rms_adamw" if match else "original")
    for t in range(STEPS):
        theirs.param_groups[0].update(
            {name: changing(optimizer, t)[name] for name in ("lr", "momentum", "weight_decay")}
        )
        param.grad = gradient(param.detach(), t)
        theirs.step()
    assert_same(run(optimizer, shape=shape)[0], param.detach(), 1e-10)


def test_muon_as_the_paper_writes_it() -> None:
    """M and O in NumPy; the momentum as in the paper, B = mu B + G, whose scale the normalisation takes out."""

    def newton_schulz(G: np.ndarray) -> np.ndarray:
        X = G / np.linalg.norm(G)
        transposed = G.shape[0] > G.shape[1]
        X = X.T if transposed else X
        for _ in range(5):
            A = X @ X.T
            X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
        return X.T if transposed else X

    W, B, mu, eta = start().numpy().copy(), np.zeros((5, 3)), 0.95, 0.02
    for t in range(STEPS):
        G = gradient(torch.from_numpy(W), t).numpy()
        B = mu * B + G
        W = W - eta * math.sqrt(5 / 3) * newton_schulz(G + mu * B)
    assert_same(run(Muon(), lambda optimizer, t: optimizer.numbers())[0], torch.from_numpy(W), 1e-10)


@pytest.mark.parametrize("shape", [(4, 4), (3, 20), (20, 3)])
def test_orthogonalised_keeps_the_directions_and_evens_the_lengths(shape: tuple[int, int]) -> None:
    matrix = start(shape)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    after = u.mT @ orthogonalised(matrix) @ vh.mT
    lengths = after.diagonal()
    torch.testing.assert_close(after, torch.diag(lengths), rtol=0, atol=1e-10)
    assert s.max() / s.min() > 1.5
    assert ((lengths > 0.68) & (lengths < 1.21)).all()
    assert orthogonalised(torch.zeros(shape)).eq(0).all()
    assert orthogonalised(matrix.float()).dtype is torch.float32


def test_muon_flattens_a_kernel() -> None:
    kernel = run(Muon(), shape=(4, 3, 2, 2))[0]
    assert_same(kernel.reshape(4, 12), run(Muon(), shape=(4, 12))[0])


def test_muon_leaves_what_is_no_matrix_to_adamw() -> None:
    def plain(optimizer: Optimizer, t: int) -> dict[str, float]:
        return {name.removeprefix("adam_"): value for name, value in changing(Muon(), t).items() if "adam_" in name}

    optimizer = Muon()
    assert optimizer.for_role(Role.WEIGHT, start()) is optimizer
    for role, shape in [(Role.BIAS, (4,)), (Role.EMBEDDING, (5, 3)), (Role.NORM, (4, 4)), (Role.WEIGHT, (4,))]:
        other = optimizer.for_role(role, start(shape))
        ours = run(other, lambda _, t: changing(optimizer, t), shape)[0]
        assert_same(ours, run(AdamW(), plain, shape)[0])
        assert other.rate == "adam_lr"
    with pytest.raises(InputError, match="two dimensions"):
        optimizer.update(start((4,)), start((4,)), optimizer.init(start((4,))), optimizer.numbers(), 0)


def test_every_other_optimizer_treats_all_roles_alike() -> None:
    for optimizer in VARIANTS:
        if not isinstance(optimizer, Muon):
            assert all(optimizer.for_role(role, start()) is optimizer for role in Role)
            assert optimizer.rate == "lr"


def test_lion_as_the_paper_writes_it() -> None:
    theta, m = start().numpy().copy(), np.zeros((5, 3))
    for t in range(STEPS):
        n = changing(Lion(), t)
        g = gradient(torch.from_numpy(theta), t).numpy()
        c = n["beta1"] * m + (1 - n["beta1"]) * g
        theta = theta - n["lr"] * (np.sign(c) + n["weight_decay"] * theta)
        m = n["beta2"] * m + (1 - n["beta2"]) * g
    assert_same(run(Lion())[0], torch.from_numpy(theta))


@pytest.mark.parametrize("optimizer", [ScheduleFreeSGD(), ScheduleFreeAdamW()], ids=label)
def test_schedule_free_as_the_paper_writes_it(optimizer: Optimizer) -> None:
    """x, y and z all kept; every number changes, the share of x in y too, which the package does not allow for."""
    x = y = z = start().numpy()
    v, largest, total = np.zeros_like(x), 0.0, 0.0
    for t in range(STEPS):
        n = changing(optimizer, t)
        g = gradient(torch.from_numpy(y), t).numpy()
        if isinstance(optimizer, ScheduleFreeAdamW):
            v = n["beta2"] * v + (1 - n["beta2"]) * g**2
            g = g / (np.sqrt(v / (1 - n["beta2"] ** (t + 1))) + n["eps"])
        beta = n["beta1"] if isinstance(optimizer, ScheduleFreeAdamW) else n["momentum"]
        largest = max(largest, n["lr"])
        w = (t + 1) ** n["r"] * largest ** n["weight_lr_power"]
        total += w
        z = z - n["lr"] * (g + n["weight_decay"] * y)
        x = (1 - w / total) * x + w / total * z
        y = (1 - beta) * z + beta * x
    ours, evaluated = run(optimizer)
    assert_same(ours, torch.from_numpy(y))
    assert_same(evaluated, torch.from_numpy(x))


@pytest.mark.parametrize("optimizer", [ScheduleFreeSGD(), ScheduleFreeAdamW()], ids=label)
def test_schedule_free_rests_while_the_rate_is_zero(optimizer: Optimizer) -> None:
    param, optimizer_state = start(), optimizer.init(start())
    for t in range(3):
        n = {**optimizer.numbers(), "lr": 0.0}
        param, optimizer_state = optimizer.update(param, gradient(param, t), optimizer_state, n, t)
    torch.testing.assert_close(param, start(), rtol=0, atol=1e-15)
    torch.testing.assert_close(optimizer.evaluated(param, optimizer_state, n), start(), rtol=0, atol=1e-15)


def lanes_of(optimizer: Optimizer, t: int, count: int) -> dict[str, Tensor]:
    each = [changing(optimizer, t + 17 * lane) for lane in range(count)]
    return {name: torch.tensor([numbers[name] for numbers in each], dtype=torch.float64) for name in each[0]}


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("optimizer", VARIANTS, ids=label)
def test_a_lane_of_many_is_the_lane_alone(optimizer: Optimizer, traced: bool) -> None:
    """Under vmap, every lane with its own numbers; `t` is a tensor there and an int alone."""
    count, steps = 3, 20
    params = torch.stack([start() + lane for lane in range(count)])
    optimizer_state = torch.vmap(optimizer.init)(params)

    def packed(params: Tensor, grads: Tensor, optimizer_state: State, n: Numbers, t: Tensor) -> tuple[Tensor, State]:
        return torch.vmap(optimizer.update, in_dims=(0, 0, 0, 0, None))(params, grads, optimizer_state, n, t)

    step = (
        make_fx(packed)(params, params.clone(), optimizer_state, lanes_of(optimizer, 0, count), torch.tensor(0))
        if traced
        else packed
    )
    for t in range(steps):
        grads = torch.stack([gradient(param, t) for param in params])
        params, optimizer_state = step(params, grads, optimizer_state, lanes_of(optimizer, t, count), torch.tensor(t))
    evaluated = torch.vmap(optimizer.evaluated)(params, optimizer_state, lanes_of(optimizer, steps - 1, count))
    for lane in range(count):
        param = start() + lane
        memory = optimizer.init(param)
        for t in range(steps):
            n = changing(optimizer, t + 17 * lane)
            param, memory = optimizer.update(param, gradient(param, t), memory, n, t)
        torch.testing.assert_close(params[lane], param, rtol=0, atol=1e-12)
        torch.testing.assert_close(evaluated[lane], optimizer.evaluated(param, memory, n), rtol=0, atol=1e-12)
        for name, slot in memory.items():
            torch.testing.assert_close(optimizer_state[name][lane], slot, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("optimizer", VARIANTS, ids=label)
def test_update_is_pure_and_keeps_dtype_and_shape(optimizer: Optimizer, dtype: torch.dtype) -> None:
    param, grad = start().to(dtype), gradient(start(), 0).to(dtype)
    optimizer_state = optimizer.init(param)
    given = {"param": param, "grad": grad, **optimizer_state}
    before = {name: tensor.clone() for name, tensor in given.items()}
    numbers = {name: torch.tensor(value, dtype=dtype) for name, value in changing(optimizer, 0).items()}
    after, memory = optimizer.update(param, grad, optimizer_state, numbers, 0)
    for name, tensor in before.items():
        torch.testing.assert_close(given[name], tensor, rtol=0, atol=0)
    assert after.dtype is dtype
    assert after.shape == param.shape
    assert set(memory) == set(optimizer_state)
    assert all(
        memory[name].dtype is dtype and memory[name].shape == optimizer_state[name].shape for name in optimizer_state
    )
    storages = {tensor.untyped_storage().data_ptr() for tensor in [*given.values(), *numbers.values()]}
    assert len(storages) == len(given) + len(numbers), "a slot shares memory with the parameter or another slot"
    assert storages.isdisjoint(tensor.untyped_storage().data_ptr() for tensor in [after, *memory.values()])


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 0.9999999])
def test_bias_correction_keeps_its_digits_in_float32(beta: float) -> None:
    single = torch.tensor(beta, dtype=torch.float32)
    for t in (0, 1, 10, 1000, 100_000):
        exact = -math.expm1((t + 1) * math.log(float(single))) if beta else 1.0
        for step in (t, torch.tensor(t)):
            assert bias_correction(single, step).item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("optimizer", [Adam(), AdamW(weight_decay=0.0), ScheduleFreeAdamW(lr=1e-3)], ids=label)
def test_first_step_of_adam_is_the_rate_in_float32(optimizer: Optimizer) -> None:
    param, grad = torch.zeros(3), torch.tensor([1e-3, -1.0, 1e4])
    n = {name: torch.tensor(value) for name, value in optimizer.numbers().items()}
    after, _ = optimizer.update(param, grad, optimizer.init(param), n, torch.tensor(0))
    torch.testing.assert_close(after, -1e-3 * torch.sign(grad), rtol=2e-5, atol=0)


def subclasses(optimizer: type[Optimizer]) -> set[type[Optimizer]]:
    return {optimizer}.union(*(subclasses(below) for below in optimizer.__subclasses__()))


def test_optimizers_lists_every_optimizer_that_has_a_name() -> None:
    ours = {optimizer for optimizer in subclasses(Optimizer) if optimizer.__module__.startswith("lanewise.")}
    assert set(OPTIMIZERS) == {optimizer for optimizer in ours if optimizer.name}
    names = [optimizer.name for optimizer in OPTIMIZERS]
    assert len(set(names)) == len(names)
    assert {type(optimizer) for optimizer in VARIANTS} == set(OPTIMIZERS)


@pytest.mark.parametrize("optimizer", VARIANTS, ids=label)
def test_numbers_and_flags_make_up_the_fields(optimizer: Optimizer) -> None:
    flags = {item.name for item in fields(optimizer) if item.metadata.get("flag")}
    assert {item.name for item in fields(optimizer)} == {*optimizer.number_names(), *flags}
    assert "lr" in optimizer.numbers()
    assert all(f"{name}=" in optimizer.structure() for name in flags)
    assert type(optimizer)(lr=optimizer.lr).structure() == type(optimizer)(lr=0.5).structure()


class Range(Variable):
    def __init__(self, *values: Any) -> None:
        self.values = values

    def extremes(self) -> tuple[Any, ...]:
        return self.values


@pytest.mark.parametrize(
    ("kind", "name"), [(optimizer, name) for optimizer in OPTIMIZERS for name in optimizer.number_names()]
)
def test_every_number_takes_a_schedule_and_refuses_what_is_out_of_range(kind: type[Optimizer], name: str) -> None:
    assert isinstance(getattr(kind(**{name: Timed()}), name), Timed)
    for wrong in (-0.1, math.nan, math.inf, "0.1", True, None, Range(0.5, -0.1)):
        with pytest.raises(InputError, match=rf"{kind.__name__}\.{name}"):
            kind(**{name: wrong})


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (SGD, {"momentum": 1.0}),
        (SGD, {"dampening": 1.1}),
        (Adam, {"beta1": 1.0}),
        (Adam, {"beta2": 1.0}),
        (Adam, {"eps": 0.0}),
        (RMSprop, {"alpha": 1.0}),
        (RMSprop, {"eps": 0.0}),
        (Lion, {"beta1": 1.0}),
        (Muon, {"momentum": 1.0}),
        (Muon, {"adam_eps": 0.0}),
        (ScheduleFreeSGD, {"momentum": 0.0}),
        (ScheduleFreeSGD, {"momentum": 1.0}),
        (ScheduleFreeAdamW, {"beta1": 0.0}),
        (ScheduleFreeAdamW, {"eps": 0.0}),
        (SGD, {"nesterov": 1}),
        (SGD, {"momentum": 0.0, "nesterov": True}),
        (SGD, {"momentum": Range(0.0, 0.9), "nesterov": Range(False, True)}),
        (SGD, {"momentum": 0.9, "dampening": 0.1, "nesterov": True}),
        (SGD, {"momentum": 0.9, "dampening": Timed(), "nesterov": True}),
        (Muon, {"momentum": 0.0}),
    ],
)
def test_limits_and_combinations_are_refused(kind: type[Optimizer], number: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"{kind.__name__}\.\w+ = .*must be"):
        kind(**number)
