"""The optimizers as optimizers in a plain loop: torch's numbers, schedulers, groups, state and evaluation weights."""

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.bridges.torch_optimizer import TorchOptimizer, role_groups
from lanewise.errors import InputError
from lanewise.parts.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    GradientDescent,
    Muon,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from lanewise.parts.part import Timed

X = torch.randn(32, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.sin(X.sum(1, keepdim=True))
EVERY_RULE = [kind(lr=0.01) for kind in OPTIMIZERS]


def network() -> nn.Sequential:
    """No bias in front of the batch norm: its gradient is rounding alone, which Adam would amplify."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 5, bias=False), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1)).double()


def optimizer_of(model: nn.Module, optimizer: Optimizer) -> TorchOptimizer:
    return TorchOptimizer(role_groups(model), optimizer)


def loss_of(model: nn.Module) -> Tensor:
    return nn.functional.mse_loss(model(X), Y)


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, each: Callable[[], None] = lambda: None
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        each()


def assert_same(model: nn.Module, other: nn.Module, tolerance: float = 1e-12) -> None:
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)


PAIRS: list[tuple[Optimizer, type[torch.optim.Optimizer], dict[str, Any]]] = [
    (GradientDescent(lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    (SGD(lr=0.1, momentum=0.9, nesterov=True), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (Adam(lr=0.01, beta1=0.8, amsgrad=True), torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.999), "amsgrad": True}),
    (AdamW(lr=0.01, weight_decay=0.3), torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.3}),
    (RMSprop(momentum=0.5, centered=True), torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True}),
]


@pytest.mark.parametrize(("optimizer", "kind", "settings"), PAIRS, ids=lambda value: getattr(value, "name", ""))
def test_under_torchs_scheduler_it_is_torchs_optimizer(
    optimizer: Optimizer, kind: Any, settings: dict[str, Any]
) -> None:
    ours, theirs = network(), network()
    mine, torchs = TorchOptimizer(ours.parameters(), optimizer), kind(theirs.parameters(), **settings)
    for model, stepping in [(ours, mine), (theirs, torchs)]:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(stepping, 100)
        train(model, stepping, 100, scheduler.step)
    assert_same(ours, theirs)
    with pytest.raises(AssertionError):
        assert_same(ours, network(), 1e-3)


def test_torchs_one_cycle_sets_rate_and_momentum() -> None:
    """OneCycleLR finds `momentum` in the groups of any optimizer, ours among them."""
    ours, theirs = network(), network()
    mine = TorchOptimizer(ours.parameters(), SGD(lr=0.1, momentum=0.9))
    for model, optimizer in [(ours, mine), (theirs, torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9))]:
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=51)
        train(model, optimizer, 50, scheduler.step)
    assert mine.param_groups[0]["momentum"] != 0.9
    assert_same(ours, theirs)


def test_groups_differ_by_any_number_and_come_later() -> None:
    ours, theirs = network(), network()
    mine = TorchOptimizer([{"params": ours[0].parameters(), "beta1": 0.5}], Adam(lr=0.01))
    mine.add_param_group({"params": ours[3].parameters(), "lr": 0.1, "eps": 1e-3})
    torchs = torch.optim.Adam([{"params": theirs[0].parameters(), "betas": (0.5, 0.999)}], lr=0.01)
    torchs.add_param_group({"params": theirs[3].parameters(), "lr": 0.1, "eps": 1e-3})
    train(ours, mine, 20)
    train(theirs, torchs, 20)
    assert_same(ours, theirs)


@pytest.mark.parametrize("in_eval", [False, True], ids=["train", "eval"])
@pytest.mark.parametrize("optimizer", EVERY_RULE, ids=lambda optimizer: optimizer.name)
def test_state_dict_resumes_bit_for_bit(optimizer: Optimizer, in_eval: bool) -> None:
    whole = network()
    train(whole, optimizer_of(whole, optimizer), 20)
    half = network()
    first = optimizer_of(half, optimizer)
    train(half, first, 10)
    if in_eval:
        first.eval()
    file = io.BytesIO()
    torch.save({"model": half.state_dict(), "optimizer": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = network()
    resumed.load_state_dict(saved["model"])
    second = optimizer_of(resumed, type(optimizer)(lr=0.5))
    second.load_state_dict(saved["optimizer"])
    second.train()
    train(resumed, second, 10)
    assert_same(whole, resumed, 0)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
def test_a_copy_goes_on_like_the_original(copied: Callable[[Any], Any]) -> None:
    model = network()
    optimizer = optimizer_of(model, Muon())
    train(model, optimizer, 3)
    model_copy, optimizer_copy = copied((model, optimizer))
    train(model, optimizer, 3)
    train(model_copy, optimizer_copy, 3)
    assert_same(model, model_copy, 0)


@pytest.mark.parametrize("optimizer", EVERY_RULE, ids=lambda optimizer: optimizer.name)
def test_evaluating_leaves_the_training_bit_for_bit(optimizer: Optimizer) -> None:
    quiet, watched = network(), network()
    train(quiet, optimizer_of(quiet, optimizer), 20)
    ours = optimizer_of(watched, optimizer)
    moved = []

    def look() -> None:
        before = watched[0].weight.detach().clone()
        ours.eval()
        ours.eval()
        moved.append(not before.equal(watched[0].weight))
        ours.train()
        ours.train()

    train(watched, ours, 20, look)
    assert_same(quiet, watched, 0)
    assert any(moved) == isinstance(optimizer, ScheduleFreeSGD | ScheduleFreeAdamW)


def test_a_step_in_evaluation_mode_is_refused() -> None:
    model = network()
    optimizer = TorchOptimizer(model.parameters(), ScheduleFreeSGD())
    optimizer.eval()
    with pytest.raises(InputError, match=r"call train\(\) before step\(\)"):
        train(model, optimizer, 1)


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw() -> None:
    ours, theirs = network(), network()
    optimizer = Muon(lr=0.0, adam_lr=0.01, adam_weight_decay=0.2)
    groups = role_groups(ours)
    assert [group["role"] for group in groups] == ["weight", "norm", "bias"]
    train(ours, TorchOptimizer(groups, optimizer), 20)
    rest = [param for name, param in theirs.named_parameters() if name not in ("0.weight", "3.weight")]
    train(theirs, torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.2), 20)
    assert_same(ours, theirs)
    with pytest.raises(InputError, match="role: muon needs a role in every group"):
        TorchOptimizer(ours.parameters(), optimizer)
    with pytest.raises(InputError, match="role = 'head': must be one of weight, bias"):
        TorchOptimizer([{"params": list(ours.parameters()), "role": "head"}], optimizer)


def test_role_groups_hold_every_tensor_once() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    model["head"].weight = model["embedding"].weight
    params = [param for group in role_groups(model) for _, param in group["params"]]
    assert {id(param) for param in params} == {id(param) for param in model.parameters()}
    assert len(params) == 2


def test_closure_and_parameters_without_gradient() -> None:
    model = network()
    untouched = nn.Parameter(torch.ones(2))
    optimizer = TorchOptimizer([*model.parameters(), untouched], SGD(lr=0.1))

    def closure() -> float:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss.item()

    first = optimizer.step(closure)
    for _ in range(20):
        last = optimizer.step(closure)
    assert last < first
    assert untouched.equal(torch.ones(2))
    assert not optimizer.state[untouched]


def test_sparse_gradients_are_refused() -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = TorchOptimizer(embedding.parameters(), SGD())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(InputError, match="must be dense"):
        optimizer.step()


def test_numbers_must_be_plain_and_in_range() -> None:
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(InputError, match=r"sgd\.lr = .*: must be a plain number here"):
        TorchOptimizer([weight], SGD(lr=Timed()))
    with pytest.raises(InputError, match=r"Adam.beta1 = 1.5: must be a number in \[0, 1\)"):
        TorchOptimizer([{"params": [weight], "beta1": 1.5}], Adam())
    with pytest.raises(InputError, match=r"Adam.lr = nan"):
        TorchOptimizer([weight], Adam()).add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": math.nan})


@pytest.mark.parametrize("given", [SGD, torch.optim.SGD, "sgd", None])
def test_what_is_no_optimizer_is_refused(given: Any) -> None:
    with pytest.raises(
        InputError, match=r"^TorchOptimizer\.optimizer = .*: must be an optimizer with its numbers, such as"
    ):
        TorchOptimizer([nn.Parameter(torch.ones(2))], given)


def test_state_of_another_optimizer_is_refused() -> None:
    weight = nn.Parameter(torch.ones(2))
    saved = TorchOptimizer([weight], Adam()).state_dict()
    for other in (Adam(amsgrad=True), RMSprop()):
        with pytest.raises(InputError, match=r"state_dict of optimizer 'adam\(amsgrad=false\)': must be of"):
            TorchOptimizer([weight], other).load_state_dict(saved)
    with pytest.raises(InputError, match="state_dict of optimizer None"):
        TorchOptimizer([weight], Adam()).load_state_dict(torch.optim.Adam([weight]).state_dict())
