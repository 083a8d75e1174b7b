"""Time to an answer, from the start of a process to its pick, on digits: rate, decay, dropout and five schedules.

Lanewise races three paired repeats of every candidate and confirms the finalists on eight fresh ones; the other tuners
train one seed of each and pick by it. Lanewise runs with torch's compile cache filled and empty, and once under
`--pruner none`, whose winner's test score the race's is compared with. Options: candidates (64), rounds (3).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.candidate_step import BATCH
from bench.peers import PYTHON
from bench.rounds import Contestant, machine, ratios, revision, spread
from lanewise.lanes.packs.engine import Engine
from lanewise.task.task import Task

EPOCHS = 20
SPACE = f"""lanewise: 1
optimizer: >-
  sgd(lr=log(0.001, 1) * choice(constant(), linear(), cosine(), exponential(to=0.01),
  staircase(beta=0.1, period=34%)), momentum=0.9)
l2: log(1e-06, 0.01)
dropout: uniform(0, 0.5)
batch_size: {BATCH}
epochs: {EPOCHS}
"""
HERE = {"optuna": "Optuna, TPE, plain loop", "optuna-hyperband": "Optuna, Hyperband, plain loop"}
PEERS = {"ray-asha": "Ray Tune, ASHA, plain loop", "keras-hyperband": "Keras Tuner, Hyperband"}


def write_rows(path: Path) -> None:
    """The rows of the first repeat, standardised: what the other tuners search with."""
    repeat = Engine(Task("mlp", "digits"), seed=0).repeat(0)
    split, scale, held = repeat.split, repeat.scale, repeat.holdout
    parts = {
        "": (held.pool.x[split.train], held.pool_y[split.train]),
        "_valid": (held.pool.x[split.valid], held.pool_y[split.valid]),
        "_test": (held.test.x, held.test_y),
    }
    arrays = {}
    for name, (x, y) in parts.items():
        arrays |= {f"x{name}": scale.apply(x).flatten(1).numpy(), f"y{name}": y.numpy()}
    np.savez(path, **arrays)


class Tuner(Contestant):
    """A search in a process of its own.

    Attributes:
        tests: test accuracies of its picks, one mean for each round; spreads: over fresh seeds, of each pick.
    """

    def __init__(self, name: str, search: Callable[[int], tuple[float, list[float]]]) -> None:
        super().__init__(name, lambda: (0.0, 1))
        self.search = search
        self.tests: list[float] = []

    def turn(self, seed: int) -> None:
        """One search with the seed `seed`."""
        seconds, right = self.search(seed)
        self.costs.append(seconds)
        self.tests.append(statistics.mean(right))


def lanewise(name: str, folder: Path, candidates: int, cold: bool = False, pruner: str | None = None) -> Tuner:
    """`lanewise race`, with torch's compile cache empty or as the last round left it."""
    space = folder / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")

    def search(seed: int) -> tuple[float, list[float]]:
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            words = ["race", "--space", str(space), "--candidates", str(candidates), "--seed", str(seed), "--json"]
            words += ["--pruner", pruner] if pruner else []
            command = [sys.executable, "-m", "lanewise", *words, "--out", str(Path(empty) / "run")]
            cache = Path(empty) if cold else folder / "cache"
            begun = time.perf_counter()
            shown = subprocess.run(
                command, env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache)}, capture_output=True, text=True
            )
            seconds = time.perf_counter() - begun
        if shown.returncode:
            sys.exit(shown.stderr)
        return seconds, [json.loads(shown.stdout)["test"]["mean"]]

    return Tuner(name, search)


def other(tuner: str, name: str, python: Path, folder: Path, candidates: int) -> Tuner:
    """Another tuner, timed until its pick."""
    rows = folder / "rows.npz"
    if not rows.exists():
        write_rows(rows)

    def search(seed: int) -> tuple[float, list[float]]:
        script = Path(__file__).with_name("answer_contestants.py")
        words = [str(word) for word in (python, script, tuner, rows, candidates, EPOCHS, BATCH, seed)]
        lines: list[dict[str, Any]] = []
        begun = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            seconds = 0.0
            for line in process.stdout:
                if line.startswith("{"):
                    seconds = seconds or time.perf_counter() - begun
                    lines.append(json.loads(line))
        if process.returncode or len(lines) < 2:
            sys.exit(f"{name} failed; run by hand: {' '.join(words)}")
        return seconds, lines[1]["test"]

    return Tuner(name, search)


def main(words: Sequence[str] = ()) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench time-to-answer")
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="Ray Tune and Keras Tuner too, from .venv-peers")
    asked = parser.parse_args(words)
    count, rounds = asked.candidates, asked.rounds
    print(f"Time to an answer, digits perceptron, {count} candidates, {EPOCHS} epochs, batch {BATCH}")
    print(f"{machine()}; {revision()}; n = {rounds} rounds")
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        tuners = [
            lanewise("Lanewise, compile cache filled", folder, count),
            lanewise("Lanewise, compile cache empty", folder, count, cold=True),
            lanewise("Lanewise, --pruner none", folder, count, pruner="none"),
            *(other(key, name, Path(sys.executable), folder, count) for key, name in HERE.items()),
        ]
        if asked.peers:
            tuners += [other(key, name, PYTHON, folder, count) for key, name in PEERS.items()]
        # Fills the cache, so that the first round finds it as all others do.
        tuners[0].search(0)
        for number in range(rounds):
            for tuner in tuners if number % 2 == 0 else reversed(tuners):
                tuner.turn(number)
    print(f"\n{'who':34}{'seconds':>22}{'times Lanewise':>20}{'test accuracy of the picks, %':>34}")
    for tuner in tuners:
        times, tests = spread(ratios(tuner, tuners[0])), spread(tuner.tests, 100, 2)
        print(f"{tuner.name:34}{spread(tuner.costs):>22}{times:>20}{tests:>34}")
    lost = [100 * (full - raced) for full, raced in zip(tuners[2].tests, tuners[0].tests, strict=True)]
    print(f"test points lost by the race against --pruner none: {spread(lost, digits=2)}")
    print("median [least, most] over the rounds, each with a study seed of its own; ratios are taken within a round")
