"""`lanewise show`."""

from pathlib import Path
from typing import Annotated

import typer

from lanewise.cli.console import stdout
from lanewise.cli.options import Imports
from lanewise.errors import InputError

MOST_STEPS = 10_000_000


def show(
    expression: Annotated[str, typer.Argument(help='Schedule, such as "0.1 * cosine(warmup=5%)".')],
    steps: Annotated[int, typer.Option(help="Number of steps in the run.")] = 1000,
    steps_per_epoch: Annotated[int, typer.Option(help="Number of steps in an epoch, for durations such as 3ep.")] = 100,
    imports: Imports = None,
    out: Annotated[Path | None, typer.Option(help="Write a picture to this file instead: .png or .svg.")] = None,
) -> None:
    """Draw a schedule in the terminal, or to a PNG or SVG file."""
    from lanewise.parts.schedules import tabulate
    from lanewise.recipe.language import parse
    from lanewise.report.terminal import curve

    if not 1 <= steps <= MOST_STEPS:
        raise InputError(f"steps = {steps}: must be an integer in [1, {MOST_STEPS}]")
    value = parse(expression)
    table = tabulate(value, steps, steps_per_epoch, where="expression")
    if out:
        curve.to_file(table, str(value), out)
        stdout.print(f"Picture: {out}")
    else:
        print(curve.in_terminal(table, str(value), stdout.width))
    marks = sorted({0, steps // 4, steps // 2, 3 * steps // 4, steps - 1})
    stdout.print("  ".join(f"step {step:,}: {table[step]:.4g}" for step in marks))
