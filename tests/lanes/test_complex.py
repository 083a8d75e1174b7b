"""Complex weights count as two reals: in lanes, trained alone and in a plain loop, they come to the same."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.penalties import penalty_gradient, penalty_value, proximal_l1
from lanewise.parts.roles import penalised
from lanewise.train import train

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 6))
Y = (X[:, 0] + 0.5 * RANDOM.normal(size=120) > 0).astype(np.int64)


class Spectral(nn.Module):
    """A filter in frequency, and a unitary mixing."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.complex(torch.ones(4), torch.linspace(-1, 1, 4)))
        self.mixing = nn.Parameter(torch.complex(torch.eye(6), torch.zeros(6, 6)))
        self.register_buffer("phase", torch.complex(torch.zeros(4), torch.ones(4)))
        self.out = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x.to(self.mixing.dtype) @ self.mixing).abs()
        return self.out(torch.fft.irfft(torch.fft.rfft(x) * self.filter * self.phase, n=6))


def lane_loss(task: lw.Task, recipe: lw.Recipe, packed: bool, seed: int = 3) -> float:
    """Validation loss of the first of three lanes, float64, eager."""
    task.check_model()
    plan = Plan(packed=packed, compiled=False, width=4 if packed else 1, workers=1, threads=1)
    plans = {str(recipe.structure()): plan}
    cohort = Cohort(Engine(task, seed, threads=1, dtype=torch.float64, plans=plans), [recipe] * 3, [0])
    cohort.advance(1.0)
    return float(cohort.evaluate().loss[0, 0])


OPTIMIZERS = [
    lw.SGD(lr=0.1, momentum=0.9),
    lw.Adam(lr=0.05, amsgrad=True),
    lw.RMSprop(lr=0.01, centered=True),
    lw.Lion(lr=0.01),
    lw.Muon(lr=0.02),
    lw.ScheduleFreeAdamW(lr=0.05),
]
TECHNIQUES: list[dict[str, Any]] = [
    {"l2": 0.1, "l1": 0.01, "clip": 0.5, "ema": 0.9, "penalised": ("*",)},
    {"l1": 0.05, "l1_step": "proximal", "decay": 0.1, "average_from": 0.3, "penalised": ("*",)},
]


@pytest.mark.parametrize("techniques", TECHNIQUES, ids=["clip, ema", "proximal, average"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_lanes_and_training_alone_agree(optimizer: Any, techniques: dict[str, Any]) -> None:
    task, recipe = lw.Task(Spectral, (X, Y)), lw.Recipe(optimizer=optimizer, batch_size=20, epochs=1, **techniques)
    alone = train(task, recipe, seed=3, dtype=torch.float64)
    assert alone.model.filter.dtype is torch.complex128
    for packed in (True, False):
        assert lane_loss(task, recipe, packed) == pytest.approx(alone.validation[0], abs=1e-9)


def test_imaginary_parts_are_kept() -> None:
    model = lw.Task(Spectral, (X, Y)).new_model(0)
    assert model.filter.imag.detach().tolist() == pytest.approx(np.linspace(-1, 1, 4).tolist())
    assert (model.phase.dtype, model.out.weight.dtype) == (torch.complex64, torch.float32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lw.Adam(lr=0.01), lambda p: torch.optim.Adam(p, 0.01)),
        (lw.Adam(lr=0.01, amsgrad=True), lambda p: torch.optim.Adam(p, 0.01, amsgrad=True)),
        (lw.RMSprop(lr=0.01, momentum=0.5), lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5)),
        (lw.SGD(lr=0.01, momentum=0.9), lambda p: torch.optim.SGD(p, 0.01, momentum=0.9)),
    ],
)
def test_optimizers_do_as_torch(ours: Any, theirs: Any) -> None:
    start = torch.randn(4, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    mine, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = lw.TorchOptimizer([mine], ours), theirs([other])
    for step in range(20):
        grad = torch.randn(4, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(step))
        mine.grad, other.grad = grad.clone(), grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
    again = lw.TorchOptimizer([nn.Parameter(start.clone())], ours)
    again.load_state_dict(optimizers[0].state_dict())


def test_penalties_take_both_parts() -> None:
    param = torch.tensor([3 - 4j])
    assert penalty_value([param], l2=2.0, l1=1.0).item() == 32
    assert penalty_gradient(param, 0.5, 0.25).tolist() == [1.75 - 2.25j]
    assert proximal_l1(param, 3.5).tolist() == [-0.5j]


class Tied(nn.Module):
    """Two layers that share their weights, which are trained under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


@pytest.mark.parametrize("techniques", [{"ema": 0.8}, {"average_from": 0.2}, {"l2": 0.1, "clip": 0.3, "ema": 0.5}])
def test_tied_weights_are_averaged_and_penalised_once(techniques: dict[str, Any]) -> None:
    task = lw.Task(Tied, (X, Y))
    recipe = lw.Recipe(optimizer=lw.Muon(lr=0.05), batch_size=20, epochs=1, **techniques)
    alone = train(task, recipe, seed=3, dtype=torch.float64).validation[0]
    assert lane_loss(task, recipe, packed=True) == pytest.approx(alone, abs=1e-9)


def test_decay_of_a_schedule_free_optimizer_begins_with_the_weights_given() -> None:
    task = lw.Task(Tied, (X, Y))
    recipe = lw.Recipe(optimizer=lw.ScheduleFreeSGD(lr=0.1), decay=0.1, batch_size=20, epochs=1)
    alone = train(task, recipe, seed=3, dtype=torch.float64).validation[0]
    assert lane_loss(task, recipe, packed=True) == pytest.approx(alone, abs=1e-9)


def test_a_tied_weight_is_penalised_by_any_of_its_names() -> None:
    assert penalised(Tied(), ["second.weight"]) == {"first.weight", "second.weight"}


def test_two_parameters_in_one_memory_are_refused() -> None:
    class Shared(Tied):
        def __init__(self) -> None:
            super().__init__()
            self.second.weight = nn.Parameter(self.first.weight.data)

    with pytest.raises(lw.InputError, match=r"first\.weight and second\.weight are two parameters in the same memory"):
        lw.Task(Shared, (X, Y)).check_model()


def test_complex_weights_are_not_compiled() -> None:
    engine = Engine(lw.Task(Spectral, (X, Y)), 0, threads=1)
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=20, epochs=1)
    plan = engine.prepare(recipe, 0, 4, 1, lane_steps=10**9).plan
    assert not plan.compiled
