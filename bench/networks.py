"""Cost of one candidate-step of larger models: convolutional networks on 28 x 28 and a small transformer.

Lanewise runs them the way its engine chooses. Beside it the plain loop as users run it, and its faster relatives: the
layout channels-last, and the loop compiled by `torch.compile`. Each loop is measured with one thread and with all, and
the better of the two counts in every round. All train on the same shapes of random data, in float32, and one of each
under bfloat16 autocast.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lanewise as lw
from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns, timed
from lanewise.lanes.machine.workers import available_threads
from lanewise.lanes.model.precision import PRECISIONS
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort

ROWS, STEPS = 320, 3
VOCABULARY, TOKENS, WIDTH, LAYERS = 64, 64, 128, 4


def cnn(first: int, second: int) -> Callable[[], nn.Module]:
    """Two convolutions with batch norm and pooling, and a dense layer."""

    def made() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(second * 49, 10),
        )  # fmt: skip

    return made


class Transformer(nn.Module):
    """Causal attention through `scaled_dot_product_attention`, four heads, layer norm in front of each part."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCABULARY, WIDTH), nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH),
                 nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)]
            )
            for _ in range(LAYERS)
        )  # fmt: skip
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place
        for before, qkv, out, between, wide, narrow in self.layers:
            q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in qkv(before(x)).chunk(3, -1))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + out(mixed.transpose(1, 2).flatten(2))
            x = x + narrow(F.gelu(wide(between(x))))
        return self.head(x)


@dataclass(frozen=True)
class Case:
    """A model with its data, batch size and the lanes to try it with."""

    name: str
    model: Callable[[], nn.Module]
    data: tuple[Tensor, Tensor]
    batch: int
    lanes: tuple[int, ...]


def cases() -> list[Case]:
    """The models of the table."""
    torch.manual_seed(0)
    images = torch.randn(ROWS, 1, 28, 28), torch.arange(ROWS) % 10
    tokens = torch.randint(VOCABULARY, (ROWS, TOKENS)), torch.randint(VOCABULARY, (ROWS, TOKENS))
    return [
        Case("cnn 32-64", cnn(32, 64), images, 64, (8,)),
        Case("cnn 8-16", cnn(8, 16), images, 64, (16,)),
        Case("transformer", Transformer, tokens, 16, (8,)),
    ]


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of rows or of tokens."""
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def loop(case: Case, threads: int, channels_last: bool, compiled: bool, bfloat16: bool) -> Callable[[], float]:
    """Seconds of STEPS steps of the plain loop."""
    x, y = case.data
    model = case.model().train()
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    run = torch.compile(model) if compiled else model
    places = itertools.cycle(range(0, ROWS - case.batch + 1, case.batch))

    def step() -> None:
        at = next(places)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs = run(x[at : at + case.batch])
        loss_of(outputs.float(), y[at : at + case.batch]).backward()
        optimizer.step()

    def steps() -> float:
        torch.set_num_threads(threads)
        try:
            return timed(lambda: [step() for _ in range(STEPS)])
        finally:
            torch.set_num_threads(1)

    return steps


def plain(
    case: Case, name: str, channels_last: bool = False, compiled: bool = False, bfloat16: bool = False
) -> Contestant:
    """The plain loop at the better of one thread and all."""
    runs = [loop(case, count, channels_last, compiled, bfloat16) for count in sorted({1, available_threads()})]
    return Contestant(f"{case.name}: {name}", lambda: (min(run() for run in runs), STEPS))


def lanes(case: Case, count: int, precision: str = "float32") -> Contestant:
    """Lanewise with `count` lanes of one repeat."""
    name = f"{case.name}: Lanewise, {count} lanes{', bfloat16' * (precision == 'bfloat16')}"
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.01 * lw.Cosine(), momentum=0.9), batch_size=case.batch, epochs=100_000)
    task = lw.Task(case.model, case.data)
    engine = Engine(task, seed=0, precision=precision, note=lambda line: print(f"  {name}, {line}"))
    cohort = Cohort(engine, [recipe] * count, [0], runs_to_come=1.0)
    total = cohort.groups[0].total_steps
    rounds = iter(range(1, 10**9))

    def run() -> tuple[float, float]:
        before = engine.costs.train, engine.costs.lane_steps
        cohort.advance(next(rounds) * STEPS / total)
        return engine.costs.train - before[0], engine.costs.lane_steps - before[1]

    return Contestant(name, run)


def main(rounds: int = 7) -> None:
    """Measure and print the table."""
    print(f"Cost of one candidate-step of larger models\n{machine()}; {revision()}; n = {rounds} rounds")
    print(f"\n{'who':44}{'milliseconds a candidate-step':>34}{'times faster than the plain loop':>36}")
    for case in cases():
        images = case.data[0].ndim == 4
        loops = [plain(case, "plain loop"), plain(case, "compiled", compiled=True)]
        if images:
            loops.append(plain(case, "channels-last", channels_last=True))
            loops.append(plain(case, "channels-last, compiled", channels_last=True, compiled=True))
        half = plain(case, "plain loop, bfloat16", channels_last=images, bfloat16=True)
        ours = [lanes(case, count, precision) for count in case.lanes for precision in PRECISIONS]
        contestants = [*loops, half, *ours]
        take_turns(contestants, rounds)
        for one in contestants:
            faster = spread(ratios(contestants[0], one), digits=2)
            print(f"{one.name:44}{spread(one.costs, 1e3, 2):>34}{faster:>36}")
        best = [min(costs) for costs in zip(*(each.costs for each in loops), strict=True)]
        against = [a / b for a, b in zip(best, ours[0].costs, strict=True)]
        print(f"{case.name}: the best loop of each round costs {spread(against, digits=2)} times {ours[0].name}")
    print("median [least, most] over the rounds; ratios are taken within a round")
