"""Whether compiling a way to run lanes can pay: what it costs, and what it saves."""

import contextlib
import math
import os

import torch

from lanewise.lanes.compile.compiled import Uncompiled
from lanewise.lanes.compile.native import compiler
from lanewise.lanes.machine.workers import available_threads
from lanewise.lanes.packs.plan import Plan, Survivors
from lanewise.lanes.packs.trials import Trial, uncompiled_of

COMPILED_WIDTHS, ACCELERATED_WIDTHS = (16, 8, 4), (256, 128, 64, 32, 16)
OVERHEAD_LANES = 1.0
"""A call costs as much as this many lanes beside its lanes: little, for many steps run at a call and without Python's
lock. With 4, 8 and 16 lanes of the digits perceptron on two workers 31.5, 31.5 and 31.7 microseconds a lane-step were
seen."""
COMPILE_SECONDS, AGAIN_COMPILE_SECONDS, CACHED_COMPILE_SECONDS = 10.0, 3.0, 0.5
"""What compiling may cost on two idle cores. For the first time it takes 15 to 20 seconds, of which this race is
charged 10, for the library serves all races to come; then just in time where Inductor has done it before; then loading
a library."""
ACCELERATED_OVERHEAD = 64.0
"""The same on a GPU, where starting a call's kernels costs as much as many lanes; a guess, until it is measured."""
CPU = torch.device("cpu")
LEAVES = 15
"""Tensors in the state of the small perceptron that compiling was timed with; the time grows with their number."""
SMALL, LARGE = (1e3, 0.75), (3e4, 0.15)
"""(Microseconds of an eager lane-step, share of them that compiling saves). Small models save 85 to 92%, for their time
is mostly calls; of a convolutional network's or a transformer's steps little more than a tenth is saved."""


def expected_saving(microseconds: float) -> float:
    """The share of an eager lane-step that compiling is taken to save.

    >>> [round(expected_saving(us), 2) for us in (100, 1000, 5000, 30_000, 1e6)]
    [0.75, 0.75, 0.47, 0.15, 0.15]
    """
    (small, most), (large, least) = SMALL, LARGE
    place = math.log(max(microseconds, small) / small) / math.log(large / small)
    return max(least, most - (most - least) * place)


def crowding() -> float:
    """How many times as long a thread takes because others use the processors too; at least 1."""
    with contextlib.suppress(OSError, AttributeError):
        return max(1.0, os.getloadavg()[0] / available_threads())
    return 1.0


def not_worth_compiling(
    plan: Plan, trial: Trial, saving: float, allowed: float = math.inf, crowded: float = 1.0
) -> tuple[str, Uncompiled | None]:
    """Why `plan` is not to be compiled where that saves `saving` seconds; else what there is to compile.

    Args:
        allowed: seconds that compiling may take, whatever it saves. crowded: how many times as long it takes here.
    """
    if any(leaf.is_complex() for leaf in trial.state):
        # Inductor generates no code for them, and calls each operation through Python instead.
        return "complex weights are not compiled", None
    if not compiler():
        return "the fastest way without a C++ compiler, of which none was found", None
    if saving < CACHED_COMPILE_SECONDS:
        # Not even worth a step, to learn whether it has been compiled before.
        return f"compiling would cost about {CACHED_COMPILE_SECONDS:.1f} s at least and save {saving:.1f} s", None
    uncompiled = uncompiled_of(plan, trial)
    price = CACHED_COMPILE_SECONDS
    if not uncompiled.is_kept:
        price = AGAIN_COMPILE_SECONDS if uncompiled.was_compiled else COMPILE_SECONDS
        price *= crowded * max(1.0, len(trial.state) / LEAVES)
    if saving < price:
        return f"compiling would cost about {price:.0f} s and save {saving:.0f} s", None
    if price > allowed:
        return f"compiling would take about {price:.0f} s, too much of the budget", None
    return "", uncompiled


def block_width(
    lanes: int,
    repeats: int,
    workers: int,
    survivors: Survivors = ((1.0, 1.0),),
    device: torch.device = CPU,
) -> int:
    """Lanes to a compiled block: the width that takes least time over all stages of a race.

    Wide blocks cost less a lane; narrow ones waste less on padding when few lanes are left, and share out better.

    >>> block_width(16, 3, 2), block_width(128, 1, 2), block_width(8, 1, 2)
    (8, 16, 4)
    >>> block_width(16, 3, 2, ((1, 0.25), (0.5, 0.25), (0.25, 0.5)))
    4
    >>> block_width(128, 3, 1, device=torch.device("cuda"))
    128
    """
    on_cpu = device.type == "cpu"
    overhead, widths = (OVERHEAD_LANES, COMPILED_WIDTHS) if on_cpu else (ACCELERATED_OVERHEAD, ACCELERATED_WIDTHS)

    def seconds(width: int) -> float:
        total = 0.0
        for share, steps in survivors:
            blocks = repeats * math.ceil(max(1, round(share * lanes)) / width)
            total += steps * math.ceil(blocks / workers) * (width + overhead)
        return total

    return min(widths, key=seconds)
