"""The fastest way to run the lanes of a structure: each is tried for a moment, with all workers busy."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lanewise.base.lane_process import give_back_memory
from lanewise.errors import InputError, one_line
from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.workers import Workers
from lanewise.lanes.packs.compile_cost import block_width, crowding, expected_saving, not_worth_compiling
from lanewise.lanes.packs.fitting import bytes_of_a_step, fitting_width, spare_lanes
from lanewise.lanes.packs.plan import NARROWEST_PACK, Plan, Survivors
from lanewise.lanes.packs.trials import Trial, brief, layer_that_fails, program_of
from lanewise.lanes.step.program import train_program

MOST_COMPILING = 0.25
"""Share of a given time that compiling may be expected to take."""
FUSION_GAIN = 1.3
"""Compiling helps a pack more than a loop: a pack this many times slower when eager is still the one to compile."""
MOST_TRIAL = 1 / 3
"""Share of what is left of an allowance that the trial of one more way may be expected to take."""
MOST_TRIALS, LEAST_TRIALS = 0.05, 0.5
"""Share of a run that all trials may take together, and the seconds that they may take of a short run."""
NEAR, AGAIN = 1.5, 2
"""Two ways whose costs differ by less than this factor are timed again so many times, in turn."""
TOO_LONG = "others were not tried: the run is short beside the time of their steps"
TOO_LARGE = "packs were not tried: a step of one lane takes {:.0f} MiB, so that packing saves nothing"


@dataclass(frozen=True)
class ChosenPlan:
    """A plan with its program, and what finding it cost."""

    plan: Plan
    program: Program
    compile_seconds: float
    trial_seconds: float


@dataclass
class PlanSearch:
    """The ways tried so far, of which `plan` is the fastest.

    Attributes:
        trial: what is timed. lanes: of one repeat, of which there are `repeats`. cost: of `plan`, wall microseconds a
            lane-step. timings: of every way. ways: each with its program and the lanes of its trial.
        lane_steps, seconds, allowed: see `choose_plan`.
    """

    trial: Trial
    lanes: int
    repeats: int
    lane_steps: int
    seconds: float | None
    allowed: float
    note: Callable[[str], None]
    plan: Plan = field(init=False)
    program: Program = field(init=False)
    cost: float = math.inf
    why: str = "the fastest of the ways tried"
    timings: dict[str, float] = field(default_factory=dict)
    ways: dict[str, tuple[Plan, Program, int | None]] = field(default_factory=dict)
    compile_seconds: float = 0.0
    begun: float = field(default_factory=time.perf_counter)

    def tried(self, plan: Plan, program: Program, at_once: int | None = None) -> float:
        """The cost of a way, which is taken where it is the fastest so far.

        Args:
            at_once: lanes that may be at work in the trial; fewer workers then count for all.
        """
        self.timings[str(plan)] = cost = self._timed(plan, program, at_once)
        self.ways[str(plan)] = plan, program, at_once
        if cost < self.cost:
            self.plan, self.program, self.cost = plan, program, cost
        return cost

    def _timed(self, plan: Plan, program: Program, at_once: int | None, beaten_by: float | None = None) -> float:
        width, count = self.trial.lanes_of(plan, self.lanes), plan.workers
        if at_once is not None:
            width = min(width, at_once)
            count = max(1, min(count, at_once // width))
        workers = Workers(count, plan.threads)
        beaten_by = (self.cost if beaten_by is None else beaten_by) * plan.workers / count
        try:
            return self.trial.laid_for(plan).microseconds(program, width, workers, beaten_by) * count / plan.workers
        finally:
            workers.close()
            give_back_memory()

    def time_again(self) -> None:
        """Time the fastest way and the next, in turn, where they are near: on a busy machine one timing may be luck."""
        first, *others = sorted(self.timings, key=self.timings.__getitem__)
        if not others or self.timings[others[0]] > NEAR * self.cost:
            return
        for name in (first, others[0]) * AGAIN:
            if self.affordable(self.ways[name][0]):
                self.timings[name] = min(self.timings[name], self._timed(*self.ways[name], math.inf))
        best = min((first, others[0]), key=self.timings.__getitem__)
        self.plan, self.program, _ = self.ways[best]
        self.cost = self.timings[best]

    def side_by_side(self, plan: Plan, program: Program, workers: int, at_once: int | None = None) -> None:
        """Try `plan` on so many workers. Where steps are short they gain nothing, since they share Python's lock."""
        shared = replace(plan, workers=workers)
        if workers == 1:
            return
        if self.affordable(shared):
            self.tried(shared, program, at_once)
        elif self.plan == plan:
            # Where steps are this long, side by side needs no trial.
            self.plan = shared

    @property
    def left(self) -> float:
        """Seconds that are left of what is allowed."""
        return self.allowed - (time.perf_counter() - self.begun)

    @property
    def run_seconds(self) -> float:
        """How long the run takes in the fastest way."""
        return self.lane_steps * self.cost * 1e-6 if self.seconds is None else self.seconds

    def affordable(self, plan: Plan, calls: int = 2) -> bool:
        """Whether a trial of `plan` costs little, if a lane-step costs as much as in the fastest way so far."""
        lane_steps = calls * len(self.trial.chunk) * self.trial.lanes_of(plan, self.lanes) * plan.workers
        expected = lane_steps * self.cost * 1e-6
        spent = time.perf_counter() - self.begun - self.compile_seconds
        of_run = max(LEAST_TRIALS, MOST_TRIALS * self.run_seconds - spent)
        return expected <= min(MOST_TRIAL * self.left, of_run)

    def chosen(self) -> ChosenPlan:
        """The fastest way."""
        rounded = {way: round(microseconds, 2) for way, microseconds in self.timings.items()}
        trial_seconds = time.perf_counter() - self.begun - self.compile_seconds
        plan = replace(self.plan, why=self.why, timings=rounded)
        return ChosenPlan(plan, self.program, self.compile_seconds, trial_seconds)


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

    The first is the plain loop, which every model can run in. Whatever is slower is dropped at its first steps.

    Args:
        lanes: lanes of one repeat, of which there are `repeats`. lane_steps: how many steps of lanes are to come,
            against which trials and compiling must pay.
        threads: processors to use. note: gets one line on each way that did not work, and why.
        survivors: how the lanes become fewer.
        seconds: that training takes in any case, instead of `lane_steps`.
        allowed: seconds that trials and compiling may take together; a way whose trial would take too much of what is
            left of them is not tried.
    """
    search = PlanSearch(trial, lanes, repeats, lane_steps, seconds, allowed, note)
    traits, alone = trial.step.traits, ""
    if traits.real:
        alone = f"lanes run one after another, by plain autograd: {traits.real}"
    elif trial.step.draws_itself:
        alone = (
            "lanes run one after another: the model draws random numbers itself (F.dropout?); layers could be packed"
        )
    try:
        at_work = bytes_of_a_step(trial)
        # The workers begin where this thread has taken what the passes of an examination take.
        give_back_memory()
        spare = spare_lanes(trial, at_work)
        loop = Plan(packed=False, compiled=False, width=1, workers=1, threads=1, real=bool(traits.real))
        search.tried(loop, train_program(trial.step, packed=False))
    except Exception as error:
        raise InputError(f"model fails in a training step: {one_line(error)}") from error
    workers = 1 if alone else min(threads, 1 + spare, lanes * repeats)
    search.side_by_side(loop, search.program, workers)
    if alone:
        note(alone)
        search.why = "the only way"
    if trial.step.holds_images and not traits.real:
        last = replace(search.plan, channels_last=True)
        if search.affordable(last):
            search.tried(last, program_of(last, trial)[0])
    images_last = search.plan.channels_last
    if not alone:
        widest = fitting_width(trial, lanes * repeats, threads, at_work, note)
        pack = replace(loop, packed=True, width=max(NARROWEST_PACK, min(widest, lanes)))
        pack_it = _pack(search, pack, min(threads, 1 + spare), spare, at_work)
        width = min(widest, block_width(lanes, repeats, threads, survivors, trial.row.device))
        _compile(search, pack_it, width, replace(loop, compiled=True, workers=threads, channels_last=images_last))
    if not search.plan.compiled and threads > 1:
        other = replace(search.plan, workers=1, threads=threads)
        if search.affordable(other):
            search.tried(other, search.program)
    if str(search.plan) in search.timings:
        search.time_again()
    return search.chosen()


def _pack(search: PlanSearch, pack: Plan, workers: int, spare: int, at_work: int) -> bool:
    """Try eager packs on one worker and on all; returns whether packs are what is to be compiled."""
    trial, traits = search.trial, search.trial.step.traits
    if traits.apart:
        search.note(f"lanes run one after another: {traits.apart}")
        return False
    if spare < NARROWEST_PACK - 1:
        search.why = TOO_LARGE.format(at_work / 2**20)
        return False
    if not search.affordable(pack):
        search.why = TOO_LONG
        return False
    # A trial must not take much more memory than a plain run does.
    at_once = max(NARROWEST_PACK, 1 + spare)
    before = search.cost
    try:
        program = train_program(trial.step, packed=True)
        cost = search.tried(pack, program, at_once)
        if cost < FUSION_GAIN * search.cost:
            # No wider than that every worker has lanes.
            width = max(NARROWEST_PACK, math.ceil(search.lanes / math.ceil(workers / search.repeats)))
            search.side_by_side(replace(pack, width=min(pack.width, width)), program, workers, at_once)
    except Exception as error:
        where = layer_that_fails(trial, train_program(trial.step, packed=True))
        search.note(f"lanes run one after another, because {where or 'the model'} cannot be packed: {brief(error)}")
        return False
    return cost < FUSION_GAIN * before


def _compile(search: PlanSearch, pack_it: bool, width: int, loop: Plan) -> None:
    """Compile packs of `width` lanes or the `loop`, whichever may gain, where that can pay."""
    trial = search.trial
    plans = [replace(loop, packed=True, width=width, channels_last=False)] if pack_it else []
    if not pack_it or trial.step.holds_images:
        # Narrow convolutions gain by packing and wide ones lose; how they do eagerly does not tell which these are.
        plans.append(loop)
    if trial.step.traits.varies:
        # A program would go the way of the batch that it was captured on.
        plans, search.why = [], f"{search.why}; not compiled, for the model looks at values"
    for plan in plans:
        crowded = crowding()
        saving = search.run_seconds * expected_saving(search.cost * search.plan.workers)
        if search.seconds is not None:
            saving = search.seconds * MOST_COMPILING - search.compile_seconds
        # What there is to compile is found by a step of all its lanes.
        if not search.affordable(plan, calls=3):
            search.why = search.why if search.plan.compiled else TOO_LONG
            continue
        try:
            unpaid, uncompiled = not_worth_compiling(plan, trial, saving, search.left, crowded)
            if uncompiled is None:
                search.why = search.why if search.plan.compiled else unpaid
                continue
            program, took = program_of(plan, trial, uncompiled)
            search.compile_seconds += took
            search.tried(plan, program)
        except Exception as error:
            search.note(f"not compiled: {brief(error)}")
            search.why = search.why if search.plan.compiled else "compiling failed"
