"""Cost of one candidate-step of the models that people train, beside the plain loops that they would write.

Lanewise runs eight lanes of one repeat in the way that its engine chooses. Beside it the plain loop, the layout
channels-last where there are convolutions, and the loop compiled by `torch.compile`; each loop with one thread and with
all. Two figures for each model: processor seconds, where every loop has one thread, and wall seconds, where the better
of one and all threads counts for each loop. All train on the same data, in float32, with SGD and momentum.
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

import lanewise as lw
from bench.models import Case, cases
from bench.rounds import machine, revision, spread
from lanewise.lanes.machine.workers import available_threads
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort

LANES = 8
SECONDS = 0.4
"""Of one contestant's turn, about."""
IMAGE_AXES = 4
LANE_STEPS = 1e6
"""Steps that compiling is charged to: those of a race of 48 candidates in 3 repeats, 20 epochs of 350 batches each."""


@dataclass
class Way:
    """A way to train; `run(steps)` trains so many steps of one candidate each.

    Attributes:
        wall, processor: seconds a candidate-step, round by round. steps: of a turn.
    """

    name: str
    run: Callable[[int], None]
    lanes: int = 1
    steps: int = 1
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def turn(self, counts: bool = True) -> float:
        """One turn; returns its wall seconds."""
        begun, busy = time.perf_counter(), time.process_time()
        self.run(self.steps)
        wall, processor = time.perf_counter() - begun, time.process_time() - busy
        if counts:
            self.wall.append(wall / (self.steps * self.lanes))
            self.processor.append(processor / (self.steps * self.lanes))
        return wall


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of numbers, else cross entropy of rows or of tokens."""
    if targets.is_floating_point():
        return F.mse_loss(outputs, targets)
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def loop(case: Case, threads: int, channels_last: bool, compiled: bool) -> Callable[[int], None]:
    """The plain loop."""
    x, y = case.data
    model = case.model().train()
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    run = torch.compile(model) if compiled else model
    places = itertools.cycle(range(0, len(x) - case.batch + 1, case.batch))

    def steps(count: int) -> None:
        torch.set_num_threads(threads)
        try:
            for _ in range(count):
                at = next(places)
                optimizer.zero_grad()
                loss_of(run(x[at : at + case.batch]), y[at : at + case.batch]).backward()
                optimizer.step()
        finally:
            torch.set_num_threads(1)

    return steps


def loops(case: Case) -> list[Way]:
    """Every plain loop, with one thread and with all."""
    images = case.data[0].ndim == IMAGE_AXES
    found = []
    for last, compiled in itertools.product((False, True) if images else (False,), (False, True)):
        name = "plain" + ", channels-last" * last + ", compiled" * compiled
        found += [
            Way(f"{name}, {threads} thread(s)", loop(case, threads, last, compiled))
            for threads in sorted({1, available_threads()})
        ]
    return found


def lanes(case: Case) -> Way:
    """Lanewise with `LANES` lanes of one repeat."""
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.01 * lw.Cosine(), momentum=0.9), batch_size=case.batch, epochs=10_000)
    task = lw.Task(case.model, lw.load(case.data, standardise=False))
    engine = Engine(task, seed=0, note=lambda line: print(f"  {line}", flush=True))
    steps_per_epoch = engine.feed(recipe, 0).steps_per_epoch
    total, reached = 10_000 * steps_per_epoch, 0
    cohort = Cohort(engine, [recipe] * LANES, [0], runs_to_come=LANE_STEPS / (total * LANES))

    def run(steps: int) -> None:
        nonlocal reached
        reached += steps
        cohort.advance(reached / total)

    return Way("Lanewise", run, LANES)


def measure(case: Case, rounds: int) -> tuple[float, float]:
    """(processor, wall): how many times cheaper Lanewise is than the best plain loop, medians over the rounds."""
    # What was compiled for other models counts against what torch compiles anew.
    torch.compiler.reset()
    ways = [*loops(case), lanes(case)]
    for way in ways:
        way.turn(counts=False)
        way.steps = max(1, round(SECONDS / max(1e-4, way.turn(counts=False))))
    for number in range(rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            way.turn()
    *plain, ours = ways
    single = [way for way in plain if way.name.endswith(", 1 thread(s)")]
    busy = [min(costs) / own for *costs, own in zip(*(way.processor for way in (*single, ours)), strict=True)]
    wall = [min(costs) / own for *costs, own in zip(*(way.wall for way in (*plain, ours)), strict=True)]
    first = [one / own for one, own in zip(plain[0].processor, ours.processor, strict=True)]
    best = min(plain, key=lambda way: statistics.median(way.wall))
    for way in plain:
        one = [a / b for a, b in zip(way.processor, ours.processor, strict=True)]
        other = [a / b for a, b in zip(way.wall, ours.wall, strict=True)]
        print(f"  {way.name:48}{spread(one, digits=2):>22}{spread(other, digits=2):>22}")
    print(
        f"{case.name:18}{spread(ours.wall, 1e3, 2):>26}{spread(first, digits=2):>22}{spread(busy, digits=2):>22}"
        f"{spread(wall, digits=2):>22}  {best.name}",
        flush=True,
    )
    return statistics.median(busy), statistics.median(wall)


def main(rounds: int = 5, only: str = "") -> None:
    """Measure and print the table; `only` names a part of the models' names."""
    torch.set_num_threads(1)
    print(f"Cost of one candidate-step of the models that people train, {LANES} lanes")
    print(f"{machine()}; {revision()}; n = {rounds} rounds")
    print(
        f"{'model':18}{'ms a candidate-step':>26}{'plain/ours, cpu':>22}{'best/ours, cpu':>22}{'best/ours, wall':>22}"
    )
    found = [measure(case, rounds) for case in cases() if only in case.name]
    for name, values in zip(("processor", "wall"), zip(*found, strict=True), strict=True):
        mean = math.exp(statistics.fmean(map(math.log, values)))
        print(f"{name}: geometric mean {mean:.2f}, least {min(values):.2f} times cheaper than the best plain loop")
    print("median [least, most] over the rounds; ratios are taken within a round")


def with_options(arguments: list[str]) -> None:
    """`--rounds N`, `--only NAME`."""
    parser = argparse.ArgumentParser(prog="python -m bench networks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of a model's name")
    given = parser.parse_args(arguments)
    main(given.rounds, given.only)
