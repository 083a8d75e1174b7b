"""Cost of one candidate-step of low-rank adapters beside separate runs: rank 8, 16 lanes, 4 layers of width 256.

The separate run is the same adapted model in a plain loop of one thread, which computes no gradient of a frozen weight
either. Processor seconds, in float32, with AdamW; the ways take turns, and ratios are taken within a round.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lanewise as lw
from bench.networks import RUNS, SECONDS, Way
from bench.rounds import machine, revision, spread
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort

LANES, WIDTH, LAYERS, VOCABULARY, CLASSES = 16, 256, 4, 512, 4
SHAPES = ((1, 16), (4, 16), (8, 32))
"""Rows of a batch, and tokens of a row."""
EPOCHS = 10_000


class Block(nn.Module):
    """Attention and a perceptron, each normalised before."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        given = self.norm1(x)
        heads = [part(given).unflatten(-1, (4, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)]
        x = x + self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


class Transformer(nn.Module):
    """Classes of rows of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.body = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens)).mean(1))


def separate(make: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int) -> Way:
    """One run in a plain loop."""
    model = make().train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    places = itertools.cycle(range(0, len(x) - batch + 1, batch))

    def steps(count: int) -> None:
        for _ in range(count):
            at = next(places)
            optimizer.zero_grad()
            F.cross_entropy(model(x[at : at + batch]), y[at : at + batch]).backward()
            optimizer.step()

    return Way("separate", steps)


def together(make: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int) -> Way:
    """`LANES` lanes of one repeat."""
    recipe = lw.Recipe(optimizer=lw.AdamW(lr=1e-3 * lw.Cosine()), batch_size=batch, epochs=EPOCHS)
    engine = Engine(lw.Task(make, (x, y)), seed=0, threads=1, note=lambda line: print(f"  {line}", flush=True))
    total, reached = EPOCHS * engine.feed(recipe, 0).steps_per_epoch, 0
    cohort = Cohort(engine, [recipe] * LANES, [0], runs_to_come=RUNS / EPOCHS)

    def run(steps: int) -> None:
        nonlocal reached
        reached += steps
        cohort.advance(reached / total)

    return Way("lanes", run, LANES)


def main(rounds: int = 5) -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = Transformer()
    targets = ["query", "key", "value", "out", "wide", "narrow"]

    def make() -> nn.Module:
        return lw.lora(base, rank=8, targets=targets, train="head.*")

    print(f"Adapters of rank 8 over {LAYERS} layers of width {WIDTH}, {LANES} lanes; {machine()}; {revision()}")
    for batch, tokens in SHAPES:
        x, y = torch.randint(VOCABULARY, (512, tokens)), torch.arange(512) % CLASSES
        alone, ours = separate(make, x, y, batch), together(make, x, y, batch)
        for way in (alone, ours):
            way.turn(counts=False)
            way.steps = max(1, round(SECONDS / max(1e-4, way.turn(counts=False))))
        for number in range(rounds):
            for way in (alone, ours) if number % 2 == 0 else (ours, alone):
                way.turn()
        ratios = [one / own for one, own in zip(alone.processor, ours.processor, strict=True)]
        cost = statistics.median(alone.processor) * 1e3
        print(
            f"{batch} rows of {tokens} tokens: separate {cost:.2f} ms a step,"
            f" lanes {spread(ours.processor, 1e3, 2)} ms, {spread(ratios, digits=2)} times cheaper; n = {rounds}",
            flush=True,
        )


def with_options(arguments: list[str]) -> None:
    """`--rounds N`."""
    parser = argparse.ArgumentParser(prog="python -m bench lora")
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args(arguments).rounds)
