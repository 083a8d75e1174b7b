"""Options that several commands share, alone or in groups, and the task that they name."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lanewise.cli.console import stderr
from lanewise.errors import InputError, together
from lanewise.task.task import Task

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

    def task(self, recorded: Mapping[str, str], where: object = "") -> Task:
        """The task they name; `recorded`, from the recipe file `where`, names the data and the model not given."""
        for name in ("data", "model"):
            if getattr(self, name) is None and name not in recorded:
                raise InputError(
                    f"{where}: names no {name} (a recipe file names no code to import); give it with --{name}"
                )
        model = recorded["model"] if self.model is None else self.model
        try:
            return self._task(recorded, model)
        except InputError as error:
            # The rest is not looked at where the data is wrong: what needs no data is told all the same.
            first = error

            def refused() -> None:
                raise first

            field = str(first).replace("=", " ").split()[0]
            together(refused, *(check for name, check in self._without_data(model) if name != field))
            raise

    def _without_data(self, model: str) -> list[tuple[str, Callable[[], object]]]:
        """(option, what raises `InputError` where its value suits no data) of some options."""
        from lanewise.data.loading import SPLITS
        from lanewise.metrics import METRICS, find_metric
        from lanewise.task import models

        def check_name(name: str, given: str | None, allowed: Iterable[str]) -> None:
            if given is not None and given not in allowed:
                raise InputError(f"{name} = {given!r}: must be {', '.join(allowed)}")

        def check_metric() -> None:
            wrong = []
            for objective in METRICS if self.metric is not None else ():
                try:
                    find_metric(objective, str(self.metric))
                except InputError as error:
                    wrong.append(error)
            if len(wrong) == len(METRICS):
                known = dict.fromkeys(one.name for metrics in METRICS.values() for one in metrics)
                raise InputError(f"metric = {self.metric!r}: must be one of {', '.join(known)}")

        return [
            # Of a picture that is large enough for every number of layers.
            ("model", lambda: models.build(model, (1, 1 << 20, 1 << 20), 2)),
            ("objective", lambda: check_name("objective", self.objective, METRICS)),
            ("metric", check_metric),
            ("split", lambda: check_name("split", self.split, SPLITS)),
        ]

    def _task(self, recorded: Mapping[str, str], model: str) -> Task:
        from lanewise.data import load

        names = ("target", "split", "groups", "time", "folds", "encoding")
        source = load(
            recorded["data"] if self.data is None else self.data,
            drop=self.drop or (),
            drop_missing_target=bool(self.drop_missing_target),
            standardise=self.standardise is not False,
            **{name: getattr(self, name) for name in names},
        )
        if source.schema is not None:
            from lanewise.report.terminal.race import print_columns

            print_columns(source, stderr)
        weights = class_weights_of(self.class_weights)
        return Task(model, source, self.objective, metric=self.metric, class_weights=weights)


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


def class_weights_of(text: str | None) -> str | list[float] | None:
    """What `--class-weights` says: a word, or numbers with commas between them."""
    if text is None or "," not in text:
        return text
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise InputError(
            f"--class-weights {text!r}: must be balanced or one number > 0 for each class, such as 1,2,0.5"
        ) from None


def recorded_names(space: str) -> dict[str, str]:
    """The built-in data and model that a space's file names; nothing for a built-in space."""
    from lanewise.api.race import is_there
    from lanewise.recipe.file import read
    from lanewise.recipe.spaces import SPACES
    from lanewise.task.task import check_recorded

    recorded = read(space)[1] if space not in SPACES and is_there(Path(space)) else {}
    check_recorded(recorded, space)
    return recorded
