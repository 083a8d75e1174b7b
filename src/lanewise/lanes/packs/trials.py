"""What a way to run lanes costs, measured for a moment."""

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from lanewise.errors import one_line
from lanewise.lanes.compile.compiled import Uncompiled
from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.workers import Workers
from lanewise.lanes.packs.feed import Chunk
from lanewise.lanes.packs.pack import advance
from lanewise.lanes.packs.plan import NARROWEST_PACK, Plan
from lanewise.lanes.step.channels_last import channels_last
from lanewise.lanes.step.program import train_program
from lanewise.lanes.step.step import LaneStep

TRIAL_WIDTH = 8
"""Lanes of an eager pack when it is tried; wider ones are no slower a lane, and trials of large models stay short."""
TRIAL_SECONDS = 0.05
COLD_SECONDS = 5.0
LOST = 2.0
"""A way whose second step takes so many times as long as one of the fastest way has lost."""


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

    def lanes_of(self, plan: Plan, lanes: int) -> int:
        """Lanes of a block of `plan` in a trial, where there are `lanes`: fewer of an eager one than may come."""
        if plan.compiled:
            return plan.width
        # A processor is as fast a lane with few as with many; what a GPU gains shows only with all.
        most = TRIAL_WIDTH if self.row.device.type == "cpu" else plan.width
        return min(most, plan.width, max(lanes, plan.least_width))

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

    def microseconds(self, program: Program, width: int, workers: Workers, beaten_by: float = math.inf) -> float:
        """Wall time of a lane-step with every worker busy: the best of three short stretches.

        Args:
            beaten_by: microseconds of a faster way. A way whose steps take `LOST` times as long is not tried further.
        """
        blocks = [self.inputs(width) for _ in range(workers.count)]

        def stretch(calls: int, chunk: Chunk) -> float:
            """Microseconds of a lane-step, over so many calls of each worker."""

            def run(state: list[Tensor], rows: Tensor) -> None:
                for _ in range(calls):
                    state, _ = advance(program, state, chunk, rows[: len(chunk)])

            begun = time.perf_counter()
            workers.run([partial(run, *block) for block in blocks])
            synchronise(self.row.device)
            return (time.perf_counter() - begun) * 1e6 / (calls * len(chunk) * width * workers.count)

        with torch.random.fork_rng(devices=[], enabled=self.step.draws_itself):
            one, lane_steps = self.chunk.first(), len(self.chunk) * width * workers.count
            best = stretch(1, one)
            # What is run first in a process takes up to a second more; a large model shows its speed however cold.
            if best * lane_steps * 1e-6 > COLD_SECONDS:
                return best
            if best > LOST * beaten_by:
                best = min(best, stretch(1, one))
                if best > LOST * beaten_by:
                    return best
            best = stretch(1, self.chunk)
            seconds = best * lane_steps * 1e-6
            if seconds < TRIAL_SECONDS:
                calls = max(1, round(TRIAL_SECONDS / seconds))
                best = min(stretch(calls, self.chunk) for _ in range(3))
        return best


def synchronise(device: torch.device) -> None:
    """Wait for what `device` was given to do; an accelerator computes on after a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def program_of(plan: Plan, trial: Trial, uncompiled: Uncompiled | None = None) -> tuple[Program, float]:
    """The program of a plan that is already decided, and the seconds it took to compile.

    Args:
        uncompiled: what `uncompiled_of` gave, where it has been called.
    """
    if not plan.compiled:
        return train_program(trial.step, plan.packed, images_last=plan.channels_last), 0.0
    begun = time.perf_counter()
    program = (uncompiled or uncompiled_of(plan, trial)).compiled()
    program(*trial.laid_for(plan).examples(plan.width))
    return program, time.perf_counter() - begun


def uncompiled_of(plan: Plan, trial: Trial) -> Uncompiled:
    """What there is to compile for a plan."""
    # Made before its operations are written down, or the copying of the model would be among them.
    trial.step.model("train")
    program = train_program(trial.step, plan.packed, functional=True, images_last=plan.channels_last)
    return Uncompiled(program, trial.laid_for(plan).examples(plan.width), plan.threads)


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
