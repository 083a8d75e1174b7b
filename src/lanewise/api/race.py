"""A race in one call, and going on with one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lanewise.api.questions import Result, read_answer, recorded_question
from lanewise.api.runs import FinishedRun, UnrecordedError, begin, check_options, check_task, finished, recorded_options
from lanewise.base.plain_data import undamaged
from lanewise.data import BUILT_IN
from lanewise.data import load as load_data
from lanewise.data.tables.openml import PREFIX
from lanewise.errors import InputError, one_line, together
from lanewise.questions.side_by_side import SideBySide
from lanewise.recipe.file import load, read
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import SPACES
from lanewise.record.checkpoint import EVERY
from lanewise.record.folder import RunFolder
from lanewise.record.identity import check_unchanged
from lanewise.record.reading import verdict_of
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.samplers import OwnSampler
from lanewise.study.progress import Observer
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings, check_overrides, with_overrides
from lanewise.task.task import Task, check_recorded
from lanewise.verdict.verdict import Verdict

__all__ = ["Race", "UnrecordedError", "race", "resume"]


class Race(FinishedRun):
    """A finished race.

    Attributes:
        study: all candidates with their curves, the engine and the settings.
    """

    def __init__(self, study: Study) -> None:
        self.study = self.run = study

    @property
    def winner(self) -> Recipe:
        """The best recipe."""
        return self.study.verdict.winner

    @property
    def verdict(self) -> Verdict:
        """What was found, how sure it is, and what it cost."""
        return self.study.verdict

    def _write(self, path: Path) -> None:
        from lanewise.report.page import race as html

        html.write(self.study, path)

    def __str__(self) -> str:
        return str(self.verdict)

    def __repr__(self) -> str:
        return f"Race({' '.join(self.verdict.sentences())!r})"


def race(
    task: Task,
    space: Recipe | str | os.PathLike[str] = "classic",
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: float = EVERY,
    device: str = "cpu",
    precision: str = "float32",
    threads: int | None = None,
    engine: str | os.PathLike[str] | None = None,
    observer: Observer | None = None,
    progress: bool | None = None,
    sampler: str | OwnSampler = "tpe",
    enqueue: Sequence[Recipe | str | os.PathLike[str]] = (),
    storage: str | None = None,
    baseline: Recipe | str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Race:
    """Find the recipe of `space` that suits `task` best.

    Args:
        task: model, data, objective.
        space: a recipe with ranges, the name of a built-in space, or the path of a YAML file.
        epochs, batch_size: replace the space's own.
        out: a new folder for the record and the report; nothing is written without it. A race that was stopped or
            killed goes on with `resume(out)`.
        checkpoint_every: seconds between two checkpoints in that folder, at least.
        device: a torch device. precision: of the forward pass, float32 or bfloat16 (by `torch.autocast`; weights and
            losses stay float32). threads: processors to use, all by default.
        engine: an `engine.json` of an earlier run, whose choices are taken instead of measuring anew.
        observer: told how it goes, instead of standard error.
        progress: whether to show on standard error how it goes; by default where that is a terminal or a notebook.
        sampler: draws the candidates: tpe, gp, cmaes, qmc, random or grid, an Optuna sampler, or a function that makes
            one for each generation from its seed.
        enqueue: recipes, or the paths of some, that are raced first; they count as candidates.
        storage: the URL of a database that other studies share, for the record instead of `study.db`; or `env:NAME`
            of an environment variable or `file:PATH` of a file that holds it.
        baseline: a recipe, or the path of one, that is confirmed beside the finalists whatever the race finds, and
            compared with the winner.
        **settings: fields of `lanewise.study.settings.RaceSettings`: candidates or budget, repeats, generations,
        pruner,
            finalists, confirm, seed. Where the data is split into folds, repeats is their number by default, and
            confirm the least multiple of it from 8 up.

    Raises:
        InputError: anything that cannot be raced; nothing has been written then.
        UnrecordedError: the race has its verdict, and the disk no room for it; `resume` writes what is missing.
    """
    check_task(task)
    how: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "threads": threads,
        "checkpoint_every": checkpoint_every,
    }
    _, (chosen, asked, known, drawing) = together(
        lambda: check_options(**how, progress=progress),
        lambda: race_of(
            task.source.splitter.folds, space, epochs, batch_size, out, sampler, enqueue, storage, baseline, settings
        ),
    )
    return begin(
        lambda options: Race(Study(task, chosen, asked, drawing=drawing, baseline=known, **options)), out, engine,
        progress=progress, observer=observer, device=device, precision=precision, threads=threads,
        every=checkpoint_every,
    )  # fmt: skip


def race_of(
    folds: int | None,
    space: Recipe | str | os.PathLike[str],
    epochs: int | None,
    batch_size: int | None,
    out: str | os.PathLike[str] | None,
    sampler: str | OwnSampler,
    enqueue: Sequence[Recipe | str | os.PathLike[str]],
    storage: str | None,
    baseline: Recipe | str | os.PathLike[str] | None,
    settings: Mapping[str, Any],
) -> tuple[Recipe, RaceSettings, Recipe | None, Drawing]:
    """What a race is of, by the arguments of `race` that say so; `folds` are those of the data.

    Raises:
        InputError: some are wrong; all of them are named.
    """
    fields = RaceSettings.__dataclass_fields__
    unknown = sorted(set(settings) - set(fields))

    def check_unknown() -> None:
        if unknown:
            names = f"setting{'s' * (len(unknown) > 1)} {' and '.join(map(repr, unknown))}"
            raise InputError(f"race: unknown {names}; allowed: {', '.join(fields)}")

    whole, _, asked, known, drawing, _ = together(
        lambda: find_space(space),
        check_unknown,
        lambda: RaceSettings.of_task(folds, {name: value for name, value in settings.items() if name in fields}),
        lambda: find_baseline(baseline),
        lambda: Drawing.asked(sampler, find_recipes(enqueue), storage, None if out is None else Path(out)),
        lambda: check_overrides(epochs, batch_size),
    )
    return with_overrides(whole, epochs, batch_size), asked, known, drawing


def resume(
    folder: str | os.PathLike[str],
    task: Task | None = None,
    *,
    observer: Observer | None = None,
    progress: bool | None = None,
    sampler: OwnSampler | None = None,
    storage: str | None = None,
) -> Race | Result:
    """Go on with a run that was stopped or killed: its traces and its verdict are those of one that never was.

    Args:
        folder: what `race`, `compare`, `ablate` or `sweep` was given as `out`.
        task: the same as it was; may be left out where model and data are built in, or the data is a path.
        observer, progress: as for `race`.
        sampler: the one of your own that the race began with, as it was then.
        storage: the URL of the shared database that its record is in, or where that stands, as for `race`; to be given
            if it has one, for no record says what is opened. A relative path of an SQLite file means the file that it
            meant when the race began.

    Raises:
        InputError: the folder holds no run that can go on with this task: none at all, one of another version, one
            that is finished, that another process is at, or whose data or model changed. Nothing has been written then.
    """
    from lanewise.report.terminal.watching import check_progress, watching

    check_progress(progress)
    reopened = RunFolder.reopened(Path(folder))
    asked = reopened.asked
    if reopened.finished:
        told = read_verdict(reopened) if asked == "race" else read_answer(reopened)
        raise InputError(f"resume {folder}: is finished: {' '.join(told.sentences())}")
    recorded = reopened.settings()
    where = f"resume {folder}"
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
        for name, given in (("sampler", sampler), ("storage", storage)):
            if given is not None:
                raise InputError(f"{where}: {name}: goes with a race; this run is of lanewise {asked}, which has none")
    with watching(observer, progress) as options["observer"]:
        if asked != "race":
            return finished(Result(SideBySide(task, question, few, **options)))
        return finished(Race(Study(task, space, settings, drawing=drawing, baseline=baseline, **options)))


def recorded_task(recorded: Mapping[str, Any], where: str, model: str | None = None, data: str | None = None) -> Task:
    """The task of a run by its `run.json`; `model` and `data` are those of the user's own.

    Raises:
        InputError: the model or the data is neither given nor built in; files name no code to import.
    """
    if model is None:
        if not recorded.get("model_built_in"):
            raise InputError(
                f"{where}: its model, {recorded.get('model')}, is not built in, and a record names no code to import; "
                "give it again: --model package.module:factory, or resume(folder, task) in Python"
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
                f"{where}: its data, {data or recorded.get('data')}, is no longer there; give it again: --data PATH, "
                "or resume(folder, task) in Python"
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
    return Task(str(model), source, **known)


def read_verdict(folder: RunFolder) -> Verdict:
    """The verdict of a finished run."""
    return verdict_of(folder, str(folder.verdict))


def find_space(space: Recipe | str | os.PathLike[str]) -> Recipe:
    """The space given, built in under that name, or read from that file."""
    if isinstance(space, Recipe):
        return space
    if not isinstance(space, (str, os.PathLike)):
        raise InputError(
            f"space is a {type(space).__name__}: must be a recipe with ranges, {', '.join(SPACES)} or a YAML file"
        )
    name = os.fspath(space)
    if name in SPACES:
        return SPACES[name]()
    if not is_there(Path(name)):
        raise InputError(f"space {name!r}: no such space or file; must be {', '.join(SPACES)} or a YAML file")
    return read(name)[0]


def find_recipes(given: Any) -> list[Recipe]:
    """The recipes given, or read from those files."""
    if isinstance(given, (str, os.PathLike, Recipe)) or not isinstance(given, Sequence):
        raise InputError(f"enqueue is a {type(given).__name__}: must be a list of recipes or of the paths of some")
    return [read(one)[0] if isinstance(one, (str, os.PathLike)) else one for one in given]


def find_baseline(baseline: Recipe | str | os.PathLike[str] | None) -> Recipe | None:
    """The recipe given, or read from that file."""
    if baseline is None or isinstance(baseline, Recipe):
        return baseline
    if not isinstance(baseline, (str, os.PathLike)):
        raise InputError(f"baseline is a {type(baseline).__name__}: must be a recipe or a YAML file")
    if not is_there(Path(baseline)):
        raise InputError(f"baseline {os.fspath(baseline)!r}: no such file; must be the YAML file of a recipe")
    return read(baseline)[0]


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name too long for the file system is none."""
    try:
        return path.exists()
    except OSError:
        return False
