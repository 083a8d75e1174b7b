"""What a comparison, an ablation or a sweep shows in a terminal: words, a table, and for a sweep a plot."""

from collections.abc import Sequence
from math import isfinite

import plotext
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lanewise.printable import printable
from lanewise.recipe.file import dump
from lanewise.report.figures.answers import positions
from lanewise.report.terminal.curve import NARROWEST
from lanewise.report.terminal.race import NARROW, WIDE, wrapped
from lanewise.report.words import lead_unit, score_column, score_words
from lanewise.statistics.intervals import Interval
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.answer import Answer, ComparedRecipe, Setup
from lanewise.verdict.comparison import ComparisonAnswer
from lanewise.verdict.phrases import TOO_CLOSE, lead_words, means_words, metric_words
from lanewise.verdict.recipe_words import describe
from lanewise.verdict.sweep import SweepAnswer

MOST_PAIRS = 10
"""Shown in a terminal; the report has all."""
WIDEST_PLOT, PLOT_LINES = 100, 18


def print_answer(answer: Answer, console: Console) -> None:
    """Print what was found: in words, as tables, and the best recipe as YAML that can be copied."""
    console.print()
    headline, *sentences = answer.sentences()
    wrapped(console, Text(headline, style="bold"))
    wrapped(console, Text(" ".join(sentences)))
    console.print()
    if isinstance(answer, AblationAnswer):
        wrapped(console, worths_table(answer, console.width))
        if answer.interactions:
            count = len(answer.interactions)
            which = f"The {MOST_PAIRS} strongest of {count} pairs" if count > MOST_PAIRS else "Pairs"
            what = "what the first is worth with the second, minus what it is worth without it"
            wrapped(console, Text(f"{which}: {what}", style="dim"))
            wrapped(console, pairs_table(answer, console.width))
        return
    if isinstance(answer, SweepAnswer):
        wrapped(console, compared_table(answer.in_order(), answer.field, answer.setup, console.width, recipes=False))
        if answer.numbers is not None:
            console.print(Text(plot(answer, console.width)), soft_wrap=True)
    if isinstance(answer, ComparisonAnswer):
        wrapped(console, compared_table(answer.compared, "recipe", answer.setup, console.width))
        wrapped(console, Text(means_words(answer.setup.repeats, answer.setup.kind), style="dim"))
    console.print()
    console.print(Text("The best recipe:", style="dim"), soft_wrap=False)
    # As it stands in the file: a line broken by us could not be copied.
    console.print(Text(dump(answer.best).rstrip()), soft_wrap=True)
    console.print()


def compared_table(
    compared: Sequence[ComparedRecipe], first: str, setup: Setup, width: int, recipes: bool = True
) -> Table:
    """Recipes or values with the best one's lead over each, for a terminal of `width` columns."""
    table, lead = _table(), lead_unit(setup.kind)
    table.add_column(first, no_wrap=True, max_width=max(12, width // 3))
    table.add_column(metric_words(setup.metric), justify="right", no_wrap=True)
    table.add_column(f"lead{lead}" if width < WIDE else f"best's lead{lead}", justify="right", no_wrap=True)
    table.add_column("")
    with_recipe = recipes and width >= WIDE
    if with_recipe:
        table.add_column("")
    column = score_column([(one.scored.scores, one.score.mean) for one in compared], setup.kind)
    for one, score in zip(compared, column, strict=True):
        lead_cell = "" if one.difference is None else interval_words(one.difference, setup, width)
        verdict = "best" if one.difference is None else "worse" if one.significant else TOO_CLOSE
        cells: list[str | Text] = [
            _line(one.scored.name),
            score,
            lead_cell,
            verdict,
        ]
        style = "bold" if one.difference is None else "dim" if one.significant else ""
        table.add_row(*cells, *([_line(describe(one.scored.recipe))] * with_recipe), style=style)
    return table


def worths_table(answer: AblationAnswer, width: int) -> Table:
    """What each technique is worth, the most valuable first."""
    table, setup = _table(), answer.setup
    table.add_column("technique")
    table.add_column(f"worth{lead_unit(setup.kind)}", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    if width >= WIDE:
        table.add_column("without", justify="right", no_wrap=True)
    for worth in answer.worths:
        cells: list[str | Text] = [_line(worth.name), interval_words(worth.difference, setup, width), worth.verdict]
        if width >= WIDE:
            cells.append(score_words(worth.scored.scores, setup.kind))
        table.add_row(*cells, style="" if worth.difference.excludes_zero else "dim")
    return table


def pairs_table(answer: AblationAnswer, width: int) -> Table:
    """The pairs that depart most from adding up."""
    table = _table()
    table.add_column("pair")
    table.add_column(f"interaction{lead_unit(answer.setup.kind)}", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in answer.interactions[:MOST_PAIRS]:
        words = interval_words(one.difference, answer.setup, width)
        style = "" if one.difference.excludes_zero else "dim"
        table.add_row(_line(f"{one.first} and {one.second}"), words, one.verdict, style=style)
    return table


def interval_words(interval: Interval, setup: Setup, width: int) -> str:
    """A difference with its interval, without it on a narrow terminal."""
    mean, low, high = lead_words(interval, setup.kind)
    return f"{mean} ({low} to {high})" if width >= NARROW else mean


def plot(answer: SweepAnswer, width: int) -> str:
    """The score against the value as lines of text: means joined, and the ends of each interval.

    Where the scale is logarithmic, 0 stands by itself at the left.
    """
    numbers, tried = answer.numbers, answer.in_order()
    assert numbers is not None
    # A value all of whose runs diverged has no place in the picture.
    placed = [at for at, one in enumerate(tried) if isfinite(one.score.mean + one.score.low + one.score.high)]
    order = sorted(placed, key=lambda at: numbers[at])
    if not order:
        return ""
    unit = 100 if answer.setup.kind.fraction else 1
    x, ticks = positions([numbers[at] for at in order], answer.log)
    scores = [tried[at].score for at in order]
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(max(NARROWEST, min(width, WIDEST_PLOT)), PLOT_LINES)
    metric = f"validation {metric_words(answer.setup.metric)}{', %' if answer.setup.kind.fraction else ''}"
    plotext.title(f"{metric}; + : 95% CI of each value")
    plotext.xlabel(printable(answer.field))
    for name in ("low", "high"):
        plotext.scatter(x, [unit * getattr(score, name) for score in scores], marker="+")
    plotext.plot(x, [unit * score.mean for score in scores])
    if "tickvals" in ticks:
        plotext.xticks(ticks["tickvals"], ticks["ticktext"])
    try:
        # The library ends each line with a code that resets colours. There are no colours here.
        return str(plotext.uncolorize(plotext.build()))
    except (ValueError, ArithmeticError):
        # Its axes overflow near the ends of float64.
        return "No plot: the scores are too large or too far apart to draw."


def _line(text: str) -> Text:
    """Text that stays on one line: of several columns, those of such cells give way."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", border_style="dim")
