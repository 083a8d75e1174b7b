"""How long a step of a lane takes, from a few eager ones: enough to say whether a race fits into a time at all."""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from lanewise.data.arrays.nested import Inputs, leaves, row_count, take
from lanewise.errors import InputError, one_line
from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.workers import Workers
from lanewise.lanes.packs.pack import advance
from lanewise.lanes.packs.trials import Trial, synchronise
from lanewise.lanes.step.program import train_program
from lanewise.task.task import Task

Clock: TypeAlias = Callable[[], float]
"""Seconds from any start."""

ENOUGH_SECONDS, MOST_STRETCHES = 0.25, 20
"""Spent on a way to run, unless two stretches take longer."""
COLD_SECONDS = 1.0
"""The very first step in a process is slower than all others; after one that took longer there is no second."""
SMALL_SECONDS = 0.02
"""A step that is shorter is mostly calls, which a pack shares among its lanes."""
FEW_ROWS, TIMES_AS_MANY, TELLING_SECONDS = 4, 4, 0.1
"""Rows of the first pass of a model, and by how much they grow until a pass takes so long that more need not be
measured: the time of large models grows with the rows."""
PACKED = 4


def seconds_of_a_step(trial: Trial, clock: Clock = time.perf_counter) -> float:
    """Seconds of an eager step for each lane, on one thread: by itself, or in a pack of four if that is faster.

    Args:
        clock: seconds from any start.

    Raises:
        InputError: the model fails in a training step.
    """
    workers = Workers(1, 1)
    try:
        try:
            looped = _timed(train_program(trial.step, packed=False), trial, 1, workers, clock)
        except Exception as error:
            raise InputError(f"model fails in a training step: {one_line(error)}") from error
        alone = trial.step.draws_itself or trial.step.traits.real or trial.step.traits.apart
        if looped > SMALL_SECONDS or alone:
            return looped
        try:
            return min(looped, _timed(train_program(trial.step, packed=True), trial, PACKED, workers, clock))
        # What cannot be packed is said by those who choose how to run.
        except Exception:
            return looped
    finally:
        workers.close()


def seconds_by_rows(task: Task, model: nn.Module, x: Inputs, y: Any, clock: Clock = time.perf_counter) -> float:
    """Seconds of one pass of `model` over a batch, forwards and backwards, on one thread: what a step takes at least.

    A few rows at first, then more of them, as long as that is quick; the rest follows from how the time grows.

    Args:
        x, y: a batch [rows, ...].
    """
    whole = row_count(x)
    workers = Workers(1, 1)

    def seconds(rows: int) -> float:
        few = slice(rows)

        def work() -> None:
            with torch.enable_grad():
                loss = task.objective.training_loss(model, take(x, few), take(y, few), 0.0)
                loss.backward()  # type: ignore[no-untyped-call]

        begun = clock()
        workers.run([work])
        synchronise(leaves(x)[0].device)
        return clock() - begun

    try:
        rows = min(FEW_ROWS, whole)
        # What is run first in a process takes up to a second more.
        seconds(rows)
        before, at = 0.0, 0
        while True:
            now = min(seconds(rows), seconds(rows)) if rows == FEW_ROWS else seconds(rows)
            growth = max(0.0, (now - before) / (rows - at))
            if rows == whole or now >= TELLING_SECONDS:
                return now + growth * (whole - rows)
            before, at, rows = now, rows, min(TIMES_AS_MANY * rows, whole)
    finally:
        workers.close()


def _timed(program: Program, trial: Trial, width: int, workers: Workers, clock: Clock) -> float:
    state, rows = trial.inputs(width)

    def stretch() -> float:
        begun = clock()
        workers.run([lambda: advance(program, state, trial.chunk, rows)])
        synchronise(trial.row.device)
        return clock() - begun

    with torch.random.fork_rng(devices=[], enabled=trial.step.draws_itself):
        begun, best = clock(), stretch()
        if best < COLD_SECONDS:
            best = min(best, stretch())
        for _ in range(MOST_STRETCHES):
            if clock() - begun >= ENOUGH_SECONDS:
                break
            best = min(best, stretch())
    return best / (len(trial.chunk) * width)
