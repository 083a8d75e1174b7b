"""Penalties in a plain loop: against torch's own where it has them, and against the objective they stand for."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.bridges.torch_optimizer import TorchOptimizer, role_groups
from lanewise.bridges.torch_penalties import Penalty, selected
from lanewise.errors import InputError
from lanewise.parts.optimizers import Muon

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = X[:, :1] - 2 * X[:, 1:2]
WEIGHTS = {"0.weight", "3.weight"}


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 1)).double()


def loss_of(model: nn.Module) -> Tensor:
    return nn.functional.mse_loss(model(X), Y)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, penalty: Penalty | None = None, steps: int = 50) -> None:
    """By hand where a penalty is given."""
    lr = optimizer.param_groups[0]["lr"]
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        if penalty is not None:
            penalty.add_gradients()
            penalty.decay_weights(lr)
        optimizer.step()
        if penalty is not None:
            penalty.after_step(lr)


def torch_groups(model: nn.Module, **on_weights: float) -> list[dict[str, Any]]:
    named = dict(model.named_parameters())
    return [
        {"params": [param for name, param in named.items() if name in WEIGHTS], **on_weights},
        {"params": [param for name, param in named.items() if name not in WEIGHTS], "weight_decay": 0.0},
    ]


def assert_same(model: nn.Module, other: nn.Module, tolerance: float = 1e-12) -> None:
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("attached", [False, True], ids=["by hand", "attached"])
@pytest.mark.parametrize("kind", ["l2", "decay"])
def test_l2_and_decay_on_weights_are_torchs(kind: str, attached: bool) -> None:
    ours, theirs = network(), network()
    penalty = Penalty(ours, l2=0.3) if kind == "l2" else Penalty(ours, decay=0.3)
    torchs = torch.optim.Adam if kind == "l2" else torch.optim.AdamW
    mine = torch.optim.Adam(ours.parameters(), lr=0.02)
    if attached:
        penalty.attach(mine)
    train(ours, mine, None if attached else penalty)
    train(theirs, torchs(torch_groups(theirs, weight_decay=0.3), lr=0.02))
    assert_same(ours, theirs)


def test_elastic_net_is_the_gradient_of_its_value() -> None:
    ours, theirs = network(), network()
    penalty, value = Penalty(ours, l2=0.1, l1=0.02), Penalty(theirs, l2=0.1, l1=0.02).value
    train(ours, torch.optim.SGD(ours.parameters(), lr=0.1), penalty)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        (loss_of(theirs) + value()).backward()
        optimizer.step()
    assert_same(ours, theirs)


def lasso(l1_step: Any) -> tuple[nn.Linear, Penalty]:
    model = nn.Linear(6, 1, bias=False).double()
    nn.init.constant_(model.weight, 0.5)
    penalty = Penalty(model, l1=0.3, l1_step=l1_step)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    penalty.attach(optimizer)
    train(model, optimizer, steps=300)
    return model, penalty


def test_proximal_step_solves_the_lasso_with_exact_zeros() -> None:
    """At the optimum each zero weight's gradient is at most l1, each other's is l1 against its sign."""
    model, penalty = lasso("proximal")
    (gradient,) = torch.autograd.grad(loss_of(model), [model.weight])
    weight = model.weight.detach()
    assert penalty.zeros() == (4, 6)
    assert ((weight == 0) == (gradient.abs() < 0.3 - 1e-6)).all()
    kept = weight != 0
    torch.testing.assert_close(gradient[kept], -0.3 * torch.sign(weight[kept]), rtol=0, atol=1e-8)
    assert lasso("subgradient")[1].zeros() == (0, 6)


def test_independent_decay_ignores_the_rate() -> None:
    model = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    penalty = Penalty(model, decay=0.5, decay_by="independent")
    penalty.attach(optimizer)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert model.weight.tolist() == [[0.5, 0.5]]


def test_per_row_divides_l2_and_l1_but_not_decay() -> None:
    model = network()
    per_row = Penalty(model, l2=64 * 0.2, l1=64 * 0.1, per="row", rows=64)
    per_mean = Penalty(model, l2=0.2, l1=0.1)
    torch.testing.assert_close(per_row.value(), per_mean.value(), rtol=0, atol=1e-12)
    gradients = []
    for penalty in (per_row, per_mean):
        model.zero_grad()
        loss_of(model).backward()
        penalty.add_gradients()
        gradients.append([param.grad for param in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
    assert Penalty(model, decay=0.1, per="row", rows=64).decay == 0.1


def test_attached_to_groups_it_goes_by_their_rates() -> None:
    """Muon's embeddings move at `adam_lr`, its matrices at `lr`."""
    model = nn.ModuleDict({"embedding": nn.Embedding(3, 2), "head": nn.Linear(2, 1, bias=False)}).double()
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    optimizer = TorchOptimizer(role_groups(model), Muon(lr=0.5, adam_lr=0.25))
    Penalty(model, decay=0.4, select=lambda name, param: True).attach(optimizer)
    for param in model.parameters():
        param.grad = torch.zeros_like(param)
    optimizer.step()
    torch.testing.assert_close(model["embedding"].weight.data, 0.9 * before["embedding.weight"])
    torch.testing.assert_close(model["head"].weight.data, 0.8 * before["head.weight"])


def test_attached_to_two_optimizers_each_parameter_is_penalised_once() -> None:
    ours, theirs = network(), network()
    penalty = Penalty(ours, l2=0.3)
    pair = [torch.optim.SGD(ours[place].parameters(), lr=0.1) for place in (0, 3)]
    for optimizer in pair:
        penalty.attach(optimizer)
    loss_of(ours).backward()
    for optimizer in pair:
        optimizer.step()
    train(
        theirs, torch.optim.SGD([*theirs[0].parameters(), *theirs[3].parameters()], lr=0.1), Penalty(theirs, l2=0.3), 1
    )
    assert_same(ours, theirs)


def test_detached_it_does_nothing_more() -> None:
    ours, theirs = network(), network()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    for hook in Penalty(ours, l2=0.3, decay=0.1, l1=0.1, l1_step="proximal").attach(optimizer):
        hook.remove()
    train(ours, optimizer)
    train(theirs, torch.optim.SGD(theirs.parameters(), lr=0.1))
    assert_same(ours, theirs, 0)


def test_parameters_without_a_gradient_rest() -> None:
    model = network()
    before = [param.detach().clone() for param in model.parameters()]
    penalty = Penalty(model, l2=0.1, l1=0.1, l1_step="proximal", decay=0.1)
    penalty.add_gradients()
    penalty.decay_weights(0.1)
    penalty.after_step(0.1)
    assert all(param.equal(old) for param, old in zip(model.parameters(), before, strict=True))


def test_selection_by_role_function_and_names() -> None:
    model = network()
    assert set(selected(model)) == WEIGHTS
    assert set(selected(model, lambda name, param: param.ndim == 1)) == {"0.bias", "1.weight", "1.bias", "3.bias"}
    assert set(selected(model, ["0.bias", "1.weight"])) == {"0.bias", "1.weight"}
    assert set(selected(model, "0.bias")) == {"0.bias"}
    tied = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    tied["b"].weight = tied["a"].weight
    assert set(selected(tied)) == set(selected(tied, ["b.weight"])) == {"a.weight"}


def test_set_follows_a_schedule_within_the_range() -> None:
    penalty = Penalty(network(), l2=0.1)
    full = penalty.value().item()
    penalty.set(l2=0.05)
    assert penalty.value().item() == pytest.approx(full / 2)
    with pytest.raises(InputError, match="rate = 1: must be one of l2, l1, decay"):
        penalty.set(rate=1)
    with pytest.raises(InputError, match=r"Penalty.l2 = -1: must be a number in \[0, inf\)"):
        penalty.set(l2=-1)


def test_a_model_without_weights_is_refused_only_where_it_matters() -> None:
    penalty = Penalty(nn.LayerNorm(3))
    penalty.set(l2=0.0)
    assert penalty.value().item() == 0
    with pytest.raises(InputError, match=r"Penalty\.l1 = 0.1: must be 0, no parameter has the role weight"):
        penalty.set(l1=0.1)


def test_decay_is_not_forgotten_silently() -> None:
    model = network()
    loss_of(model).backward()
    penalty = Penalty(model, decay=0.1)
    with pytest.raises(InputError, match=r"decay = 0.1: call decay_weights\(lr\) before"):
        penalty.after_step(0.1)


def test_a_closure_is_refused_when_attached() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Penalty(model, l2=0.1).attach(optimizer)
    with pytest.raises(InputError, match="closure: an attached penalty"):
        optimizer.step(lambda: 0.0)
    with pytest.raises(InputError, match="closure: an attached penalty"):
        optimizer.step(closure=lambda: 0.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"l2": -0.1}, r"Penalty.l2 = -0.1: must be a number in \[0, inf\)"),
        ({"l1": math.nan}, "Penalty.l1 = nan: must be"),
        ({"decay": math.inf}, "Penalty.decay = inf: must be"),
        ({"decay": 1.5, "decay_by": "independent"}, r"Penalty.decay = 1.5: must be a number in \[0, 1\]"),
        ({"l1_step": "soft"}, "l1_step = 'soft': must be one of subgradient, proximal"),
        ({"decay_by": "lr"}, "decay_by = 'lr': must be one of rate, independent"),
        ({"per": "batch"}, "per = 'batch': must be one of mean, row"),
        ({"per": "row"}, "rows = None: must be an integer"),
        ({"select": ["0.weigth"]}, "select = '0.weigth': must be one of 0.weight, 0.bias"),
        ({"select": []}, r"select = \[\]: selects none of 0.weight"),
    ],
)
def test_bad_input_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Penalty(network(), **given)
