"""The command line: `lanewise race`, `lanewise resume`, `lanewise train`, `lanewise show`."""

import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from lanewise.errors import InputError, WriteError
from lanewise.study.verdict import Verdict

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Find the training recipe that suits a model and its data.",
)  # fmt: skip
MOST_STEPS = 10_000_000
STOPPED = 130
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

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
Folds = Annotated[int | None, typer.Option(help="K: every K repeats validate on all rows once.")]
Model = Annotated[
    str | None,
    typer.Option(help="mlp (race: the default), mlp:256,256, cnn, cnn:16,32, or your own package.module:factory."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the verdict as JSON, alone on standard output.")]
Device = Annotated[str, typer.Option(help="A torch device.")]
Threads = Annotated[int | None, typer.Option(help="Processors to use; all by default.")]
Seed = Annotated[int, typer.Option(help="Every split, weight, order and mask follows from it.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows, instead of the recipe's own.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows per step, instead of the recipe's own.")]


def show_version(asked: bool) -> None:
    """Print the version and end, if that is asked for."""
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"lanewise {version('lanewise')}")
        except PackageNotFoundError:
            raise InputError("--version: Lanewise is not installed, but run from its source") from None
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find the training recipe that suits a model and its data."""


@app.command()
def race(
    data: Data = None,
    target: Target = None,
    split: Split = None,
    groups: Groups = None,
    time: Time = None,
    folds: Folds = None,
    model: Model = None,
    space: Annotated[str, typer.Option(help="A built-in space (classic) or a YAML file.")] = "classic",
    candidates: Annotated[int, typer.Option(help="Recipes to draw from the space.")] = 48,
    repeats: Annotated[int, typer.Option(help="Runs of each in the race: a split and a seed shared by all.")] = 3,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    rule: Annotated[str, typer.Option(help="Who leaves early: halving, or none to train all to the end.")] = "halving",
    generations: Annotated[int, typer.Option(help="The sampler learns from each for the next.")] = 3,
    finalists: Annotated[int | None, typer.Option(help="How many are confirmed: a quarter, 2 to 6.")] = None,
    confirm: Annotated[int, typer.Option(help="Fresh repeats the finalists are confirmed on.")] = 8,
    out: Annotated[Path | None, typer.Option(help="A new folder for the record; runs/race-NNN by default.")] = None,
    device: Device = "cpu",
    threads: Threads = None,
    engine: Annotated[Path | None, typer.Option(help="engine.json of an earlier run, to take its choices.")] = None,
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds between two checkpoints, at least; `lanewise resume` goes on from the last.")
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Race recipes on your model and data, and say which is best and how sure that is.

    A race that is stopped (Ctrl-C) or killed goes on with: lanewise resume FOLDER.
    """
    from lanewise import api
    from lanewise.data import load
    from lanewise.report import terminal
    from lanewise.study.folder import fresh_path
    from lanewise.task import Task

    recorded = recorded_task(space)
    task = Task(
        recorded.get("model", "mlp") if model is None else model,
        load(
            recorded.get("data", "digits") if data is None else data,
            target=target,
            split=split,
            groups=groups,
            time=time,
            folds=folds,
        ),
    )
    folder = out or fresh_path()
    with resumable(folder, as_json), terminal.observer(stderr) as observer:
        found = api.race(
            task,
            space,
            candidates=candidates,
            repeats=repeats,
            generations=generations,
            rule=rule,
            finalists=finalists,
            confirm=confirm,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            out=folder,
            device=device,
            threads=threads,
            engine=engine,
            checkpoint_every=checkpoint_every,
            observer=observer,
        )
    print_found(found.verdict, folder, as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a race that was stopped or killed: runs/race-001.")],
    data: Annotated[
        str | None, typer.Option(help="Its data, where that is neither built in nor at its old path.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Its model, where that is your own: package.module:factory.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a race that was stopped or killed, from its last checkpoint.

    Its curves and its verdict are, bit for bit, those of a race that was never stopped; only timings differ. Everything
    else that the race was given is on record.
    """
    from lanewise import api
    from lanewise.report import terminal
    from lanewise.study.folder import RunFolder

    folder = RunFolder.reopened(run)
    if folder.finished:
        folder.tidy()
        stderr.print(f"{run} is finished.", markup=False)
        print_found(api.read_verdict(folder), run, as_json)
        return
    task = api.recorded_task(folder.settings(), f"resume {run}", model, data)
    with resumable(run, as_json), terminal.observer(stderr) as observer:
        found = api.resume(run, task, observer=observer)
    print_found(found.verdict, run, as_json)


def print_found(verdict: Verdict, folder: Path, as_json: bool) -> None:
    """The verdict in words, and where the record is; as JSON too if asked for."""
    print_verdict(verdict, as_json)
    stderr.print(f"Report: {folder / 'report.html'}\nRecipe: {folder / 'best.yaml'}", markup=False)


def print_verdict(verdict: Verdict, as_json: bool) -> None:
    """The verdict in words; as JSON too if asked for."""
    from lanewise.report import terminal

    terminal.print_verdict(verdict, stderr)
    if as_json:
        print(json.dumps(verdict.to_dict(), indent=2))


@contextlib.contextmanager
def resumable(path: Path, as_json: bool) -> Iterator[None]:
    """Stop at Ctrl-C and at SIGTERM with exit status 130 and the command that goes on with the run in `path`.

    A verdict for which the disk has no room is printed before that is said.
    """
    from lanewise.api import UnrecordedError

    # What a background job ignores stays ignored.
    heard = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]

    def stop(*_: object) -> None:
        # A second one would interrupt the stopping.
        for one in heard:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in heard}
    try:
        yield
    except KeyboardInterrupt:
        command = resume_command(path)
        stderr.print(
            f"lanewise: stopped; all up to the last checkpoint is kept; go on with: {command}"
            if command
            else "lanewise: stopped",
            markup=False,
        )
        raise typer.Exit(STOPPED) from None
    except WriteError as error:
        if isinstance(error, UnrecordedError):
            print_verdict(error.race.verdict, as_json)
        command = resume_command(path)
        raise InputError(f"{error}; once that is mended, go on with: {command}" if command else str(error)) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def resume_command(path: Path) -> str:
    """The command that goes on with the run in `path`; empty if there is none to go on with."""
    from lanewise.study.folder import RunFolder

    with contextlib.suppress(InputError):
        folder = RunFolder.reopened(path)
        return "" if folder.finished else folder.resume_command()
    return ""


def recorded_task(space: str) -> dict[str, str]:
    """The built-in data and model that a space's file names; nothing for a built-in space."""
    from lanewise.api import is_there
    from lanewise.recipe_file import read
    from lanewise.spaces import SPACES
    from lanewise.task import check_recorded

    recorded = read(space)[1] if space not in SPACES and is_there(Path(space)) else {}
    check_recorded(recorded, space)
    return recorded


@app.command()
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
    threads: Annotated[int, typer.Option(help="torch threads; one is fastest for small models.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON on standard output.")] = False,
) -> None:
    """Train one recipe alone, in plain PyTorch, and print its test score."""
    import torch

    from lanewise.data import load
    from lanewise.files import check_writable
    from lanewise.lanes.engine import check_threads
    from lanewise.recipe_file import read
    from lanewise.study.race import with_overrides
    from lanewise.study.score_kind import ScoreKind
    from lanewise.task import Task, check_recorded
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
    task = Task(
        recorded["model"] if model is None else model,
        load(
            recorded["data"] if data is None else data,
            target=target,
            split=split,
            groups=groups,
            time=time,
            folds=folds,
        ),
    )
    try:
        trained = train_alone(
            task,
            with_overrides(found, epochs, batch_size),
            seed=seed,
            repeat=repeat,
            all_rows=all_rows,
            device=device,
            show=lambda step, steps, loss: stderr.print(f"step {step:,} of {steps:,}, training loss {loss:.4f}"),
        )
    except KeyboardInterrupt:
        stderr.print("lanewise: stopped; nothing was saved, and training begins anew the next time")
        raise typer.Exit(STOPPED) from None
    metric, kind = task.objective.metric.name, ScoreKind.of(task.objective.metric)
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


@app.command()
def show(
    expression: Annotated[str, typer.Argument(help='A schedule, such as "0.1 * cosine(warmup=5%)".')],
    steps: Annotated[int, typer.Option(help="Steps of the run.")] = 1000,
    steps_per_epoch: Annotated[int, typer.Option(help="Steps of an epoch, for durations such as 3ep.")] = 100,
    out: Annotated[Path | None, typer.Option(help="Write a picture here instead: .png or .svg.")] = None,
) -> None:
    """Draw a schedule in the terminal, or as PNG or SVG."""
    from lanewise.language import parse
    from lanewise.parts.schedules import tabulate
    from lanewise.report import curve

    if steps > MOST_STEPS:
        raise InputError(f"steps = {steps}: must be an integer in [1, {MOST_STEPS}]")
    value = parse(expression)
    table = tabulate(value, steps, steps_per_epoch, where="expression")
    if out:
        curve.to_file(table, str(value), out)
        stderr.print(f"Picture: {out}", markup=False)
    else:
        print(curve.in_terminal(table, str(value), stderr.width))
    marks = sorted({0, steps // 4, steps // 2, 3 * steps // 4, steps - 1})
    stderr.print("  ".join(f"step {step:,}: {table[step]:.4g}" for step in marks))


def main() -> None:
    """Run the command line; a user's mistake becomes one line and exit status 2."""
    try:
        app()
    except InputError as error:
        stderr.print(f"lanewise: {' '.join(str(error).split())}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        stderr.print("lanewise: stopped")
        leave()
    except SystemExit as end:
        if end.code == STOPPED:
            leave()
        raise


def leave() -> NoReturn:
    """End the process now; an ordinary end would wait for what the worker threads are at."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
