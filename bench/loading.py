"""A study limited by its DataLoader: augmentation in Python, one program of 16 lanes against separate runs.

Separate runs load and augment every row for each candidate; lanes of a repeat share what was loaded. Both read with two
DataLoader workers.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import lanewise as lw
from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns, timed
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort

ROWS, BATCH, STEPS, WORKERS, LANES = 960, 32, 20, 2, 16
CLASSES, SIDE = 10, 16
WORK = 4000
"""Turns of a Python loop that stand for augmentation: about 0.4 ms a row."""


class Augmented(Dataset[tuple[Tensor, int]]):
    """Images that are shifted by a draw of their own, slowly."""

    def __init__(self) -> None:
        self.images = torch.randn(ROWS, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        self.targets = torch.arange(ROWS) % CLASSES

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        shift = int(torch.randint(-2, 3, ()))
        spent = sum(math.sqrt(turn) for turn in range(WORK))
        return self.images[row].roll(shift, -1) + 0.0 * spent, int(self.targets[row])


def network() -> nn.Module:
    """A perceptron of one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def separate() -> Contestant:
    """One run in a plain loop, as if by itself."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def epochs():
        while True:
            yield from DataLoader(Augmented(), BATCH, shuffle=True, drop_last=True, num_workers=WORKERS)

    batches = epochs()

    def steps() -> None:
        for x, y in itertools.islice(batches, STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return Contestant("plain loop with DataLoader", lambda: (timed(steps), STEPS))


def together() -> Contestant:
    """LANES candidates as lanes of one program."""
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9), batch_size=BATCH, epochs=10_000)
    task = lw.Task(network, DataLoader(Augmented(), num_workers=WORKERS))
    engine = Engine(task, seed=0, note=lambda line: print(f"  {line}"))
    cohort = Cohort(engine, [recipe] * LANES, [0])
    total, rounds = cohort.groups[0].total_steps, iter(range(1, 10**9))

    def run() -> tuple[float, float]:
        before = engine.costs.train, engine.costs.lane_steps
        cohort.advance(next(rounds) * STEPS / total)
        return engine.costs.train - before[0], engine.costs.lane_steps - before[1]

    return Contestant(f"Lanewise, {LANES} lanes", run)


def main(rounds: int = 5) -> None:
    """Measure and print the table."""
    print(f"A study limited by its DataLoader\n{machine()}; {revision()}; n = {rounds} rounds")
    contestants = [separate(), together()]
    take_turns(contestants, rounds)
    print(f"\n{'who':38}{'milliseconds a candidate-step':>34}{'candidates an hour, times':>30}")
    for one in contestants:
        print(f"{one.name:38}{spread(one.costs, 1e3, 2):>34}{spread(ratios(contestants[0], one)):>30}")
    print("median [least, most] over the rounds; ratios are taken within a round")
