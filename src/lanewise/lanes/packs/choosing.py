"""The fastest way to run the lanes of a structure: which widths fit, whether compiling pays, which trial wins."""

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from lanewise.errors import InputError, one_line
from lanewise.lanes.compile.compiled import Uncompiled
from lanewise.lanes.compile.native import compiler
from lanewise.lanes.compile.peak_memory import peak_bytes
from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.memory import USABLE, available_bytes
from lanewise.lanes.machine.workers import Workers, available_threads
from lanewise.lanes.packs.plan import (
    EAGER_WIDTH,
    NARROWEST_PACK,
    Plan,
    Survivors,
)
from lanewise.lanes.packs.trials import Trial, brief, layer_that_fails, program_of, tried_lanes, uncompiled_of
from lanewise.lanes.step.program import train_program

COMPILED_WIDTHS = (16, 8, 4)
OVERHEAD_LANES = 1.0
"""A call costs as much as this many lanes beside its lanes: little, for many steps run at a call and without Python's
lock. With 4, 8 and 16 lanes of the digits perceptron on two workers 31.5, 31.5 and 31.7 microseconds a lane-step were
seen."""
COMPILE_SECONDS, AGAIN_COMPILE_SECONDS, CACHED_COMPILE_SECONDS = 10.0, 3.0, 0.5
"""What compiling may cost on two cores. For the first time it takes 15 to 20 seconds, of which 10 are laid to this
race, for the library serves all races to come; then just in time where Inductor has done it before; then loading a
library."""
EXPECTED_SAVING = 0.75
"""Share of the eager time that compiling is taken to save. It saves 85 to 92% with small models, whose time is mostly
calls; larger ones save less, but train for so long that compiling them is tried in any case."""
MOST_COMPILING = 0.25
"""Share of a given time that compiling may be expected to take."""
FUSION_GAIN = 1.3
"""Compiling helps a pack more than a loop: a pack this many times slower when eager is still the one to compile."""
LEAVES = 15
"""Tensors in the state of the small perceptron that compiling was timed with; the time grows with their number."""
MOST_TRIAL = 1 / 3
"""Share of what is left of an allowance that the trial of one more way may be expected to take."""
TOO_LONG = "others were not tried: the budget is small beside the time of their steps"


@dataclass(frozen=True)
class ChosenPlan:
    """A plan with its program, and what finding it cost."""

    plan: Plan
    program: Program
    compile_seconds: float
    trial_seconds: float


def not_worth_compiling(
    plan: Plan, trial: Trial, saving: float, allowed: float = math.inf
) -> tuple[str, Uncompiled | None]:
    """Why `plan` is not to be compiled where that saves `saving` seconds; else what there is to compile.

    Args:
        allowed: seconds that compiling may take, whatever it saves.
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
    price = COMPILE_SECONDS
    if uncompiled.is_kept or uncompiled.was_compiled:
        price = CACHED_COMPILE_SECONDS if uncompiled.is_kept else AGAIN_COMPILE_SECONDS
    if saving < price:
        return f"compiling would cost about {price:.0f} s and save {saving:.0f} s", None
    expected = price * (1.0 if price == CACHED_COMPILE_SECONDS else max(1.0, len(trial.state) / LEAVES))
    if expected > allowed:
        return f"compiling would take about {expected:.0f} s, too much of the budget", None
    return "", uncompiled


def crowding() -> float:
    """How many times as long a thread takes because others want the processors too; at least 1."""
    with contextlib.suppress(OSError, AttributeError):
        return max(1.0, os.getloadavg()[0] / available_threads())
    return 1.0


def block_width(lanes: int, repeats: int, workers: int, survivors: Survivors = ((1.0, 1.0),)) -> int:
    """Lanes to a compiled block: the width that takes least time over all stages of a race.

    Wide blocks cost less a lane; narrow ones waste less on padding when few lanes are left, and share out better.

    >>> block_width(16, 3, 2), block_width(128, 1, 2), block_width(8, 1, 2)
    (8, 16, 4)
    >>> block_width(16, 3, 2, ((1, 0.25), (0.5, 0.25), (0.25, 0.5)))
    4
    """

    def seconds(width: int) -> float:
        total = 0.0
        for share, steps in survivors:
            blocks = repeats * math.ceil(max(1, round(share * lanes)) / width)
            total += steps * math.ceil(blocks / workers) * (width + OVERHEAD_LANES)
        return total

    return min(COMPILED_WIDTHS, key=seconds)


def fitting_width(trial: Trial, lanes: int, workers: int, note: Callable[[str], None]) -> int:
    """The most lanes a block may have for all of a cohort's `lanes` and `workers` blocks at work to fit into memory.

    A lane at rest takes its state; a lane in a step also takes what a step of one lane was seen to make.

    Raises:
        InputError: the lanes at rest alone take more than there is.
    """
    free = available_bytes(trial.row.device)
    if free is None:
        return EAGER_WIDTH
    examples = trial.examples(1)
    program = train_program(trial.step, packed=False)
    at_work = peak_bytes(lambda: program(*examples))
    at_rest = lanes * sum(leaf.numel() * leaf.element_size() for leaf in trial.state)
    if at_rest > free:
        raise InputError(
            f"the states of {lanes} lanes take {at_rest / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: take "
            "fewer candidates, more generations or fewer repeats"
        )
    fitting = int((USABLE * free - at_rest) / max(1, at_work * workers))
    if fitting < EAGER_WIDTH:
        note(
            f"memory: {free / 2**30:.1f} GiB free, {at_rest / 2**30:.2f} for {lanes} lanes at rest and "
            f"{at_work / 2**20:.0f} MiB for each at work: at most {max(NARROWEST_PACK, fitting)} lanes to a block"
        )
    return max(NARROWEST_PACK, min(EAGER_WIDTH, fitting))


def choose_plan(
    trial: Trial,
    lanes: int,
    repeats: int,
    lane_steps: int,
    threads: int,
    note: Callable[[str], None],
    survivors: Survivors = ((1.0, 1.0),),
    seconds: float | None = None,
    allowed: float = math.inf,
) -> ChosenPlan:
    """Try the ways there are for a moment each and take the fastest.

    Args:
        lanes: lanes of one repeat, of which there are `repeats`. lane_steps: how many steps of lanes are to come,
            against which compiling must pay.
        threads: processors to use. note: told in one line what did not work and why.
        survivors: how the lanes become fewer.
        seconds: that training takes in any case, instead of `lane_steps`.
        allowed: seconds that trials and compiling may take together; a way whose trial would take too much of what is
            left of them is not tried.
    """
    begun = time.perf_counter()
    timings: dict[str, float] = {}

    def timed(plan: Plan, program: Program) -> float:
        workers = Workers(plan.workers, plan.threads)
        try:
            timings[str(plan)] = cost = trial.laid_for(plan).microseconds(program, tried_lanes(plan, lanes), workers)
        finally:
            workers.close()
        return cost

    def left() -> float:
        return allowed - (time.perf_counter() - begun)

    def affordable(lane_steps_tried: float) -> bool:
        """Whether so many steps of a lane, as fast as the fastest way yet, may be spent on a trial."""
        return lane_steps_tried * cost * 1e-6 <= MOST_TRIAL * left()

    traits = trial.step.traits
    loop = Plan(packed=False, compiled=False, width=1, workers=1, threads=1, real=bool(traits.real))
    try:
        program = train_program(trial.step, packed=False)
        plan, cost = loop, timed(loop, program)
    except Exception as error:
        raise InputError(f"model fails in a training step: {one_line(error)}") from error
    pack_it = False
    if traits.real:
        note(f"lanes run one after another, by plain autograd: {traits.real}")
        return ChosenPlan(replace(plan, why="the only way", timings=timings), program, 0.0, time.perf_counter() - begun)
    if trial.step.draws_itself:
        # The only plan that `check_draws` lets pass.
        note("lanes run one after another: the model draws random numbers itself (F.dropout?); layers could be packed")
        return ChosenPlan(replace(plan, why="the only way", timings=timings), program, 0.0, time.perf_counter() - begun)
    why, steps_tried = "the fastest of the ways tried", 2 * len(trial.chunk)
    if trial.step.holds_images and affordable(steps_tried):
        last = replace(loop, channels_last=True)
        last_program, _ = program_of(last, trial)
        last_cost = timed(last, last_program)
        if last_cost < cost:
            loop, plan, program, cost = last, last, last_program, last_cost
    widest = fitting_width(trial, lanes * repeats, threads, note)
    pack = replace(loop, packed=True, width=min(EAGER_WIDTH, widest), channels_last=False)
    if traits.apart:
        note(f"lanes run one after another: {traits.apart}")
    elif not affordable(tried_lanes(pack, lanes) * steps_tried):
        why = TOO_LONG
    else:
        try:
            pack_program = train_program(trial.step, packed=True)
            pack_cost = timed(pack, pack_program)
            pack_it = pack_cost < FUSION_GAIN * cost
            if pack_cost < cost:
                plan, program, cost = pack, pack_program, pack_cost
        except Exception as error:
            where = layer_that_fails(trial, train_program(trial.step, packed=True))
            note(f"lanes run one after another, because {where or 'the model'} cannot be packed: {brief(error)}")
    compile_seconds = 0.0
    width = min(widest, block_width(lanes, repeats, threads, survivors))
    fused_plans = [Plan(True, True, width, threads, 1)] if pack_it else []
    if not pack_it or trial.step.holds_images:
        # Narrow convolutions gain by packing and wide ones lose; how they do eagerly does not tell which these are.
        fused_plans.append(replace(loop, compiled=True, workers=threads))
    if traits.varies:
        # A program would go the way of the batch that it was captured on.
        fused_plans, why = [], f"{why}; not compiled, for the model looks at values"
    for fused_plan in fused_plans:
        # What there is to compile is found by a step of all its lanes.
        if not affordable(fused_plan.width * (1 + steps_tried)):
            why = why if plan.compiled else TOO_LONG
            continue
        saving = lane_steps * cost * 1e-6 * EXPECTED_SAVING
        if seconds is not None:
            saving = seconds * MOST_COMPILING / crowding() - compile_seconds
        try:
            unpaid, uncompiled = not_worth_compiling(fused_plan, trial, saving, left())
            if uncompiled is None:
                why = why if plan.compiled else unpaid
                continue
            fused_program, took = program_of(fused_plan, trial, uncompiled)
            compile_seconds += took
            fused_cost = timed(fused_plan, fused_program)
            if fused_cost < cost:
                plan, program, cost = fused_plan, fused_program, fused_cost
        except Exception as error:
            note(f"not compiled: {brief(error)}")
            why = why if plan.compiled else "compiling failed"
    if not plan.compiled and threads > 1:
        for other in (replace(plan, threads=threads), replace(plan, workers=threads)):
            if not affordable(tried_lanes(plan, lanes) * steps_tried * other.workers):
                # Blocks side by side need no trial where steps are this long.
                plan = replace(plan, workers=threads) if plan.threads == 1 else plan
                break
            other_cost = timed(other, program)
            if other_cost < cost:
                plan, cost = other, other_cost
    rounded = {way: round(microseconds, 2) for way, microseconds in timings.items()}
    trial_seconds = time.perf_counter() - begun - compile_seconds
    return ChosenPlan(replace(plan, why=why, timings=rounded), program, compile_seconds, trial_seconds)
