"""Side-by-side timing: contestants take turns, and ratios are taken within a turn."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch


@dataclass
class Contestant:
    """Something that is timed.

    Attributes:
        name: what the table calls it. run: does some work and returns (seconds, units of work done).
        costs: seconds per unit, one for each round.
    """

    name: str
    run: Callable[[], tuple[float, float]]
    costs: list[float] = field(default_factory=list)


def take_turns(contestants: Sequence[Contestant], rounds: int) -> None:
    """One warm-up turn each, then `rounds` rounds in which each runs once, in alternating order."""
    for contestant in contestants:
        contestant.run()
    for number in range(rounds):
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            seconds, units = contestant.run()
            contestant.costs.append(seconds / units)


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of `work()`."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """`median [least, most]`."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median * scale:.{digits}f} [{low * scale:.{digits}f}, {high * scale:.{digits}f}]"


def ratios(slow: Contestant, fast: Contestant) -> list[float]:
    """How many times more `slow` costs than `fast`, round by round."""
    return [a / b for a, b in zip(slow.costs, fast.costs, strict=True)]


def machine() -> str:
    """The hardware and versions that figures were measured on."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}"


def revision() -> str:
    """The commit that is measured, marked if the tree has changes."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown revision"
