"""What a command line names, made of its options and files: the task, recipes, a candidate on record.

Commands import this when they run, for it imports torch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lanewise.api.race import is_there
from lanewise.api.resume import recorded_task
from lanewise.cli.console import stderr
from lanewise.cli.options import TaskOptions
from lanewise.data import load
from lanewise.data.loading import SPLITS
from lanewise.errors import InputError, together
from lanewise.metrics import METRICS, find_metric, metric_names
from lanewise.recipe.file import read
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import NAMES
from lanewise.record.folder import RunFolder
from lanewise.record.identity import check_unchanged
from lanewise.record.reading import candidate_of, winner_of
from lanewise.report.terminal.race import print_columns
from lanewise.statistics.score_kind import ScoreKind
from lanewise.task import models
from lanewise.task.checks import check_recorded
from lanewise.task.libraries import check_library_name, is_from_library
from lanewise.task.task import Task


def task_of(given: TaskOptions, recorded: Mapping[str, str], where: object = "") -> Task:
    """The task that `given` names; `recorded`, from the recipe file `where`, names the data and the model not given."""
    for name in ("data", "model"):
        if getattr(given, name) is None and name not in recorded:
            raise InputError(f"{where}: names no {name} (a recipe file names no code to import); give it with --{name}")
    model = recorded["model"] if given.model is None else given.model
    try:
        return _task(given, recorded, model)
    except InputError as error:
        # Checks that need no data are made all the same.
        first = error

        def refused() -> None:
            raise first

        field = str(first).replace("=", " ").split()[0]
        together(refused, *(check for name, check in _without_data(given, model) if name != field))
        raise


def _task(given: TaskOptions, recorded: Mapping[str, str], model: str) -> Task:
    names = ("target", "split", "groups", "time", "folds", "encoding")
    source = load(
        recorded["data"] if given.data is None else given.data,
        drop=given.drop or (),
        drop_missing_target=bool(given.drop_missing_target),
        standardise=given.standardise is not False,
        **{name: getattr(given, name) for name in names},
    )
    if source.schema is not None:
        print_columns(source, stderr)
    weights = class_weights_of(given.class_weights)
    return Task(model, source, given.objective, metric=given.metric, class_weights=weights, cache=given.cache)


def _without_data(given: TaskOptions, model: str) -> list[tuple[str, Callable[[], object]]]:
    """(option, what raises `InputError` where its value suits no data) of some options."""

    def check_name(name: str, value: str | None, allowed: Iterable[str]) -> None:
        if value is not None and value not in allowed:
            raise InputError(f"{name} = {value!r}: must be {', '.join(allowed)}")

    def check_metric() -> None:
        wrong = []
        for objective in METRICS if given.metric is not None else ():
            try:
                find_metric(objective, str(given.metric))
            except InputError as error:
                wrong.append(error)
        if len(wrong) == len(METRICS):
            known = dict.fromkeys(name for objective in METRICS for name in metric_names(objective))
            raise InputError(f"metric = {given.metric!r}: must be one of {', '.join(known)}")

    return [
        # Of a picture that is large enough for every number of layers.
        ("model", lambda: check_model_name(model)),
        ("objective", lambda: check_name("objective", given.objective, METRICS)),
        ("metric", check_metric),
        ("split", lambda: check_name("split", given.split, SPLITS)),
    ]


def check_model_name(model: str) -> None:
    """Raise `InputError` for a model that suits no data."""
    if is_from_library(model):
        check_library_name(model)
    else:
        models.build(model, (1, 1 << 20, 1 << 20), 2)


def class_weights_of(text: str | None) -> str | list[float] | None:
    """What `--class-weights` says: a word, or numbers with commas between them."""
    if text is None or "," not in text:
        return text
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise InputError(
            f"--class-weights {text!r}: must be balanced or one number > 0 for each class, such as 1,2,0.5"
        ) from None


def recorded_names(space: str) -> dict[str, str]:
    """The built-in data and model that a space's file names; nothing for a built-in space."""
    recorded = read(space)[1] if space not in NAMES and is_there(Path(space)) else {}
    check_recorded(recorded, space)
    return recorded


def recipes_of(paths: Sequence[Path]) -> tuple[list[tuple[str, Recipe]], dict[str, str]]:
    """(recipes with their names, the data and the model that their files name).

    Raises:
        InputError: a file given twice, or files that name different data or models.
    """
    recipes: list[tuple[str, Recipe]] = []
    recorded: dict[str, str] = {}
    for name, path in zip(names_of(paths), paths, strict=True):
        recipe, names = read(path)
        check_recorded(names, str(path))
        for key, value in names.items():
            if recorded.setdefault(key, value) != value:
                raise InputError(f"{path}: names {key} {value}, another file {recorded[key]}; say which with --{key}")
        recipes.append((name, recipe))
    return recipes, recorded


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for each recipe file: what it is called, with its folders where others are called so too.

    >>> names_of([Path("runs/race-001/best.yaml"), Path("runs/race-002/best.yaml"), Path("mine.yaml")])
    ['race-001/best', 'race-002/best', 'mine']
    """
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: is given twice; all recipes must differ")
    shorts = Counter(path.stem for path in paths)
    folders = Counter(f"{path.parent.name}/{path.stem}" for path in paths)
    names = []
    for path in paths:
        folder = f"{path.parent.name}/{path.stem}"
        alone = shorts[path.stem] == 1
        names.append(path.stem if alone else folder if folders[folder] == 1 else str(path))
    return names


@dataclass(frozen=True)
class Asked:
    """What is to be trained; `on_record` is its result in the race."""

    task: Task
    recipe: Recipe
    seed: int
    on_record: str = ""


def of_file(path: Path, seed: int, given: TaskOptions) -> Asked:
    """The recipe in the file `path`."""
    found, recorded = read(path)
    check_recorded(recorded, str(path))
    return Asked(task_of(given, recorded, path), found, seed)


def of_run(
    path: Path, candidate: int | None, repeat: int, data: str | None, model: str | None, recorded: list[str]
) -> Asked:
    """The candidate of the race in the folder `path`, or its winner; `recorded` are options given that it knows.

    Raises:
        InputError: there is no such race or candidate, or the data or the model is no longer what it was.
    """
    if recorded:
        raise InputError(f"{recorded[0]}: is on record in {path}; must not be given with the folder of a race")
    folder, where = RunFolder.reopened(path, "train"), f"train {path}"
    if folder.asked != "race":
        raise InputError(f"{where}: holds no race, but what {folder.asked} found; train its recipe: {folder.best}")
    known = folder.settings()
    number = winner_of(folder) if candidate is None else candidate
    task = recorded_task(known, where, model, data)
    check_unchanged(known, task, where)
    metric, kind = task.objective.metric.name, ScoreKind.of(task.objective.metric)
    found = candidate_of(folder, number, repeat, kind)
    said = f"candidate {number}, repeat {repeat}: "
    if found.last is None:
        said += "no lane of it on record"
    else:
        progress, loss, score = found.last
        at = "" if progress == 1 else f", at {progress:.0%} of the run"
        said += f"on record with validation loss {loss:.4f}, {metric} {kind.words(score, 2)}{at}"
    try:
        seed = known["settings"]["seed"]
    except (KeyError, TypeError):
        raise InputError(f"{where}: run.json is damaged: it holds no seed") from None
    return Asked(task, found.recipe, seed, said)
