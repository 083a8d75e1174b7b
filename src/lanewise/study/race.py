"""The race: draw candidates, train them side by side, drop the hopeless, confirm the finalists, give the verdict."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Unpack

import numpy as np
from torch import Tensor

from lanewise.base.plain_data import number
from lanewise.errors import InputError
from lanewise.lanes.packs.plan import Survivors
from lanewise.lanes.training.checkpoint import restore
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import evaluation_points
from lanewise.parts.part import Allowed, check_number, extremes
from lanewise.racing import PRUNERS, RUNGS, expected_share, expected_survivors
from lanewise.recipe.file import dump, save
from lanewise.recipe.recipe import Recipe
from lanewise.record import identity, results
from lanewise.record.candidate import Candidate
from lanewise.record.checkpoint import Snapshot
from lanewise.record.decisions import Decisions
from lanewise.record.folder import RunFolder
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.importance import importance
from lanewise.sampling.sampler import Sampler
from lanewise.study.budget import Budget
from lanewise.study.budget_planner import FINISH_SECONDS, SIMPLE_SECONDS, BudgetPlanner
from lanewise.study.confirmation import best_finished, check_baseline, phase_of_confirmation, reach_verdict
from lanewise.study.fitting import Size, least_epochs, with_shorter_runs
from lanewise.study.generation import least_to_keep, leave_at_rung, tell, usable
from lanewise.study.pacing import about_rounds, allowance, timed_steps
from lanewise.study.pilot import PILOTS, first_drawn, pilot, seconds_of_a_lane_epoch
from lanewise.study.portfolio import about_drawing, to_confirm, with_room
from lanewise.study.progress import Progress, standings
from lanewise.study.run import Run, RunOptions
from lanewise.study.settings import RaceSettings
from lanewise.study.stage import Stage, candidates_of, check_journal, last_scores_of, own_of, rungs_of, snapshot
from lanewise.task.task import Task
from lanewise.verdict.verdict import Verdict

_expected = cache(expected_survivors)


class Study(Run[Verdict]):
    """One race from the first draw to the verdict.

    Args:
        space: a recipe with ranges. settings: what to do.
        drawing: how candidates are drawn and where that is recorded; by default with TPE, in the folder.
        baseline: a recipe that is confirmed beside the finalists and compared with the winner; its number is the next
            after those drawn. Without it the first of the portfolio is the baseline, if there is one.
        about: lines to note before the race.
        task, **options: see `Run`; a budget in time is decided by its clock.

    Attributes:
        candidates: all that were drawn, in order. confirmed: the finalists in new training runs, and the baseline.
        confirm: how many runs that are of each. verdict: what was found.
    """

    settings: RaceSettings

    def __init__(
        self,
        task: Task,
        space: Recipe,
        settings: RaceSettings,
        *,
        drawing: Drawing | None = None,
        baseline: Recipe | None = None,
        about: Sequence[str] = (),
        **options: Unpack[RunOptions],
    ) -> None:
        if not space.is_space:
            raise InputError(
                "space: there is nothing to choose, all is fixed; train it with lanewise.train.train(task, recipe)"
            )
        folder = options.get("folder")
        if not (folder and folder.resumes):
            most = Allowed(2, settings.candidates or math.inf, integer=True, optional=True)
            check_number("finalists", settings.finalists, most)
            settings.check_folds(task.source.splitter.folds)
        self.drawing = drawing or Drawing()
        super().__init__(task, settings, **options)
        self.drawing, left_out = with_room(self.drawing, self.engine, settings.candidates)
        self._told = [*about, *left_out, *about_drawing(self.drawing, space, settings, baseline)]
        self.drawing.check(space, settings.seed, settings.candidates)
        self.engine.check_metric(range(settings.repeats + settings.confirm))
        self.space, self.baseline = space, baseline
        self._asked = space
        # A batch larger than the data is a user's mistake, to be found before anything is written.
        for rows in extremes(space.batch_size):
            self.engine.feed(replace(space, batch_size=int(rows)), 0)
        for recipe in self.drawing.enqueue:
            self.engine.check(recipe)
        if baseline is not None:
            check_baseline(baseline, self.engine)
        self.candidates: list[Candidate] = []
        self.confirmed: list[Candidate] = []
        self.confirm = settings.confirm
        self.verdict: Verdict
        self._rungs = RUNGS if settings.pruner != "none" else ()
        epochs = extremes(space.epochs)
        self._longest = math.ceil(max(epochs))
        self.first_steps = self._first_steps
        self.planner = BudgetPlanner(
            settings,
            self.engine,
            self.elapsed,
            folder.decisions() if folder else Decisions(),
            sum(epochs) / len(epochs),
            self._survivors(self._longest),
            self._timed,
            task.source.splitter.folds or 1,
            int(baseline is not None or bool(self.drawing.portfolio)),
            FINISH_SECONDS if folder else SIMPLE_SECONDS,
        )
        if (budget := self.planner.budget) is not None and budget.timed:
            self.engine.allowed = lambda: allowance(budget.amount, self.engine.costs)
        self._known: int | None = None
        self._phase = ""
        self._done = 0.0

    def _survivors(self, epochs: int) -> Survivors:
        """How candidates become fewer in runs of so many epochs, which are scored less often if they are short."""
        points = evaluation_points(epochs)
        return _expected(tuple(rung for rung in self._rungs if rung in points), PRUNERS[self.settings.pruner])

    def _about(self) -> list[str]:
        held = self.engine.holdout
        rows = f"{len(held.pool):,} examples to train and validate on, {len(held.test):,} to test on"
        return [
            f"{self.model_name} on {self.data_name}: {rows}",
            f"model: {self.model_description}",
            *self._told,
            *about_rounds(self.settings, self.task.source.splitter.folds),
            *self.planner.about_finish(),
        ]

    def _write_results(self, folder: RunFolder) -> None:
        results.write_results(folder, self.task, self.candidates, self.confirmed, self.verdict)

    def _train(self) -> Verdict:
        """Run all stages: generations of the race, then the confirmation; from the last checkpoint on, if any."""
        folder, resumed = self.folder, self._resumed(self._restored)
        if resumed is None:
            self._fit()
        if folder and folder.resumes and not folder.write_space(dump(self._asked, self.task.names)):
            self.observer.note(f"{folder.space.name} has changed since the race began; the recorded space is used")
        sampler, stage = resumed or (self._sampler(None), None)
        try:
            self._keep(lambda: self._snapshot(sampler))
            if stage is None or stage.generation is not None:
                if stage:
                    self._race(stage, sampler)
                while size := self.planner.next_size():
                    stage = self._generation(sampler, len(self.planner.sizes) - 1, size)
                    if stage:
                        self._race(stage, sampler)
                stage = self._finalists()
            found_best = self._confirm(stage)
            trials = sampler.study.get_trials(deepcopy=False)
            generations = [candidate.generation for candidate in self.candidates]
            mattered = importance(trials, self.settings.seed, generations)
            self.verdict = replace(found_best, importance=mattered)
        finally:
            sampler.close()
        return self.verdict

    def _fit(self) -> None:
        """Make the race small enough for its budget: fewer repeats, shorter runs; nothing without a budget.

        What is written down in the folder beside that decision stays as the user asked for it.
        """
        if self.planner.budget is None or self.planner.fitted:
            return
        whole = Size(self.settings.repeats, self._longest)
        found = self.planner.fit(self._longest, self._least_epochs, self._survivors, self.first_steps)
        self.planner.fitted = True
        if not (less := found.instead_of(whole)):
            return
        self.observer.note(f"the budget of {self.planner.budget.text} allows only a small race: {less}")
        self.settings = self.planner.settings = replace(self.settings, repeats=found.repeats)
        self.planner.epochs *= found.epochs / self._longest
        self.planner.survivors = self._survivors(found.epochs)
        shorter = partial(with_shorter_runs, epochs=found.epochs, longest=self._longest)
        self.space = shorter(self.space)
        self.drawing = self.drawing.changed(shorter)
        self.baseline = None if self.baseline is None else shorter(self.baseline)

    def _least_epochs(self) -> int:
        # Plans that were given are of one length.
        return (
            self._longest
            if self._plans is not None
            else least_epochs(first_drawn(self.space, self.settings.seed), self._longest, self.engine)
        )

    def _first_steps(self) -> float:
        return seconds_of_a_lane_epoch(self.space, self.settings.seed, self.engine)

    def _timed(self) -> tuple[float, float]:
        """(seconds of an epoch of one more lane in a block, lanes that a call costs as much as beside its lanes).

        Timed on a recipe that can be trained.
        """
        recipe = pilot(self.space, self.settings.seed, self.engine)
        seconds = Budget.of(self.settings.budget).amount - self.elapsed()
        prepared = self.engine.prepare(
            recipe, 0, PILOTS, self.settings.repeats, 0, self.planner.survivors, max(0.0, seconds)
        )
        lane, overhead = timed_steps(prepared)
        return lane * self.engine.feed(recipe, 0).steps_per_epoch, overhead

    def _write_settings(self, folder: RunFolder) -> dict[str, Any]:
        asked, drawing = (self.task, self.space, self.settings), self.drawing.to_dict()
        about = identity.described(*asked, self.engine, self._plans, self._every, self.baseline, drawing)
        folder.write_settings(about, dump(self.space, self.task.names))
        if self.baseline is not None:
            save(self.baseline, folder.baseline)
        return about

    def _sampler(self, data: dict[str, Any] | None) -> Sampler:
        """A new sampler, or the one of the run's last checkpoint."""
        resumed = (data or {}) if self.folder and self.folder.resumes else None
        database = self.folder.database if self.folder else None
        return self.drawing.sampler_for(self.space, self.settings.seed, database, resumed)

    def _snapshot(self, sampler: Sampler) -> Snapshot:
        assert self._stage is not None
        costs = self.engine.costs
        return snapshot(self.candidates, self._stage, sampler, costs, self.elapsed(), self._done)

    def _restored(self, tensors: dict[str, Tensor], data: dict[str, Any]) -> tuple[Sampler, Stage]:
        """The sampler and the stage of the race when the checkpoint was written; all else is set as it was then."""
        self._fit()
        self._restore_costs(data)
        self._done = number("done", data["done"], 0.0, 1.0)
        check_journal(data)
        sampler = self._sampler(data)
        try:
            return sampler, self._restored_stage(tensors, data, sampler)
        except BaseException:
            sampler.close()
            raise

    def _forget(self) -> None:
        super()._forget()
        self.candidates, self.confirmed, self.planner.sizes, self._done = [], [], [], 0.0

    def _restored_stage(self, tensors: dict[str, Tensor], data: dict[str, Any], sampler: Sampler) -> Stage:
        self.candidates = candidates_of(data, "candidates", sampler.recipes)
        drawn = Counter(candidate.generation for candidate in self.candidates)
        self.planner.sizes = [drawn[generation] for generation in range(len(drawn))]
        generation, own = data["generation"], own_of(data, self.candidates, self.baseline)
        if generation is None:
            stage = self._confirmation(own)
            known = [candidate.number for candidate in self.confirmed]
            stage.own = self.confirmed = candidates_of(data, "confirmed", sampler.recipes, self.baseline)
            if [candidate.number for candidate in self.confirmed] != known:
                raise ValueError(f"confirmed: must be the candidates {known}")
        else:
            stage = self._stage_of(own, generation)
        restore(stage.cohort, tensors, data["cohort"])
        stage.rungs, stage.last = rungs_of(data, stage.cohort), last_scores_of(data, stage.cohort)
        self.observer.note(f"resuming {self._phase}, {stage.cohort.progress:.0%} done")
        return stage

    def _generation(self, sampler: Sampler, generation: int, size: int) -> Stage | None:
        """A newly drawn generation, or None if none of it can be trained."""
        offset = len(self.candidates)
        for at, recipe in enumerate(sampler.ask(size, generation)):
            self.candidates.append(Candidate(offset + at, recipe, generation, name=sampler.names[offset + at]))
        own = usable(self.candidates[offset:], self.engine, sampler, self.observer.note)
        return self._stage_of(own, generation) if own else None

    def _stage_of(self, own: list[Candidate], generation: int) -> Stage:
        """The candidates `own` of a generation at the start of their training."""
        settings, survivors = self.settings, self.planner.survivors
        runs = self.planner.candidates_to_come(len(own)) * settings.repeats * expected_share(survivors)
        runs = (runs + self.planner.runs_to_confirm()) / (len(own) * settings.repeats)
        recipes = [candidate.recipe for candidate in own]
        cohort = Cohort(self.engine, recipes, range(settings.repeats), runs, survivors, self._rungs)
        self._phase = f"race, generation {generation + 1}{self.planner.of_generations()}"
        return Stage(generation, own, cohort, np.full((0, len(own), settings.repeats), np.nan))

    def _race(self, stage: Stage, sampler: Sampler) -> None:
        """Train a generation to the end; at each rung some leave, and at the end the sampler gets all results."""
        cohort, pruner, rungs = stage.cohort, self.settings.pruner, stage.cohort.rungs
        for progress in self._evaluations(stage):
            assert stage.last is not None
            # A candidate that diverged in one repeat has no mean, so its lanes give up their places in all.
            cohort.keep([at for at in cohort.live if np.isfinite(stage.last.loss[at]).all()])
            if progress in rungs and progress < 1 and cohort.live:
                least = least_to_keep(self.candidates, stage.generation, self.settings)
                leave_at_rung(stage, progress, rungs, pruner, sampler, self.kind, least)
        tell(stage.own, sampler, self.kind)

    def _finalists(self) -> Stage:
        """The best of those that finished the race, at the start of their confirmation."""
        metric = self.task.objective.metric.name
        return self._confirmation(best_finished(self.candidates, self.planner.most_finalists(), metric))

    def _confirmation(self, ranked: list[Candidate]) -> Stage:
        """The best of the candidates `ranked` and the baseline in new training runs, before the first step."""
        first = self.settings.repeats
        most, self.confirm = self.planner.confirmation(len(ranked))
        best = ranked[:most]
        asked = self.settings.finalists or 0
        if most < asked:
            why = "finished the race with different recipes" if len(ranked) < asked else "fit into the budget"
            self.observer.note(f"finalists = {asked}: only {most} can be confirmed, because no more {why}")
        self.confirmed, self._known = to_confirm(best, self.candidates, self.baseline)
        self._phase = phase_of_confirmation(len(best), self.confirm, len(self.confirmed) > len(best))
        repeats = range(first, first + self.confirm)
        cohort = Cohort(self.engine, [candidate.recipe for candidate in self.confirmed], repeats)
        return Stage(None, self.confirmed, cohort, np.full((0, len(self.confirmed), self.confirm), np.nan))

    def _confirm(self, stage: Stage) -> Verdict:
        for _ in self._evaluations(stage):
            pass
        return reach_verdict(stage, self.engine, self.kind, self.candidates, self.elapsed(), self._known, self._rungs)

    def _time_left(self) -> tuple[float, float | None]:
        assert self._stage is not None
        cohort = self._stage.cohort
        if self._stage.generation is None:
            return self.planner.left_in_confirmation(
                len(self._stage.own) - self.planner.others, self.confirm, cohort.progress
            )
        before = [one for one in self.candidates if one.generation < self._stage.generation]
        return self.planner.left_in_race(len(cohort.live), cohort.progress, sum(one.in_race for one in before))

    def _show(self) -> None:
        done, left = self._time_left()
        # An estimate may turn out too good; what was said to be done stays done.
        self._done = max(self._done, done)
        # A baseline is no candidate of the race: it stands among the leaders, but is not counted.
        pool, drawn = self.confirmed or self.candidates, len(self.candidates)
        live = sum(one.in_race for one in pool if one.number < drawn)
        lost = {one.number for one in [*self.candidates, *self.confirmed] if one.diverged and one.number < drawn}
        metric, leaders = self.task.objective.metric.name, standings(pool, self.kind)
        self.observer.show(
            Progress(self._phase, self._done, left, live, drawn, leaders, metric, self.kind, diverged=len(lost))
        )
