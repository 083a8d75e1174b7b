"""The schedule-free optimizers against their authors' package."""

from typing import Any

import pytest
import torch

from lanewise.parts.optimizers import Optimizer, ScheduleFreeAdamW, ScheduleFreeSGD
from tests.parts.test_optimizers import STEPS, assert_same, gradient, run, start

schedulefree = pytest.importorskip("schedulefree")
pytestmark = pytest.mark.oracle

VARIANTS = [
    ScheduleFreeSGD(lr=0.05),
    ScheduleFreeSGD(lr=0.05, momentum=0.6, weight_decay=0.1, r=1.5, weight_lr_power=1.0),
    ScheduleFreeAdamW(lr=0.05),
    ScheduleFreeAdamW(lr=0.05, beta1=0.6, beta2=0.9, eps=1e-3, weight_decay=0.1, r=1.5, weight_lr_power=0.0),
]


def rising_and_falling(optimizer: Optimizer, t: int) -> dict[str, Any]:
    """The rate warms up from 0, and rate and decay change; the momentum stays, as the package needs it."""
    numbers = optimizer.numbers()
    return {
        **numbers,
        "lr": numbers["lr"] * min(t / 10, 1.5 - t / STEPS),
        "weight_decay": numbers["weight_decay"] * (1 + t / STEPS),
    }


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
def test_same_weights_in_training_and_evaluation(optimizer: Optimizer, foreach: bool) -> None:
    def groups(t: int) -> dict[str, Any]:
        n = rising_and_falling(optimizer, t)
        return n if isinstance(optimizer, ScheduleFreeSGD) else {"betas": (n.pop("beta1"), n.pop("beta2")), **n}

    kind = "SGDScheduleFree" if isinstance(optimizer, ScheduleFreeSGD) else "AdamWScheduleFree"
    param = torch.nn.Parameter(start())
    theirs = getattr(schedulefree, kind)([param], foreach=foreach, **{**groups(0), "lr": 0.01})
    theirs.train()
    for t in range(STEPS):
        theirs.param_groups[0].update(groups(t))
        param.grad = gradient(param.detach(), t)
        theirs.step()
    trained, evaluated = run(optimizer, rising_and_falling)
    assert_same(trained, param.detach())
    theirs.eval()
    assert_same(evaluated, param.detach())
    assert not torch.allclose(trained, evaluated, atol=1e-4)
