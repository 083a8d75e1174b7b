"""The race: draw candidates, train them side by side, drop the hopeless, confirm the finalists, give the verdict."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lanewise.errors import InputError, WriteError
from lanewise.lanes.checkpoint import restore
from lanewise.lanes.cohort import Cohort, Scores
from lanewise.lanes.engine import Costs, Engine
from lanewise.lanes.keeper import Keeper
from lanewise.lanes.plan import Plan
from lanewise.parts.part import Allowed, Variable, check_number
from lanewise.recipe import Recipe
from lanewise.study import identity, record
from lanewise.study.candidate import Candidate, rung_scores, standing
from lanewise.study.checkpoint import EVERY, Keeps, Snapshot
from lanewise.study.folder import RunFolder, read_plans
from lanewise.study.progress import Observer, Progress, Standing
from lanewise.study.racing import COMPUTE, COOL_DOWN, RULES, RUNGS, expected_share, expected_survivors
from lanewise.study.sampling import Sampler, generation_sizes
from lanewise.study.score_kind import ScoreKind
from lanewise.study.stage import Stage, candidates_of, last_scores_of, rungs_of, snapshot
from lanewise.study.verdict import Verdict, intervals_on_test_rows, rank_finalists
from lanewise.task import Task

LEADERS = 8


@dataclass(frozen=True)
class RaceSettings:
    """What a race is to do; every field is checked.

    Args:
        candidates: recipes drawn. repeats: of each in the race. generations: the sampler learns from one for the next.
        rule: name in `lanewise.study.racing.RULES`. finalists: how many are confirmed, at most;
            by default a quarter of the candidates, but 2 to 6.
        confirm: fresh repeats they are confirmed on. seed: of the whole study.
    """

    candidates: int = 48
    repeats: int = 3
    generations: int = 3
    rule: str = "halving"
    finalists: int | None = None
    confirm: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"candidates": 2, "repeats": 1, "generations": 1, "finalists": 2, "confirm": 2, "seed": 0}
        for name, low in least.items():
            check_number(name, getattr(self, name), Allowed(low, integer=True, optional=name == "finalists"))
        if not isinstance(self.rule, str) or self.rule not in RULES:
            raise InputError(f"rule = {self.rule!r}: must be one of {', '.join(RULES)}")

    @property
    def most_finalists(self) -> int:
        """How many candidates are confirmed, at most."""
        return self.finalists if self.finalists is not None else min(6, max(2, self.candidates // 4))


class Study:
    """One race from the first draw to the verdict.

    Args:
        task: model, data, objective. space: a recipe with ranges. settings: what to do.
        folder: where to record it, or None; a folder that was reopened is gone on with from its last checkpoint.
        observer: told how it goes. device, threads, plans: see `Engine`.
        every: seconds between two checkpoints, at least; 0 for one after every few steps.

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
    ) -> None:
        if not space.is_space:
            raise InputError("space: there is nothing to choose, every value is fixed; train it with: lanewise train")
        check_number("checkpoint_every", every, Allowed(0.0))
        if not (folder and folder.resumes):
            most = Allowed(2, settings.candidates, integer=True, optional=True)
            check_number("finalists", settings.finalists, most)
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
            self.verdict = self._confirm(self._begin(again or self._finalists()))
        finally:
            sampler.close()

    def _write_settings(self, folder: RunFolder) -> None:
        about = identity.described(self.task, self.space, self.settings, self.engine, self._plans, self._every)
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
        folder, seed = self.folder, self.settings.seed
        if folder is None or not folder.resumes:
            return Sampler(self.space, seed, folder.database if folder else None)
        journal, recipes = (data["journal"], data["recipes"]) if data else ([], [])
        return Sampler.replayed(self.space, seed, folder.database, journal, recipes)

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
        own = self._usable(self.candidates[offset:], sampler)
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
        cohort, own, settings = stage.cohort, stage.own, self.settings
        rungs = RUNGS if settings.rule != "none" else ()
        for progress in cohort.evaluation_points:
            if progress <= cohort.progress:
                continue
            if not cohort.live:
                break
            cohort.advance(progress)
            stage.last = cohort.evaluate()
            self._note_scores(stage)
            self._show()
            # A candidate that diverged in one repeat has no mean, so its lanes give up their places in all.
            cohort.keep([at for at in cohort.live if np.isfinite(stage.last.loss[at]).all()])
            if progress in rungs and progress < 1 and cohort.live:
                cooled = rung_scores(cohort.cool_down(COOL_DOWN), self.kind.fraction)
                stage.rungs = np.concatenate([stage.rungs, cooled[None]])
                live = np.array(cohort.live)
                kept = RULES[settings.rule](stage.rungs, np.array(rungs), live, COMPUTE)
                for at in live:
                    sampler.report(own[at].number, len(stage.rungs), float(cooled[at].mean()))
                    if at not in kept:
                        own[at].left_at = progress
                cohort.keep([int(at) for at in kept])
            self._keep()
        for candidate in own:
            diverged = bool(candidate.diverged) or (candidate.left_at is None and not candidate.scored)
            ended = candidate.left_at is None and not diverged
            last = Scores(np.array(candidate.loss), np.array(candidate.score))
            score = float(rung_scores(last, self.kind.fraction)) if ended else None
            sampler.tell(candidate.number, score, diverged)

    def _keep(self) -> None:
        """Write a checkpoint if it is time for one."""
        if self.keeper.due():
            self.keeper.save()

    def _usable(self, drawn: list[Candidate], sampler: Sampler) -> list[Candidate]:
        """The candidates of a generation that can be trained; each other one is noted and leaves at once.

        Raises:
            InputError: none of the first generation can be trained.
        """
        refused: list[InputError] = []
        usable = []
        for candidate in drawn:
            try:
                self.engine.check(candidate.recipe)
                usable.append(candidate)
            except InputError as error:
                refused.append(error)
                candidate.left_at = 0.0
                sampler.tell(candidate.number, None, diverged=False)
        if refused and not usable and not drawn[0].number:
            raise refused[0]
        if refused:
            self.observer.note(f"{len(refused)} of {len(drawn)} recipes drawn cannot be trained: {refused[0]}")
        return usable

    def _finalists(self) -> Stage:
        """The best of those that finished the race, at the start of their confirmation."""
        finished = (c for c in self.candidates if c.left_at is None and c.scored)
        # A space of choices can draw the same recipe twice; it need not run against itself.
        distinct = {str(candidate.recipe): candidate for candidate in sorted(finished, key=standing, reverse=True)}
        ranked = sorted(distinct.values(), key=standing)[: self.settings.most_finalists]
        if not ranked:
            if any(candidate.left_at is None and np.isfinite(candidate.loss) for candidate in self.candidates):
                raise InputError(
                    f"metric {self.task.objective.metric.name!r}: must be a finite number, and is for no candidate "
                    "that finished"
                )
            raise InputError(
                "every candidate diverged: the space holds no recipe that trains this model; lower its rates"
            )
        return self._confirmation(ranked)

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
        cohort, confirmed = stage.cohort, stage.own
        for progress in cohort.evaluation_points:
            if progress <= cohort.progress:
                continue
            cohort.advance(progress)
            stage.last = cohort.evaluate()
            self._note_scores(stage)
            self._show()
            self._keep()
        scores = stage.last
        assert scores is not None
        split = self.engine.repeat(0).split
        numbers = [candidate.number for candidate in confirmed]
        finalists = rank_finalists(
            numbers,
            [candidate.recipe for candidate in confirmed],
            scores.metric,
            scores.loss,
            len(split.valid) / len(split.train),
            len(split.valid),
            self.kind,
        )
        zeros = cohort.zeros()
        finalists = tuple(replace(one, zeros=zeros[numbers.index(one.candidate)]) for one in finalists)
        # The one use of the test data: the winner and the runner-up are settled, nothing is chosen by it.
        asked = [numbers.index(finalist.candidate) for finalist in finalists[:2]]
        rows = {numbers[at]: found for at, found in cohort.test_rows(asked).items()}
        test, difference = intervals_on_test_rows(rows, finalists, self.kind)
        costs = self.engine.costs
        seconds = {
            "total": round(time.perf_counter() - self.begun, 3),
            "train": round(costs.train, 3),
            "compile": round(costs.compile, 3),
            "trials": round(costs.trials, 3),
        }
        return Verdict(
            finalists,
            test,
            difference,
            self.task.objective.metric.name,
            len(self.candidates),
            costs.lane_steps,
            seconds,
            {key: plan.to_dict() for key, plan in self.engine.plans.items()},
            self.kind,
        )

    def _note_scores(self, stage: Stage) -> None:
        cohort, scores, own = stage.cohort, stage.last, stage.own
        assert scores is not None
        for at in cohort.live:
            own[at].loss = float(scores.loss[at].mean())
            own[at].score = float(scores.metric[at].mean())
        for (at, repeat), points in cohort.curves.items():
            own[at].curves[repeat] = points
        for (at, repeat), step in cohort.diverged.items():
            own[at].diverged[repeat] = step

    def _show(self) -> None:
        done = min(1.0, self.engine.costs.lane_steps / self._expected) if self._expected else 0.0
        elapsed = time.perf_counter() - self.begun - self.engine.costs.compile - self.engine.costs.trials
        left = elapsed * (1 - done) / done if done > 0.02 else None
        pool = self.confirmed or self.candidates
        with_score = [c for c in pool if c.scored]
        # Those that came furthest lead: a loss in the middle of a run says little beside one at its end.
        with_score.sort(key=lambda c: (c.left_at is not None, *standing(c)))
        standings = [
            Standing(c.number, c.recipe, max(p[0] for points in c.curves.values() for p in points), c.loss,
                     self.kind.turned(c.score), c.left_at is None)
            for c in with_score[:LEADERS]
        ]  # fmt: skip
        live = sum(candidate.left_at is None for candidate in self.candidates)
        self.observer.show(
            Progress(
                self._phase,
                done,
                left,
                live,
                len(self.candidates),
                standings,
                self.task.objective.metric.name,
                self.kind,
            )
        )


def with_overrides(space: Recipe, epochs: int | None, batch_size: int | None) -> Recipe:
    """The space with its length or batch size replaced where they are given."""
    if epochs is not None:
        space = replace(space, epochs=epochs)
    return space if batch_size is None else replace(space, batch_size=batch_size)
