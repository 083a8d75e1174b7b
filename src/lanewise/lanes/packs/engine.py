"""The engine: makes the program for each structure once, counts what was done, and starts cohorts of lanes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from lanewise.base.lane_process import MKL_TOO_LATE, adds_by_address, prepare_process
from lanewise.data import hold_out
from lanewise.data.arrays.nested import take
from lanewise.errors import InputError
from lanewise.lanes.compile import program_cache
from lanewise.lanes.machine.devices import check_threads, usable_device
from lanewise.lanes.machine.workers import Workers, available_threads
from lanewise.lanes.model.precision import check_precision
from lanewise.lanes.model.traits import ModelTraits
from lanewise.lanes.packs.choosing import choose_plan
from lanewise.lanes.packs.evaluation import evaluation_of, statistics_of
from lanewise.lanes.packs.feed import BatchReader, Feed, rows_per_step
from lanewise.lanes.packs.given import chosen_as_given
from lanewise.lanes.packs.plan import NARROWEST_PACK, Plan, Survivors
from lanewise.lanes.packs.prepared import Costs, Prepared
from lanewise.lanes.packs.repeat import Repeat, split_of
from lanewise.lanes.packs.shared import Shared, Sharing
from lanewise.lanes.packs.trials import Trial, program_of
from lanewise.lanes.step.numbers import stack_tables, tabulate_recipe
from lanewise.lanes.step.program import evaluate_program, lane_after_lane
from lanewise.lanes.step.step import LaneStep
from lanewise.metrics import PREDICTED
from lanewise.recipe.recipe import Recipe
from lanewise.task.objectives import Objective
from lanewise.task.task import Task

TRIAL_STEPS = 2
TEST_SEED = 0
"""Data without test rows of its own has the same ones set apart in every study, whatever its seed."""


class Engine:
    """Runs the lanes of one study.

    Args:
        task: model, data, objective.
        seed: the study's seed; every split, weight, order and mask follows from it.
        device: a torch device. threads: processors to use (default: all this process may use).
        precision: of the forward pass: float32, or bfloat16 where that gains.
        dtype: of weights and data. plans: structure -> plan of an earlier run, used instead of measuring.
        note: gets one line on each choice of the engine, and on what did not work.
        replayed: structure -> plan that this very study chose before it was cut off; taken where there is one.
        decided: gets all plans so far whenever one was chosen, before any step is trained with it.

    Attributes:
        allowed: returns the seconds that trials and compiling may take together; called for every choice.
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
        self.holdout = hold_out(task.source, TEST_SEED)
        self.plans: dict[str, Plan] = dict(replayed or {})
        self.costs = Costs()
        self.allowed: Callable[[], float] = lambda: math.inf
        self._given_plans, self._decided = plans or {}, decided
        self._repeats: dict[int, Repeat] = {}
        self._readings: dict[tuple[int, int, int], BatchReader] = {}
        self._sharing = Sharing(self.dtype, self.device, task.cache, self.note_once)
        self._prepared: dict[str, Prepared] = {}
        self._checked: set[str] = set()
        self._known_traits: dict[str, ModelTraits] = {}
        self._noted: set[str] = set()
        prepare_process()
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
            self._repeats[index] = Repeat.draw(self.holdout, self.seed, index)
        return self._repeats[index]

    def new_model(self, index: int, **sizes: int) -> torch.nn.Module:
        """The model with the initial weights of repeat `index`, as wide as a recipe says."""
        return self.task.new_model(self.repeat(index).weight_seed, self.dtype, **sizes)

    def feed(self, recipe: Recipe, index: int, step: LaneStep | None = None, channels_last: bool = False) -> Feed:
        """Batches of repeat `index` for lanes with the structure of `recipe`, with the draws that `step` needs."""
        repeat = self.repeat(index)
        draws, seeded = (step.draws, step.draws_itself) if step else ({}, False)
        size = rows_per_step(recipe, len(repeat.split.train))
        # Runs of other lengths are at other steps, and one reading is at one step.
        reading = self._readings.get((index, size, recipe.epochs))
        shared = self.shared(step, recipe, index) if step else None
        feed = Feed(
            repeat, size, draws, self.dtype, self.device, seeded, reading, channels_last, shared, recipe.accumulate
        )
        self._readings[index, size, recipe.epochs] = feed.reading
        return feed

    def shared(self, step: LaneStep, recipe: Recipe, index: int) -> Shared | None:
        """What lanes of repeat `index` with the structure of `recipe` share; None where every lane has its own."""
        if not step.held:
            return None
        return self._sharing.of(step, lambda: self.new_model(index, **recipe.sizes), self.repeat(index))

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
        metric, holdout = self.task.objective.metric, self.holdout
        if metric.check is None or metric.of_data or holdout.pool_y is None or holdout.test_y is None:
            return
        sets = {"test rows": holdout.test_y}
        sets |= {
            f"validation rows of repeat {index}": holdout.pool_y[split_of(holdout, self.seed, index).valid]
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
        step.initial_state(self.new_model(index, **recipe.sizes))
        program = lane_after_lane(evaluate_program(step, packed=False), step.state_size)
        return replace(prepared, step=step, evaluate=program)

    def _step(self, recipe: Recipe, feed: Feed, objective: Objective | None = None) -> LaneStep:
        chunk = feed.example()
        model, batch = self.new_model(feed.repeat.index, **recipe.sizes), (take(chunk.x, 0), take(chunk.y, 0))

        def new(origin: int) -> torch.nn.Module:
            return self.new_model(origin, **recipe.sizes)

        step = LaneStep(
            model,
            recipe,
            objective or self.task.objective,
            *batch,
            self.precision,
            new=new,
            origin=feed.repeat.index,
            known_traits=self._known_traits,
        )
        step.check_rows(validation=len(feed.repeat.split.valid), test=len(self.holdout.test))
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
        model = self.new_model(index, **recipe.sizes)
        step = self._step(recipe, self.feed(recipe, index))
        feed = self.feed(recipe, index, step)
        table = tabulate_recipe(recipe, recipe.epochs * feed.steps_per_epoch, feed.steps_per_epoch, 1)
        row = stack_tables([table[:1]], self.dtype, self.device)[0, :, 0]
        return Trial(step, step.initial_state(model, index), feed.example(steps), row, shared=feed.shared)

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
            choice = chosen_as_given(given, trial, self.note_once)
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
        for line in step.traits.notes:
            self.note_once(line)
        for name in step.idle_numbers:
            self.note(f"{name} changes nothing: the model has no layer that reads it")
        workers = Workers(plan.workers, plan.threads)
        programs = (choice.program, evaluation_of(trial, plan, self.note), statistics_of(trial, plan, self.note))
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

    def close(self, wait: bool = True) -> None:
        """End the worker threads, once their present jobs are done; without `wait` this returns before that."""
        for prepared in self._prepared.values():
            prepared.workers.close(wait)
