"""The figures of answers about given recipes: intervals row by row, and a field against the score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.report.figures.plots import Figure, Json, above, axis, finite, layout, log_ticks, plain
from lanewise.report.words import counted
from lanewise.statistics.intervals import Interval
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.answer import ComparedRecipe, Setup
from lanewise.verdict.comparison import ComparisonAnswer
from lanewise.verdict.phrases import lead_words, metric_words
from lanewise.verdict.recipe_words import describe
from lanewise.verdict.sweep import SweepAnswer

ROW_PIXELS = 44
MOST_PAIRS = 20
"""Pairs in the figure; the table has all."""
SUREST, UNSURE, AGAINST = "--c1", "--soft", "--c6"
ROOM = 0.08
"""Of the axis's range left free at its ends."""


@dataclass(frozen=True)
class Row:
    """One interval with what is written above it; `singles` are the repeats behind it."""

    label: str
    interval: Interval
    ink: str
    hover: str = ""
    singles: Sequence[float] = ()


def rows_figure(
    name: str, title: str, caption: str, rows: Sequence[Row], across: str, setup: Setup, sides: tuple[str, str] | None
) -> Figure:
    """Intervals below each other, the first on top.

    Args:
        across: what the axis measures. sides: what lies left and right of zero; None where zero means nothing.
    """
    unit = 100 if setup.kind.fraction else 1
    data: list[Json] = []
    labels: list[Json] = []
    for at, row in enumerate(rows):
        interval = row.interval
        three = [interval.mean, interval.low, interval.high]
        mean, *bounds = lead_words(interval, setup.kind) if sides else setup.kind.interval_words(three, 2)
        words = " to ".join(bounds)
        hover = f"<b>{plain(row.label)}</b><br>{plain(row.hover)}<br>{mean}, {words}<extra></extra>"
        data += [
            {
                "x": finite([unit * value for value in row.singles]), "y": [at + 0.22] * len(row.singles),
                "mode": "markers", "hoverinfo": "skip",
                "marker": {"symbol": "line-ns", "size": 6, "line": {"width": 1.5, "color": "--soft"}},
            },
            {
                "x": finite([unit * interval.low, unit * interval.high]), "y": [at, at], "mode": "lines",
                "line": {"width": 3, "color": row.ink}, "hoverinfo": "skip",
            },
            {
                "x": finite([unit * interval.mean]), "y": [at], "mode": "markers",
                "marker": {"size": 11, "color": row.ink, "line": {"width": 2, "color": "--page"}},
                "hovertemplate": hover,
            },
        ]  # fmt: skip
        labels.append(
            {"text": plain(row.label), "xref": "paper", "x": 0, "xanchor": "left", "y": at, "yanchor": "bottom",
             "yshift": 6, "showarrow": False, "bgcolor": "--page"}
        )  # fmt: skip
    ends = [unit * end for row in rows for end in (row.interval.low, row.interval.high, *row.singles)]
    low, high = (min([*ends, 0.0]), max([*ends, 0.0])) if sides else (min(ends), max(ends))
    spare = ROOM * ((high - low) or 1.0)
    height = 96 + ROW_PIXELS * len(rows)
    shapes = []
    if sides:
        line = {"color": "--soft", "width": 1}
        shapes = [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": line}]
        labels += [
            above(sides[0]) | {"xref": "x", "x": 0, "xanchor": "right", "xshift": -8},
            above(sides[1]) | {"xref": "x", "x": 0, "xanchor": "left", "xshift": 8},
        ]
    view = layout(
        height,
        xaxis=axis(across, grid=True, range=[low - spare, high + spare], nticks=8),
        yaxis=axis(tickvals=[], range=[len(rows) - 0.5, -0.9]),
        shapes=shapes,
        annotations=labels,
    )
    return Figure(name, title, caption, height, {"": {"data": data, "layout": view}})


def unit_words(setup: Setup) -> str:
    """What a difference of scores is measured in."""
    return ", percentage points" if setup.kind.fraction else ""


def lead_figure(answer: ComparisonAnswer) -> Figure:
    """The best recipe's lead over each other."""
    setup, best = answer.setup, answer.compared[0].scored
    rows = []
    for one in answer.compared[1:]:
        assert one.difference is not None
        singles = setup.kind.turned(best.scores - one.scored.scores)
        ink = SUREST if one.significant else UNSURE
        hover = describe(one.scored.recipe)
        rows.append(Row(one.scored.name, one.difference, ink, hover, finite_only(singles)))
    same, others = len(answer.tied), len(rows)
    title = {
        0: f"{best.name} is significantly better than {'each other' if others > 1 else 'the other'}",
        others: f"All others are too close to {best.name} to call" if others > 1 else "The two are too close to call",
    }.get(same, f"{same} of {others} others are too close to {best.name} to call")
    caption = (
        f"Dot and bar: {best.name} minus the other recipe, mean over {counted(setup.repeats, 'repeat')} with its 95% "
        f"CI{', wide enough for all comparisons at once' if others > 1 else ''}. Small strokes: single repeats, in "
        "which all recipes had the same examples, batches and initial weights. A bar that crosses zero means: "
        "too close to call."
    )
    across = f"lead of {best.name} in {metric_words(setup.metric)}{unit_words(setup)}"
    return rows_figure("leads", title, caption, rows, across, setup, ("← other better", f"{best.name} better →"))


def contribution_figure(answer: AblationAnswer) -> Figure:
    """What each technique is worth."""
    setup = answer.setup
    rows = []
    for worth in answer.worths:
        singles = setup.kind.turned(answer.base.scores - worth.scored.scores)
        ink = {"helps": SUREST, "hurts": AGAINST}.get(worth.verdict, UNSURE)
        rows.append(Row(worth.name, worth.difference, ink, worth.verdict, finite_only(singles)))
    helps = sum(worth.verdict == "helps" for worth in answer.worths)
    title = f"{helps} of {len(rows)} comparisons: proven to help"
    caption = (
        f"Dot and bar: the recipe minus the recipe without the technique, mean over "
        f"{counted(setup.repeats, 'repeat')} with its 95% CI, wide enough for all comparisons at once. Small "
        "strokes: single repeats. A bar that crosses zero means: too close to call. Re-tuned: without the technique, "
        "at the learning rate that was best in other repeats."
    )
    across = f"worth in {metric_words(setup.metric)}{unit_words(setup)}"
    return rows_figure("worths", title, caption, rows, across, setup, ("← better without", "better with →"))


def interaction_figure(answer: AblationAnswer) -> Figure | None:
    """The pairs that depart most from adding up; None where no pairs were taken away."""
    if not answer.interactions:
        return None
    shown = answer.interactions[:MOST_PAIRS]
    inks = {"help each other": SUREST, "overlap": AGAINST}
    rows = [
        Row(f"{one.first} and {one.second}", one.difference, inks.get(one.verdict, UNSURE), one.verdict)
        for one in shown
    ]
    apart = sum(one.difference.excludes_zero for one in answer.interactions)
    title = f"{apart} of {counted(len(answer.interactions), 'pair')} clearly depend on each other"
    which = (
        f"The {len(shown)} strongest of {len(answer.interactions)}. " if len(shown) < len(answer.interactions) else ""
    )
    caption = (
        f"{which}What the first is worth with the second, minus what it is worth without it; 95% CIs wide enough for "
        "all pairs at once. Right of zero, two techniques help each other; left of it, they overlap: one does part of "
        "the other's work."
    )
    across = f"interaction in {metric_words(answer.setup.metric)}{unit_words(answer.setup)}"
    sides = ("← overlap", "help each other →")
    return rows_figure("pairs", title, caption, rows, across, answer.setup, sides)


def sweep_figure(answer: SweepAnswer) -> Figure:
    """The score against the value of the field."""
    setup, numbers, title = answer.setup, answer.numbers, f"{answer.field} = {answer.compared[0].scored.name} is best"
    caption = (
        f"Mean over {counted(setup.repeats, 'fold' if setup.repeats == setup.folds else 'repeat')}; band: 95% "
        "CI of each value by itself. The best value is in colour; filled dots are too close to it to call; small dots "
        "are single repeats. Values are compared on the same examples, so one can be better even where bands overlap."
    )
    if numbers is None:
        rows = [
            Row(
                one.scored.name,
                one.score,
                SUREST if one.difference is None else UNSURE,
                "",
                finite_only(one.scored.scores),
            )
            for one in answer.compared
        ]
        across = f"validation {metric_words(setup.metric)}{', %' if setup.kind.fraction else ''}"
        return rows_figure("sweep", title, caption, rows, across, setup, None)
    order = sorted(range(len(numbers)), key=lambda at: numbers[at])
    tried = answer.in_order()
    return _curve(answer, [numbers[at] for at in order], [tried[at] for at in order], title, caption)


def _curve(answer: SweepAnswer, numbers: list[float], tried: list[ComparedRecipe], title: str, caption: str) -> Figure:
    setup, height = answer.setup, 420
    unit = 100 if setup.kind.fraction else 1
    x, across = positions(numbers, answer.log)
    means, lows, highs = (
        finite([unit * getattr(one.score, name) for one in tried]) for name in ("mean", "low", "high")
    )
    inks = [SUREST if one.difference is None else "--ink" if not one.significant else "--page" for one in tried]
    singles = [(at, unit * score) for at, one in zip(x, tried, strict=True) for score in one.scored.scores]
    words = [
        f"<b>{plain(answer.field)} = {plain(one.scored.name)}</b><br>{plain(_score_words(one, setup))}"
        f"{'<br>best' if one.difference is None else '' if one.significant else '<br>too close to the best to call'}"
        for one in tried
    ]
    data: list[Json] = [
        {"x": [*x, *x[::-1]], "y": [*highs, *lows[::-1]], "fill": "toself", "fillcolor": "--c1@0.13", "mode": "lines",
         "line": {"width": 0}, "hoverinfo": "skip"},
        {"x": [at for at, _ in singles], "y": finite([score for _, score in singles]), "mode": "markers",
         "marker": {"size": 4, "color": "--faint"}, "hoverinfo": "skip"},
        {"x": x, "y": means, "mode": "lines", "line": {"width": 2, "color": "--c1"}, "hoverinfo": "skip"},
        {"x": x, "y": means, "mode": "markers", "text": words, "hovertemplate": "%{text}<extra></extra>",
         "marker": {"size": 11, "color": inks, "line": {"width": 2, "color": "--c1"}}},
    ]  # fmt: skip
    shapes = []
    notes = [above(f"validation {metric_words(setup.metric)}{', %' if setup.kind.fraction else ''}")]
    if answer.within is not None:
        at = x[[one.scored.name for one in tried].index(answer.within)]
        line = {"color": "--soft", "width": 1, "dash": "dot"}
        shapes = [{"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": line}]
        notes.append(
            above("largest within one standard error") | {"xref": "x", "x": at, "xanchor": "center", "yshift": -8}
        )
    view = layout(
        height,
        xaxis=axis(answer.field, **across),
        yaxis=axis(grid=True, nticks=6),
        shapes=shapes,
        annotations=notes,
        margin={"l": 8, "r": 16, "t": 44, "b": 8},
    )
    return Figure("sweep", title, caption, height, {"": {"data": data, "layout": view}})


def _score_words(one: ComparedRecipe, setup: Setup) -> str:
    mean, low, high = setup.kind.interval_words([one.score.mean, one.score.low, one.score.high], 2)
    return f"{mean}, {low} to {high}"


def positions(numbers: Sequence[float], log: bool) -> tuple[list[float], Json]:
    """(where each value stands on the axis, the axis's ticks): by its logarithm where `log`, 0 one step apart.

    >>> positions([0.0, 0.01, 0.1], log=True)[0]
    [-3.0, -2.0, -1.0]
    """
    if not log:
        return [float(value) for value in numbers], {"nticks": 8}
    above_zero = [value for value in numbers if value > 0]
    low, high = min(above_zero), max(above_zero)
    least = float(np.log10(low)) - 1
    at = [float(np.log10(value)) if value > 0 else least for value in numbers]
    ticks = log_ticks(low, high)
    pairs = [
        (float(np.log10(value)), text)
        for value, text in zip(ticks["tickvals"], ticks["ticktext"], strict=True)
        if low * 0.99 <= value <= high * 1.01
    ]
    if len(above_zero) < len(numbers):
        pairs.insert(0, (least, "0"))
    return at, {"tickvals": [place for place, _ in pairs], "ticktext": [text for _, text in pairs]}


def finite_only(values: np.ndarray) -> list[float]:
    """The values of repeats in which nothing diverged."""
    return [float(value) for value in values if np.isfinite(value)]
