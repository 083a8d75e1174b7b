"""`lanewise list`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lanewise.printable import printable
from lanewise.report.terminal.console import SafeConsole


def list_runs(
    folder: Annotated[Path | None, typer.Argument(help="Folder of runs, or one run; runs if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List runs: their state, data, model, and best recipe.

    The score is that of the best recipe found.
    """
    from lanewise.record.listing import runs_in
    from lanewise.report.terminal.runs import print_runs

    found = [] if folder is None and not Path("runs").exists() else runs_in(folder or Path("runs"))
    if as_json:
        print(json.dumps([one.to_dict() for one in found], indent=2))
    elif not found:
        print(printable(f"no runs in {folder or 'runs'}; begin one with: lanewise race"))
    else:
        print_runs(found, SafeConsole(soft_wrap=False))
