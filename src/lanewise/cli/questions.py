"""`lanewise compare`, `lanewise ablate` and `lanewise sweep`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.cli.console import stderr
from lanewise.cli.options import HOW, AsJson, BatchSize, EngineOptions, Epochs, Imports, Seed, TaskOptions, with_groups
from lanewise.cli.stopping import resumable
from lanewise.errors import together

RecipeFile = Annotated[Path, typer.Argument(help="Recipe file, such as the best.yaml of a race.")]


@dataclass(frozen=True)
class QuestionOptions:
    """The options of all questions: on how many repeats, and where that is recorded."""

    repeats: Annotated[int | None, typer.Option(help="Training runs of each recipe; 8, or the number of folds.")] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    seed: Seed = 0
    out: Annotated[Path | None, typer.Option(help="New folder for the record; runs/COMMAND-NNN if not given.")] = None


@with_groups
def compare(
    *,
    recipes: Annotated[list[Path], typer.Argument(help="Recipe files, two or more.")],
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Find out which of your recipes is best.

    It also says which are too close to call. All are trained to the end on the same repeats, which no race with
    this seed has used. Test examples stay untouched.
    """
    _ask("compare", recipes, task, asked, how, as_json)


@with_groups
def ablate(
    *,
    recipe: RecipeFile,
    pairs: Annotated[bool, typer.Option(help="Remove pairs of techniques too.")] = True,
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Measure what each technique of a recipe contributes.

    The recipe is trained without its schedule, warm-up, normalisation, momentum, penalties, dropout and so on, alone
    and in pairs, beside the whole recipe and on the same repeats, which no race with this seed has used. Where the
    best learning rate depends on what is removed, it is tuned again on separate repeats.
    """
    _ask("ablate", [recipe], task, asked, how, as_json, pairs=pairs)


@with_groups
def sweep(
    *,
    recipe: RecipeFile,
    field: Annotated[str, typer.Option(help="Field to vary: l2, momentum, lr, lr.schedule, dropout, batch_size, ...")],
    values: Annotated[str, typer.Option(help='Its values: 0,1e-5,1e-4,1e-3, or a range: "log(1e-6, 1e-1)".')],
    points: Annotated[int | None, typer.Option(help="How many values to take from a range; 9 if not given.")] = None,
    task: TaskOptions,
    asked: QuestionOptions,
    how: EngineOptions,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Find the best value of one field of a recipe.

    The recipe is trained at each value, on the same repeats. With --folds 5 the repeats are the folds of a
    cross-validation; --repeats 10 then draws the folds twice.
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
    from lanewise.cli.named import recipes_of, task_of
    from lanewise.cli.printing import print_found
    from lanewise.questions.side_by_side import SideBySideSettings
    from lanewise.record.folder import fresh_path
    from lanewise.report.terminal import race as terminal
    from lanewise.study.settings import check_overrides

    recipes, recorded = recipes_of(paths)
    given: Any = recipes if what == "compare" else recipes[0][1]
    options |= {name: getattr(asked, name) for name in ("repeats", "epochs", "batch_size", "seed")} | vars(how)
    folder = asked.out or fresh_path(what=what)
    # What is wrong is said before the data is read, and all at once.
    on, *_ = together(
        lambda: task_of(task, recorded, paths[0]),
        lambda: SideBySideSettings(asked.repeats, asked.seed),
        lambda: check_options(**{name: getattr(how, name) for name in HOW}),
        lambda: check_overrides(asked.epochs, asked.batch_size),
    )
    with resumable(folder, as_json), terminal.observer(stderr) as observer:
        found = getattr(comparing, what)(on, given, out=folder, observer=observer, **options)
    print_found(found.answer, folder, as_json)
