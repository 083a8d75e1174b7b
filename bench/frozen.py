"""`python -m bench frozen`: a head on a frozen residual network, 32 recipes, beside one plain run and separate runs.

Each contestant runs in a process of its own, with one torch thread: processor time, and how much its memory rose.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.models import resnet
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task

ROWS, SIDE, CLASSES, BATCH, EPOCHS, LANES = 512, 64, 10, 32, 6, 32
CONTESTANTS = ("plain", "off", "auto")


class Head(nn.Module):
    """A linear head on a residual network of 11 million parameters in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 3, 7, 2, 3), nn.MaxPool2d(2))
        body: Any = resnet((64, 128, 256, 512), 2)()
        self.backbone = nn.Sequential(stem, body[:-1]).requires_grad_(False)
        self.head = nn.Linear(512, CLASSES)

    def train(self, mode: bool = True) -> "Head":
        """All but the backbone."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.backbone(x))
        return found


def data() -> tuple[Tensor, Tensor]:
    """Random pictures and classes."""
    torch.manual_seed(0)
    return torch.randn(ROWS, 3, SIDE, SIDE), torch.arange(ROWS) % CLASSES


def plain(rows: int, valid: int) -> None:
    """One run of a plain PyTorch loop, evaluated four times as a lane is."""
    x, y = data()
    model = Head().train()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1, momentum=0.9)
    steps = EPOCHS * (rows // BATCH)
    for step in range(steps):
        index = torch.randint(rows, (BATCH,))
        optimizer.zero_grad()
        F.cross_entropy(model(x[index]), y[index]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % (steps // 4) == 0:
            with torch.no_grad():
                for part in torch.arange(rows, rows + valid).split(2 * BATCH):
                    model(x[part])


def lanes(cache: str) -> None:
    """Lanes of `LANES` learning rates."""
    recipes = [
        Recipe(optimizer=SGD(lr=0.3 * 0.9**lane, momentum=0.9), batch_size=BATCH, epochs=EPOCHS)
        for lane in range(LANES)
    ]
    engine = Engine(Task(Head, data(), cache=cache), 0, threads=1)
    cohort = Cohort(engine, recipes, (0,))
    for progress in cohort.evaluation_points:
        cohort.advance(progress)
        cohort.evaluate()
    engine.close()


def measured(name: str) -> dict[str, float]:
    """Processor seconds and MiB of a contestant in this process."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    if name == "plain":
        pool = round(0.8 * ROWS)
        plain(pool - round(0.25 * pool), round(0.25 * pool))
    else:
        lanes(name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": time.process_time() - begun, "mib": (peak - before) / 1024}


def main() -> None:
    """Print what each takes, and the ratios."""
    found: dict[str, Any] = {}
    for name in CONTESTANTS:
        command = [sys.executable, "-c", f"from bench.frozen import *; print(json.dumps(measured({name!r})))"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:>6}: {found[name]['seconds']:6.1f} s, memory rose by {found[name]['mib']:,.0f} MiB", flush=True)
    one = found["plain"]
    for name in ("off", "auto"):
        times, memory = found[name]["seconds"] / one["seconds"], found[name]["mib"] / one["mib"]
        print(
            f"{LANES} recipes, cache={name}: {times:.2f} times the time and {memory:.2f} times the memory of one plain "
            f"run; {LANES / times:.0f} times the candidates of separate runs"
        )
