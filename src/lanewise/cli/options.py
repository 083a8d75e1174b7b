"""Options that several commands share, alone or in groups."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.cli.imports import import_modules

Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        callback=import_modules,
        is_eager=True,
        help="A Python module, in the current folder or installed, that registers schedules, optimizers, pruners or "
        "metrics of your own (@lanewise.register); may be given several times.",
    ),
]
Device = Annotated[str, typer.Option(help="A torch device.")]
Precision = Annotated[
    str,
    typer.Option(help="Number format of the forward pass: float32, or bfloat16 where the hardware is faster in it."),
]
Seed = Annotated[int, typer.Option(help="Seed of every split, initial weight, batch order and dropout mask.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training examples; replaces the recipe's own.")]
BatchSize = Annotated[int | None, typer.Option(help="Examples per step; replaces the recipe's own.")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print the verdict as JSON on standard output, and everything else on standard error."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Keep the Optuna study in a shared database: postgresql://user@host/name. env:NAME or file:PATH reads the "
        "URL from an environment variable or a file, so that the list of processes shows no password."
    ),
]


@dataclass(frozen=True)
class TaskOptions:
    """The options that name a task."""

    data: Annotated[
        str | None,
        typer.Option(
            help="Data to learn from: digits (the default of race), a table, a folder of IDX files or pictures, an "
            ".npz file with x and y, or openml:NAME."
        ),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(help="Column of a table to predict; or what the targets are: class, number, tokens or none."),
    ] = None
    drop: Annotated[
        list[str] | None, typer.Option(help="Column of a table to leave out; may be given several times.")
    ] = None
    drop_missing_target: Annotated[
        bool | None, typer.Option("--drop-missing-target", help="Leave out the rows of a table that have no target.")
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="Text encoding of a table, such as latin-1; found by itself if not given.")
    ] = None
    split: Annotated[
        str | None,
        typer.Option(help="How to split the data: class (the default where there are classes), random or time."),
    ] = None
    groups: Annotated[
        str | None,
        typer.Option(help="Column of a table; rows that share its value stay in the same part of every split."),
    ] = None
    time: Annotated[
        str | None, typer.Option(help="Column of a table; later rows validate, and the latest rows test.")
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(help="Cross-validate with this many folds: so many repeats validate on every example once."),
    ] = None
    standardise: Annotated[
        bool | None,
        typer.Option(
            "--standardise/--no-standardise",
            help="Scale inputs that are measurements to mean 0 and standard deviation 1 on the training examples; "
            "on by default.",
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            help="Model to train: mlp (the default of race), mlp:256,256, cnn, cnn:16,32, timm:resnet18, "
            "transformers:bert, or your own as package.module:function."
        ),
    ] = None
    objective: Annotated[
        str | None,
        typer.Option(
            help="What to train for: classification, regression or next token; chosen by the targets if not given."
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            help="Score that compares recipes. Classes: accuracy, balanced accuracy (the default with --class-weights "
            "balanced), F1 (macro), AUC, top-5 accuracy, log loss. Numbers: R2, RMSE, MAE, squared error, MAPE, "
            "'quantile 0.9'. Tokens: token accuracy, cross entropy."
        ),
    ] = None
    class_weights: Annotated[
        str | None,
        typer.Option(
            help="Weight of each class in the loss: balanced, or one number > 0 for each class, such as 1,2,0.5."
        ),
    ] = None


@dataclass(frozen=True)
class EngineOptions:
    """The options that say how lanes are run, and how often that is written down."""

    device: Device = "cpu"
    precision: Precision = "float32"
    threads: Annotated[int | None, typer.Option(help="Processors to use; all if not given.")] = None
    engine: Annotated[
        Path | None,
        typer.Option(help="The engine.json of an earlier run, to run lanes as it did instead of measuring."),
    ] = None
    checkpoint_every: Annotated[
        float,
        typer.Option(help="Least number of seconds between checkpoints; `lanewise resume` goes on from the last one."),
    ] = 5.0


HOW = ("device", "precision", "threads", "checkpoint_every")
"""Those of `EngineOptions` that say how a run goes about it."""


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as Typer reads it: a parameter that is a dataclass becomes an option for each of its fields."""
    signature = inspect.signature(command)
    types = {name: one.annotation for name, one in signature.parameters.items()}
    groups: dict[str, Any] = {name: kind for name, kind in types.items() if is_dataclass(kind)}
    spread: list[inspect.Parameter] = []
    for name, one in signature.parameters.items():
        spread += [
            inspect.Parameter(field.name, one.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in (fields(groups[name]) if name in groups else ())
        ] or [one.replace(kind=one.KEYWORD_ONLY)]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    called.__signature__ = signature.replace(parameters=spread)  # type: ignore[attr-defined]
    return called
