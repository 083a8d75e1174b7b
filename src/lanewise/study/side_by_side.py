"""Recipes trained side by side, all to the end, to answer one question about them."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.errors import WriteError
from lanewise.lanes.checkpoint import restore, state_of
from lanewise.lanes.cohort import Cohort
from lanewise.lanes.engine import Costs, Engine
from lanewise.lanes.keeper import Keeper
from lanewise.lanes.plan import Plan
from lanewise.parts.part import Allowed, check_number
from lanewise.recipe_file import save
from lanewise.study import identity, traces
from lanewise.study.checkpoint import EVERY, Keeps, Snapshot
from lanewise.study.comparison import RowScores
from lanewise.study.folder import RunFolder, read_plans
from lanewise.study.phase import Phase, Trained, candidates_from, candidates_of, repeats_of
from lanewise.study.progress import Observer, Progress, standings
from lanewise.study.question import Answer, Ground, Question
from lanewise.study.score_kind import ScoreKind
from lanewise.study.stage import Stage, last_scores_of
from lanewise.task import Task


@dataclass(frozen=True)
class SideBySideSettings:
    """How a question is asked; every field is checked.

    Args:
        repeats: runs of each recipe, at least 2; by default as many as the data has folds, else 8.
        seed: every split, weight, order and mask follows from it.
    """

    repeats: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("repeats", self.repeats, Allowed(2, integer=True, optional=True))
        check_number("seed", self.seed, Allowed(0, integer=True))


class SideBySide:
    """One question from the first step to the answer.

    Args:
        task: model, data, objective. question: what is asked. settings: on how many repeats.
        folder: where to record it, or None; a folder that was reopened is gone on with from its last checkpoint.
        observer: told how it goes. device, precision, threads, plans: see `Engine`.
        every: seconds between two checkpoints, at least; 0 for one after every few steps.

    Attributes:
        done: the phases that are over. answer: what was found.

    Raises:
        InputError: recipes that cannot be trained on this task; nothing has been written then.
    """

    def __init__(
        self,
        task: Task,
        question: Question,
        settings: SideBySideSettings,
        *,
        folder: RunFolder | None = None,
        observer: Observer | None = None,
        device: str = "cpu",
        precision: str = "float32",
        threads: int | None = None,
        plans: dict[str, Plan] | None = None,
        every: float = EVERY,
    ) -> None:
        check_number("checkpoint_every", every, Allowed(0.0))
        self.task, self.question, self.settings, self.folder = task, question, settings, folder
        self.observer = observer or Observer()
        self.begun = time.perf_counter()
        self.model_description = task.check_model()
        self.kind = ScoreKind.of(task.objective.metric)
        self.repeats = repeats_of(task.source, settings.repeats, question.place)
        self._every, self._plans = every, plans
        replayed = read_plans(folder.engine) if folder and folder.resumes and folder.engine.exists() else None
        self.engine = Engine(
            task, settings.seed, device=device, threads=threads, precision=precision, plans=plans,
            note=self.observer.note, replayed=replayed, decided=folder.write_plans if folder else lambda plans: None,
        )  # fmt: skip
        self._notes = question.prepare(self.engine, self.repeats)
        self.done: list[Trained] = []
        self.answer: Answer
        self.keeper = Keeper()
        self._stage: Stage | None = None
        self._phase: Phase | None = None
        self._expected = self._lane_steps()

    def run(self, report: Callable[[Path], object] | None = None) -> Answer:
        """Train everything and return the answer; the record is complete in the folder afterwards.

        Args:
            report: writes the report to a path; called with `answer` found, before the run counts as finished.
        """
        with self.folder.held() if self.folder else contextlib.nullcontext():
            held = self.engine.held
            self.observer.note(f"{self.task.model_name} on {self.task.source.name}: {len(held.pool):,} rows")
            self.observer.note(f"model: {self.model_description}")
            for line in self._notes:
                self.observer.note(line)
            wait = True
            try:
                self._train_all()
            except KeyboardInterrupt:
                # Workers may be in the middle of seconds of work, of which nothing will be kept.
                wait = False
                raise
            finally:
                self.engine.close(wait)
            self.answer = self.question.answer(self.done, self._ground())
            if self.folder:
                self._record(self.folder, report)
        return self.answer

    def _train_all(self) -> None:
        folder = self.folder
        found = self._last_checkpoint(folder) if folder and folder.resumes else None
        if folder and not folder.resumes:
            self._write_settings(folder)
        resumed = self._restored(*found) if found else None
        if folder:
            self.keeper = Keeps(folder.checkpoints, self._snapshot, self._every)
        while (phase := self.question.phase(self.done)) is not None:
            self.done.append(self._trained(phase, resumed))
            resumed = None
        if folder:
            # Should there be no room for the record, nothing is left to train when there is.
            self._stage = self._phase = None

    def _trained(self, phase: Phase, resumed: Stage | None) -> Trained:
        stage = resumed or self._begun(phase)
        self._stage, self._phase = stage, phase
        stage.cohort.keeper = self.keeper
        for progress in stage.cohort.evaluation_points:
            if progress <= stage.cohort.progress:
                continue
            stage.cohort.advance(progress)
            stage.evaluate()
            self._show()
            if self.keeper.due():
                self.keeper.save()
        assert stage.last is not None
        zeros = stage.cohort.zeros()
        shares = tuple(zeros.get(at, 0.0) for at in range(len(stage.own)))
        found = stage.cohort.valid_rows(range(len(stage.own)))
        return Trained(phase, stage.last, RowScores(*found) if found else None, shares, tuple(stage.own))

    def _begun(self, phase: Phase) -> Stage:
        """The recipes of a phase before their first step."""
        own = candidates_of(phase)
        runs = self._expected / max(1, self._lane_steps_of(phase))
        cohort = Cohort(self.engine, [entry.recipe for entry in phase.entries], phase.repeats, runs)
        return Stage(None, own, cohort, np.full((0, len(own), len(phase.repeats)), np.nan))

    def _lane_steps(self) -> int:
        """Of all phases together."""
        return sum(self._steps(recipe) * repeats for recipe, repeats in self.question.expected())

    def _lane_steps_of(self, phase: Phase) -> int:
        return sum(self._steps(entry.recipe) for entry in phase.entries) * len(phase.repeats)

    def _steps(self, recipe: Any) -> int:
        return int(recipe.epochs * self.engine.feed(recipe, self.repeats[0]).steps_per_epoch)

    def _write_settings(self, folder: RunFolder) -> None:
        base = self.question.base
        about = identity.described(self.task, base, self.settings, self.engine, self._plans, self._every)
        del about["space"]
        folder.write_question(about | {"asked": self.question.asked, "question": self.question.to_dict()})
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

    def _snapshot(self) -> Snapshot:
        stage = self._stage
        tensors, cohort = state_of(stage.cohort) if stage else ({}, None)
        last = stage.last if stage else None
        for number, trained in enumerate(self.done):
            tensors |= trained.tensors(f"done.{number}")
        return tensors, {
            "done": self._share_done,
            "phases": [trained.to_dict() for trained in self.done],
            "own": [candidate.to_dict() for candidate in stage.own] if stage else [],
            "last": None if last is None else [last.loss.tolist(), last.metric.tolist()],
            "costs": asdict(self.engine.costs),
            "seconds": time.perf_counter() - self.begun,
            "cohort": cohort,
        }

    def _restored(self, tensors: Mapping[str, Any], data: dict[str, Any]) -> Stage | None:
        """The phase that was going on when the checkpoint was written; all before it stands in `done` again."""
        self.begun = time.perf_counter() - data["seconds"]
        self.engine.costs = Costs(**data["costs"])
        for number, one in enumerate(data["phases"]):
            phase = self.question.phase(self.done)
            assert phase is not None
            self.done.append(Trained.from_dict(one, tensors, f"done.{number}", phase))
        phase = self.question.phase(self.done)
        if phase is None or data["cohort"] is None:
            return None
        stage = self._begun(phase)
        restore(stage.cohort, dict(tensors), data["cohort"])
        stage.own, stage.last = list(candidates_from(data["own"], phase)), last_scores_of(data)
        self.observer.note(f"resuming {phase.title}, {stage.cohort.progress:.0%} of its steps evaluated")
        return stage

    @property
    def _share_done(self) -> float:
        return min(1.0, self.engine.costs.lane_steps / self._expected) if self._expected else 0.0

    def _show(self) -> None:
        assert self._stage is not None
        assert self._phase is not None
        phase, own = self._phase, self._stage.own
        done = self._share_done
        elapsed = time.perf_counter() - self.begun - self.engine.costs.compile - self.engine.costs.trials
        left = elapsed * (1 - done) / done if done > 0.02 else None
        leaders = standings(own, self.kind, [entry.name for entry in phase.entries])
        metric = self.task.objective.metric.name
        title = f"{phase.title}, {len(phase.repeats)} repeats each"
        progress = Progress(title, done, left, len(own), len(own), leaders, metric, self.kind, drops=False)
        self.observer.show(progress)

    def _ground(self) -> Ground:
        split, costs = self.engine.repeat(self.repeats[0]).split, self.engine.costs
        seconds = {
            "total": time.perf_counter() - self.begun,
            "train": costs.train,
            "compile": costs.compile,
            "trials": costs.trials,
        }
        return Ground(
            self.task.model_name,
            self.task.source.name,
            self.task.objective.metric.name,
            self.kind,
            len(self.repeats),
            self.task.source.splitter.folds,
            (len(split.train), len(split.valid)),
            costs.lane_steps,
            {name: round(value, 3) for name, value in seconds.items()},
            {key: plan.to_dict() for key, plan in self.engine.plans.items()},
        )

    def _record(self, folder: RunFolder, report: Callable[[Path], object] | None) -> None:
        """Write what stays of the run, the report too; `verdict.json` comes last and says that it is finished."""
        try:
            phases = [(trained.phase.title, trained.candidates) for trained in self.done]
            names = [entry.name for trained in self.done for entry in trained.phase.entries]
            traces.write(traces.traces(phases, self.kind), folder.traces)
            traces.write(traces.recipes_of(phases, names, self.kind), folder.candidates)
            save(self.answer.best, folder.best, self.task.names)
            if report is not None:
                report(folder.report)
            folder.write_json(folder.verdict.name, self.answer.to_dict())
            folder.checkpoints.remove()
        except WriteError:
            with contextlib.suppress(WriteError):
                self.keeper.save()
            raise
