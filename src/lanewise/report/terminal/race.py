"""What a race shows in a terminal: a live table while it runs, plain lines where there is none, and the verdict."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lanewise.data import Source
from lanewise.recipe.file import dump
from lanewise.report.terminal.console import SafeConsole
from lanewise.report.words import counted, lead_unit, loss_words, score_column, time_words
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.progress import Observer, Progress, Standing
from lanewise.verdict.phrases import chance_words, lead_words, means_words, metric_words, runs_words
from lanewise.verdict.recipe_words import describe
from lanewise.verdict.verdict import Finalist, Verdict, place_words

REFRESHES = 4
"""Per second: enough for a clock that runs, and too few to be felt beside the training."""
LINES_AROUND_THE_TABLE = 8
WIDE, NARROW = 76, 52
"""Columns of a terminal from which on a table shows all it has, and below which it shows only what matters most."""
MOST_COLUMNS = 40
"""Columns of a table of data that are shown before a run."""
QUIET_SECONDS = 60.0
"""Without a terminal: how long a slow race stays silent at most."""


class Display(Observer, AbstractContextManager["Display"]):
    """Watches a study and shows it; leaving the context closes whatever is open on the screen."""

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open."""


def print_columns(source: Source, console: Console) -> None:
    """What every column of a table was read as, and what was filled in."""
    if source.schema is None:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("column", "read as", "missing"):
        table.add_column(heading, overflow="fold")
    rows = source.schema.summary
    for name, taken, filled in rows[:MOST_COLUMNS]:
        table.add_row(Text(name), Text(taken), Text(filled))
    target = "class" if source.classes else "number"
    if source.class_names:
        target = f"{source.classes} classes: {', '.join(source.class_names[:8])}"
        target += ", ..." if len(source.class_names) > 8 else ""
    table.add_row(Text(source.schema.target), Text(f"target: {target}"), Text(""))
    console.print(table)
    if len(rows) > MOST_COLUMNS:
        console.print(Text(f"and {len(rows) - MOST_COLUMNS} more columns"))


def observer(console: Console | None = None) -> Display:
    """A display for `console` (standard error if None): a live table on a terminal, plain lines on all else."""
    console = console or SafeConsole(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(console)
    return PlainDisplay(console)


class PlainDisplay(Display):
    """A line for each note and phase, for every tenth of the way, and one a minute where that takes long.

    Where nothing failed, the last line says 100% and how long it took; none before it does.

    Args:
        clock: seconds from any start.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock = console, clock
        self._phase, self._tenth, self._said = "", -1, clock()
        self._begun = self._said
        self._last: Progress | None = None

    def __exit__(self, *exception: object) -> None:
        if self._last is not None and not any(exception):
            self._say(self._last, f"100%, took {time_words(self.clock() - self._begun)}")

    def note(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        self._last = progress
        tenth = min(9, int(progress.done * 10))
        if progress.phase == self._phase and tenth == self._tenth and self.clock() - self._said < QUIET_SECONDS:
            return
        self._phase, self._tenth, self._said = progress.phase, tenth, self.clock()
        self._say(progress, ", ".join([_percent(progress), *_left(progress.seconds_left, progress.done)]))

    def _say(self, progress: Progress, how_far: str) -> None:
        facts = [f"{progress.phase}: {how_far}", _field(progress)]
        if progress.standings:
            first = progress.standings[0]
            score = f"{metric_words(progress.metric)} {progress.kind.words(first.score)}"
            facts.append(
                f"leading: {first.name or f'candidate {first.candidate}'} ({score}, loss {loss_words(first.loss)})"
            )
        self.console.print(Text(", ".join(facts)), soft_wrap=True)


class LiveDisplay(Display):
    """The phase, a bar, the time left and the leading recipes, drawn again and again in the same place."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._shown = time.monotonic()
        self._spinner = Spinner("line" if console.options.ascii_only else "dots", style="cyan")
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=REFRESHES, transient=True
        )  # fmt: skip

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def note(self, line: str) -> None:
        self.console.print(Text(line, style="dim"), soft_wrap=False)

    def show(self, progress: Progress) -> None:
        self._progress, self._shown = progress, time.monotonic()

    def _render(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            # Compiling takes half a minute: a clock says that something is going on.
            return self._busy(
                f"getting ready: compiling and timing ways to run, {time_words(time.monotonic() - self._shown)}"
            )
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        since = time.monotonic() - self._shown
        left = None if progress.seconds_left is None else max(0.0, progress.seconds_left - since)
        facts = [_percent(progress), *_left(left, progress.done)]
        bar.add_row(
            ProgressBar(total=1.0, completed=progress.done, complete_style="cyan", finished_style="cyan"),
            _line(", ".join(facts)),
        )
        parts: list[RenderableType] = [Text(), self._busy(progress.phase), bar, _line(_field(progress), "dim")]
        room = self.console.height - LINES_AROUND_THE_TABLE
        if progress.standings and room > 0:
            parts.append(leaders(progress.standings[:room], progress.metric, self.console.width, progress.kind))
        return Group(*parts)

    def _busy(self, words: str) -> Table:
        # The spinner's own text would not stay on one line.
        line = Table.grid(padding=(0, 1))
        line.add_row(self._spinner, _line(words, "bold"))
        return line


def leaders(standings: list[Standing], metric: str, width: int, kind: ScoreKind | None = None) -> Table:
    """The leading recipes as a table for a terminal of `width` columns; those no longer training are dimmed.

    Args:
        metric, kind: name and kind of the scores, by default fractions.
    """
    kind = kind or ScoreKind()
    table = _table()
    named = any(one.name for one in standings)
    table.add_column("recipe" if named else "#", justify="left" if named else "right", no_wrap=True)
    table.add_column(metric_words(metric), justify="right", no_wrap=True)
    if width >= NARROW:
        table.add_column("loss", justify="right", no_wrap=True)
        table.add_column("trained", justify="right", no_wrap=True)
    # Not marked as unbreakable, so that it is the one column to give way; its cells stay on one line by themselves.
    table.add_column("" if named else "recipe")
    for place, one in enumerate(standings):
        cells: list[str | Text] = [one.name or str(one.candidate), kind.words(one.score)]
        if width >= NARROW:
            cells += [loss_words(one.loss), f"{one.progress:.0%}"]
        style = "dim" if not one.live else "bold" if place == 0 else ""
        table.add_row(*cells, _line(describe(one.recipe)), style=style)
    return table


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print what was found: in words, the finalists as a table, the winner's recipe as YAML that can be copied."""
    console.print()
    headline, *sentences = verdict.sentences()
    wrapped(console, Text(headline, style="bold"))
    wrapped(console, Text(" ".join(sentences)))
    if len(verdict.finalists) > 1:
        repeats = len(verdict.finalists[0].scores)
        console.print()
        console.print(
            Text(f"Finalists, on the validation examples of {runs_words(repeats)}:", style="dim"),
            soft_wrap=False,
        )
        wrapped(console, finalists_table(verdict, console.width))
        wrapped(console, Text(means_words(repeats, verdict.kind), style="dim"))
    console.print()
    console.print(Text("The winner's recipe:", style="dim"), soft_wrap=False)
    # As it stands in the file: a line broken by us could not be copied.
    console.print(Text(dump(verdict.winner).rstrip()), soft_wrap=True)
    console.print()


def wrapped(console: Console, shown: RenderableType) -> None:
    """Print `shown` in the console's width; where that is no terminal, without spaces at the ends of lines."""
    if console.is_terminal:
        console.print(shown, soft_wrap=False)
        return
    with console.capture() as lines:
        console.print(shown, soft_wrap=False)
    console.print(Text("\n".join(line.rstrip() for line in lines.get().splitlines())), soft_wrap=True)


def finalists_table(verdict: Verdict, width: int) -> Table:
    """The finalists with the winner's lead over each, for a terminal of `width` columns."""
    table, lead = _table(), lead_unit(verdict.kind)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column(metric_words(verdict.metric), justify="right", no_wrap=True)
    table.add_column(f"lead{lead}" if width < WIDE else f"winner's lead{lead}", justify="right", no_wrap=True)
    table.add_column("")
    if width >= WIDE:
        table.add_column("P(best)", justify="right", no_wrap=True)
        table.add_column("recipe")
    column = score_column([(one.scores, one.mean) for one in verdict.finalists], verdict.kind)
    for finalist, score in zip(verdict.finalists, column, strict=True):
        cells: list[str | Text] = [
            finalist.label,
            score,
            *_lead(finalist, verdict, width >= NARROW),
        ]
        if width >= WIDE:
            cells.append(chance_words(finalist.chance))
            cells.append(_line(describe(finalist.recipe)))
        table.add_row(*cells, style="bold" if finalist.difference is None else "dim" if finalist.significant else "")
    return table


def _lead(finalist: Finalist, verdict: Verdict, with_interval: bool) -> tuple[str, str]:
    lead = finalist.difference
    if lead is None:
        return "", place_words(finalist, verdict)
    mean, low, high = lead_words(lead, verdict.kind)
    return f"{mean} ({low} to {high})" if with_interval else mean, place_words(finalist, verdict)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", border_style="dim")


def _line(text: str, style: str = "") -> Text:
    """Text that stays on one line whatever the width, so that the display keeps its place."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _percent(progress: Progress) -> str:
    """How far a study has come that is not over, as the report and the files come after the last step."""
    return f"{min(99, round(100 * progress.done))}%"


def _left(seconds: float | None, done: float) -> list[str]:
    if done >= 1:
        return ["finishing"]
    if seconds is None:
        return ["measuring the time left"]
    return [f"about {time_words(seconds)} left" if seconds >= 1 else "less than 1 s left"]


def _field(progress: Progress) -> str:
    lost = f", {progress.diverged} diverged" if progress.diverged else ""
    if not progress.drops:
        return f"{counted(progress.drawn, 'recipe')}, all trained to the end{lost}"
    return f"{progress.live} of {counted(progress.drawn, 'recipe')} still training{lost}"
