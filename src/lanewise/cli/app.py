"""The command line as a whole: its commands, and how it ends."""

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from lanewise.base.files import reason
from lanewise.cli.console import stderr
from lanewise.cli.listing import list_runs
from lanewise.cli.predicting import predict
from lanewise.cli.questions import ablate, compare, sweep
from lanewise.cli.racing import race, resume
from lanewise.cli.schedules import show
from lanewise.cli.stopping import STOPPED, leave
from lanewise.cli.training import train
from lanewise.cli.wording import in_options, options_of
from lanewise.errors import InputError

WELCOME = """Lanewise finds the training recipe that suits your model and data, and says how sure that is.

  race      find the best recipe for your data:     lanewise race --data patients.csv --target outcome
  train     train the winner, and save it:          lanewise train runs/race-001 --save best.safetensors
  compare   see which of your recipes is best:      lanewise compare mine.yaml theirs.yaml --data digits --model mlp

All commands: lanewise --help. Options of one: lanewise race --help.
"""
"""What `lanewise` alone shows."""
COMMANDS: dict[Callable[..., None], str] = {
    race: "lanewise race --data patients.csv --target outcome --budget 10m",
    resume: "lanewise resume runs/race-001",
    list_runs: "lanewise list runs",
    compare: "lanewise compare runs/race-001/best.yaml mine.yaml --repeats 16",
    ablate: "lanewise ablate runs/race-001/best.yaml",
    sweep: 'lanewise sweep mine.yaml --field l2 --values "log(1e-6, 1e-1)"',
    train: "lanewise train runs/race-001 --save best.safetensors",
    predict: "lanewise predict best.safetensors new-patients.csv > predicted.csv",
    show: 'lanewise show "0.1 * cosine(warmup=5%)" --steps 500',
}
"""The commands, each with the example that ends its help."""


def example(words: str) -> str:
    """The end of a help text: an example on a line of its own, which Click must not wrap."""
    return f"\b\nExample:\n  {words}"


app = typer.Typer(
    invoke_without_command=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Find the training recipe that suits your model and data, and say how sure that is.",
    epilog=example(COMMANDS[race]),
)  # fmt: skip
for command, words in COMMANDS.items():
    app.command(command.__name__.removesuffix("_runs"), epilog=example(words))(command)


def show_version(asked: bool) -> None:
    """Print the version and exit if `--version` was given."""
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"lanewise {version('lanewise')}")
        except PackageNotFoundError:
            raise InputError("--version: Lanewise is not installed, but run from its source") from None
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find the training recipe that suits a model and its data."""
    if context.invoked_subcommand is None:
        print(WELCOME, end="")


def main() -> None:
    """Run the command line; a user's mistake becomes one line and exit status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error does, so that a terminal without Unicode shows the result all the same.
        with contextlib.suppress(OSError):
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        except SystemExit as end:
            if end.code == STOPPED:
                leave()
            # Here and not at the end of the process, where Python would say it in a traceback.
            sys.stdout.flush()
            raise
    except InputError as error:
        message = in_options(str(error), options_of(app, sys.argv[1:]))
        stderr.print(f"lanewise: {' '.join(message.split())}")
        sys.exit(2)
    except KeyboardInterrupt:
        stderr.print("lanewise: stopped")
        leave()
    except OSError as error:
        # One of a file would name it.
        if error.filename is not None:
            raise
        give_up_output()
        # Who reads no further has read enough; a full disk is said.
        if not isinstance(error, BrokenPipeError):
            stderr.print(f"lanewise: standard output cannot be written to: {reason(error)}")
        sys.exit(1)


def give_up_output() -> None:
    """Discard the remaining standard output, since writing it would fail again."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
