"""What a race and a question about given recipes have in common: engine, folder, checkpoints, and how a run ends."""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

from torch import Tensor

from lanewise.base.plain_data import checked, number
from lanewise.errors import InputError, WriteError, one_line
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.prepared import Costs
from lanewise.lanes.training.checkpointer import Checkpointer
from lanewise.parts.part import Allowed, check_number
from lanewise.record import identity
from lanewise.record.checkpoint import EVERY, Keeps, Snapshot
from lanewise.record.folder import RunFolder
from lanewise.record.plans import read_plans
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.progress import Observer
from lanewise.study.stage import Stage
from lanewise.task.task import Task
from lanewise.verdict.answer import Answer
from lanewise.verdict.verdict import Verdict

ResultT = TypeVar("ResultT", bound=Verdict | Answer)
Restored = TypeVar("Restored")
MOST = 1e18
"""Seconds or steps that any run can have taken."""


class RunOptions(TypedDict, total=False):
    """What every run takes by name, see `Run`."""

    folder: RunFolder | None
    observer: Observer | None
    device: str
    precision: str
    threads: int | None
    plans: dict[str, Plan] | None
    every: float
    clock: Callable[[], float]


class Run(ABC, Generic[ResultT]):
    """Recipes trained stage by stage to find something out, from the first step or from the last checkpoint.

    Args:
        task: model, data, objective. settings: a dataclass with a `seed`.
        folder: where to record it, or None; a folder that was reopened is gone on with from its last checkpoint.
        observer: receives the progress. device, precision, threads, plans: see `Engine`.
        every: seconds between two checkpoints, at least; 0 for one after every few steps.
        clock: seconds from any start.

    Attributes:
        engine: trains the lanes. kind: of the metric's scores. begun: when by the clock, the time of all processes
            counted. checkpointer: writes the checkpoints. found: None until the end. data_name, model_name: of the
            task, as the run was given them when it began.
    """

    def __init__(
        self,
        task: Task,
        settings: Any,
        *,
        folder: RunFolder | None = None,
        observer: Observer | None = None,
        device: str = "cpu",
        precision: str = "float32",
        threads: int | None = None,
        plans: dict[str, Plan] | None = None,
        every: float = EVERY,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        check_number("checkpoint_every", every, Allowed(0.0))
        self.task, self.settings, self.folder, self.clock = task, settings, folder, clock
        self.observer = observer or Observer()
        self.begun = clock()
        self.model_description = task.check_model()
        self.kind = ScoreKind.of(task.objective.metric)
        self._every, self._plans = every, plans
        replayed = read_plans(folder.engine) if folder and folder.resumes and folder.engine.exists() else None
        self.engine = Engine(
            task, settings.seed, device=device, threads=threads, precision=precision, plans=plans,
            note=self.observer.note, replayed=replayed, decided=folder.write_plans if folder else lambda plans: None,
        )  # fmt: skip
        # As the run was given them when it began: a path may be written in another way when it goes on.
        known = folder.settings() if folder and folder.resumes else {}
        self.data_name = str(known.get("data", task.source.name))
        self.model_name = str(known.get("model", task.model_name))
        self.checkpointer = Checkpointer()
        self.found: ResultT | None = None
        self._stage: Stage | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task!r})"

    def run(self, report: Callable[[Path], object] | None = None) -> ResultT:
        """Train everything and return what was found; the record is complete in the folder afterwards.

        Args:
            report: writes the report, what was found being known, to a path; called before the run counts as finished.
        """
        with self.folder.held() if self.folder else contextlib.nullcontext():
            for line in (*self._about(), *self.task.source.notes):
                self.observer.note(line)
            wait = True
            try:
                self.found = found = self._train()
            except KeyboardInterrupt:
                # Workers may be in the middle of seconds of work, of which nothing will be kept.
                wait = False
                raise
            finally:
                self.engine.close(wait)
            if self.folder:
                self._record(self.folder, found, report)
        return found

    @abstractmethod
    def _about(self) -> list[str]:
        """What to note before the first step."""

    @abstractmethod
    def _train(self) -> ResultT:
        """Train everything, from `_last_checkpoint` on, and say what was found."""

    @abstractmethod
    def _write_settings(self, folder: RunFolder) -> dict[str, Any]:
        """Make the new `folder` that of a run; returns what `run.json` holds."""

    @abstractmethod
    def _write_results(self, folder: RunFolder) -> None:
        """Write the traces and the best recipe."""

    @abstractmethod
    def _time_left(self) -> tuple[float, float | None]:
        """(share done, seconds left, None if unknown); called before the first step of a stage, too."""

    @abstractmethod
    def _show(self) -> None:
        """Tell the observer how far it has come."""

    def elapsed(self) -> float:
        """Seconds spent on the run so far, in all its processes."""
        return self.clock() - self.begun

    def _resumed(self, restore: Callable[[dict[str, Tensor], dict[str, Any]], Restored]) -> Restored | None:
        """What `restore` makes of the newest checkpoint that it can go on from, or None; a new folder gets its record.

        A checkpoint whose bytes are whole may still hold what does not fit the run: whatever `restore` raises then, the
        one before is taken.

        Raises:
            InputError: of all checkpoints there are none can be gone on from, and this is why.
        """
        folder = self.folder
        if folder is None:
            return None
        if not folder.resumes:
            if self._write_settings(folder)["model_checksums"] is None:
                self.observer.note(
                    "the model's initial weights differ from call to call, so a resumed run would differ, too"
                )
            return None
        changed = identity.changes(folder.settings(), self.engine)
        if changed:
            self.observer.note(f"the last bits may differ from a run that was never stopped: {'; '.join(changed)}")
        refused: InputError | None = None
        for name, snapshot in folder.checkpoints.whole(self.observer.note):
            try:
                return restore(*snapshot)
            except (WriteError, MemoryError):
                raise
            except Exception as error:
                if isinstance(error, InputError):
                    refused = refused or error
                why = str(error) if isinstance(error, InputError) else one_line(error)
                self.observer.note(f"{name}: cannot be resumed from ({why}); going back to the checkpoint before it")
                self._forget()
        if refused is not None:
            raise refused
        self.observer.note("resuming from the start: there is no complete checkpoint")
        return None

    def _forget(self) -> None:
        """Be again as before the first step: a checkpoint may have been restored in part before it failed."""
        self.engine.costs, self.begun = Costs(), self.clock()

    def _restore_costs(self, data: Mapping[str, Any]) -> None:
        """Count the time and the work of the processes before this one, which a checkpoint holds, too."""
        costs = checked(Costs(**data["costs"]))
        for item in fields(costs):
            number(item.name, getattr(costs, item.name), 0.0, MOST)
        self.engine.costs = costs
        self.begun = self.clock() - number("seconds", data["seconds"], 0.0, MOST)

    def _keep(self, snapshot: Callable[[], Snapshot]) -> None:
        """Write checkpoints of what `snapshot` returns from now on, where there is a folder for them."""
        if self.folder:
            self.checkpointer = Keeps(self.folder.checkpoints, snapshot, self._every)

    def _evaluations(self, stage: Stage) -> Iterator[float]:
        """Train `stage` from where it is to the end; yields the progress at which it has just been evaluated.

        A checkpoint, where it is time for one, holds what was made of the evaluation.
        """
        self._stage = stage
        stage.cohort.checkpointer = self.checkpointer
        # What comes before the steps is no part of what they take.
        self._time_left()
        for progress in stage.cohort.evaluation_points:
            if progress <= stage.cohort.progress:
                continue
            if not stage.cohort.live:
                break
            stage.cohort.advance(progress)
            stage.evaluate()
            self._show()
            yield progress
            if self.checkpointer.due():
                self.checkpointer.save()

    def _record(self, folder: RunFolder, found: ResultT, report: Callable[[Path], object] | None) -> None:
        """Write what stays of the run, the report too; `verdict.json` comes last and says that it is finished."""
        try:
            self._write_results(folder)
            if report is not None:
                report(folder.report)
            folder.write_json(folder.verdict.name, found.to_dict())
            folder.checkpoints.remove()
        except WriteError:
            # Who goes on with the run has then nothing left to train; there may be room for this, which is small.
            with contextlib.suppress(WriteError):
                self.checkpointer.save()
            raise
