"""Recipes trained side by side, all to the end, to answer one question about them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Unpack

import numpy as np

from lanewise.base.registry import origins
from lanewise.errors import together
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.part import Allowed, check_number
from lanewise.questions.phase import Phase, PhaseResult, candidates_from, candidates_of, repeats_of
from lanewise.questions.question import Question
from lanewise.recipe.file import save
from lanewise.record import identity, traces
from lanewise.record.checkpoint import Snapshot
from lanewise.record.folder import RunFolder
from lanewise.statistics.row_scores import RowScores
from lanewise.study.progress import Progress, standings
from lanewise.study.rate import Rate
from lanewise.study.run import Run, RunOptions
from lanewise.study.stage import Stage, last_scores_of
from lanewise.task.task import Task
from lanewise.verdict.answer import Answer, Setup
from lanewise.verdict.references import references_of


@dataclass(frozen=True)
class SideBySideSettings:
    """The settings of a question; every field is checked.

    Args:
        repeats: runs of each recipe, at least 2; by default as many as the data has folds, else 8.
        seed: every split, weight, order and mask follows from it.
    """

    repeats: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        together(
            lambda: check_number("repeats", self.repeats, Allowed(2, integer=True, optional=True)),
            lambda: check_number("seed", self.seed, Allowed(0, integer=True)),
        )


class SideBySide(Run[Answer]):
    """One question from the first step to the answer.

    Args:
        question: what is asked. settings: on how many repeats. task, **options: see `Run`.

    Attributes:
        done: the phases that are over. answer: what was found.

    Raises:
        InputError: recipes that cannot be trained on this task; nothing has been written then.
    """

    settings: SideBySideSettings

    def __init__(
        self, task: Task, question: Question, settings: SideBySideSettings, **options: Unpack[RunOptions]
    ) -> None:
        super().__init__(task, settings, **options)
        self.question = question
        self.repeats = repeats_of(task.source, settings.repeats, question.place)
        self.engine.check_metric(self.repeats)
        self._notes = question.prepare(self.engine, self.repeats)
        self.done: list[PhaseResult] = []
        self.answer: Answer
        self._phase: Phase | None = None
        self._rate = Rate()
        self._expected = self._lane_steps()

    def _about(self) -> list[str]:
        rows = f"{self.model_name} on {self.data_name}: {len(self.engine.holdout.pool):,} examples"
        return [rows, f"model: {self.model_description}", *self._notes]

    def _train(self) -> Answer:
        resumed = self._resumed(self._restored)
        self._keep(self._snapshot)
        while (phase := self.question.phase(self.done)) is not None:
            self.done.append(self._trained(phase, resumed))
            resumed = None
        # Should there be no room for the record, nothing is left to train when there is.
        self._stage = self._phase = None
        self.answer = self.question.answer(self.done, self._ground())
        return self.answer

    def _trained(self, phase: Phase, resumed: Stage | None) -> PhaseResult:
        stage = resumed or self._begun(phase)
        self._phase = phase
        for _ in self._evaluations(stage):
            pass
        assert stage.last is not None
        zeros = stage.cohort.zeros()
        shares = tuple(zeros.get(at, 0.0) for at in range(len(stage.own)))
        found = stage.cohort.valid_rows(range(len(stage.own)))
        return PhaseResult(phase, stage.last, RowScores(*found) if found else None, shares, tuple(stage.own))

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

    def _write_settings(self, folder: RunFolder) -> dict[str, Any]:
        base = self.question.base
        about = identity.described(self.task, base, self.settings, self.engine, self._plans, self._every)
        del about["space"]
        about |= {"asked": self.question.asked, "question": self.question.to_dict()}
        about["imports"] |= origins([str(about["question"])])
        folder.write_question(about)
        return about

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
            "seconds": self.elapsed(),
            "cohort": cohort,
        }

    def _forget(self) -> None:
        super()._forget()
        self.done = []

    def _restored(self, tensors: Mapping[str, Any], data: dict[str, Any]) -> Stage | None:
        """The phase that was going on when the checkpoint was written; all before it stands in `done` again."""
        self._restore_costs(data)
        for number, one in enumerate(data["phases"]):
            phase = self.question.phase(self.done)
            if phase is None:
                raise ValueError(f"phases: has {len(data['phases'])}; must have {number}")
            self.done.append(PhaseResult.from_dict(one, tensors, f"done.{number}", phase))
        phase = self.question.phase(self.done)
        if phase is None:
            self.observer.note("resuming: all training is done; only the record is missing")
        if phase is None or data["cohort"] is None:
            return None
        stage = self._begun(phase)
        restore(stage.cohort, dict(tensors), data["cohort"])
        stage.own, stage.last = list(candidates_from(data["own"], phase)), last_scores_of(data, stage.cohort)
        self.observer.note(f"resuming {phase.title}, {stage.cohort.progress:.0%} done")
        return stage

    @property
    def _share_done(self) -> float:
        return min(1.0, self.engine.costs.lane_steps / self._expected) if self._expected else 0.0

    def _time_left(self) -> tuple[float, float | None]:
        costs = self.engine.costs
        rate = self._rate.measured(self.elapsed() - costs.compile - costs.trials, costs.lane_steps)
        return self._share_done, None if rate is None else rate * max(0, self._expected - costs.lane_steps)

    def _show(self) -> None:
        assert self._stage is not None
        assert self._phase is not None
        phase, own = self._phase, self._stage.own
        done, left = self._time_left()
        leaders = standings(own, self.kind, [entry.name for entry in phase.entries])
        metric = self.task.objective.metric.name
        title = f"{phase.title}, {len(phase.repeats)} repeats each"
        live = sum(one.in_race for one in own)
        progress = Progress(
            title, done, left, live, len(own), leaders, metric, self.kind, drops=False, diverged=len(own) - live
        )
        self.observer.show(progress)

    def _ground(self) -> Setup:
        split, costs = self.engine.repeat(self.repeats[0]).split, self.engine.costs
        simple = references_of(self.engine, self.repeats, test=False)
        seconds = {
            "total": self.elapsed(),
            "train": costs.train,
            "compile": costs.compile,
            "trials": costs.trials,
        }
        return Setup(
            self.model_name,
            self.data_name,
            self.task.objective.metric.name,
            self.kind,
            len(self.repeats),
            self.task.source.splitter.folds,
            (len(split.train), len(split.valid)),
            costs.lane_steps,
            {name: round(value, 3) for name, value in seconds.items()},
            {key: plan.to_dict() for key, plan in self.engine.plans.items()},
            self.task.objective.metric.bounds,
            dict(simple.scores),
            simple.notes,
        )

    def _write_results(self, folder: RunFolder) -> None:
        phases = [(trained.phase.title, trained.candidates) for trained in self.done]
        names = [entry.name for trained in self.done for entry in trained.phase.entries]
        traces.write(traces.traces(phases, self.kind), folder.traces)
        traces.write(traces.recipes_of(phases, names, self.kind), folder.candidates)
        save(self.answer.best, folder.best, self.task.names)
