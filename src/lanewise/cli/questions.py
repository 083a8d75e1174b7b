"""`lanewise compare`, `lanewise ablate` and `lanewise sweep`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.cli.console import stderr
from lanewise.cli.options import HOW, AsJson, BatchSize, EngineOptions, Epochs, Seed, TaskOptions, with_groups
from lanewise.cli.printing import print_found
from lanewise.cli.stopping import resumable
from lanewise.errors import InputError, together
from lanewise.recipe.recipe import Recipe

RecipeFile = Annotated[Path, typer.Argument(help="A recipe file, such as the best.yaml of a race.")]


@dataclass(frozen=True)
class QuestionOptions:
    """The options of all questions: on how many repeats, and where that is recorded."""

    repeats: Annotated[
        int | None, typer.Option(help="Runs of each recipe; 8, or as many as there are folds, by default.")
    ] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    seed: Seed = 0
    out: Annotated[Path | None, typer.Option(help="A new folder for the record; runs/COMMAND-NNN by default.")] = None


@with_groups
def compare(
    *,
    recipes: Annotated[list[Path], typer.Argument(help="Recipe files, two or more.")],
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    as_json: AsJson = False,
) -> None:
    """Say which of the given recipes is best, and which others are too close to call.

    All are trained to the end on the same repeats, which no race with this seed has used; test rows stay untouched.
    """
    _ask("compare", recipes, task, asked, how, as_json)


@with_groups
def ablate(
    *,
    recipe: RecipeFile,
    pairs: Annotated[bool, typer.Option(help="Take pairs of techniques away, too.")] = True,
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    as_json: AsJson = False,
) -> None:
    """Take a recipe apart: what is each of its techniques worth, alone and in pairs?

    It is trained without its schedule, warm-up, normalisation, momentum, penalties, dropout and whatever else it has,
    beside the whole recipe and on the same repeats, which no race with this seed has used. Where the learning rate has
    much to do with what is gone, better rates are looked for on repeats of their own.
    """
    _ask("ablate", [recipe], task, asked, how, as_json, pairs=pairs)


@with_groups
def sweep(
    *,
    recipe: RecipeFile,
    field: Annotated[str, typer.Option(help="l2, momentum, lr, lr.schedule, dropout, batch_size, ...")],
    values: Annotated[str, typer.Option(help='0,1e-5,1e-4,1e-3, or a range: "log(1e-6, 1e-1)".')],
    points: Annotated[int | None, typer.Option(help="Values taken of a range; 9 by default.")] = None,
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    as_json: AsJson = False,
) -> None:
    """Train a recipe at several values of one field, and say which is best: grid search by repeats or folds.

    With --folds 5 the repeats are the folds of a cross-validation; --repeats 10 then draws the folds twice.
    """
    _ask("sweep", [recipe], task, asked, how, as_json, field=field, values=values, points=points)


def _ask(
    what: str,
    paths: Sequence[Path],
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    as_json: bool,
    **options: Any,
) -> None:
    from lanewise.api import questions as comparing
    from lanewise.api.runs import check_options
    from lanewise.questions.side_by_side import SideBySideSettings
    from lanewise.record.folder import fresh_path
    from lanewise.report.terminal import race as terminal
    from lanewise.study.settings import check_overrides

    recipes, recorded = _read(paths)
    given: Any = recipes if what == "compare" else recipes[0][1]
    options |= {name: getattr(asked, name) for name in ("repeats", "epochs", "batch_size", "seed")} | vars(how)
    folder = asked.out or fresh_path(what=what)
    # What is wrong is said before the data is read, and all at once.
    on, *_ = together(
        lambda: task.task(recorded, paths[0]),
        lambda: SideBySideSettings(asked.repeats, asked.seed),
        lambda: check_options(**{name: getattr(how, name) for name in HOW}),
        lambda: check_overrides(asked.epochs, asked.batch_size),
    )
    with resumable(folder, as_json), terminal.observer(stderr) as observer:
        found = getattr(comparing, what)(on, given, out=folder, observer=observer, **options)
    print_found(found.answer, folder, as_json)


def _read(paths: Sequence[Path]) -> tuple[list[tuple[str, Recipe]], dict[str, str]]:
    """(recipes with their names, the data and the model that their files name).

    Raises:
        InputError: a file given twice, or files that name different data or models.
    """
    from lanewise.recipe.file import read
    from lanewise.task.checks import check_recorded

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
