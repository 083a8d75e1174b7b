"""`lanewise train`."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from lanewise.cli.console import stderr
from lanewise.cli.options import (
    BatchSize,
    Data,
    Device,
    Epochs,
    Folds,
    Groups,
    Model,
    Precision,
    Seed,
    Split,
    Target,
    Time,
    task_of,
)
from lanewise.cli.stopping import STOPPED
from lanewise.errors import InputError


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, such as the best.yaml of a race.")],
    data: Data = None,
    target: Target = None,
    split: Split = None,
    groups: Groups = None,
    time: Time = None,
    folds: Folds = None,
    model: Model = None,
    save: Annotated[Path | None, typer.Option(help="Write the weights here, as safetensors.")] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    repeat: Annotated[int, typer.Option(help="Whose split, weights and order to take.")] = 0,
    all_rows: Annotated[bool, typer.Option(help="Train on the validation rows too.")] = False,
    device: Device = "cpu",
    precision: Precision = "float32",
    threads: Annotated[int, typer.Option(help="torch threads; one is fastest for small models.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON on standard output.")] = False,
) -> None:
    """Train one recipe alone, in plain PyTorch, and print its test score."""
    import torch

    from lanewise.files import check_writable
    from lanewise.lanes.engine import check_threads
    from lanewise.recipe_file import read
    from lanewise.study.score_kind import ScoreKind
    from lanewise.study.settings import with_overrides
    from lanewise.task import check_recorded
    from lanewise.train import train as train_alone

    found, recorded = read(recipe)
    check_recorded(recorded, str(recipe))
    for name, given in (("data", data), ("model", model)):
        if given is None and name not in recorded:
            raise InputError(
                f"{recipe}: names no {name} (a recipe file names no code to import); give it with --{name}"
            )
    check_threads(threads)
    if save:
        check_writable(save)
    torch.set_num_threads(threads)
    task = task_of(recorded, data, model, target=target, split=split, groups=groups, time=time, folds=folds)
    try:
        trained = train_alone(
            task,
            with_overrides(found, epochs, batch_size),
            seed=seed,
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
    if trained.recipe.early_stopping:
        stderr.print(f"early stopping: the weights are those of step {trained.weights_of:,}")
    if trained.validation:
        loss, score = trained.validation
        stderr.print(f"validation: loss {loss:.4f}, {metric} {kind.words(score, 2)}")
    if trained.zeros[0]:
        stderr.print(f"weights that are exactly zero: {trained.zeros[0]:,} of {trained.zeros[1]:,}")
    if save:
        from lanewise.predictor import save_model

        save_model(trained, save)
        stderr.print(f"Weights: {save}", markup=False)
    if as_json:
        # JSON knows neither NaN nor infinity, the scores of a run that diverged.
        test = {
            name: value if math.isfinite(value) else None
            for name, value in zip(("loss", metric), trained.test, strict=True)
        }
        print(json.dumps({"metric": metric, "greater_is_better": kind.greater_is_better, "test": test}))
    else:
        print(f"test {metric}: {kind.words(trained.test[1], 2)} (loss {trained.test[0]:.4f})")
