"""How lanes of one structure run: packed or looped, compiled or eager, how wide, on how many threads. Measured."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import InputError, one_line
from lanewise.lanes.compile.compiled import Uncompiled
from lanewise.lanes.compile.native import compiler
from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.memory import USABLE, available_bytes, peak_bytes
from lanewise.lanes.machine.workers import Workers, available_threads
from lanewise.lanes.packs.feed import Chunk
from lanewise.lanes.packs.pack import advance
from lanewise.lanes.step.channels_last import channels_last
from lanewise.lanes.step.program import train_program
from lanewise.lanes.step.step import LaneStep

EAGER_WIDTH = 32
TRIAL_WIDTH = 8
"""Lanes of an eager pack when it is tried; wider ones are no slower a lane, and trials of large models stay short."""
COMPILED_WIDTHS = (16, 8, 4)
OVERHEAD_LANES = 1.0
"""A call costs as much as this many lanes beside its lanes: little, for many steps run at a call and without Python's
lock. With 4, 8 and 16 lanes of the digits perceptron on two workers 31.5, 31.5 and 31.7 microseconds a lane-step were
seen."""
NARROWEST_PACK = 2
"""A pack of one lane rounds differently from all wider ones, so packs are padded to two."""
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
TRIAL_SECONDS = 0.05
COLD_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """The way chosen for one structure.

    Attributes:
        packed: lanes stacked by vmap, or one after another. compiled: fused by Inductor, or eager.
        width: lanes to a block (1 when looped). workers: blocks run side by side. threads: torch threads of each.
        why: one sentence on the choice. timings: microseconds a lane-step of every way tried, by its description.
        channels_last: images and weights of convolutions in channels-last format; for loops only.
        real: lane after lane in a real module, by plain autograd, for models that `torch.func` cannot take.
    """

    packed: bool
    compiled: bool
    width: int
    workers: int
    threads: int
    why: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    channels_last: bool = False
    real: bool = False

    def __str__(self) -> str:
        way = describe(self.packed, self.compiled, self.width) + ", channels last" * self.channels_last
        way += ", in a real module" * self.real
        return f"{way}, {self.workers} worker(s) of {self.threads} thread(s)"

    @property
    def least_width(self) -> int:
        """Lanes that a block must have: a compiled program takes one width only, an eager pack two lanes or more."""
        return self.width if self.compiled else NARROWEST_PACK if self.packed else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `engine.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any, where: str) -> "Plan":
        """The plan that `to_dict` gave; `InputError` where something else stands."""
        kinds = {"packed": bool, "compiled": bool, "width": int, "workers": int, "threads": int}
        if isinstance(data, dict):
            # Plans written before there was a choice have none.
            data = {"channels_last": False, "real": False} | data
            kinds |= {"channels_last": bool, "real": bool}
        if not isinstance(data, dict) or any(type(data.get(name)) is not kind for name, kind in kinds.items()):
            raise InputError(f"{where}: a plan must hold {', '.join(f'{n} ({k.__name__})' for n, k in kinds.items())}")
        if not isinstance(data.get("why", ""), str):
            raise InputError(f"{where}: why = {data['why']!r}: must be text")
        timings = data.get("timings", {})
        costs: list[Any] = list(timings.values()) if isinstance(timings, dict) else [math.nan]
        if not all(type(cost) in (int, float) and 0 <= cost < math.inf for cost in costs):
            raise InputError(f"{where}: timings = {timings!r}: must map ways to microseconds, numbers in [0, inf)")
        least = NARROWEST_PACK if data["packed"] else 1
        if min(data["width"] - least, data["workers"] - 1, data["threads"] - 1) < 0:
            raise InputError(f"{where}: workers and threads must be at least 1, and the width at least {least}")
        if not data["packed"] and data["width"] > 1:
            raise InputError(f"{where}: width = {data['width']}: must be 1 where lanes run one after another")
        if data["packed"] and data["channels_last"]:
            raise InputError(f"{where}: channels_last = True: must be False where lanes are packed")
        if data["real"] and (data["packed"] or data["compiled"] or data["workers"] > 1):
            raise InputError(f"{where}: real = True: must be False where lanes are packed, compiled or shared out")
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def describe(packed: bool, is_compiled: bool, width: int) -> str:
    """The way in words."""
    how = "compiled" if is_compiled else "eager"
    return f"{how} packs of {'' if is_compiled else 'up to '}{width} lanes" if packed else f"{how} loop over lanes"


@dataclass(frozen=True)
class Trial:
    """What a trial runs on: one lane's state, some steps of data, and the numbers of a row."""

    step: LaneStep
    state: Sequence[Tensor]
    chunk: Chunk
    row: Tensor
    channels_last: bool = False

    def laid_for(self, plan: Plan) -> "Trial":
        """The same with its tensors laid out in memory as lanes of `plan` have them."""
        return replace(self, chunk=self.chunk.channels_last(), channels_last=True) if plan.channels_last else self

    def inputs(self, width: int) -> tuple[list[Tensor], Tensor]:
        """(state [width, ...], numbers [steps, count, width]) of a block whose lanes are all alike."""
        state = [leaf.expand(width, *leaf.shape).clone() for leaf in self.state]
        if self.channels_last:
            state = list(map(channels_last, state))
        rows = self.row.reshape(1, -1, 1).expand(len(self.chunk), -1, width).contiguous()
        return state, rows

    def examples(self, width: int) -> list[Tensor]:
        """The inputs of one call of the program for a block of `width` lanes."""
        state, rows = self.inputs(width)
        return [*state, rows[0], *self.chunk.step(0)]

    def microseconds(self, program: Program, width: int, workers: Workers) -> float:
        """Wall time of a lane-step with every worker busy: the best of three short stretches."""
        blocks = [self.inputs(width) for _ in range(workers.count)]

        def stretch(calls: int) -> float:
            def run(state: list[Tensor], rows: Tensor) -> None:
                for _ in range(calls):
                    state, _ = advance(program, state, self.chunk, rows)

            begun = time.perf_counter()
            workers.run([partial(run, *block) for block in blocks])
            synchronise(self.row.device)
            return time.perf_counter() - begun

        with torch.random.fork_rng(devices=[], enabled=self.step.draws_itself):
            first, calls = stretch(1), 1
            # What is run first in a process takes up to a second more; a large model shows its speed however cold.
            best = first if first > COLD_SECONDS else stretch(1)
            if best < TRIAL_SECONDS:
                calls = max(1, round(TRIAL_SECONDS / best))
                best = min(stretch(calls) for _ in range(3))
        return best / (calls * len(self.chunk) * width * workers.count) * 1e6


def synchronise(device: torch.device) -> None:
    """Wait for what `device` was given to do; an accelerator computes on after a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class ChosenPlan:
    """A plan with its program, and what finding it cost."""

    plan: Plan
    program: Program
    compile_seconds: float
    trial_seconds: float


def check_draws(plan: Plan, step: LaneStep) -> None:
    """Raise `InputError` unless a model that draws random numbers itself runs eagerly, one lane at a time.

    torch's global generator can serve one lane at a time, and Inductor would draw other numbers.
    """
    if step.draws_itself and (plan.packed or plan.compiled or plan.workers > 1):
        raise InputError(
            f"the engine plan given ({plan}) does not fit: the model draws random numbers itself (F.dropout?), so its "
            "lanes must run one after another, eager, on 1 worker"
        )


def fitted(plan: Plan, step: LaneStep) -> Plan:
    """`plan`, or the one way that is right for a model which it does not fit."""
    verdict = step.verdict
    if verdict.real:
        if (plan.packed, plan.compiled, plan.workers, plan.real) == (False, False, 1, True):
            return plan
        return Plan(False, False, 1, 1, plan.threads, verdict.real, real=True)
    if plan.real:
        return replace(plan, real=False, why="the model needs no real module here")
    if verdict.apart and (plan.packed or plan.compiled):
        return Plan(False, False, 1, 1 if step.draws_itself else plan.workers, plan.threads, verdict.apart)
    return plan


def program_of(plan: Plan, trial: Trial, uncompiled: Uncompiled | None = None) -> tuple[Program, float]:
    """The program of a plan that is already decided, and the seconds it took to compile.

    Args:
        uncompiled: what `uncompiled_of` gave, where it has been called.
    """
    if not plan.compiled:
        return train_program(trial.step, plan.packed, native=True, images_last=plan.channels_last), 0.0
    begun = time.perf_counter()
    program = (uncompiled or uncompiled_of(plan, trial)).compiled()
    program(*trial.laid_for(plan).examples(plan.width))
    return program, time.perf_counter() - begun


def uncompiled_of(plan: Plan, trial: Trial) -> Uncompiled:
    """What there is to compile for a plan."""
    # Made before its operations are written down, or the copying of the model would be among them.
    trial.step.model("train")
    program = train_program(trial.step, plan.packed, images_last=plan.channels_last)
    return Uncompiled(program, trial.laid_for(plan).examples(plan.width), plan.threads)


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


Survivors = Sequence[tuple[float, float]]
"""(share of the lanes, share of the steps) of each stage of a race: `((1, 0.25), (0.5, 0.25), (0.25, 0.5))`."""


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


PLAIN_WORDS = {
    "calling .item() on a Tensor": "it looks at values (.item(), or an if or a loop over a tensor's values)",
    "get value out of a tracing tensor": "it looks at values (.item(), or an if or a loop over a tensor's values)",
    "random operation in randomness='error'": "it draws random numbers itself",
    "would generate a dynamic shape": "it makes tensors whose shape depends on values",
}
"""What torch says of models that cannot be packed or compiled, and the same for people."""


def brief(error: BaseException) -> str:
    """What an error says, in plain words where it is a known one; else its first sentence, cut at 200 characters."""
    text = one_line(error)
    for known, words in PLAIN_WORDS.items():
        if known in text:
            return words
    return text.split(". ")[0][:200]


def layer_that_fails(trial: Trial, program: Program) -> str:
    """The innermost layer in which `program` raises an error, by type and name, or nothing where it is in none."""
    with trial.step.watched("train") as inside, contextlib.suppress(Exception), torch.no_grad():
        program(*trial.examples(NARROWEST_PACK))
    return inside[-1] if inside else ""


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


def tried_lanes(plan: Plan, lanes: int) -> int:
    """Lanes of a block in a trial: as many as there are for an eager one, always all of a compiled one's."""
    return plan.width if plan.compiled else min(TRIAL_WIDTH, plan.width, max(lanes, plan.least_width))


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

    verdict = trial.step.verdict
    loop = Plan(packed=False, compiled=False, width=1, workers=1, threads=1, real=bool(verdict.real))
    try:
        program = train_program(trial.step, packed=False, native=True)
        plan, cost = loop, timed(loop, program)
    except Exception as error:
        raise InputError(f"model fails in a training step: {one_line(error)}") from error
    pack_it = False
    if verdict.real:
        note(f"lanes run one after another, by plain autograd: {verdict.real}")
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
    if verdict.apart:
        note(f"lanes run one after another: {verdict.apart}")
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
    if verdict.varies:
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
