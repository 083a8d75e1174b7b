"""The engine: makes the program for each structure once, counts what was done, and starts cohorts of lanes."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch

from lanewise.data import hold_out
from lanewise.data.arrays.nested import Inputs, Targets, take
from lanewise.errors import InputError, one_line
from lanewise.lanes.compile import program_cache
from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.workers import MKL_TOO_LATE, Workers, adds_by_address, available_threads, keep_freed_memory
from lanewise.lanes.model.examination import ModelTraits
from lanewise.lanes.model.precision import check_precision
from lanewise.lanes.packs.choosing import ChosenPlan, choose_plan
from lanewise.lanes.packs.feed import BatchReader, Feed, Repeat, rows_per_step, split_of
from lanewise.lanes.packs.plan import NARROWEST_PACK, Plan, Survivors, check_draws, fitted
from lanewise.lanes.packs.trials import Trial, brief, layer_that_fails, program_of
from lanewise.lanes.step.batch import batch_leaves
from lanewise.lanes.step.numbers import stack_tables, tabulate_recipe
from lanewise.lanes.step.program import evaluate_program, lane_after_lane, statistics_program, train_program
from lanewise.lanes.step.step import LaneStep
from lanewise.metrics import PREDICTED
from lanewise.parts.part import Allowed, check_number
from lanewise.recipe.recipe import Recipe
from lanewise.task.objectives import Objective
from lanewise.task.task import Task

TRIAL_STEPS = 2
THREADS_PER_PROCESSOR = 4
ALWAYS_ALLOWED_THREADS = 256
"""On small machines too: a race begun on a large one is resumed with as many threads as it had."""
TEST_SEED = 0
"""Data without test rows of its own has the same ones set apart in every study, whatever its seed."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What lanes of one structure run with; `trial` holds what another plan could be tried on."""

    step: LaneStep
    plan: Plan
    train: Program
    evaluate: Program
    statistics: Program
    workers: Workers
    trial: Trial

    @property
    def least(self) -> int:
        """Lanes that a block must have, by padding, for a lane to be the same bit for bit in any."""
        packed = self.plan.packed and not self.plan.compiled
        return max(self.plan.least_width, self.step.least_lanes) if packed else self.plan.least_width


@dataclass
class Costs:
    """What a study has cost so far.

    Attributes:
        lane_steps: steps summed over lanes and repeats, confirmation included. lane_epochs: the same
            steps in epochs.
        train: wall seconds of exactly those steps, with batch gathering and update, without compiling and trials.
        compile: wall seconds spent compiling. trials: wall seconds spent on finding the fastest way.
    """

    lane_steps: int = 0
    train: float = 0.0
    compile: float = 0.0
    trials: float = 0.0
    lane_epochs: float = 0.0


class Engine:
    """Runs the lanes of one study.

    Args:
        task: model, data, objective.
        seed: the study's seed; every split, weight, order and mask follows from it.
        device: a torch device. threads: processors to use (default: all this process may use).
        precision: of the forward pass: float32, or bfloat16 where that gains.
        dtype: of weights and data. plans: structure -> plan of an earlier run, used instead of measuring.
        note: told in one line each what the engine chose, and what did not work.
        replayed: structure -> plan that this very study chose before it was cut off; taken where there is one.
        decided: told all plans so far whenever one was chosen, before any step is trained with it.

    Attributes:
        allowed: asked whenever a way to run is chosen: seconds that trials and compiling may take together.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        *,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "float32",
        dtype: torch.dtype = torch.float32,
        plans: dict[str, Plan] | None = None,
        note: Callable[[str], None] = lambda line: None,
        replayed: dict[str, Plan] | None = None,
        decided: Callable[[dict[str, Plan]], None] = lambda plans: None,
    ) -> None:
        self.task, self.seed, self.dtype, self.note = task, seed, dtype, note
        self.device = usable_device(device)
        self.precision = check_precision(precision, self.device)
        self.threads = available_threads() if threads is None else threads
        check_threads(self.threads)
        if self.device.type != "cpu":
            # One worker keeps an accelerator busy; more would only wait for each other.
            self.threads = 1
        self.held = hold_out(task.source, TEST_SEED)
        self.plans: dict[str, Plan] = dict(replayed or {})
        self.costs = Costs()
        self.allowed: Callable[[], float] = lambda: math.inf
        self._given_plans, self._decided = plans or {}, decided
        self._repeats: dict[int, Repeat] = {}
        self._readings: dict[tuple[int, int, int], BatchReader] = {}
        self._prepared: dict[str, Prepared] = {}
        self._checked: set[str] = set()
        self._verdicts: dict[str, ModelTraits] = {}
        self._noted: set[str] = set()
        # A thread takes its number of torch threads at its first use of it: here, before the workers set another.
        self.main_threads = torch.get_num_threads()
        keep_freed_memory()
        # Whether packing pays is measured; that torch loops over the lanes inside some operation is part of it.
        warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")
        if self.device.type == "cpu" and adds_by_address():
            note(MKL_TOO_LATE)

    def note_once(self, line: str) -> None:
        """Note `line` unless that was done before."""
        if line not in self._noted:
            self._noted.add(line)
            self.note(line)

    def repeat(self, index: int) -> Repeat:
        """The repeat `index` of the study."""
        if index not in self._repeats:
            self._repeats[index] = Repeat.draw(self.held, self.seed, index)
        return self._repeats[index]

    def new_model(self, index: int, width: int | None = None) -> torch.nn.Module:
        """The model with the initial weights of repeat `index`, as wide as a recipe says."""
        return self.task.new_model(self.repeat(index).weight_seed, self.dtype, width)

    def feed(self, recipe: Recipe, index: int, step: LaneStep | None = None, channels_last: bool = False) -> Feed:
        """Batches of repeat `index` for lanes with the structure of `recipe`, with the draws that `step` needs."""
        repeat = self.repeat(index)
        draws, seeded = (step.draws, step.draws_itself) if step else ({}, False)
        size = rows_per_step(recipe, len(repeat.split.train))
        # Runs of other lengths are at other steps, and one reading is at one step.
        reading = self._readings.get((index, size, recipe.epochs))
        feed = Feed(repeat, size, draws, self.dtype, self.device, seeded, reading, channels_last)
        self._readings[index, size, recipe.epochs] = feed.reading
        return feed

    def check(self, recipe: Recipe) -> None:
        """Raise `InputError` if `recipe` cannot be trained: its batch, its numbers at every step, or its model."""
        self.task.check_recipe(recipe)
        feed = self.feed(recipe, 0)
        tabulate_recipe(
            recipe, recipe.epochs * feed.steps_per_epoch, feed.steps_per_epoch, len(feed.repeat.split.train)
        )
        key = str(recipe.structure())
        if key not in self._prepared and key not in self._checked:
            self._step(recipe, feed)
            self._checked.add(key)

    def check_metric(self, repeats: Iterable[int]) -> None:
        """Raise `InputError` if the metric has no value for the test rows, or for the validation rows of a repeat."""
        metric, held = self.task.objective.metric, self.held
        if metric.check is None or metric.of_data or held.pool_y is None or held.test_y is None:
            return
        sets = {"test rows": held.test_y}
        sets |= {
            f"validation rows of repeat {index}": held.pool_y[split_of(held, self.seed, index).valid]
            for index in repeats
        }
        for name, y in sets.items():
            if why := metric.check(y.numpy()):
                raise InputError(
                    f"metric = {metric.name!r}: has no value for the {name}: {why}; must be another metric, or the data"
                    " split in another way"
                )

    def idle_numbers(self, recipe: Recipe) -> list[str]:
        """Numbers of `recipe` that no layer of the model reads."""
        return self._step(recipe, self.feed(recipe, 0)).idle_numbers

    def predicting(self, prepared: Prepared, recipe: Recipe, index: int) -> Prepared:
        """`prepared`, but the score of a row is the number of the class that it is taken for; lane after lane."""
        objective = replace(self.task.objective, metric=PREDICTED)
        step = self._step(recipe, self.feed(recipe, index), objective)
        step.initial_state(self.new_model(index, recipe.width))
        program = lane_after_lane(evaluate_program(step, packed=False), step.state_size)
        return replace(prepared, step=step, evaluate=program)

    def _step(self, recipe: Recipe, feed: Feed, objective: Objective | None = None) -> LaneStep:
        chunk = feed.example()
        model, batch = self.new_model(feed.repeat.index, recipe.width), (take(chunk.x, 0), take(chunk.y, 0))

        def new(origin: int) -> torch.nn.Module:
            return self.new_model(origin, recipe.width)

        step = LaneStep(
            model,
            recipe,
            objective or self.task.objective,
            *batch,
            self.precision,
            new=new,
            origin=feed.repeat.index,
            verdicts=self._verdicts,
        )
        step.check_rows(validation=len(feed.repeat.split.valid), test=len(self.held.test))
        return step

    def prepare(
        self,
        recipe: Recipe,
        index: int,
        lanes: int,
        repeats: int,
        lane_steps: int,
        survivors: Survivors = ((1.0, 1.0),),
        seconds: float | None = None,
    ) -> Prepared:
        """What lanes with the structure of `recipe` run with: made at the first call, kept for all later ones.

        Args:
            index: a repeat, whose data the trials use. lanes: lanes of one repeat, of which there are
                `repeats`. lane_steps: expected in all. survivors: how the lanes become fewer.
            seconds: that are spent on training in any case, where it is not known how many steps that will be.
        """
        key = str(recipe.structure())
        if key not in self._prepared:
            self._prepared[key] = self._made(key, recipe, index, lanes, repeats, lane_steps, survivors, seconds)
        return self._prepared[key]

    def trial(self, recipe: Recipe, index: int, steps: int = TRIAL_STEPS) -> Trial:
        """What `steps` steps of a lane with the structure of `recipe` can be timed on, by data of repeat `index`."""
        model = self.new_model(index, recipe.width)
        step = self._step(recipe, self.feed(recipe, index))
        feed = self.feed(recipe, index, step)
        table = tabulate_recipe(recipe, recipe.epochs * feed.steps_per_epoch, feed.steps_per_epoch, 1)
        row = stack_tables([table[:1]], self.dtype, self.device)[0, :, 0]
        return Trial(step, step.initial_state(model, index), feed.example(steps), row)

    def _made(
        self,
        key: str,
        recipe: Recipe,
        index: int,
        lanes: int,
        repeats: int,
        lane_steps: int,
        survivors: Survivors,
        seconds: float | None,
    ) -> Prepared:
        trial = self.trial(recipe, index)
        step = trial.step
        if key in self.plans or key in self._given_plans:
            given = self.plans[key] if key in self.plans else self._given_plans[key]
            plan = fitted(given, step)
            if plan != given:
                self.note_once(f"the engine plan given ({given}) does not fit, so it is {plan}: {plan.why}")
            check_draws(plan, step)
            begun = time.perf_counter()
            try:
                program, compiling = program_of(plan, trial)
                program(*trial.laid_for(plan).examples(max(plan.width, plan.least_width)))
            except Exception as error:
                if not plan.packed:
                    raise InputError(f"the engine plan given ({plan}) does not work here: {brief(error)}") from error
                where = layer_that_fails(trial, train_program(step, packed=True)) or "the model"
                plan = Plan(False, False, 1, plan.workers, plan.threads, f"{where} cannot be packed: {brief(error)}")
                self.note_once(f"the engine plan given ({given}) does not fit, so it is {plan}: {plan.why}")
                program, compiling = program_of(plan, trial)
                try:
                    program(*trial.examples(1))
                except Exception as failed:
                    raise InputError(f"model fails in a training step: {one_line(failed)}") from failed
            choice = ChosenPlan(plan, program, compiling, time.perf_counter() - begun - compiling)
        elif self._given_plans:
            raise InputError(f"the engine plan given knows no lanes of this structure: {key}")
        else:
            choice = choose_plan(
                trial, lanes, repeats, lane_steps, self.threads, self.note, survivors, seconds, self.allowed()
            )
        for line in program_cache.notes():
            self.note(line)
        self.costs.compile += choice.compile_seconds
        self.costs.trials += choice.trial_seconds
        self.plans[key] = plan = choice.plan
        self._decided(self.plans)
        self.note(f"engine: {plan}, for {recipe.optimizer.name} in batches of {recipe.batch_size} ({plan.why})")
        for line in step.verdict.notes:
            self.note_once(line)
        for name in step.idle_numbers:
            self.note(f"{name} changes nothing: the model has no layer that reads it")
        workers = Workers(plan.workers, plan.threads)
        programs = (choice.program, self._evaluation(trial, plan), self._statistics(trial, plan))
        return Prepared(step, plan, *programs, workers, trial)

    def narrowed(self, prepared: Prepared) -> Prepared | None:
        """The same with less memory at a time, from now on: half as many lanes to a block, or one worker.

        None where there is nothing left to give up.
        """
        plan = prepared.plan
        if plan.packed and plan.width > NARROWEST_PACK:
            plan = replace(plan, width=max(NARROWEST_PACK, plan.width // 2))
        elif plan.workers > 1:
            plan = replace(plan, workers=1)
        else:
            return None
        plan = replace(plan, why="there was not enough memory for more")
        key = str(prepared.step.recipe.structure())
        program, compiling = prepared.train, 0.0
        if plan.compiled and plan.width != prepared.plan.width:
            program, compiling = program_of(plan, prepared.trial)
        self.costs.compile += compiling
        self.plans[key] = plan
        self._decided(self.plans)
        self.note(f"out of memory; from now on {plan}")
        prepared.workers.close()
        self._prepared[key] = replace(prepared, plan=plan, train=program, workers=Workers(plan.workers, plan.threads))
        return self._prepared[key]

    def _evaluation(self, trial: Trial, plan: Plan) -> Program:
        """The program that evaluates: packed like the training, unless the model refuses that in evaluation mode."""
        step = trial.step
        if not plan.packed:
            return evaluate_program(step, packed=False, images_last=plan.channels_last)
        examples, why = trial.examples(2)[: step.state_size + 1 + step.layout.count], ""
        for taken_apart in (False, True):
            packed = evaluate_program(step, True, taken_apart)
            try:
                with torch.no_grad():
                    packed(*examples)
            except Exception as error:
                why = why or brief(error)
            else:
                return packed
        self.note(f"evaluated one lane after another, because packs cannot be evaluated: {why}")
        return lane_after_lane(evaluate_program(step, packed=False), step.state_size)

    def _statistics(self, trial: Trial, plan: Plan) -> Program:
        """The program that takes batch norm statistics of averaged weights: packed if the model allows it."""
        step = trial.step
        if not plan.packed:
            return statistics_program(step, packed=False)
        packed = statistics_program(step, packed=True)
        if step.normed:
            leaves = batch_leaves(*self._one_batch(trial))
            try:
                with torch.no_grad():
                    packed(*trial.examples(2)[: step.state_size + 1], *leaves)
            except Exception as error:
                self.note(f"statistics of averaged weights are taken one lane after another: {brief(error)}")
                return lane_after_lane(statistics_program(step, packed=False), step.state_size)
        return packed

    @staticmethod
    def _one_batch(trial: Trial) -> tuple[Inputs, Targets]:
        rows = slice(trial.step.batch_rows)
        return take(take(trial.chunk.x, 0), rows), take(take(trial.chunk.y, 0), rows)

    def close(self, wait: bool = True) -> None:
        """End the worker threads, once their present jobs are done; without `wait` this returns before that."""
        for prepared in self._prepared.values():
            prepared.workers.close(wait)


def check_threads(threads: int) -> None:
    """Raise `InputError` unless so many threads can be started without the system running out of them."""
    most = max(ALWAYS_ALLOWED_THREADS, THREADS_PER_PROCESSOR * (os.cpu_count() or 1))
    check_number("threads", threads, Allowed(1, most, integer=True))


def usable_device(name: str) -> torch.device:
    """The torch device called `name`, or `InputError` saying which there are."""
    there = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    # Backends that are not there raise what they like.
    except Exception:
        raise InputError(f"device = {name!r}: not usable here; must be one of {', '.join(there)}") from None
    return device
