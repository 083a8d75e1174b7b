"""The steps shared by all calls that start or continue a run."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Unpack

from lanewise.errors import InputError, WriteError, a_type, together
from lanewise.lanes.machine.devices import check_threads, usable_device
from lanewise.lanes.machine.workers import one_torch_thread
from lanewise.lanes.model.precision import check_precision
from lanewise.parts.part import Allowed, check_number
from lanewise.record.folder import RunFolder
from lanewise.record.plans import plans_of, read_plans
from lanewise.study.run import Run, RunOptions
from lanewise.task.task import Task


class FinishedRun(ABC):
    """A finished run and its result, as the calls return it."""

    run: Run[Any]

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report, one HTML file that needs nothing else, and return its path."""
        if Path(path).is_dir():
            raise InputError(f"{path}: is a folder; must be a file")
        self._write(Path(path))
        return Path(path)

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write the report to `path`; here and nowhere else Plotly is imported, which takes a second."""


AnyOutcome = TypeVar("AnyOutcome", bound=FinishedRun)


class UnrecordedError(WriteError):
    """A run finished, but its record or report cannot be written.

    Attributes:
        outcome: the run, finished but for its record. found: its verdict, or its answer.
    """

    def __init__(self, message: str, outcome: FinishedRun) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.found: Any = outcome.run.found

    @property
    def race(self) -> FinishedRun:
        """The race, where it was one."""
        return self.outcome


def check_task(task: Any) -> None:
    """Raise `InputError` unless `task` is one."""
    if not isinstance(task, Task):
        raise InputError(f"task is {a_type(task)}: must be a lanewise.Task(model, data)")


def check_options(
    *, device: str, precision: str, threads: int | None, checkpoint_every: float, progress: bool | None = None
) -> None:
    """Raise one `InputError` of all that is wrong with how a run is to go about it."""
    from lanewise.report.terminal.watching import check_progress

    together(
        lambda: check_precision(precision, usable_device(device)),
        lambda: check_threads(1 if threads is None else threads),
        lambda: check_number("checkpoint_every", checkpoint_every, Allowed(0.0)),
        lambda: check_progress(progress),
    )


def begin(
    make: Callable[[RunOptions], AnyOutcome],
    out: str | os.PathLike[str] | None,
    engine: str | os.PathLike[str] | None,
    progress: bool | None = None,
    **options: Unpack[RunOptions],
) -> AnyOutcome:
    """Begin a run in the new folder `out`, or in none, and run it to its end.

    Args:
        make: makes the run with all options. engine: the `engine.json` of an earlier run. progress: whether it is shown
            on standard error how it goes, see `lanewise.report.terminal.watching`.
    """
    from lanewise.report.terminal.watching import watching

    options["plans"] = read_plans(Path(engine)) if engine is not None else None
    folder = options["folder"] = RunFolder(Path(out)) if out is not None else None
    made = None
    try:
        with one_torch_thread(), watching(options.get("observer"), progress) as options["observer"]:
            made = make(options)
            return finished(made)
    except BaseException as error:
        # What was stopped can go on as soon as there is a record; what failed before its first step would fail again.
        failed = isinstance(error, Exception) and (made is None or not made.run.engine.costs.lane_steps)
        if folder and (failed or not folder.begun):
            folder.discard()
        raise


def finished(made: AnyOutcome) -> AnyOutcome:
    """Run it to its end, with the report where there is a folder for it."""
    run = made.run
    try:
        run.run(made.report)
    except WriteError as error:
        if run.found is not None:
            raise UnrecordedError(str(error), made) from None
        raise
    except InputError as error:
        if run.folder is None or not run.engine.costs.lane_steps:
            raise
        raise InputError(f"{error} (what was tried is on record in {run.folder.path})") from None
    return made


def recorded_options(recorded: Mapping[str, Any], where: str) -> RunOptions:
    """How a run went about it, by its `run.json`."""
    return {
        "plans": None if (plans := recorded["plans"]) is None else plans_of(plans, where),
        "device": recorded["device"],
        # Runs recorded before there was a choice have none.
        "precision": recorded.get("precision", "float32"),
        "threads": recorded["threads"],
        "every": recorded["checkpoint_every"],
    }
