"""`lanewise race` and `lanewise resume`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.cli.console import stderr
from lanewise.cli.options import (
    HOW,
    AsJson,
    BatchSize,
    EngineOptions,
    Epochs,
    Imports,
    Seed,
    Storage,
    TaskOptions,
    with_groups,
)  # fmt: skip
from lanewise.cli.stopping import resumable
from lanewise.errors import together
from lanewise.racing import DEFAULT, PRUNERS


@with_groups
def race(
    *,
    task: TaskOptions,
    space: Annotated[
        str,
        typer.Option(
            help="Recipes to choose from: auto (made from your model and data), vision, text, table, finetune, "
            "classic, or a YAML file."
        ),
    ] = "auto",
    candidates: Annotated[
        int | None,
        typer.Option(help="How many recipes to draw from the space; 48 without a budget.", show_default=False),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="What the race may cost, instead of --candidates: 500ep (epochs of all lanes together), 90s, 10m."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Training runs of each candidate in the race; 3, or the number of folds."),
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    pruner: Annotated[
        str, typer.Option(help=f"Which candidates stop early: {', '.join(PRUNERS)} (stops nobody).")
    ] = DEFAULT,
    generations: Annotated[
        int, typer.Option(help="Rounds of drawing; the sampler learns from each round for the next.")
    ] = 3,
    finalists: Annotated[
        int | None, typer.Option(help="How many candidates to confirm; a quarter of them, 2 to 6, if not given.")
    ] = None,
    confirm: Annotated[
        int | None, typer.Option(help="New training runs of each finalist; 8, or whole rounds of folds.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Recipe file to confirm beside the finalists and to compare with the winner.")
    ] = None,
    portfolio: Annotated[
        bool | None,
        typer.Option(
            "--portfolio/--no-portfolio",
            help="Race a few recipes that people use by habit too; the first is the baseline if none is given. On "
            "unless the space is classic or a file.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New folder for the record; runs/race-NNN if not given.")] = None,
    how: EngineOptions,
    sampler: Annotated[
        str, typer.Option(help="How candidates are drawn: tpe, gp, cmaes, qmc, random or grid.")
    ] = "tpe",
    enqueue: Annotated[
        list[Path] | None, typer.Option(help="Recipe file to race first; may be given several times.")
    ] = None,
    storage: Storage = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Find the best recipe for your model and data.

    It also says how sure that is. If you stop the race (Ctrl-C) or it is killed, go on with: lanewise resume FOLDER.
    """
    from lanewise.api import race as api
    from lanewise.api.runs import check_options
    from lanewise.cli.named import recorded_names, task_of
    from lanewise.cli.printing import print_found
    from lanewise.record.folder import fresh_path
    from lanewise.report.terminal import race as terminal

    # By default they follow from the data.
    given = {name: n for name, n in (("repeats", repeats), ("confirm", confirm)) if n is not None}
    settings: dict[str, Any] = {
        "candidates": candidates, "budget": budget, "generations": generations, "pruner": pruner,
        "finalists": finalists, "seed": seed, **given,
    }  # fmt: skip
    first: dict[str, Any] = {
        "sampler": sampler, "enqueue": enqueue or [], "storage": storage, "baseline": baseline, "portfolio": portfolio,
    }  # fmt: skip
    folder = out or fresh_path()
    # What is wrong is said before the data is read, and all at once.
    on, *_ = together(
        lambda: task_of(task, {"model": "mlp", "data": "digits"} | recorded_names(space)),
        lambda: api.race_of(None, space, epochs, batch_size, folder, settings=settings, **first),
        lambda: check_options(**{name: getattr(how, name) for name in HOW}),
    )
    with resumable(folder, as_json), terminal.observer(stderr) as observer:
        found = api.race(
            on, space, epochs=epochs, batch_size=batch_size, out=folder, observer=observer, **first, **settings,
            **vars(how),
        )  # fmt: skip
    print_found(found.verdict, folder, as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="Folder of a run that was stopped or killed, such as runs/race-001.")],
    data: Annotated[str | None, typer.Option(help="The run's data, if it is not built in and has moved.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The run's model, if it is your own: package.module:function.")
    ] = None,
    storage: Storage = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped or killed.

    It goes on from the last checkpoint. It may be a race, a comparison, an ablation or a sweep. Its curves and its
    verdict are, bit for bit, those of a run that was never stopped; only timings differ. Its options are on record
    and need not be given again.
    """
    from lanewise.api import resume as api
    from lanewise.api.questions import Result, read_answer
    from lanewise.cli.printing import print_found
    from lanewise.record.folder import RunFolder
    from lanewise.report.terminal import race as terminal

    folder = RunFolder.reopened(run)
    if folder.finished:
        folder.tidy()
        stderr.print(f"{run} is finished.", markup=False)
        print_found(api.read_verdict(folder) if folder.asked == "race" else read_answer(folder), run, as_json)
        return
    task = api.recorded_task(folder.settings(), f"resume {run}", model, data)
    with resumable(run, as_json), terminal.observer(stderr) as observer:
        found = api.resume(run, task, observer=observer, storage=storage)
    print_found(found.answer if isinstance(found, Result) else found.verdict, run, as_json)
