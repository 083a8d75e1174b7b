"""Continue a run that was stopped or killed, in one call."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lanewise.api.questions import Result, read_answer, recorded_question
from lanewise.api.race import Race, is_there
from lanewise.api.register import adopted
from lanewise.api.runs import finished, recorded_options
from lanewise.base.plain_data import undamaged
from lanewise.base.registry import check_origins
from lanewise.data import BUILT_IN
from lanewise.data import load as load_data
from lanewise.data.tables.openml import PREFIX
from lanewise.errors import InputError, check_path, one_line
from lanewise.lanes.machine.workers import one_torch_thread
from lanewise.questions.side_by_side import SideBySide
from lanewise.racing import Pruner
from lanewise.racing.own_pruner import OWN
from lanewise.recipe.file import load
from lanewise.record.folder import RunFolder
from lanewise.record.identity import check_unchanged
from lanewise.record.reading import verdict_of
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.samplers import OwnSampler
from lanewise.study.progress import Observer
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.checks import check_recorded
from lanewise.task.task import Task
from lanewise.verdict.verdict import Verdict


def resume(
    folder: str | os.PathLike[str],
    task: Task | None = None,
    *,
    observer: Observer | None = None,
    progress: bool | None = None,
    sampler: OwnSampler | None = None,
    storage: str | None = None,
    pruner: Pruner | None = None,
) -> Race | Result:
    """Continue a stopped or killed run; its traces and verdict are the same as without the stop.

    Args:
        folder: the `out` folder of `race`, `compare`, `ablate` or `sweep`.
        task: the same as it was; may be left out where model and data are built in, or the data is a path.
        observer, progress: as for `race`.
        sampler: your own sampler, unchanged since the race began.
        pruner: the function that the race was given as its pruner, unless it is registered by a name.
        storage: the URL of the shared database that its record is in, or where that stands, as for `race`; to be given
            if it has one, for no record says what is opened. A relative path of an SQLite file means the file that it
            meant when the race began.

    Raises:
        InputError: the folder holds no run that can go on with this task: none at all, one of another version, one
            that is finished, that another process is at, or whose data or model changed. Nothing has been written then.
    """
    from lanewise.report.terminal.watching import check_progress, watching

    check_progress(progress)
    check_path("folder", folder)
    reopened = RunFolder.reopened(Path(folder))
    asked = reopened.asked
    if reopened.finished:
        told = read_verdict(reopened) if asked == "race" else read_answer(reopened)
        raise InputError(f"resume {folder}: is finished: {' '.join(told.sentences())}")
    recorded = reopened.settings()
    where = f"resume {folder}"
    check_origins(recorded.get("imports", {}), where)
    check_pruner(recorded["settings"].get("pruner"), pruner, where)
    task = task or recorded_task(recorded, where)
    check_unchanged(recorded, task, where)
    with undamaged(f"{where}: run.json"):
        options = recorded_options(recorded, where) | {"folder": reopened}
        if asked != "race":
            question, few = recorded_question(recorded, where)
        else:
            space, settings = load(recorded["space"], where)[0], RaceSettings(**recorded["settings"])
            baseline = None if recorded.get("baseline") is None else load(recorded["baseline"], where)[0]
            drawing = Drawing.recorded(recorded.get("drawing", {}), where, sampler, storage)
    if asked != "race":
        for name, given in (("sampler", sampler), ("storage", storage), ("pruner", pruner)):
            if given is not None:
                raise InputError(f"{where}: {name}: goes with a race; this run is of lanewise {asked}, which has none")
    with one_torch_thread(), watching(observer, progress) as options["observer"]:
        if asked != "race":
            return finished(Result(SideBySide(task, question, few, **options)))
        return finished(Race(Study(task, space, settings, drawing=drawing, baseline=baseline, **options)))


def recorded_task(recorded: Mapping[str, Any], where: str, model: str | None = None, data: str | None = None) -> Task:
    """The task of a run by its `run.json`; `model` and `data` are those of the user's own.

    Raises:
        InputError: the model or the data is neither given nor built in; files name no code to import.
    """
    check_origins(recorded.get("imports", {}), where)
    if model is None:
        if not recorded.get("model_built_in"):
            raise InputError(
                f"{where}: its model, {recorded.get('model')}, is not built in, and a record names no code to import; "
                "give it again: resume(folder, task)"
            )
        model = recorded["model"]
        check_recorded({"model": str(model)}, where)
    options = recorded.get("data_options", {})
    if options is None:
        raise InputError(
            f"{where}: its data was split by rows that only Python has; give it again: resume(folder, task) in Python"
        )
    if data is None:
        data = recorded.get("data_given")
        if data is None or not (data in BUILT_IN or data.startswith(PREFIX) or is_there(Path(data))):
            raise InputError(
                f"{where}: its data, {data or recorded.get('data')}, is no longer there; give it again: "
                "resume(folder, task)"
            )
    if recorded.get("function") is not None:
        raise InputError(
            f"{where}: its objective or metric, {recorded['function']}, is your own, and a record names no code to "
            "import; resume(folder, task) in Python"
        )
    try:
        source = load_data(data, **options)
    except TypeError as error:
        raise InputError(f"{where}: run.json is damaged: data_options: {one_line(error)}") from None
    known = {name: recorded.get(name) for name in ("objective", "metric", "class_weights")}
    return Task(str(model), source, **known, cache=str(recorded.get("cache", "auto")))


def check_pruner(recorded: Any, given: Pruner | None, where: str) -> None:
    """Raise `InputError` unless the pruner on record can go on: by its name, or by the function `given`."""
    own = str(recorded).startswith(OWN)
    if own and given is None:
        raise InputError(
            f"{where}: its pruner, {str(recorded).removeprefix(OWN)}, is your own, and a record names no code to "
            "import; resume(folder, task, pruner=...) in Python, with the function as it was when the race began"
        )
    if given is not None and recorded is not None and (name := adopted(given)) != recorded:
        raise InputError(f"{where}: pruner was {recorded} when the race began, and is {name}")


def read_verdict(folder: RunFolder) -> Verdict:
    """The verdict of a finished run."""
    return verdict_of(folder, str(folder.verdict))
