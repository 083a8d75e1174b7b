"""A race in one call."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lanewise.api.register import adopted
from lanewise.api.runs import FinishedRun, UnrecordedError, begin, check_options, check_task
from lanewise.errors import InputError, a_type, together
from lanewise.recipe.file import read
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import NAMES
from lanewise.record.checkpoint import EVERY
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.samplers import OwnSampler
from lanewise.study.progress import Observer
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings, check_overrides, with_overrides
from lanewise.task.spaces import portfolio as recipes_of_habit
from lanewise.task.spaces import space_by_name
from lanewise.task.task import Task
from lanewise.verdict.verdict import Verdict

__all__ = ["Race", "UnrecordedError", "race"]


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
    space: Recipe | str | os.PathLike[str] = "auto",
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
    portfolio: bool | None = None,
    **settings: Any,
) -> Race:
    """Find the recipe of `space` that suits `task` best.

    Args:
        task: model, data, objective.
        space: a recipe with ranges, the path of a YAML file, or the name of a built-in space: `auto` is made from the
            task, `vision`, `text`, `table` and `finetune` from the task as one of that kind, `classic` suits any.
        epochs, batch_size: replace the space's own.
        out: a new folder for the record and the report; nothing is written without it. `resume(out)` continues a
            race that was stopped or killed.
        checkpoint_every: seconds between two checkpoints in that folder, at least.
        device: a torch device. precision: of the forward pass, float32 or bfloat16 (by `torch.autocast`; weights and
            losses stay float32). threads: processors to use, all by default.
        engine: an `engine.json` of an earlier run, whose choices are used instead of new measurements.
        observer: receives the progress, instead of standard error.
        progress: whether to show progress on standard error; by default only in a terminal or a notebook.
        sampler: draws the candidates: tpe, gp, cmaes, qmc, random or grid, an Optuna sampler, or a function that makes
            one for each generation from its seed.
        enqueue: recipes or paths of recipe files to race first; they count as candidates.
        storage: the URL of a database that other studies share, for the record instead of `study.db`; or `env:NAME`
            of an environment variable or `file:PATH` of a file that holds it.
        baseline: a recipe, or the path of one, that is confirmed beside the finalists whatever the race finds, and
            compared with the winner. By default the first recipe of the portfolio, if that is raced.
        portfolio: whether a few recipes that people use by habit are raced too, as candidates with names (see
            `lanewise.portfolio`); by default they are with every built-in space but `classic`.
        **settings: fields of `lanewise.study.settings.RaceSettings`: candidates or budget, repeats, generations,
            pruner (a name, or a function as `lanewise.Pruner` describes it), finalists, confirm, seed. Where the data
            is split into folds, repeats is their number by default, and confirm the least multiple of it from 8 up.

    Raises:
        InputError: the race cannot run as given; nothing has been written.
        UnrecordedError: the race finished but the disk is full; `resume` writes the missing files.
    """
    check_task(task)
    how: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "threads": threads,
        "checkpoint_every": checkpoint_every,
    }
    _, (asked, known, drawing) = together(
        lambda: check_options(**how, progress=progress),
        lambda: race_of(
            task.source.splitter.folds, space, epochs, batch_size, out, sampler, enqueue, storage, baseline, portfolio,
            settings,
        ),
    )  # fmt: skip
    chosen, about = space_of(task, space, epochs, batch_size)
    if portfolio if portfolio is not None else made_from_task(space):
        drawing = replace(drawing, portfolio=tuple(recipes_of_habit(task, chosen).items()))
    return begin(
        lambda options: Race(Study(task, chosen, asked, drawing=drawing, baseline=known, about=about, **options)),
        out, engine,
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
    portfolio: bool | None,
    settings: Mapping[str, Any],
) -> tuple[RaceSettings, Recipe | None, Drawing]:
    """How a race is run, by the arguments of `race` that say so; `folds` are those of the data.

    Raises:
        InputError: some are wrong; all of them are named.
    """
    settings = {**settings, "pruner": adopted(settings["pruner"])} if "pruner" in settings else settings
    fields = RaceSettings.__dataclass_fields__
    unknown = sorted(set(settings) - set(fields))

    def check_unknown() -> None:
        if unknown:
            names = f"setting{'s' * (len(unknown) > 1)} {' and '.join(map(repr, unknown))}"
            raise InputError(f"race: unknown {names}; allowed: {', '.join(fields)}")

    def check_portfolio() -> None:
        if portfolio is not None and not isinstance(portfolio, bool):
            raise InputError(f"portfolio = {portfolio!r}: must be true or false")

    *_, asked, known, drawing = together(
        lambda: find_space(space),
        lambda: check_overrides(epochs, batch_size),
        check_portfolio,
        check_unknown,
        lambda: RaceSettings.of_task(folds, {name: value for name, value in settings.items() if name in fields}),
        lambda: find_baseline(baseline),
        lambda: Drawing.asked(sampler, find_recipes(enqueue), storage, None if out is None else Path(out)),
    )
    return asked, known, drawing


def space_of(
    task: Task, space: Recipe | str | os.PathLike[str], epochs: int | None, batch_size: int | None
) -> tuple[Recipe, list[str]]:
    """(the space of a race, with its length and batch size; lines about a space that was made from the task)."""
    found, about = find_space(space), list[str]()
    if isinstance(found, str):
        found, about = space_by_name(task, found, epochs, batch_size)
    return with_overrides(found, epochs, batch_size), about


def made_from_task(space: Recipe | str | os.PathLike[str]) -> bool:
    """Whether `space` names a space that is made from the task."""
    found = find_space(space)
    return isinstance(found, str) and found != "classic"


def find_space(space: Recipe | str | os.PathLike[str]) -> Recipe | str:
    """The space that is given or read from a file, or the name of a built-in space."""
    if isinstance(space, Recipe):
        return space
    if not isinstance(space, (str, os.PathLike)):
        raise InputError(f"space is {a_type(space)}: must be a recipe with ranges, {', '.join(NAMES)} or a YAML file")
    name = os.fspath(space)
    if name in NAMES:
        return name
    if not is_there(Path(name)):
        raise InputError(f"space {name!r}: no such space or file; must be {', '.join(NAMES)} or a YAML file")
    return read(name)[0]


def find_recipes(given: Any) -> list[Recipe]:
    """The recipes given, or read from those files."""
    if isinstance(given, (str, os.PathLike, Recipe)) or not isinstance(given, Sequence):
        raise InputError(f"enqueue is {a_type(given)}: must be a list of recipes or of the paths of some")
    return [read(one)[0] if isinstance(one, (str, os.PathLike)) else one for one in given]


def find_baseline(baseline: Recipe | str | os.PathLike[str] | None) -> Recipe | None:
    """The recipe given, or read from that file."""
    if baseline is None or isinstance(baseline, Recipe):
        return baseline
    if not isinstance(baseline, (str, os.PathLike)):
        raise InputError(f"baseline is {a_type(baseline)}: must be a recipe or a YAML file")
    if not is_there(Path(baseline)):
        raise InputError(f"baseline {os.fspath(baseline)!r}: no such file; must be the YAML file of a recipe")
    return read(baseline)[0]


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name too long for the file system is none."""
    try:
        return path.exists()
    except OSError:
        return False
