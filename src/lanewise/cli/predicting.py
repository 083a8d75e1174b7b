"""`lanewise predict`."""

import csv
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from lanewise.cli.console import stderr
from lanewise.cli.options import Imports
from lanewise.errors import InputError
from lanewise.printable import printable


def predict(
    weights: Annotated[Path, typer.Argument(help="Model trained on a table, as lanewise train --save wrote it.")],
    data: Annotated[Path, typer.Argument(help="Table of new rows; columns are matched by name.")],
    model: Annotated[
        str | None, typer.Option(help="The model, if it is your own: package.module:function, as given to the race.")
    ] = None,
    imports: Imports = None,
) -> None:
    """Predict a new table, and print one line of CSV for each row.

    Columns are read as they were in training. The target column may be missing.
    """
    from lanewise.predictor import load_model

    predictor = load_model(weights, model)
    if predictor.schema is None:
        raise InputError(f"predict {weights}: was not trained on a table; lw.load_model takes arrays, in Python")
    with warnings.catch_warnings():
        # They are among the notes.
        warnings.simplefilter("ignore", UserWarning)
        outputs = predictor(data)
    for note in predictor.notes:
        stderr.print(note, markup=False, soft_wrap=True)
    values = predictor.named(outputs)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    # A program is given names of classes as they are; a terminal would obey what may stand in them.
    shown = (lambda value: printable(str(value))) if sys.stdout.isatty() else (lambda value: value)
    writer.writerow([shown(predictor.schema.target)])
    writer.writerows([shown(value)] for value in values)
