"""The runs of a folder as a table."""

from collections.abc import Sequence
from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from lanewise.record.listing import DAMAGED, FINISHED, OTHER, RUNNING, Summary
from lanewise.report.terminal.console import SafeConsole
from lanewise.statistics.score_kind import ScoreKind

WIDE = 100
"""Columns of a terminal from which on it is also shown when a run began."""


def print_runs(found: Sequence[Summary], console: SafeConsole) -> None:
    """The table, then a line for each run that cannot be read."""
    console.print(table_of(found, console.width))
    for one in found:
        if one.problem:
            console.print(Text(f"{one.run}: {' '.join(one.problem.split())}", style="dim"))


def table_of(found: Sequence[Summary], width: int) -> Table:
    """The runs as a table for a terminal of `width` columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", border_style="dim")
    table.add_column("run", overflow="fold")
    table.add_column("state", overflow="fold")
    table.add_column("data", overflow="ellipsis", no_wrap=True)
    table.add_column("model", overflow="ellipsis", no_wrap=True)
    table.add_column("drawn", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    if width >= WIDE:
        table.add_column("begun", no_wrap=True)
    for one in found:
        cells = [one.run, state_words(one), one.data or "", one.model or "", drawn_words(one), score_words(one)]
        if width >= WIDE:
            cells.append(datetime.fromisoformat(one.begun).astimezone().strftime("%Y-%m-%d %H:%M") if one.begun else "")
        table.add_row(*map(Text, cells), style="dim" if one.state in (DAMAGED, OTHER) else "")
    return table


def state_words(one: Summary) -> str:
    """`finished`, `running, 40%`, `stopped at 40%`."""
    if one.state in (FINISHED, DAMAGED, OTHER):
        return one.state
    return f"{one.state}{',' if one.state == RUNNING else ' at'} {one.done:.0%}"


def drawn_words(one: Summary) -> str:
    """How many candidates were drawn."""
    return "" if one.candidates is None else str(one.candidates)


def score_words(one: Summary) -> str:
    """`17: test accuracy 97.5%`."""
    if one.found is not None:
        return one.found
    if one.winner is None:
        return ""
    score = "none" if one.score is None else ScoreKind(fraction=one.fraction).words(one.score)
    return f"{one.winner}: test {one.metric} {score}"
