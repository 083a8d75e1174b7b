"""Options that several commands share, and the task that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.errors import InputError
from lanewise.task import Task

Data = Annotated[
    str | None,
    typer.Option(
        help="digits (race: the default), a table, a folder of IDX files or pictures, an .npz file with x and y, or "
        "openml:NAME."
    ),
]
Target = Annotated[str | None, typer.Option(help="A table's column to learn, or class, number, tokens or none.")]
Split = Annotated[str | None, typer.Option(help="class, random or time; by class where there are classes.")]
Groups = Annotated[str | None, typer.Option(help="A table's column; rows with one value in it stay together.")]
Time = Annotated[str | None, typer.Option(help="A table's column; later rows validate, the latest test.")]
Folds = Annotated[int | None, typer.Option(help="K folds: every K repeats validate on all rows once.")]
Model = Annotated[
    str | None,
    typer.Option(help="mlp (race: the default), mlp:256,256, cnn, cnn:16,32, or your own package.module:factory."),
]
Objective = Annotated[
    str | None,
    typer.Option(help="classification, regression or next token: what the targets suggest, unless they do not."),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What recipes are compared by: accuracy, top-5 accuracy or cross entropy; R2, squared error or absolute "
        "error; token accuracy or cross entropy."
    ),
]
ClassWeights = Annotated[
    str | None, typer.Option(help="Of each class in the loss: balanced, or one number > 0 for each, such as 1,2,0.5.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the verdict as JSON, alone on standard output.")]
Device = Annotated[str, typer.Option(help="A torch device.")]
Precision = Annotated[
    str, typer.Option(help="Of the forward pass: float32, or bfloat16 on hardware that is faster in it.")
]
Threads = Annotated[int | None, typer.Option(help="Processors to use; all by default.")]
Seed = Annotated[int, typer.Option(help="Every split, weight, order and mask follows from it.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows, instead of the recipe's own.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows per step, instead of the recipe's own.")]

Storage = Annotated[
    str | None, typer.Option(help="postgresql://user@host/name: a database for Optuna's record, shared with others.")
]


def task_of(
    recorded: Mapping[str, str], data: str | None, model: str | None, aims: Mapping[str, str | None], **loading: Any
) -> Task:
    """The task that the options name; `recorded` names the data and the model that are not given.

    Args:
        aims: the options objective, metric and class_weights.
        loading: what `lanewise.data.load` takes beside the data: target, split, groups, time, folds.
    """
    from lanewise.data import load

    source = load(recorded["data"] if data is None else data, **loading)
    weights = class_weights_of(aims["class_weights"])
    model = recorded["model"] if model is None else model
    return Task(model, source, aims["objective"], metric=aims["metric"], class_weights=weights)


def class_weights_of(text: str | None) -> str | list[float] | None:
    """What `--class-weights` says: a word, or numbers with commas between them."""
    if text is None or "," not in text:
        return text
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise InputError(
            f"--class-weights = {text!r}: must be balanced or one number > 0 for each class, such as 1,2,0.5"
        ) from None


def recorded_names(space: str) -> dict[str, str]:
    """The built-in data and model that a space's file names; nothing for a built-in space."""
    from lanewise.api import is_there
    from lanewise.recipe_file import read
    from lanewise.spaces import SPACES
    from lanewise.task import check_recorded

    recorded = read(space)[1] if space not in SPACES and is_there(Path(space)) else {}
    check_recorded(recorded, space)
    return recorded
