"""`lanewise train`."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lanewise.cli.console import results, stderr
from lanewise.cli.options import BatchSize, Device, Epochs, Imports, Precision, TaskOptions, with_groups
from lanewise.cli.stopping import STOPPED
from lanewise.errors import InputError
from lanewise.printable import printable


@with_groups
def train(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe file, such as the best.yaml of a race; or the folder of a race.")
    ],
    given: TaskOptions,
    save: Annotated[Path | None, typer.Option(help="File to write the trained model to, as safetensors.")] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of every split, initial weight, batch order and dropout mask; 0 if not given."),
    ] = None,
    candidate: Annotated[
        int | None,
        typer.Option(help="Number of the candidate to train, of the race in that folder; the winner if not given."),
    ] = None,
    repeat: Annotated[int, typer.Option(help="Repeat whose split, initial weights and batch order to take.")] = 0,
    all_rows: Annotated[bool, typer.Option(help="Train on the validation examples too.")] = False,
    device: Device = "cpu",
    precision: Precision = "float32",
    threads: Annotated[int, typer.Option(help="Threads of torch; one is fastest for small models.")] = 1,
    imports: Imports = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON on standard output.")] = False,
) -> None:
    """Train one recipe in plain PyTorch, and print its test score.

    A candidate of a race is trained on the data, the model and the seed of that race, finished or not.
    """
    import torch

    from lanewise.base.files import check_writable
    from lanewise.cli.named import of_file, of_run
    from lanewise.lanes.machine.devices import check_threads
    from lanewise.statistics.score_kind import ScoreKind
    from lanewise.study.settings import with_overrides
    from lanewise.task.weights import check_savable
    from lanewise.train import train as train_alone

    check_threads(threads)
    if save:
        check_writable(save)
    torch.set_num_threads(threads)
    if recipe.is_dir():
        left, said = vars(TaskOptions()), {"seed": seed, **vars(given), "data": None, "model": None}
        settled = [f"--{name.replace('_', '-')}" for name, value in said.items() if value != left.get(name)]
        asked = of_run(recipe, candidate, repeat, given.data, given.model, settled)
    elif candidate is not None:
        raise InputError(f"--candidate {candidate}: {recipe} is no folder; must be that of a race")
    else:
        asked = of_file(recipe, seed or 0, given)
    task, found = asked.task, with_overrides(asked.recipe, epochs, batch_size)
    if save:
        check_savable(partial(task.new_model, asked.seed, torch.float32, **found.sizes), save)
    for line in (*task.source.notes, *([asked.on_record] if asked.on_record else [])):
        stderr.print(line)
    try:
        trained = train_alone(
            task,
            found,
            seed=asked.seed,
            repeat=repeat,
            all_rows=all_rows,
            device=device,
            precision=precision,
            show=lambda step, steps, loss: stderr.print(f"step {step:,} of {steps:,}, training loss {loss:.4f}"),
        )
    except KeyboardInterrupt:
        stderr.print("lanewise: stopped; nothing was saved, and training begins anew the next time")
        raise typer.Exit(STOPPED) from None
    metric, kind = task.objective.metric.name, ScoreKind.of(task.objective.metric)
    found_words = results(as_json)
    if trained.recipe.early_stopping:
        found_words.print(f"early stopping: the weights are those of step {trained.weights_of:,}")
    if trained.validation:
        loss, score = trained.validation
        found_words.print(f"validation: loss {loss:.4f}, {metric} {kind.words(score, 2)}")
    if trained.zeros[0]:
        found_words.print(f"weights that are exactly zero: {trained.zeros[0]:,} of {trained.zeros[1]:,}")
    if save:
        from lanewise.predictor import save_model

        save_model(trained, save)
        found_words.print(f"Weights: {save}")
    if as_json:
        # JSON knows neither NaN nor infinity, the scores of a run that diverged.
        test = {
            name: value if math.isfinite(value) else None
            for name, value in zip(("loss", metric), trained.test, strict=True)
        }
        print(json.dumps({"metric": metric, "greater_is_better": kind.greater_is_better, "test": test}))
    else:
        print(printable(f"test {metric}: {kind.words(trained.test[1], 2)} (loss {trained.test[0]:.4f})"))
