"""The race: draw candidates, train them side by side, drop the hopeless, confirm the finalists, give the verdict."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lanewise.errors import InputError, WriteError
from lanewise.lanes.checkpoint import restore
from lanewise.lanes.cohort import Cohort
from lanewise.lanes.engine import Costs, Engine
from lanewise.lanes.keeper import Keeper
from lanewise.lanes.plan import Plan
from lanewise.parts.part import Allowed, Variable, check_number
from lanewise.recipe import Recipe
from lanewise.study import identity, record
from lanewise.study.candidate import Candidate
from lanewise.study.checkpoint import EVERY, Keeps, Snapshot
from lanewise.study.confirmation import best_finished, reach_verdict
from lanewise.study.drawing import Drawing
from lanewise.study.folder import RunFolder, read_plans
from lanewise.study.generation import leave_at_rung, tell, usable
from lanewise.study.importance import importance
from lanewise.study.progress import Observer, Progress, standings
from lanewise.study.racing import RUNGS, expected_share, expected_survivors
from lanewise.study.sampling import Sampler, generation_sizes
from lanewise.study.score_kind import ScoreKind
from lanewise.study.settings import RaceSettings
from lanewise.study.stage import Stage, candidates_of, last_scores_of, rungs_of, snapshot
from lanewise.study.verdict import Verdict
from lanewise.task import Task


class Study:
    """One race from the first draw to the verdict.

    Args:
        task: model, data, objective. space: a recipe with ranges. settings: what to do.
        folder: where to record it, or None; a folder that was reopened is gone on with from its last checkpoint.
        observer: told how it goes. device, threads, plans: see `Engine`.
        every: seconds between two checkpoints, at least; 0 for one after every few steps.
        drawing: how candidates are drawn and where that is recorded; by default with TPE, in the folder.

    Attributes:
        candidates: all that were drawn, in order. kind: of the metric's scores. verdict: what was found.
    """

    def __init__(
        self,
        task: Task,
        space: Recipe,
        settings: RaceSettings,
        *,
        folder: RunFolder | None = None,
        observer: Observer | None = None,
        device: str = "cpu",
        threads: int | None = None,
        plans: dict[str, Plan] | None = None,
        every: float = EVERY,
        drawing: Drawing | None = None,
    ) -> None:
        if not space.is_space:
            raise InputError("space: there is nothing to choose, every value is fixed; train it with: lanewise train")
        check_number("checkpoint_every", every, Allowed(0.0))
        if not (folder and folder.resumes):
            most = Allowed(2, settings.candidates, integer=True, optional=True)
            check_number("finalists", settings.finalists, most)
        self.drawing = drawing or Drawing()
        self.drawing.check(space, settings.seed, settings.candidates)
        self.task, self.space, self.settings, self.folder = task, space, settings, folder
        self.observer = observer or Observer()
        self.begun = time.perf_counter()
        self.model_description = task.check_model()
        self.kind = ScoreKind.of(task.objective.metric)
        self._every, self._plans = every, plans
        replayed = read_plans(folder.engine) if folder and folder.resumes and folder.engine.exists() else None
        self.engine = Engine(
            task, settings.seed, device=device, threads=threads, plans=plans, note=self.observer.note,
            replayed=replayed, decided=folder.write_plans if folder else lambda plans: None,
        )  # fmt: skip
        # A batch larger than the data is a user's mistake, to be found before anything is written.
        size = space.batch_size
        for rows in size.extremes() if isinstance(size, Variable) else (size,):
            self.engine.feed(replace(space, batch_size=int(rows)), 0)
        for recipe in self.drawing.enqueue:
            self.engine.check(recipe)
        self.candidates: list[Candidate] = []
        self.confirmed: list[Candidate] = []
        self.verdict: Verdict
        self.keeper = Keeper()
        self._stage: Stage | None = None
        self._phase = ""
        self._expected = 0.0

    def run(self, report: Callable[[Path], object] | None = None) -> Verdict:
        """Run the whole race and return the verdict; the record is complete in the folder afterwards.

        Args:
            report: writes the report of this study, its verdict found, to a path; called before the run counts as
                finished.
        """
        with self.folder.held() if self.folder else contextlib.nullcontext():
            held = self.engine.held
            rows = f"{len(held.pool):,} rows to train and validate on, {len(held.test):,} to test on"
            self.observer.note(f"{self.task.model_name} on {self.task.source.name}: {rows}")
            self.observer.note(f"model: {self.model_description}")
            drawn, made = (
                self.settings.candidates,
                generation_sizes(self.settings.candidates, self.settings.generations),
            )
            if len(made) < self.settings.generations:
                asked = f"{drawn} candidates are drawn in {len(made)} generation{'s' * (len(made) > 1)}"
                self.observer.note(f"{asked}, not {self.settings.generations}: there are too few for more")
            wait = True
            try:
                self._run_stages()
            except KeyboardInterrupt:
                # Workers may be in the middle of seconds of work, of which nothing will be kept.
                wait = False
                raise
            finally:
                self.engine.close(wait)
            if self.folder:
                self._record(self.folder, report)
        return self.verdict

    def _record(self, folder: RunFolder, report: Callable[[Path], object] | None) -> None:
        """Write what stays of the race, the report too."""
        try:
            record.write_results(folder, self.task, self.candidates, self.confirmed, self.verdict)
            if report is not None:
                report(folder.report)
            record.finish(folder, self.verdict)
        except WriteError:
            # Who goes on with the run has then nothing left to train; there may be room for this, which is small.
            with contextlib.suppress(WriteError):
                self.keeper.save()
            raise

    def _run_stages(self) -> None:
        """Run all stages: generations of the race, then the confirmation; from the last checkpoint on, if any."""
        folder, settings = self.folder, self.settings
        found = self._last_checkpoint(folder) if folder and folder.resumes else None
        if folder and folder.resumes:
            folder.write_space(self.space, self.task.names)
        elif folder:
            self._write_settings(folder)
        sampler = self._sampler(found[1] if found else None)
        try:
            resumed = self._restored(*found, sampler) if found else None
            if folder:
                self.keeper = Keeps(folder.checkpoints, lambda: self._snapshot(sampler), self._every)
            sizes = generation_sizes(settings.candidates, settings.generations)
            for generation in range(len(sizes)):
                if resumed and (resumed.generation is None or generation < resumed.generation):
                    continue
                again = resumed if resumed and resumed.generation == generation else None
                stage = again or self._generation(sampler, generation, sizes[generation])
                if stage:
                    self._race(self._begin(stage), sampler)
            again = resumed if resumed and resumed.generation is None else None
            found_best = self._confirm(self._begin(again or self._finalists()))
            trials = sampler.study.get_trials(deepcopy=False)
            self.verdict = replace(found_best, importance=importance(trials, settings.seed))
        finally:
            sampler.close()

    def _write_settings(self, folder: RunFolder) -> None:
        about = identity.described(self.task, self.space, self.settings, self.engine, self._plans, self._every)
        about["drawing"] = self.drawing.to_dict()
        folder.write_settings(about, self.space, self.task.names)
        if about["model_checksums"] is None:
            self.observer.note("initial weights differ from call to call of the model: so would a run that is resumed")

    def _last_checkpoint(self, folder: RunFolder) -> Snapshot | None:
        found = folder.checkpoints.newest(self.observer.note)
        changed = identity.changes(folder.settings(), self.engine)
        if changed:
            self.observer.note(f"last bits may differ from those of a run never stopped: {'; '.join(changed)}")
        if found is None:
            self.observer.note("resuming from the start: there is no whole checkpoint")
        return found

    def _sampler(self, data: dict[str, Any] | None) -> Sampler:
        """A new sampler, or the one that the run's last checkpoint tells of."""
        resumed = (data or {}) if self.folder and self.folder.resumes else None
        database = self.folder.database if self.folder else None
        return self.drawing.sampler_for(self.space, self.settings.seed, database, resumed)

    def _snapshot(self, sampler: Sampler) -> Snapshot:
        assert self._stage is not None
        seconds = time.perf_counter() - self.begun
        return snapshot(self.candidates, self._stage, sampler, self.engine.costs, seconds, self._expected)

    def _restored(self, tensors: dict[str, Tensor], data: dict[str, Any], sampler: Sampler) -> Stage:
        """The stage that the race was in when the checkpoint was written; everything else is set as it was then."""
        self.begun = time.perf_counter() - data["seconds"]
        self.engine.costs = Costs(**data["costs"])
        self.candidates = candidates_of(data, "candidates", sampler.recipes)
        generation = data["generation"]
        if generation is None:
            stage = self._confirmation([self.candidates[number] for number in data["own"]])
            stage.own = self.confirmed = candidates_of(data, "confirmed", sampler.recipes)
            self._expected = data["expected_lane_steps"]
        else:
            stage = self._stage_of([self.candidates[number] for number in data["own"]], generation)
        restore(stage.cohort, tensors, data["cohort"])
        stage.rungs, stage.last = rungs_of(data, len(stage.cohort.repeats)), last_scores_of(data)
        self.observer.note(f"resuming {self._phase}, {stage.cohort.progress:.0%} of its steps evaluated")
        return stage

    def _begin(self, stage: Stage) -> Stage:
        self._stage = stage
        stage.cohort.keeper = self.keeper
        return stage

    def _generation(self, sampler: Sampler, generation: int, size: int) -> Stage | None:
        """A newly drawn generation, or None if none of it can be trained."""
        offset = len(self.candidates)
        for at, recipe in enumerate(sampler.ask(size, generation)):
            self.candidates.append(Candidate(offset + at, recipe, generation))
        own = usable(self.candidates[offset:], self.engine, sampler, self.observer.note)
        return self._stage_of(own, generation) if own else None

    def _stage_of(self, own: list[Candidate], generation: int) -> Stage:
        """The candidates `own` of a generation at the start of their training."""
        settings = self.settings
        survivors = expected_survivors(RUNGS if settings.rule != "none" else ())
        runs = settings.candidates * settings.repeats * expected_share(survivors)
        runs += settings.most_finalists * settings.confirm
        cohort = Cohort(
            self.engine,
            [candidate.recipe for candidate in own],
            range(settings.repeats),
            runs / (len(own) * settings.repeats),
            survivors,
        )
        self._expected = runs * max(group.total_steps for group in cohort.groups)
        count = len(generation_sizes(settings.candidates, settings.generations))
        self._phase = f"race, generation {generation + 1} of {count}"
        return Stage(generation, own, cohort, np.full((0, len(own), settings.repeats), np.nan))

    def _race(self, stage: Stage, sampler: Sampler) -> None:
        """Train a generation to the end; at each rung some leave, and at the end the sampler is told of all."""
        cohort, rule = stage.cohort, self.settings.rule
        rungs = RUNGS if rule != "none" else ()
        for progress in cohort.evaluation_points:
            if progress <= cohort.progress:
                continue
            if not cohort.live:
                break
            cohort.advance(progress)
            stage.evaluate()
            self._show()
            assert stage.last is not None
            # A candidate that diverged in one repeat has no mean, so its lanes give up their places in all.
            cohort.keep([at for at in cohort.live if np.isfinite(stage.last.loss[at]).all()])
            if progress in rungs and progress < 1 and cohort.live:
                leave_at_rung(stage, progress, rungs, rule, sampler, self.kind)
            self._keep()
        tell(stage.own, sampler, self.kind)

    def _keep(self) -> None:
        """Write a checkpoint if it is time for one."""
        if self.keeper.due():
            self.keeper.save()

    def _finalists(self) -> Stage:
        """The best of those that finished the race, at the start of their confirmation."""
        metric = self.task.objective.metric.name
        return self._confirmation(best_finished(self.candidates, self.settings.most_finalists, metric))

    def _confirmation(self, ranked: list[Candidate]) -> Stage:
        """The candidates `ranked` on fresh repeats, before the first step."""
        settings = self.settings
        finalists = "finalist" if len(ranked) == 1 else "finalists"
        self._phase = f"confirming {len(ranked)} {finalists} on {settings.confirm} fresh repeats"
        repeats = range(settings.repeats, settings.repeats + settings.confirm)
        cohort = Cohort(self.engine, [candidate.recipe for candidate in ranked], repeats)
        self.confirmed = [Candidate(c.number, c.recipe, c.generation) for c in ranked]
        return Stage(None, self.confirmed, cohort, np.full((0, len(ranked), settings.confirm), np.nan))

    def _confirm(self, stage: Stage) -> Verdict:
        for progress in stage.cohort.evaluation_points:
            if progress <= stage.cohort.progress:
                continue
            stage.cohort.advance(progress)
            stage.evaluate()
            self._show()
            self._keep()
        seconds = time.perf_counter() - self.begun
        return reach_verdict(stage, self.engine, self.kind, len(self.candidates), seconds)

    def _show(self) -> None:
        done = min(1.0, self.engine.costs.lane_steps / self._expected) if self._expected else 0.0
        elapsed = time.perf_counter() - self.begun - self.engine.costs.compile - self.engine.costs.trials
        left = elapsed * (1 - done) / done if done > 0.02 else None
        live = sum(candidate.left_at is None for candidate in self.candidates)
        leaders = standings(self.confirmed or self.candidates, self.kind)
        metric = self.task.objective.metric.name
        self.observer.show(Progress(self._phase, done, left, live, len(self.candidates), leaders, metric, self.kind))
