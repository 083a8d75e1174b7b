"""`lanewise list`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lanewise.printable import printable
from lanewise.report.terminal.console import SafeConsole


def list_runs(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder with runs in it, or one run; runs by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the runs of a folder: their state, what was trained, and the best recipe found with its score."""
    from lanewise.record.listing import runs_in
    from lanewise.report.terminal.runs import print_runs

    found = [] if folder is None and not Path("runs").exists() else runs_in(folder or Path("runs"))
    if as_json:
        print(json.dumps([one.to_dict() for one in found], indent=2))
    elif not found:
        print(printable(f"no runs in {folder or 'runs'}; begin one with: lanewise race"))
    else:
        print_runs(found, SafeConsole(soft_wrap=False))
