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
    space: Annotated[str, typer.Option(help="A built-in space (classic) or a YAML file.")] = "classic",
    candidates: Annotated[
        int | None, typer.Option(help="Recipes to draw from the space; 48 without a budget.", show_default=False)
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Instead of candidates: 500ep (epochs of all lanes together), 90s, 10m or 1h30m.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Runs of each in the race, a split and a seed shared by all; 3, or the number of folds."),
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    pruner: Annotated[str, typer.Option(help=f"Who leaves early: {', '.join(PRUNERS)} (which keeps all).")] = DEFAULT,
    generations: Annotated[int, typer.Option(help="The sampler learns from each for the next.")] = 3,
    finalists: Annotated[int | None, typer.Option(help="How many are confirmed: a quarter, 2 to 6.")] = None,
    confirm: Annotated[
        int | None, typer.Option(help="Fresh repeats the finalists are confirmed on; 8, or whole rounds of folds.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="A recipe file; confirmed beside the finalists and compared with the winner.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for the record; runs/race-NNN by default.")] = None,
    how: EngineOptions,
    sampler: Annotated[str, typer.Option(help="Who draws them: tpe, gp, cmaes, qmc, random or grid.")] = "tpe",
    enqueue: Annotated[
        list[Path] | None, typer.Option(help="A recipe's YAML file, to be raced first; may be given several times.")
    ] = None,
    storage: Storage = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Race recipes on your model and data, and say which is best and how sure that is.

    A race that is stopped (Ctrl-C) or killed goes on with: lanewise resume FOLDER.
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
    first: dict[str, Any] = {"sampler": sampler, "enqueue": enqueue or [], "storage": storage, "baseline": baseline}
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
    run: Annotated[Path, typer.Argument(help="The folder of a run that was stopped or killed: runs/race-001.")],
    data: Annotated[
        str | None, typer.Option(help="Its data, where that is neither built in nor at its old path.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Its model, where that is your own: package.module:factory.")
    ] = None,
    storage: Storage = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a race, a comparison, an ablation or a sweep that was stopped or killed, from its last checkpoint.

    Its curves and its verdict are, bit for bit, those of a run that was never stopped; only timings differ. Everything
    else that the run was given is on record.
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
