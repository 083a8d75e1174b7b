"""Schedulers of ours among torch's: in its sequences and chains, beside its plateau, copied and resumed."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as theirs

from lanewise.bridges.torch_schedule import LRScheduler
from lanewise.parts.schedules import Cosine, Linear
from tests.bridges.test_torch_schedule import go, parameter, rate, sgd


def in_torch(kind: str) -> tuple[torch.optim.Optimizer, theirs.LRScheduler]:
    """Ours in one of torch's compositions, each on an optimizer of its own with the rate 1."""
    optimizer = sgd(lr=1.0, momentum=0.9)
    # In the order that they are built: each of torch's writes its first rate at once.
    makers: dict[str, list[Callable[[], theirs.LRScheduler]]] = {
        "sequence, ours last": [lambda: theirs.ConstantLR(optimizer, 0.5, 2), lambda: ours(Linear())],
        "sequence, ours first": [lambda: ours(Linear()), lambda: theirs.ExponentialLR(optimizer, 0.9)],
        "sequence, both ours": [lambda: ours(Linear()), lambda: ours(Cosine())],
        "chain, ours first": [lambda: ours(Linear()), lambda: theirs.ConstantLR(optimizer, 0.5, 2)],
        "chain, ours last": [lambda: theirs.ConstantLR(optimizer, 0.5, 2), lambda: ours(Linear())],
        "chain, exponential": [lambda: theirs.ExponentialLR(optimizer, 0.9), lambda: ours(Linear())],
        "chain, both ours": [lambda: ours(Linear()), lambda: ours(Linear())],
    }

    def ours(schedule: Any) -> LRScheduler:
        return LRScheduler(optimizer, {"lr": schedule, "momentum": 1.0}, 10)

    made = [make() for make in makers[kind]]
    if kind.startswith("chain"):
        return optimizer, theirs.ChainedScheduler(made)
    return optimizer, theirs.SequentialLR(optimizer, made, milestones=[2])


COMPOSED = {
    "sequence, ours last": [0.5, 0.5, 1.0, 0.9, 0.8, 0.7],
    "sequence, ours first": [1.0, 0.9, 1.0, 0.9, 0.81, 0.729],
    "sequence, both ours": [1.0, 0.9, *(0.5 + 0.5 * np.cos(np.pi * np.arange(4) / 10))],
    "chain, ours first": [0.5, 0.45, 0.8, 0.7, 0.6, 0.5],
    "chain, ours last": [0.5, 0.45, 0.8, 0.7, 0.6, 0.5],
    "chain, exponential": [(1 - t / 10) * 0.9**t for t in range(6)],
    "chain, both ours": [(1 - t / 10) ** 2 for t in range(6)],
}


@pytest.mark.parametrize("kind", COMPOSED)
def test_takes_part_in_torchs_compositions(kind: str) -> None:
    optimizer, scheduler = in_torch(kind)
    assert go(optimizer, scheduler, 6) == pytest.approx(COMPOSED[kind])
    assert scheduler.get_last_lr() == [rate(optimizer)]


# torch's own schedulers look for a mark at the optimizer's step, which no copy has.
@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning")
@pytest.mark.parametrize("done", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", COMPOSED)
def test_compositions_resume(kind: str, done: int) -> None:
    optimizer, scheduler = in_torch(kind)
    go(optimizer, scheduler, done)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    copies = [copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))]
    expected = go(optimizer, scheduler, 5)
    for one in copies:
        assert go(one.optimizer, one, 5) == pytest.approx(expected)
    for order in (0, 1), (1, 0):
        again = in_torch(kind)
        for which in order:
            again[which].load_state_dict(copy.deepcopy(states[which]))
        assert go(*again, 5) == pytest.approx(expected)


def test_beside_a_plateau_of_torchs() -> None:
    optimizer = sgd(lr=1.0)
    scheduler, plateau = (
        LRScheduler(optimizer, Linear(), 10),
        theirs.ReduceLROnPlateau(optimizer, "min", 0.5, patience=0),
    )
    seen = []
    for metric in (1.0, 0.5, 0.6, 0.4):
        seen.append(rate(optimizer))
        optimizer.step()
        scheduler.step()
        plateau.step(metric)
    assert seen == pytest.approx([1.0, 0.9, 0.8, 0.35])


def test_what_others_read_and_write_of_a_scheduler() -> None:
    optimizer = sgd(lr=1.0)
    scheduler = LRScheduler(optimizer, Linear(), 10)
    assert scheduler.base_lrs == [1.0]
    scheduler.base_lrs = [2.0]
    scheduler._last_lr = [7.0]
    scheduler.step(epoch=5)
    assert scheduler.get_last_lr() == [1.0]
    copied = copy.deepcopy(scheduler)
    copied.optimizer.add_param_group({"params": [parameter()], "lr": 3.0})
    copied.optimizer.step()
    assert rate(copied.optimizer, 1) == 1.5
