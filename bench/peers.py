"""Cost of one candidate-step beside other libraries: hand-written JAX, Lightning and ModelBatch, in one run.

They live in an environment of their own, .venv-peers (`make bench-peers` builds it), and run in a process of theirs,
which waits while it is not their turn.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from bench.candidate_step import BATCH, STEPS, digits, lanes, own_module, plain
from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
NAMES = {
    "jax": "JAX by hand, vmap + scan, 32 lanes",
    "lightning": "Lightning, Trainer.fit",
    "modelbatch": "ModelBatch, 32 models",
}


class Peers:
    """The process of the other libraries' contestants."""

    def __init__(self, rows: str) -> None:
        command = [PYTHON, Path(__file__).with_name("peer_contestants.py"), rows, str(BATCH), str(STEPS)]
        # Not our PYTHONPATH: that environment has packages of its own.
        self.process = subprocess.Popen(
            [str(word) for word in command],
            env={"PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.names = self._line().split()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the peers' process ended with code {self.process.wait()}; run {PYTHON} by hand to see why")
        return line

    def run(self, name: str) -> tuple[float, float]:
        """(seconds, candidate-steps) of one turn of the contestant `name`."""
        assert self.process.stdin is not None
        print(name, file=self.process.stdin, flush=True)
        seconds, units = self._line().split()
        return float(seconds), float(units)

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()


def main(rounds: int = 11) -> None:
    """Measure and print the table."""
    if not PYTHON.exists():
        sys.exit("there is no .venv-peers; `make bench-peers` makes it and runs this")
    print(f"Cost of one candidate-step beside peers, digits perceptron, batch {BATCH}")
    print(f"{machine()}; {revision()}; n = {rounds} rounds")
    x, y = digits()
    with tempfile.TemporaryDirectory() as folder:
        rows = str(Path(folder) / "digits.npz")
        np.savez(rows, x=x.numpy(), y=y.numpy())
        peers = Peers(rows)
        try:
            ours = lanes(32)
            contestants = [
                ours,
                lanes(32, own_module),
                plain("plain PyTorch loop, tensors indexed", loader=False),
                *(Contestant(NAMES[name], partial(peers.run, name)) for name in peers.names),
            ]
            take_turns(contestants, rounds)
        finally:
            peers.close()
    print(f"\n{'who':40}{'microseconds a candidate-step':>34}{'times Lanewise, 32 lanes':>28}")
    for contestant in contestants:
        print(f"{contestant.name:40}{spread(contestant.costs, 1e6):>34}{spread(ratios(contestant, ours)):>28}")
    for name in sorted(NAMES.keys() - set(peers.names)):
        print(f"{NAMES[name]}: not installed in .venv-peers")
    print("median [least, most] over the rounds; ratios are taken within a round")
