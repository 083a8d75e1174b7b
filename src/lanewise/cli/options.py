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
    str, typer.Option(help="Of the forward pass: float32, or bfloat16 on hardware that is faster in it.")
]
Seed = Annotated[int, typer.Option(help="Every split, weight, order and mask follows from it.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows, instead of the recipe's own.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows per step, instead of the recipe's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the verdict as JSON, alone on standard output.")]
Storage = Annotated[
    str | None,
    typer.Option(
        help="postgresql://user@host/name: a database for Optuna's record, shared with others. env:NAME or file:PATH "
        "takes the URL from an environment variable or a file, so that no password is seen among the processes."
    ),
]


@dataclass(frozen=True)
class TaskOptions:
    """The options that name a task."""

    data: Annotated[
        str | None,
        typer.Option(
            help="digits (race: the default), a table, a folder of IDX files or pictures, an .npz file with x and y, "
            "or openml:NAME."
        ),
    ] = None
    target: Annotated[str | None, typer.Option(help="A table's column to learn, or class, number, tokens or none.")] = (
        None
    )
    drop: Annotated[
        list[str] | None, typer.Option(help="A table's column to leave out; may be given several times.")
    ] = None
    drop_missing_target: Annotated[
        bool | None, typer.Option("--drop-missing-target", help="Leave out a table's rows that have no target.")
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="Of a table that is text, such as latin-1; by default UTF-8, or what is found.")
    ] = None
    split: Annotated[str | None, typer.Option(help="class, random or time; by class where there are classes.")] = None
    groups: Annotated[str | None, typer.Option(help="A table's column; rows with one value in it stay together.")] = (
        None
    )
    time: Annotated[str | None, typer.Option(help="A table's column; later rows validate, the latest test.")] = None
    folds: Annotated[int | None, typer.Option(help="K folds: every K repeats validate on all rows once.")] = None
    standardise: Annotated[
        bool | None,
        typer.Option(
            "--standardise/--no-standardise",
            help="Bring inputs that are measurements to mean 0 and standard deviation 1, by the training rows: done "
            "unless you say --no-standardise.",
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(help="mlp (race: the default), mlp:256,256, cnn, cnn:16,32, or your own package.module:factory."),
    ] = None
    objective: Annotated[
        str | None,
        typer.Option(help="classification, regression or next token: what the targets suggest, unless they do not."),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            help="What recipes are compared by. Classes: accuracy, balanced accuracy (the default with --class-weights "
            "balanced), F1 (macro), AUC, top-5 accuracy, log loss. Numbers: R2, RMSE, MAE, squared error, MAPE, "
            "'quantile 0.9'. Tokens: token accuracy, cross entropy."
        ),
    ] = None
    class_weights: Annotated[
        str | None,
        typer.Option(help="Of each class in the loss: balanced, or one number > 0 for each, such as 1,2,0.5."),
    ] = None


@dataclass(frozen=True)
class EngineOptions:
    """The options that say how lanes are run, and how often that is written down."""

    device: Device = "cpu"
    precision: Precision = "float32"
    threads: Annotated[int | None, typer.Option(help="Processors to use; all by default.")] = None
    engine: Annotated[Path | None, typer.Option(help="engine.json of an earlier run, to take its choices.")] = None
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds between two checkpoints, at least; `lanewise resume` goes on from the last.")
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
