"""`lanewise compare`, `lanewise ablate` and `lanewise sweep`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.cli.console import stderr
from lanewise.cli.options import (
    AsJson,
    BatchSize,
    ClassWeights,
    Data,
    Device,
    Epochs,
    Folds,
    Groups,
    Metric,
    Model,
    Objective,
    Precision,
    Seed,
    Split,
    Target,
    Threads,
    Time,
    task_of,
)
from lanewise.cli.printing import print_answer
from lanewise.cli.stopping import resumable
from lanewise.errors import InputError
from lanewise.recipe import Recipe

Repeats = Annotated[int | None, typer.Option(help="Runs of each recipe; 8, or as many as there are folds, by default.")]
Out = Annotated[Path | None, typer.Option(help="A new folder for the record; runs/COMMAND-NNN by default.")]
EngineFile = Annotated[Path | None, typer.Option(help="engine.json of an earlier run, to take its choices.")]
Every = Annotated[float, typer.Option(help="Seconds between two checkpoints, at least.")]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe file, such as the best.yaml of a race.")]


def compare(
    recipes: Annotated[list[Path], typer.Argument(help="Recipe files, two or more.")],
    data: Data = None, target: Target = None, split: Split = None, groups: Groups = None, time: Time = None,
    folds: Folds = None, model: Model = None, objective: Objective = None, metric: Metric = None,
    class_weights: ClassWeights = None, repeats: Repeats = None, epochs: Epochs = None,
    batch_size: BatchSize = None, seed: Seed = 0, out: Out = None, device: Device = "cpu",
    precision: Precision = "float32", threads: Threads = None,
    engine: EngineFile = None, checkpoint_every: Every = 5.0, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say which of the given recipes is best, and which others cannot be told from it.

    All are trained to the end on the same repeats, which no race with this seed has used; test rows stay untouched.
    """
    aims = {"objective": objective, "metric": metric, "class_weights": class_weights}
    loading = {"target": target, "split": split, "groups": groups, "time": time, "folds": folds}
    options = {"repeats": repeats, "epochs": epochs, "batch_size": batch_size, "seed": seed, "device": device,
               "precision": precision, "threads": threads, "engine": engine,
               "checkpoint_every": checkpoint_every}  # fmt: skip
    _ask("compare", recipes, {"data": data, "model": model, "aims": aims, **loading}, options, out, as_json)


def ablate(
    recipe: RecipeFile,
    pairs: Annotated[bool, typer.Option(help="Take pairs of techniques away, too.")] = True,
    data: Data = None, target: Target = None, split: Split = None, groups: Groups = None, time: Time = None,
    folds: Folds = None, model: Model = None, objective: Objective = None, metric: Metric = None,
    class_weights: ClassWeights = None, repeats: Repeats = None, epochs: Epochs = None,
    batch_size: BatchSize = None, seed: Seed = 0, out: Out = None, device: Device = "cpu",
    precision: Precision = "float32", threads: Threads = None,
    engine: EngineFile = None, checkpoint_every: Every = 5.0, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take a recipe apart: what is each of its techniques worth, alone and in pairs?

    It is trained without its schedule, warm-up, normalisation, momentum, penalties, dropout and whatever else it has,
    beside the whole recipe and on the same repeats, which no race with this seed has used. Where the learning rate has
    much to do with what is gone, better rates are looked for on repeats of their own.
    """
    aims = {"objective": objective, "metric": metric, "class_weights": class_weights}
    loading = {"target": target, "split": split, "groups": groups, "time": time, "folds": folds}
    options = {"repeats": repeats, "epochs": epochs, "batch_size": batch_size, "seed": seed, "device": device,
               "precision": precision, "threads": threads, "engine": engine, "checkpoint_every": checkpoint_every,
               "pairs": pairs}  # fmt: skip
    _ask("ablate", [recipe], {"data": data, "model": model, "aims": aims, **loading}, options, out, as_json)


def sweep(
    recipe: RecipeFile,
    field: Annotated[str, typer.Option(help="l2, momentum, lr, lr.schedule, dropout, batch_size, ...")],
    values: Annotated[str, typer.Option(help='0,1e-5,1e-4,1e-3, or a range: "log(1e-6, 1e-1)".')],
    points: Annotated[int | None, typer.Option(help="Values taken of a range; 9 by default.")] = None,
    data: Data = None, target: Target = None, split: Split = None, groups: Groups = None, time: Time = None,
    folds: Folds = None, model: Model = None, objective: Objective = None, metric: Metric = None,
    class_weights: ClassWeights = None, repeats: Repeats = None, epochs: Epochs = None,
    batch_size: BatchSize = None, seed: Seed = 0, out: Out = None, device: Device = "cpu",
    precision: Precision = "float32", threads: Threads = None,
    engine: EngineFile = None, checkpoint_every: Every = 5.0, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a recipe at several values of one field, and say which is best: grid search by repeats or folds.

    With --folds 5 the repeats are the folds of a cross-validation; --repeats 10 then draws the folds twice.
    """
    aims = {"objective": objective, "metric": metric, "class_weights": class_weights}
    loading = {"target": target, "split": split, "groups": groups, "time": time, "folds": folds}
    options = {"repeats": repeats, "epochs": epochs, "batch_size": batch_size, "seed": seed, "device": device,
               "precision": precision, "threads": threads, "engine": engine, "checkpoint_every": checkpoint_every,
               "field": field, "values": values, "points": points}  # fmt: skip
    _ask("sweep", [recipe], {"data": data, "model": model, "aims": aims, **loading}, options, out, as_json)


def _ask(
    what: str, paths: Sequence[Path], of_task: dict[str, Any], options: dict[str, Any], out: Path | None, as_json: bool
) -> None:
    from lanewise import comparing
    from lanewise.report import terminal
    from lanewise.study.folder import fresh_path

    recipes, recorded = _read(paths)
    for name in ("data", "model"):
        if of_task[name] is None and name not in recorded:
            raise InputError(
                f"{paths[0]}: names no {name} (a recipe file names no code to import); give it with --{name}"
            )
    given: Any = recipes if what == "compare" else recipes[0][1]
    task = task_of(recorded, **of_task)
    folder = out or fresh_path(what=what)
    with resumable(folder, as_json), terminal.observer(stderr) as observer:
        found = getattr(comparing, what)(task, given, out=folder, observer=observer, **options)
    print_answer(found.answer, folder, as_json)


def _read(paths: Sequence[Path]) -> tuple[list[tuple[str, Recipe]], dict[str, str]]:
    """(recipes with their names, the data and the model that their files name).

    Raises:
        InputError: a file given twice, or files that name different data or models.
    """
    from lanewise.recipe_file import read
    from lanewise.task import check_recorded

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
        raise InputError(f"{twice[0]}: is given twice; every recipe must be another")
    shorts = Counter(path.stem for path in paths)
    folders = Counter(f"{path.parent.name}/{path.stem}" for path in paths)
    names = []
    for path in paths:
        folder = f"{path.parent.name}/{path.stem}"
        alone = shorts[path.stem] == 1
        names.append(path.stem if alone else folder if folders[folder] == 1 else str(path))
    return names
