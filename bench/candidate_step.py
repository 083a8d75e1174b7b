"""Cost of one candidate-step: the digits perceptron, 64-128-10 with batch norm and dropout, batch 64, SGD, cosine.

A plain PyTorch loop trains one candidate at a time; Lanewise trains many as lanes. Both gather their batches, set the
rate of every step from a schedule and update. The plain loops run with one torch thread and with all, and the better
one of a round counts.
"""

import itertools
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lanewise as lw
from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns, timed
from lanewise.lanes.machine.workers import available_threads
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort

BATCH, STEPS = 64, 200
LANES = (8, 32, 128)
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A process that keeps a processor busy for as long as its parent lives."""
RECIPE = lw.Recipe(
    optimizer=lw.SGD(lr=0.1 * lw.Cosine(), momentum=0.9), dropout=0.2, norm_momentum=0.1, batch_size=BATCH, epochs=400
)


def perceptron() -> nn.Module:
    """The model of all contestants."""
    return nn.Sequential(
        nn.Linear(64, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)
    )


def own_module() -> nn.Module:
    """A user's own model of the same layers, which Lanewise knows nothing of."""
    return nn.Sequential(nn.Flatten(), *perceptron())


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The training rows of the first repeat, standardised: what the lanes train on."""
    repeat = Engine(lw.Task("mlp", "digits"), seed=0).repeat(0)
    rows = repeat.split.train
    return repeat.scale.apply(repeat.holdout.pool.x[rows]).flatten(1), repeat.holdout.pool_y[rows]


def plain_loop(x: torch.Tensor, y: torch.Tensor, threads: int, loader: bool) -> float:
    """Seconds of STEPS training steps in plain PyTorch, from indexed tensors or from a DataLoader."""
    torch.set_num_threads(threads)
    model = perceptron().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    def batches_by_index():
        while True:
            order = torch.randperm(len(x))
            for start in range(0, len(x) - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                yield x[rows], y[rows]

    def batches_by_loader():
        while True:
            yield from DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True, drop_last=True)

    def steps() -> None:
        for inputs, targets in itertools.islice(batches_by_loader() if loader else batches_by_index(), STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            scheduler.step()

    try:
        return timed(steps)
    finally:
        torch.set_num_threads(1)


def plain(name: str, loader: bool) -> Contestant:
    """The plain loop at the better of one thread and all."""
    x, y = digits()
    threads = sorted({1, available_threads()})
    return Contestant(name, lambda: (min(plain_loop(x, y, count, loader) for count in threads), STEPS))


def lanes(count: int, model: str | Callable[[], nn.Module] = "mlp") -> Contestant:
    """Lanewise with `count` lanes of one repeat, the way its engine chooses to run them."""
    name = f"Lanewise, {count} lanes" + ("" if model == "mlp" else ", own module")
    engine = Engine(lw.Task(model, "digits"), seed=0, note=lambda line: print(f"  {name}, {line}"))
    cohort = Cohort(engine, [RECIPE] * count, [0], runs_to_come=100)
    share = iter(range(1, 10**9))
    stretch = max(1, 3200 // count)

    def run() -> tuple[float, float]:
        costs = engine.costs
        before = costs.train, costs.lane_steps
        cohort.advance(next(share) * stretch / cohort.groups[0].total_steps)
        return costs.train - before[0], costs.lane_steps - before[1]

    return Contestant(name, run)


def beside_load(quiet: Contestant) -> Contestant:
    """The work of `quiet` beside another process that never rests."""

    def run() -> tuple[float, float]:
        busy = subprocess.Popen([sys.executable, "-c", BUSY])
        try:
            return quiet.run()
        finally:
            busy.kill()
            busy.wait()

    return Contestant(f"{quiet.name}, under load", run)


def main(rounds: int = 11) -> None:
    """Measure and print the table."""
    print(
        f"Cost of one candidate-step, digits perceptron, batch {BATCH}\n{machine()}; {revision()}; n = {rounds} rounds"
    )
    contestants = [
        plain("plain PyTorch loop, tensors indexed", loader=False),
        plain("plain PyTorch loop, DataLoader", loader=True),
        *(lanes(count) for count in LANES),
        lanes(LANES[1], own_module),
    ]
    quiet = contestants[3]
    loaded = beside_load(quiet)
    contestants.append(loaded)
    take_turns(contestants, rounds)
    reference = contestants[0]
    print(f"\n{'who':38}{'microseconds a candidate-step':>34}{'times faster than indexed loop':>36}")
    for contestant in contestants:
        print(f"{contestant.name:38}{spread(contestant.costs, 1e6):>34}{spread(ratios(reference, contestant)):>36}")
    print(f"under load, times the same at rest: {spread(ratios(loaded, quiet), digits=2)}")
    print("median [least, most] over the rounds; ratios are taken within a round")
