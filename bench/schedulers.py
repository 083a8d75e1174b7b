"""Cost of setting the rates of a step: our LRScheduler beside torch's, at 1 and at 100 parameter groups."""

import math

import torch

import lanewise as lw
from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns, timed
from lanewise.bridges.torch_schedule import LRScheduler

STEPS, WARM_UP = 1000, 50


def optimizer(groups: int) -> torch.optim.Optimizer:
    """SGD over `groups` parameter groups of one number each."""
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(groups)], lr=0.1)


def ours(groups: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up and cosine, as one schedule."""
    return LRScheduler(optimizer(groups), lw.Cosine(warmup=f"{WARM_UP}st"), total_steps=STEPS)


def sequential(groups: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up and cosine, as torch chains them."""
    chosen, lrs = optimizer(groups), torch.optim.lr_scheduler
    parts = [lrs.LinearLR(chosen, 1 / WARM_UP, 1.0, WARM_UP), lrs.CosineAnnealingLR(chosen, STEPS - WARM_UP)]
    return lrs.SequentialLR(chosen, parts, milestones=[WARM_UP])


def by_lambda(groups: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up and cosine, as a function of the step."""

    def factor(step: int) -> float:
        if step < WARM_UP:
            return (step + 1) / WARM_UP
        return (1 + math.cos(math.pi * (step - WARM_UP) / (STEPS - WARM_UP))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimizer(groups), factor)


def contestant(name: str, make, groups: int) -> Contestant:
    """A whole run of STEPS steps, without the optimizer's own work."""

    def run() -> tuple[float, float]:
        scheduler = make(groups)
        # torch warns when a scheduler steps before its optimizer; nothing is trained here.
        scheduler.optimizer._opt_called = True

        def steps() -> None:
            for _ in range(STEPS):
                scheduler.step()

        return timed(steps), STEPS

    return Contestant(f"{name}, {groups} group(s)", run)


def main(rounds: int = 15) -> None:
    """Measure and print the table."""
    print(f"Cost of setting the rates of a step\n{machine()}; {revision()}; n = {rounds} rounds")
    rows = []
    for groups in (1, 100):
        own, *others = [
            contestant("Lanewise LRScheduler", ours, groups),
            contestant("torch SequentialLR(LinearLR, Cosine)", sequential, groups),
            contestant("torch LambdaLR", by_lambda, groups),
        ]
        take_turns([own, *others], rounds)
        rows += [(own, None), *((other, ratios(other, own)) for other in others)]
    print(f"\n{'who':52}{'microseconds a step':>24}{'times ours':>22}")
    for who, against in rows:
        print(f"{who.name:52}{spread(who.costs, 1e6):>24}{spread(against, digits=2) if against else '':>22}")
