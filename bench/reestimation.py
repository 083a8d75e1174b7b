"""Re-estimation of batch norm statistics: ours beside `torch.optim.swa_utils.update_bn`, on the same loader."""

import resource
import subprocess
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns, timed
from lanewise.parts.norm import reestimate
from lanewise.task.models import cnn

ROWS, BATCH = 2048, 64


def model() -> nn.Module:
    """The reference CNN on 28x28 images."""
    torch.manual_seed(0)
    return cnn((1, 28, 28), (16, 32), 10)


def loader() -> DataLoader:
    """Random images; batches are tuples, as `update_bn` takes them."""
    generator = torch.Generator().manual_seed(0)
    return DataLoader(TensorDataset(torch.randn(ROWS, 1, 28, 28, generator=generator)), batch_size=BATCH)


def ours() -> float:
    """Seconds of `reestimate`."""
    made, batches = model(), loader()
    return timed(lambda: reestimate(made, batches))


def torchs() -> float:
    """Seconds of `update_bn`."""
    made, batches = model(), loader()
    return timed(lambda: torch.optim.swa_utils.update_bn(batches, made))


def peak(name: str) -> float:
    """Peak memory in MB of a process that runs `name` once."""
    code = (
        f"from bench import reestimation; import torch; torch.set_num_threads(1); reestimation.{name}(); "
        "print(reestimation.own_peak())"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def own_peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(rounds: int = 11) -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    print(
        f"Re-estimating batch norm, {ROWS} images in batches of {BATCH}\n{machine()}; {revision()}; n = {rounds} rounds"
    )
    own = Contestant("Lanewise reestimate", lambda: (ours(), 1))
    other = Contestant("torch update_bn", lambda: (torchs(), 1))
    take_turns([own, other], rounds)
    print(f"\n{'who':24}{'milliseconds':>26}{'peak memory MB':>18}{'times ours':>20}")
    print(f"{own.name:24}{spread(own.costs, 1e3):>26}{peak('ours'):>18.0f}")
    ratio = spread(ratios(other, own), digits=2)
    print(f"{other.name:24}{spread(other.costs, 1e3):>26}{peak('torchs'):>18.0f}{ratio:>20}")
